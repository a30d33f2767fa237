"""What the clients do with a command that appends to a history and publishes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from actors.redis.exceptions import DataError, NoScriptError, ReplicationError, ResponseError
from actors.redis.history.history import History
from actors.redis.history.refusals import explained
from actors.redis.history.script import with_text
from actors.redis.wire.resp import Argument

T = TypeVar("T")


async def run_script(
    execute: Callable[[tuple[Argument, ...]], Awaitable[T]],
    args: tuple[Argument, ...],
    *,
    blind: bool = False,
) -> T:
    """Execute the command ``args``; send the script's text where the server does not know it.

    Args:
        execute: sends a command and returns its reply.
        args: the command.
        blind: there are no replies; the text is sent at once.

    Raises:
        ResponseError: the server's error, with its cause where it is about the history.
    """
    try:
        if blind:
            return await execute(with_text(args))
        try:
            return await execute(args)
        except NoScriptError:
            return await execute(with_text(args))
    except ResponseError as error:
        clear = explained(error, args)
        if clear is error:
            raise
        raise clear from error


def check_acknowledged(id: str | bytes, acknowledged: int | Exception, replicas: int) -> None:
    """Raise ReplicationError unless ``replicas`` replicas have acknowledged the entry ``id``."""
    known = None if isinstance(acknowledged, Exception) else acknowledged
    if known is not None and known >= replicas:
        return
    who = f"only {known} of {replicas}" if known is not None else "an unknown number of"
    shown = id.decode() if isinstance(id, bytes) else id
    raise ReplicationError(
        f"the message was published, as entry {shown} of the history, but {who} replicas have "
        "acknowledged it within stream_timeout: the entry may be lost together with its primary; "
        "do not publish the message again, since consumers would receive it twice",
        id,
        known,
    ) from (acknowledged if isinstance(acknowledged, Exception) else None)


def check_history(history: Any) -> None:
    """Raise TypeError if ``history`` is no History."""
    if not isinstance(history, History):
        raise TypeError(
            f"history must be a History, as History(maxlen=10_000), or None, not {history!r}"
        )


def refuse_replicas(history: History, where: str) -> None:
    """Raise DataError if ``history`` asks for replicas, and TypeError if it is no History."""
    check_history(history)
    if history.replicas:
        raise DataError(
            f"{where} cannot wait for replicas, because the wait holds up the other commands: use "
            "publish() or spublish() for each message, or History(replicas=0)"
        )
