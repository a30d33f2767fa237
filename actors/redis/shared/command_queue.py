"""The commands of a shared connection that are not sent yet."""

from __future__ import annotations

from collections import deque

from actors.redis.shared.reply_slots import ReplySlot


class CommandQueue:
    """Packed commands, and what takes the reply to each.

    Attributes:
        commands: the commands, in the order in which they leave.
        slots: one for each command, in the same order.
    """

    __slots__ = ("commands", "slots")

    def __init__(self) -> None:
        self.commands: deque[bytes] = deque()
        self.slots: deque[ReplySlot] = deque()

    def __len__(self) -> int:
        return len(self.commands)

    def take(self, room: int, *, at_least_one: bool) -> tuple[bytes, deque[ReplySlot]]:
        """Take the first commands that fit into ``room`` bytes together, and their slots."""
        if sum(map(len, self.commands)) <= room:
            data, slots = b"".join(self.commands), self.slots
            self.commands.clear()
            self.slots = deque()
            return data, slots
        taken: list[bytes] = []
        slots = deque()
        while self.commands and (len(self.commands[0]) <= room or (at_least_one and not taken)):
            room -= len(self.commands[0])
            taken.append(self.commands.popleft())
            slots.append(self.slots.popleft())
        return b"".join(taken), slots

    def fail(self, error: Exception) -> None:
        """Fail all commands."""
        slots, self.slots = self.slots, deque()
        self.commands.clear()
        for slot in slots:
            if not slot.done():
                slot.set_exception(error)
