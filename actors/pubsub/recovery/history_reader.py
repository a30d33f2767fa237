"""The actor that reads histories for the recovering channels of one pub/sub object.

Channels whose histories one node serves are read together, in pipelined batches, one batch at a
time; each node has batches of its own, so that a node which does not answer holds up no other one.
After each batch the event loop gets its turn. Reads are ordinary commands: on a cluster they go to
the primary of the history's slot, and redirections are followed.

A read that fails is tried again with pauses that grow. When a history could not be read for
``patience`` seconds, or the server says no, the channel goes on without it. A consumer whose
mailbox is full is read no further until there is room.
"""

from __future__ import annotations

import asyncio
from collections.abc import Hashable, Iterable
from typing import Any

import msgspec

from actors.pubsub.delivery.mailbox_writer import flush
from actors.pubsub.recovery.histories import Histories, Wanted
from actors.pubsub.recovery.history_access import HistoryAccess
from actors.pubsub.recovery.intake import Intake
from actors.pubsub.recovery.position import Wish
from actors.pubsub.recovery.read_turns import ReadTurns, Turn
from actors.redis.error_meaning import is_no
from actors.redis.exceptions import RedisError, WrongTypeError
from actors.redis.history.entries import BEFORE_FIRST, EntryId, parse_entries
from actors.redis.wire.patience import Patience
from actors.redis.wire.resp import Argument
from actors.runtime.actor import Actor
from actors.runtime.messages.mailbox import Mailbox
from supervisor import ExitReason
from supervisor.log import Throttle, get_logger

log = get_logger("mailslot.pubsub")

#: Entries in the first page of a history, and in each later one, at the most.
_FIRST_PAGE, _PAGE = 64, 512
#: Seconds in which the replies to a batch must be there.
_DEADLINE = 2.0
#: Seconds between two lines of the log about histories that cannot be read.
_QUIET = 10.0


class _Read(msgspec.Struct, frozen=True):
    """One read: whose turn, and what is asked for."""

    turn: Turn[Intake]
    wish: Wish
    start: EntryId
    most: int

    @property
    def command(self) -> tuple[Argument, ...]:
        key = self.turn.what.target.name
        if self.wish is Wish.KEPT:
            resume = self.turn.what.resume
            assert resume is not None
            return ("HGET", resume.kept.key, resume.kept.name)
        if self.wish is Wish.LAST:
            return ("XREVRANGE", key, "+", "-", "COUNT", 1)
        return ("XRANGE", key, str(self.start), "+", "COUNT", self.most)


