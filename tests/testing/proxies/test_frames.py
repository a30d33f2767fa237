"""The frame splitter: no byte changed, whatever the chunks."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.testing.proxies.frames import FrameSplitter, push_kind

FRAMES = [
    b"+OK\r\n",
    b"-ERR no\r\n",
    b":12\r\n",
    b"_\r\n",
    b"#t\r\n",
    b",1.5\r\n",
    b"(123\r\n",
    b"$5\r\n\r\n+OK\r\n",
    b"$0\r\n\r\n",
    b"$-1\r\n",
    b"*-1\r\n",
    b"*0\r\n",
    b"=8\r\ntxt:abcd\r\n",
    b"*2\r\n$1\r\na\r\n*1\r\n:1\r\n",
    b"%1\r\n+k\r\n*2\r\n:1\r\n:2\r\n",
    b"~2\r\n:1\r\n:2\r\n",
    b"|1\r\n+ttl\r\n:5\r\n$1\r\nx\r\n",
    b">3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$4\r\na\r\nb\r\n",
]


@given(st.lists(st.sampled_from(FRAMES)), st.data())
def test_frames_come_out_as_they_went_in(frames, data):
    stream = b"".join(frames)
    splitter = FrameSplitter()
    found = []
    while stream:
        size = data.draw(st.integers(1, len(stream)))
        found += splitter.feed(stream[:size])
        stream = stream[size:]
    assert found == frames
    assert splitter.rest() == b""


def test_what_is_no_resp_is_refused_and_kept():
    splitter = FrameSplitter()
    with pytest.raises(ValueError, match="no frame of RESP"):
        splitter.feed(b"+OK\r\n\x16\x03\x01\r\n")
    assert splitter.rest() == b"+OK\r\n\x16\x03\x01\r\n"


@pytest.mark.parametrize(
    ("frame", "kind"),
    [
        (b">3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$1\r\nm\r\n", b"message"),
        (b"*3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$1\r\nm\r\n", b"message"),
        (b">3\r\n$12\r\nsunsubscribe\r\n$1\r\nc\r\n:0\r\n", b"sunsubscribe"),
        (b">2\r\n$10\r\ninvalidate\r\n_\r\n", None),
        (b"*1\r\n:1\r\n", None),
        (b"$7\r\nmessage\r\n", None),
        (b"*0\r\n", None),
    ],
)
def test_kinds_of_pushes(frame, kind):
    assert push_kind(frame) == kind
