from __future__ import annotations

import enum

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.redis.exceptions import DataError, MovedError, ProtocolError, ResponseError
from actors.redis.wire.resp import INCOMPLETE, PushNotification, decode, pack, reader


class Color(enum.IntEnum):
    RED = 3


class Word(enum.StrEnum):
    YES = "yes"


@pytest.mark.parametrize(
    ("arg", "sent"),
    [
        ("é", b"\xc3\xa9"),
        (b"\xff\x00", b"\xff\x00"),
        ("", b""),
        (17, b"17"),
        (-(10**30), b"-1" + b"0" * 30),
        (0.1, b"0.1"),
        (Color.RED, b"3"),
        (Word.YES, b"yes"),
        (bytearray(b"ab"), b"ab"),
    ],
)
def test_arguments_as_they_are_sent(arg, sent):
    assert pack(("X", arg)) == b"*2\r\n$1\r\nX\r\n$%d\r\n%s\r\n" % (len(sent), sent)


@pytest.mark.parametrize("arg", [None, True, [1], {"a": 1}, object(), ("x",), 1j])
def test_other_arguments_are_refused_by_type(arg):
    with pytest.raises(DataError, match=f"of type {type(arg).__name__}"):
        pack(("SET", "key", arg))


def test_text_goes_out_in_the_encoding():
    assert pack(("X", "é"), "latin-1") == b"*2\r\n$1\r\nX\r\n$1\r\n\xe9\r\n"
    with pytest.raises(DataError, match="latin-1"):
        pack(("X", "€"), "latin-1")
    with pytest.raises(DataError, match="utf-8"):
        pack(("X", "\ud800"))


def test_an_empty_command_is_refused():
    with pytest.raises(DataError, match="no command"):
        pack(())


def parse(data: bytes, step: int = 1 << 20) -> list:
    parser = reader()
    replies = []
    for start in range(0, len(data), step):
        parser.feed(data[start : start + step])
        while (reply := parser.gets()) is not INCOMPLETE:
            replies.append(reply)
    return replies


def test_replies_of_resp3():
    data = (
        b"$2\r\nok\r\n:5\r\n_\r\n#t\r\n,1.5\r\n"
        b"%1\r\n+a\r\n*1\r\n:1\r\n>2\r\n+message\r\n+c\r\n~1\r\n+m\r\n"
    )
    for step in (1, 7, 1000):
        replies = parse(data, step)
        assert replies == [b"ok", 5, None, True, 1.5, {b"a": [1]}, [b"message", b"c"], [b"m"]]
        assert type(replies[6]) is PushNotification
        assert type(replies[7]) is list


def test_error_replies_come_out_as_exceptions_nested_ones_too():
    moved, [error, number] = parse(b"-MOVED 1 h:2\r\n*2\r\n-ERR no\r\n:1\r\n")
    assert isinstance(moved, MovedError)
    assert type(error) is ResponseError
    assert number == 1


def test_decoding_is_recursive_and_leaves_what_is_no_text():
    assert decode([b"a", {b"k": [b"\xff", 1, None]}, True, b""]) == [
        *("a", {"k": [b"\xff", 1, None]}, True, "")
    ]
    assert decode(b"\xe9", "latin-1") == "é"


ARGS = st.text(st.characters(exclude_categories=["Cs"])) | st.binary() | st.integers()


@given(st.lists(ARGS, min_size=1), st.integers(1, 20))
def test_what_is_packed_parses_back(args, step):
    expected = [arg if isinstance(arg, bytes) else str(arg).encode() for arg in args]
    assert parse(pack(tuple(args)), step) == [expected]


NESTED = st.recursive(
    st.binary() | st.integers() | st.none() | st.booleans(),
    lambda inner: st.lists(inner) | st.dictionaries(st.binary(), inner),
    max_leaves=20,
)


@given(NESTED)
def test_decoding_loses_nothing(reply):
    def encode(value):
        match value:
            case str():
                return value.encode()
            case list():
                return [encode(item) for item in value]
            case dict():
                return {encode(key): encode(item) for key, item in value.items()}
        return value

    assert encode(decode(reply)) == reply


def test_a_reply_that_is_nested_too_deeply_is_told():
    parser = reader()
    parser.feed(b"*1\r\n" * 1000 + b"$1\r\na\r\n")
    with pytest.raises(ProtocolError, match="nested too deeply"):
        decode(parser.gets())
