"""The generators of replies and lies are pure: the same seed gives the same, and none raises."""

from __future__ import annotations

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from tests.fuzz.lies import LIES, lie
from tests.fuzz.replies import KINDS, hostile

FRAMES = (b"+PONG\r\n", b">3\r\n$7\r\nmessage\r\n$1\r\na\r\n$1\r\nx\r\n", b"$-1\r\n", b"%0\r\n")
LINES = (
    "07c37dfeb2352 127.0.0.1:30004@31004 slave e7d1eecce10fd 0 1426238317239 4 connected\n"
    "e7d1eecce10fd 127.0.0.1:30001@31001 myself,master - 0 0 1 connected 0-5460 [7->-07c37dfeb2352]"
)
NODES = b"$%d\r\n%s\r\n" % (len(LINES), LINES.encode())
KNOWN = [("127.0.0.1", 30001), ("127.0.0.1", 30004)]


@given(st.integers(), st.sampled_from(FRAMES))
def test_hostile_replies_depend_on_the_seed_alone(seed: int, frame: bytes) -> None:
    assert hostile(Random(seed), frame) == hostile(Random(seed), frame)


@given(st.integers(), st.sampled_from((*FRAMES, NODES)))
def test_lies_are_whole_frames(seed: int, frame: bytes) -> None:
    kind, told = lie(Random(seed), frame, KNOWN, [7])
    assert (kind, told) == lie(Random(seed), frame, KNOWN, [7])
    assert told.endswith(b"\r\n")
    if told.startswith(b"$"):
        head, _, rest = told.partition(b"\r\n")
        assert int(head[1:]) == len(rest) - 2


def test_every_kind_of_hostility_comes() -> None:
    assert {hostile(Random(seed), FRAMES[0])[0] for seed in range(500)} == set(KINDS)


def test_every_lie_about_nodes_is_told() -> None:
    assert {lie(Random(seed), NODES, KNOWN, [7])[0] for seed in range(500)} == set(LIES)
