"""The addresses of a name, and the race between attempts to connect to them.

The first address of a name may be dead: a broken IPv6 route, a node that is gone behind a name of
several nodes. So the attempts overlap (RFC 8305, "Happy Eyeballs"): the next one begins when all
earlier ones have failed, or some time after the latest one, and the first connection that has
answered wins.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections import deque
from collections.abc import Callable, Coroutine, Iterable, Mapping
from typing import Any, Final, Protocol, TypeVar

from actors.redis.config.locations import Location, TCPLocation
from actors.redis.exceptions import ConnectionError  # noqa: A004 - the library's

# Seconds between the beginnings of two attempts, at the most.
_DELAY: Final = 0.25


class _Abortable(Protocol):
    def abort(self) -> None: ...


T = TypeVar("T", bound=_Abortable)


async def addresses_of(location: Location) -> list[str]:
    """Return the IP addresses of a host, in the order to try them; none of a unix socket.

    Raises:
        OSError, UnicodeError: the name cannot be resolved.
    """
    if not isinstance(location, TCPLocation):
        return []
    try:
        return [str(ipaddress.ip_address(location.host))]
    except ValueError:
        pass  # a name
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(location.host, location.port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


def delay_between(attempts: int, timeout: float | None) -> float:
    """Return the seconds between two attempts, so that each has its share of ``timeout``."""
    return _DELAY if timeout is None else min(_DELAY, timeout / attempts)


async def first_to_answer(
    where: Location, attempts: Mapping[str, Callable[[], Coroutine[Any, Any, T]]], delay: float
) -> T:
    """Return the result of the first attempt that succeeds; the others are cancelled.

    Args:
        where: the server.
        attempts: what to start, by address.
        delay: seconds after which the next attempt begins beside those that are under way.

    Raises:
        ConnectionError: all attempts failed; names each address and what happened.
        Exception: any other error, of the first attempt that has one: the server's "no".
    """
    loop = asyncio.get_running_loop()
    waiting = deque(attempts.values())
    begun: list[asyncio.Task[T]] = []
    running: set[asyncio.Task[T]] = set()
    winner: asyncio.Task[T] | None = None
    try:
        while waiting or running:
            if waiting:
                begun.append(loop.create_task(waiting.popleft()()))
                running.add(begun[-1])
            done, running = await asyncio.wait(
                running,
                timeout=delay if waiting else None,
                return_when=asyncio.FIRST_COMPLETED,
            )
            for task in done:
                if not isinstance(task.exception(), ConnectionError):
                    winner = task
                    return task.result()
    finally:
        await _end(task for task in begun if task is not winner)
    failures = [task.exception() for task in begun]
    raise _nobody_answered(where, dict(zip(attempts, failures, strict=True))) from failures[0]


async def _end(tasks: Iterable[asyncio.Task[T]]) -> None:
    losers = list(tasks)
    for task in losers:
        task.cancel()
    for result in await asyncio.gather(*losers, return_exceptions=True):
        if not isinstance(result, BaseException):
            result.abort()


def _nobody_answered(
    where: Location, failures: Mapping[str, BaseException | None]
) -> ConnectionError:
    by_reason: dict[str, list[str]] = {}
    for address, error in failures.items():
        reason = str(error).removeprefix(f"cannot connect to {where}: ")
        by_reason.setdefault(reason, []).append(address)
    told = "; ".join(f"{' and '.join(at)}: {reason}" for reason, at in by_reason.items())
    return ConnectionError(f"cannot connect to {where}: {told}")
