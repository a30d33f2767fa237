"""RESP: commands to bytes, bytes to replies; hiredis does the work.

The parser leaves all strings bytes, and :func:`decode` runs afterwards: a payload that is not valid
in the client's encoding can so stay bytes.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final, TypeAlias, cast

import hiredis

from actors.redis.exceptions import DataError, ProtocolError, from_reply

#: The oldest hiredis that works: some older ones keep 96 bytes for every message for ever, others
#: cannot tell a push from a reply.
OLDEST_HIREDIS: Final = (3, 5)


def check_hiredis(version: str) -> None:
    """Raise ImportError if ``version`` of hiredis is older than :data:`OLDEST_HIREDIS`."""
    if tuple(int(number) for number in re.findall(r"\d+", version)[:2]) < OLDEST_HIREDIS:
        oldest = ".".join(map(str, OLDEST_HIREDIS))
        raise ImportError(
            f"mailslot needs hiredis {oldest} or newer, and {version} is installed: "
            f"run pip install 'hiredis>={oldest}'"
        )


check_hiredis(hiredis.__version__)
PushNotification = hiredis.PushNotification

#: The types of a command's words.
Argument: TypeAlias = str | bytes | int | float

#: What the parser's ``gets()`` returns when there is no complete reply.
INCOMPLETE: Final = object()

# The stub of hiredis is wrong: it asks for a tuple of one element and returns Any.
_pack = cast(Callable[[tuple[Argument, ...]], bytes], hiredis.pack_command)


def reader() -> hiredis.Reader:
    """Return a parser that makes exceptions of error replies, and bytes of all strings."""
    return hiredis.Reader(replyError=from_reply, notEnoughData=INCOMPLETE)


def text_of(word: Argument) -> str:
    """Return ``word`` as text, to compare it with a command's name."""
    return word.decode("ascii", "replace") if isinstance(word, bytes) else str(word)


def words(args: tuple[Argument, ...]) -> tuple[Argument, ...]:
    """Split a command name of several words, ``"PUBSUB NUMSUB"``, as servers expect it.

    Raises:
        DataError: there is no name.
    """
    match args:
        case (str() as name, *rest) if " " in name:
            return (*name.split(), *rest)
        case (bytes() as name, *rest) if b" " in name:
            return (*name.split(), *rest)
        case ():
            raise DataError("there is no command to send: the first argument is its name")
    return args


def pack(args: tuple[Argument, ...], encoding: str = "utf-8") -> bytes:
    """Return the command ``args`` as the bytes to send.

    Raises:
        DataError: an argument is no str, bytes, int or float, or cannot be encoded.
    """
    if not args:
        raise DataError("there is no command to send: the first argument is its name")
    try:
        if encoding == "utf-8":
            return _pack(args)
    except (TypeError, UnicodeEncodeError):
        # Below, each argument is encoded by itself: that accepts subclasses of int, and the error
        # names the argument that cannot be sent.
        pass
    return _pack(tuple(encode(arg, encoding) for arg in args))


def encode(arg: object, encoding: str = "utf-8") -> bytes:
    """Return the bytes of one argument.

    Raises:
        DataError: it is no str, bytes, int or float, or cannot be encoded.
    """
    match arg:
        case bytes() | bytearray() | memoryview():
            return bytes(arg)
        case str():
            try:
                return arg.encode(encoding)
            except UnicodeEncodeError as error:
                raise DataError(f"an argument cannot be encoded as {encoding}: {error}") from error
        case bool():
            pass
        case int():
            return b"%d" % arg
        case float():
            return repr(float(arg)).encode()
    raise DataError(
        f"cannot send an argument of type {type(arg).__name__}: "
        "convert it to str, bytes, int or float first"
    )


def decode(reply: Any, encoding: str = "utf-8") -> Any:
    """Return ``reply`` with its bytes as str, at any depth; undecodable bytes stay bytes.

    Raises:
        ProtocolError: the reply is nested more deeply than Python can follow.
    """
    try:
        return _decode(reply, encoding)
    except RecursionError:
        raise ProtocolError("the reply is nested too deeply: no server sends such a one") from None


def _decode(reply: Any, encoding: str) -> Any:
    match reply:
        case bytes():
            try:
                return reply.decode(encoding)
            except UnicodeDecodeError:
                return reply
        case list():
            return [_decode(item, encoding) for item in reply]
        case dict():
            return {_decode(key, encoding): _decode(item, encoding) for key, item in reply.items()}
    return reply
