"""The commands of a shared connection that are not sent yet."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Final

from actors.redis.shared.reply_slots import ReplySlot

# A queue of fewer commands is not searched for those whose callers were cancelled.
_FIRST_LOOK: Final = 64


class CommandQueue:
    """Packed commands, and what takes the reply to each.

    Attributes:
        commands: the commands, in the order in which they leave.
        slots: one for each command, in the same order.
    """

    __slots__ = ("_look_at", "commands", "slots")

    def __init__(self) -> None:
        self.commands: deque[bytes] = deque()
        self.slots: deque[ReplySlot] = deque()
        # The length at which callers that are gone are looked for.
        self._look_at = _FIRST_LOOK

    def __len__(self) -> int:
        return len(self.commands)

    def take(self, room: int, *, at_least_one: bool) -> tuple[bytes, deque[ReplySlot]]:
        """Take the first commands that fit into ``room`` bytes together, and their slots."""
        if sum(map(len, self.commands)) <= room:
            data, slots = b"".join(self.commands), self.slots
            self.commands.clear()
            self.slots = deque()
            return data, slots
        if len(self.commands) >= self._look_at:
            self._drop_cancelled()
        taken: list[bytes] = []
        slots = deque()
        while self.commands and (len(self.commands[0]) <= room or (at_least_one and not taken)):
            room -= len(self.commands[0])
            taken.append(self.commands.popleft())
            slots.append(self.slots.popleft())
        return b"".join(taken), slots

    def _drop_cancelled(self) -> None:
        """Forget the commands whose callers were cancelled while the commands had to wait."""
        kept = [
            (command, slot)
            for command, slot in zip(self.commands, self.slots, strict=True)
            if not (isinstance(slot, asyncio.Future) and slot.cancelled())
        ]
        self.commands = deque(command for command, _ in kept)
        self.slots = deque(slot for _, slot in kept)
        self._look_at = max(_FIRST_LOOK, 2 * len(kept))

    def fail(self, error: Exception) -> None:
        """Fail all commands."""
        slots, self.slots = self.slots, deque()
        self.commands.clear()
        for slot in slots:
            if not slot.done():
                slot.set_exception(error)
