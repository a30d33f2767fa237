"""What happens when a mailbox is at its bound, pure (A3)."""

from __future__ import annotations

from collections import deque
from enum import StrEnum
from typing import Any

import msgspec

from actors.runtime.envelopes import Envelope, Lagged
from supervisor import SpecError

__all__ = [
    "DEFAULT_CAPACITY",
    "MailboxSpec",
    "Overflow",
    "as_mailbox_spec",
    "drop_newest",
    "drop_oldest",
]

#: The bound of an actor's mailbox unless it is given one.
DEFAULT_CAPACITY = 16_384


class Overflow(StrEnum):
    """Whose loss it is when a mailbox is full."""

    DROP_OLDEST = "drop_oldest"
    DROP_NEWEST = "drop_newest"
    FAIL = "fail"
    BLOCK = "block"


_POLICIES = {member.value: member for member in Overflow}


class MailboxSpec(msgspec.Struct, frozen=True):
    """The bound of a mailbox and what happens there.

    Attributes:
        capacity: most messages that wait at a time.
        overflow: ``drop_oldest`` and ``drop_newest`` shed a message and tell the actor ``Lagged``;
            ``fail`` raises MailboxFull at the sender; ``block`` makes ``await ref.send()`` wait.
    """

    capacity: int = DEFAULT_CAPACITY
    overflow: Overflow | str = Overflow.FAIL

    def __post_init__(self) -> None:
        problems = []
        if isinstance(self.capacity, bool) or not isinstance(self.capacity, int):
            problems.append(f"capacity must be a whole number, not {self.capacity!r}")
        elif self.capacity < 1:
            problems.append(f"capacity must be 1 or more, not {self.capacity}")
        overflow = _POLICIES.get(self.overflow)
        if overflow is None:
            problems.append(f"overflow must be one of {', '.join(_POLICIES)}: {self.overflow!r}")
        if problems:
            raise SpecError("mailbox", problems)
        msgspec.structs.force_setattr(self, "overflow", overflow)


_DEFAULT = MailboxSpec()


def as_mailbox_spec(value: MailboxSpec | int | None) -> MailboxSpec:
    """Return ``value`` as a spec: an int is a capacity, None the default."""
    if value is None:
        return _DEFAULT
    return value if isinstance(value, MailboxSpec) else MailboxSpec(value)


def drop_oldest(queue: deque[Any], limit: int, path: str) -> int:
    """Shed the oldest messages beyond ``limit``, leave one Lagged there, return how many went.

    Envelopes that must not be lost (a gap is news) stay, ahead of the Lagged, and so the queue may
    hold more than ``limit``. The Lagged itself does not count: a mailbox of one still holds one.
    """
    kept: list[Any] = []
    lagged: Lagged | None = None
    dropped = 0
    while queue and len(queue) + len(kept) > limit:
        head = queue.popleft()
        if type(head) is Lagged:
            lagged = head if lagged is None else lagged.add(head.count)
        elif _shed(head, path):
            dropped += 1
        else:
            kept.append(head)
    if dropped or lagged is not None:
        queue.appendleft((lagged or Lagged(0)).add(dropped))
    queue.extendleft(reversed(kept))
    return dropped


def drop_newest(queue: deque[Any], limit: int, path: str) -> int:
    """Shed the newest messages beyond ``limit``; else as :func:`drop_oldest`."""
    kept: list[Any] = []
    lagged: Lagged | None = None
    dropped = 0
    while queue and len(queue) + len(kept) > limit:
        last = queue.pop()
        if type(last) is Lagged:
            lagged = last if lagged is None else lagged.add(last.count)
        elif _shed(last, path):
            dropped += 1
        else:
            kept.append(last)
    if dropped or lagged is not None:
        queue.append((lagged or Lagged(0)).add(dropped))
    queue.extend(reversed(kept))
    return dropped


def _shed(message: Any, path: str) -> bool:
    """Let ``message`` know that it is shed, and return whether it may be."""
    if type(message) in Envelope.classes:
        if not message.sheddable:
            return False
        message.shed(path)
    return True
