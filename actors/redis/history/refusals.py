"""What it means that a server refuses to append to a history: the cause, and what to do."""

from __future__ import annotations

from typing import Final

from actors.redis.exceptions import AuthorizationError, ResponseError, WrongTypeError
from actors.redis.history.script import is_append, key_of
from actors.redis.wire.resp import Argument, text_of

# How XADD refuses an id that does not follow on the last one, or cannot exist.
_NO_SUCCESSOR: Final = (
    "The ID specified in XADD is equal or smaller",
    "Invalid stream ID",
    "The stream has exhausted the last possible ID",
)
# How Valkey and Redis refuse a command within a script.
_NOT_ALLOWED: Final = ("ACL failure in script", "The user executing the script can't")


def explained(error: Exception, args: tuple[Argument, ...]) -> Exception:
    """Return the error to raise for ``error``, the reply to the command ``args``.

    That is ``error`` itself unless the command appends to a history and the error is about it.
    """
    if not isinstance(error, ResponseError) or not is_append(args):
        return error
    text = str(error)
    history, channel = _shown(key_of(args)), _shown(args[4])
    needed = (
        f"a user who publishes with a history needs EVALSHA, EVAL, TIME, XREVRANGE, XADD and XTRIM "
        f"with the key {history}, and {text_of(args[5])} on the channels {channel} and {history}"
    )
    new: Exception
    if isinstance(error, WrongTypeError):
        new = WrongTypeError(
            f"the message was not published: the key {history} holds no stream, and the history of "
            f"channel {channel} has this name; delete or rename the key"
        )
    elif text.startswith(_NO_SUCCESSOR):
        new = ResponseError(
            f"the message was not published: no entry can follow the last one of {history}, since "
            "somebody else has added or removed entries, or the clock of the server was set back; "
            f"begin a new history by DEL {history} ({text})"
        )
    elif text.startswith(_NOT_ALLOWED):
        new = AuthorizationError(
            "the server has stopped the script; the message may be in the history without having "
            f"reached all subscribers: {needed} ({text})"
        )
    elif isinstance(error, AuthorizationError):
        new = AuthorizationError(f"the message was not published: {needed} ({text})")
    else:
        return error
    new.__cause__ = error
    return new


def _shown(name: Argument) -> str:
    return repr(name.decode("utf-8", "backslashreplace") if isinstance(name, bytes) else str(name))
