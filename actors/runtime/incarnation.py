"""One incarnation of an actor: a new instance that lives until it is stopped or crashes (A8).

    construct -> on_start -> started -> messages -> children stop -> on_stop -> end

It ends in the reverse order of its start: first the actors that it spawned, ``on_stop`` last.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from typing import Any

from actors.runtime.behaviour import ActorSpec, Behaviour
from actors.runtime.cell import Cell
from actors.runtime.message_loop import handle_messages
from actors.runtime.messages.ask import Ask, ending
from supervisor import Child, Crashed, Killed, Shutdown, Status
from supervisor.log import get_logger

log = get_logger("mailslot.actors")

_SHUTDOWN = Shutdown()
# Bound once: on Python 3.11 a look-up through the class takes ten times as long.
_RUNNING = Status.RUNNING
_GENERATES = inspect.CO_GENERATOR | inspect.CO_ASYNC_GENERATOR


async def live(spec: ActorSpec, cell: Cell, child: Child) -> None:
    """Live one incarnation of ``cell``, as ``child`` of a supervisor."""
    if not cell.begin(child):
        return
    actor = cell.actor = spec.actor(*spec.args, **(spec.kwargs or {}))
    if not isinstance(actor, Behaviour):
        raise TypeError(f"{spec.actor!r} returned no Actor, but {actor!r}")
    context = cell.context = actor._begin_incarnation(cell, child)
    try:
        if type(actor).on_start is not Behaviour.on_start:
            await actor.on_start()
    except BaseException as error:
        context.close(error)
        await context.stop_children(cell.stop_deadline)
        raise
    cell.receive = actor.receive
    cell.receive_is_async = _is_async(actor.receive)
    child.started()
    if child.status is not _RUNNING:  # its start was cancelled, which on_start() swallowed
        cell.stop_asked = True
        cell.mailbox.interrupt()
    try:
        await handle_messages(cell)
    except BaseException as error:
        await _wind_down(spec, cell, error)
        raise
    # _wind_down() written out for the common case: most actors have nothing to wind down.
    context.close(None)
    if context.has_children or not spec.keep_mailbox:
        await _wind_down(spec, cell, None)
    elif type(actor).on_stop is not Behaviour.on_stop:
        await actor.on_stop(_SHUTDOWN)


async def _wind_down(spec: ActorSpec, cell: Cell, error: BaseException | None) -> None:
    actor, context = cell.actor, cell.context
    assert context is not None
    context.close(error)
    if not spec.keep_mailbox:
        for left in cell.mailbox.clear():
            if type(left) is Ask:
                left.fail(ending(cell, error))
            else:
                cell.dead_letter(left)
    try:
        await context.stop_children(cell.stop_deadline)
    finally:
        await _on_stop(cell, actor, error)


async def _on_stop(cell: Cell, actor: Behaviour[Any], error: BaseException | None) -> None:
    if error is None:
        await actor.on_stop(_SHUTDOWN)
        return
    try:
        await actor.on_stop(Killed() if cell.is_kill(error) else Crashed(error))
    except (Exception, asyncio.CancelledError) as second:
        # The supervisor decides by the first error.
        log.error("on_stop_failed", path=cell.path, error=repr(second), exc_info=second)


def _is_async(receive: Callable[[Any], Any]) -> bool:
    code = getattr(getattr(receive, "__func__", receive), "__code__", None)
    if code is not None and code.co_flags & _GENERATES:
        raise TypeError("receive() is a generator function: it must return the answer, not yield")
    return code is not None and bool(code.co_flags & inspect.CO_COROUTINE)
