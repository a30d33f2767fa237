"""The message loop: one message at a time, in turns that leave the event loop room (A1, A2, A7)."""

from __future__ import annotations

import asyncio
from time import monotonic
from typing import Any, Final

from actors.runtime.cell import Cell
from actors.runtime.messages.ask import Ask
from actors.runtime.messages.envelopes import Envelope, call_hook
from actors.runtime.messages.pacer import SLICE
from supervisor import Crashed
from supervisor.child_task import runs_in

#: Seconds: where an actor is measured, a message that takes longer is noted by itself.
SHORT: Final = 0.001

# A busy actor looks at the clock after this many messages, fewer while they take long.
_LONGEST_TURN = 64

# What a turn of each length iterates over: the number of each of its messages.
_TURNS = [tuple(range(1, length + 1)) for length in range(_LONGEST_TURN + 1)]


async def handle_messages(cell: Cell) -> None:  # noqa: C901 - the hot loop, whole on one screen
    """Handle ``cell``'s messages until a stop is asked for; raise the error that crashes it."""
    mailbox = cell.mailbox
    queue, popleft = mailbox.queue, mailbox.queue.popleft
    receive, is_async = cell.receive, cell.receive_is_async
    envelopes = Envelope.classes
    loop, pacer, future, times = cell.loop, cell.system.pacer, asyncio.Future, cell.times
    turn = mailbox.turn = []
    length, until = 1, 0.0
    clock, short = monotonic, SHORT  # both are needed for each message
    message: Any = None
    result: Any = None
    # An unkillable reader that goes on after it was left behind finds the turn of its successor.
    while mailbox.turn is turn:
        if mailbox.signal:
            if cell.crash is None and cell.stop_asked:  # _attend(), written out
                mailbox.signal = False
                return
            await _attend(cell)
            continue
        if not queue:
            message = result = None  # do not keep them alive while it waits
            if mailbox.senders:
                mailbox.release()
            waiter: asyncio.Future[None] = future(loop=loop)
            mailbox.waiter = waiter
            await waiter
            until = 0.0
            continue
        begun = ended = monotonic()
        turn[:] = _TURNS[length]
        handled = 0
        try:
            for handled in turn:
                try:
                    message = popleft()
                except IndexError:
                    handled -= 1  # noqa: PLW2901
                    break
                if type(message) in envelopes:
                    if type(message) is Ask:  # Ask.deliver(), written out
                        if not message.reply.done():
                            cell.asking = message
                            result = receive(message.message)
                            if is_async or hasattr(type(result), "__await__"):
                                result = await result
                            if cell.asking is message:
                                cell.asking = None
                                if not message.reply.done():
                                    message.reply.set_result(result)
                    else:
                        result = message.deliver(cell)
                        if result is not None:
                            message.delivered(cell, await result)
                elif is_async:
                    await receive(message)
                else:
                    result = receive(message)
                    if result is not None and hasattr(type(result), "__await__"):
                        await result
                if times is not None:
                    before, ended = ended, clock()
                    if ended - before > short:
                        times.note_message(handled, message, before)
        except BaseException as error:
            if times is not None:
                ended = times.note_message(handled, message, ended)
            if not _survives(cell, message, error):
                cell.processed += handled
                raise
        cell.processed += handled
        if times is not None:
            times.note_turn(cell.processed, begun, ended)
        if not queue:
            continue
        if mailbox.senders:
            mailbox.release()
        now = monotonic()
        if until == 0.0:
            until = begun + pacer.slice(len(queue), mailbox.spec.capacity)
        if now >= until:
            await asyncio.sleep(0)
            until = 0.0
        length = _next_length(length, now - begun)


def _next_length(length: int, seconds: float) -> int:
    """Return how many messages fit into a slice if they take as long as the last ones."""
    if seconds * 2 <= SLICE:
        return min(length * 2, _LONGEST_TURN)
    return max(1, int(length * SLICE / seconds)) if seconds > SLICE else length


async def _attend(cell: Cell) -> None:
    """Raise a pending crash, handle messages of the system lane, or wait while it is paused."""
    mailbox = cell.mailbox
    # A paused reader comes back here instead of going to the user lane.
    mailbox.signal = mailbox.paused
    if cell.crash is not None:
        raise cell.crash
    if mailbox.paused and not mailbox.urgent:
        waiter: asyncio.Future[None] = cell.loop.create_future()
        mailbox.waiter = waiter
        await waiter
        return
    for _ in _TURNS[-1]:
        if not mailbox.urgent:
            return
        message = mailbox.urgent.popleft()
        try:
            if type(message) in Envelope.classes:
                result = message.deliver(cell)
                if result is not None:
                    message.delivered(cell, await result)
            else:
                await call_hook(cell.receive, message)
        except BaseException as error:
            if not _survives(cell, message, error):
                raise
    mailbox.signal = True
    await asyncio.sleep(0)


def _survives(cell: Cell, message: Any, error: BaseException) -> bool:
    """Report the message in hand as failed; return whether the incarnation goes on."""
    if type(message) in Envelope.classes:
        message = message.failed(cell, error)
    # An overdue stop cancels the message in hand: that message is lost, too.
    cell.report_failure(message, error)
    if cell.ended is not None or not cell.actor.resilient:
        return False
    if Crashed(error).fatal:
        return False  # the whole system stops
    if isinstance(error, asyncio.CancelledError | GeneratorExit):
        # Raised by the handler itself, it costs the message. Raised by a cancel() of the task, or
        # because the loop is gone, it ends the incarnation.
        task = None if cell.child is None else cell.child.task
        return task is not None and runs_in(task) and not task.cancelling()
    return True