class HistoryReader(Actor[Wanted]):
    """Reads what channels want; see the module's docstring."""

    def __init__(self, histories: Histories[Intake], access: HistoryAccess) -> None:
        self.histories = histories
        self._access = access
        self._turns: dict[Hashable, ReadTurns[Intake]] = {}
        self._added: dict[Hashable, asyncio.Event] = {}
        self._tasks: dict[Hashable, asyncio.Task[None]] = {}
        self.loop: asyncio.AbstractEventLoop

    async def on_start(self) -> None:
        """Read what is wanted, also what a crashed reader did not come to."""
        self.loop = self.context.system.loop
        self._throttle = Throttle(self.loop.time, _QUIET)
        self.histories.reader = self.context.self_ref
        self.histories.take()
        for intake in self.histories.behind:
            intake.read_again()
        self._add(self.histories.behind)

    def receive(self, message: Wanted) -> None:
        """Read what is wanted."""
        self._add(self.histories.take())

    async def on_stop(self, reason: ExitReason) -> None:
        """End the reads under way: nobody waits for their replies any more."""
        self.histories.reader = None
        self.histories.close()
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _add(self, intakes: Iterable[Intake]) -> None:
        for intake in intakes:
            group = self._access.group(intake.target.name)
            self._turns.setdefault(group, ReadTurns()).add(Turn(intake))
            if group in self._tasks:
                self._added[group].set()
            else:
                self._added[group] = asyncio.Event()
                task = self._tasks[group] = self.loop.create_task(self._read_group(group))
                task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()):
            self.context.crash(error)

    # -- one group ---------------------------------------------------------------------------------

    async def _read_group(self, group: Hashable) -> None:
        """Read batch after batch until nothing is wanted."""
        turns, added = self._turns[group], self._added[group]
        while turns:
            added.clear()
            batch = turns.take(self.loop.time())
            if batch:
                await self._read(batch, turns)
                await asyncio.sleep(0)
            else:
                await _wait(added, turns.due())
        del self._turns[group], self._added[group], self._tasks[group]

    async def _read(self, batch: list[Turn[Intake]], turns: ReadTurns[Intake]) -> None:
        reads = self._plan(batch, turns)
        if not reads:
            return
        self.histories.counts.reads += len(reads)
        replies: list[Any]
        try:
            async with Patience(_DEADLINE):
                replies = await self._access.send([read.command for read in reads])
        except (RedisError, TimeoutError, OSError) as raised:
            # A timeout of this block has no text.
            error = raised if str(raised) else TimeoutError(f"no answer within {_DEADLINE:g} s")
            replies = [error] * len(reads)
            # The node is not asked for each of thousands of histories in vain.
            for turn in turns.take_all():
                self._failed(turn, error, turns)
        for read, reply in zip(reads, replies, strict=True):
            if read.turn.what in self.histories.behind:
                self._take(read, reply, turns)
        flush(self.histories.touched)

    def _plan(self, batch: list[Turn[Intake]], turns: ReadTurns[Intake]) -> list[_Read]:
        """Return what to read for those turns whose consumers have room."""
        reads = []
        rooms: dict[Mailbox, int] = {}
        for turn in batch:
            intake = turn.what
            wish = intake.wish
            if wish is None or intake not in self.histories.behind:
                if intake in self.histories.behind:
                    intake.caught_up()
                continue
            mailbox = intake.writer.mailbox
            room = rooms.get(mailbox)
            if room is None:
                room = max(1, mailbox.spec.capacity) - len(mailbox.queue)
            most = min(_PAGE if turn.pages else _FIRST_PAGE, room)
            if wish is Wish.PAGE and most < 1 and not mailbox.closed:
                turns.postpone(turn, self.loop.time() + turn.pause())
                continue
            rooms[mailbox] = room - (most if wish is Wish.PAGE else 0)
            # One more where the first entry is the one that was delivered last.
            again = intake.position.last not in (None, BEFORE_FIRST)
            reads.append(_Read(turn, wish, intake.begin_read(), max(most, 1) + again))
        return reads

    def _take(self, read: _Read, reply: Any, turns: ReadTurns[Intake]) -> None:
        """Give a reply to its channel, and have the channel read on if it wants more."""
        turn, intake = read.turn, read.turn.what
        try:
            if isinstance(reply, Exception):
                raise reply
            progress = _give(read, reply)
        except (RedisError, TimeoutError, OSError, ValueError) as error:
            self._failed(turn, error, turns)
            return
        if intake.wish is None:
            intake.caught_up()
        elif progress:
            turn.succeeded()
            turns.add(turn)
        else:
            turn.failing_since = None
            turns.postpone(turn, self.loop.time() + turn.pause())

    def _failed(self, turn: Turn[Intake], error: Exception, turns: ReadTurns[Intake]) -> None:
        now, intake = self.loop.time(), turn.what
        intake.read_again()
        if turn.failing_since is None:
            turn.failing_since = now
        waited = now - turn.failing_since
        final = is_no(error) or isinstance(error, WrongTypeError | ValueError)
        if not final and waited < intake.recover.patience:
            turns.postpone(turn, now + turn.pause())
            return
        intake.unreadable(str(error))
        suppressed = self._throttle.passes("unreadable")
        if suppressed is not None:
            log.error(
                "history_not_read",
                channel=intake.label,
                history=intake.target.name.decode(errors="backslashreplace"),
                error=str(error),
                seconds=round(waited, 3),
                suppressed=suppressed,
            )
        if intake.wish is None:
            intake.caught_up()
        else:  # the kept position could not be read: the consumer begins without it
            turns.add(turn)


def _give(read: _Read, reply: Any) -> bool:
    """Give a reply to its channel; return whether it has got on by that.

    Raises:
        ValueError: it is no reply to what was asked.
    """
    intake = read.turn.what
    if read.wish is Wish.KEPT:
        intake.took_kept(reply)
        return True
    entries = parse_entries(reply)
    if read.wish is Wish.LAST:
        intake.took_last(entries[0].id if entries else None)
        return True
    intake.took_page(read.start, entries, complete=len(entries) < read.most)
    return len(entries) > 1 or intake.wish is Wish.LAST


async def _wait(added: asyncio.Event, due: float | None) -> None:
    """Wait until turns were added, or until ``due``."""
    try:
        async with asyncio.timeout_at(due):
            await added.wait()
    except TimeoutError:
        pass
