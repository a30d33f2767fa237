"""The protocol: commands to bytes, bytes to replies.

Parsing and packing are hiredis'. Replies stay bytes at the reader; :func:`decode` runs above it, so
that a payload that is no text in the client's encoding can stay bytes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeAlias, cast

import hiredis

from actors.redis.exceptions import DataError, from_reply

__all__ = ["INCOMPLETE", "Argument", "PushNotification", "decode", "pack", "reader", "words"]

PushNotification = hiredis.PushNotification

#: What a command may be made of.
Argument: TypeAlias = str | bytes | int | float


#: What the reader's ``gets()`` returns when there is no whole reply yet.
INCOMPLETE: Final = object()


# The stub of hiredis says that it takes a tuple of one and returns anything.
_pack = cast(Callable[[tuple[Argument, ...]], bytes], hiredis.pack_command)


def reader() -> hiredis.Reader:
    """Return a parser: error replies come out as exceptions, all strings as bytes."""
    return hiredis.Reader(replyError=from_reply, notEnoughData=INCOMPLETE)


def words(args: tuple[Argument, ...]) -> tuple[Argument, ...]:
    """Split a name of several words, ``"PUBSUB NUMSUB"`` for instance, as the server wants it.

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
        # Below, each argument on its own: subclasses of int pass, what is wrong gets its name.
        pass
    return _pack(tuple(_encode(arg, encoding) for arg in args))


def _encode(arg: object, encoding: str) -> bytes:
    match arg:
        case bytes():
            return bytes(arg)
        case bytearray() | memoryview():
            return bytes(arg)
        case str():
            try:
                return arg.encode(encoding)
            except UnicodeEncodeError as error:
                raise DataError(f"an argument is no text in {encoding}: {error}") from error
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
    """Return ``reply`` with the bytes in it as str, at any depth; what is no text stays bytes."""
    match reply:
        case bytes():
            try:
                return reply.decode(encoding)
            except UnicodeDecodeError:
                return reply
        case list():
            return [decode(item, encoding) for item in reply]
        case dict():
            return {decode(key, encoding): decode(item, encoding) for key, item in reply.items()}
    return reply
