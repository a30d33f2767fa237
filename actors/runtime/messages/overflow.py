"""What happens at the bound of a mailbox; pure (A3)."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from enum import StrEnum
from typing import Any

import msgspec

from actors.runtime.messages.envelopes import Envelope, Lagged
from supervisor import SpecError
from supervisor.checks import problems_of_count

#: The bound of a mailbox by default.
DEFAULT_CAPACITY = 16_384


class Overflow(StrEnum):
    """What happens to a message for a full mailbox."""

    DROP_OLDEST = "drop_oldest"
    DROP_NEWEST = "drop_newest"
    FAIL = "fail"
    BLOCK = "block"


_POLICIES = {member.value: member for member in Overflow}


class MailboxSpec(msgspec.Struct, frozen=True):
    """The bound of a mailbox and what happens there.

    Attributes:
        capacity: how many messages may wait at a time.
        overflow: ``drop_oldest`` and ``drop_newest`` drop a message and tell the actor ``Lagged``;
            ``fail`` raises MailboxFull at the sender; ``block`` makes ``await ref.send()`` wait.
    """

    capacity: int = DEFAULT_CAPACITY
    overflow: Overflow | str = Overflow.FAIL

    def __post_init__(self) -> None:
        problems = list(problems_of_count("capacity", self.capacity, least=1))
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


def problems_of_mailbox(mailbox: Any) -> Sequence[str]:
    """Return what is wrong with ``mailbox``, a spec, a capacity or None."""
    try:
        as_mailbox_spec(mailbox)
    except SpecError as error:
        return [f"mailbox: {problem}" for problem in error.problems]
    return ()


def shed(queue: deque[Any], limit: int, path: str, *, newest: bool) -> int:
    """Drop the oldest or newest messages beyond ``limit``; return how many were dropped.

    One Lagged takes their place. It does not count: a mailbox of one still holds one message.
    Envelopes that must not be lost stay, so that the queue may hold more than ``limit``.
    """
    take, put, put_all = (
        (queue.pop, queue.append, queue.extend)
        if newest
        else (queue.popleft, queue.appendleft, queue.extendleft)
    )
    kept: list[Any] = []
    lagged: Lagged | None = None
    dropped = 0
    while queue and len(queue) + len(kept) > limit:
        message = take()
        if type(message) is Lagged:
            lagged = message if lagged is None else lagged.add(message.count)
        elif _may_shed(message, path):
            dropped += 1
        else:
            kept.append(message)
    if dropped or lagged is not None:
        put((lagged or Lagged(0)).add(dropped))
    put_all(reversed(kept))
    return dropped


def _may_shed(message: Any, path: str) -> bool:
    """Return whether ``message`` may be dropped; tell an envelope that it is."""
    if type(message) in Envelope.classes:
        if not message.sheddable:
            return False
        message.shed(path)
    return True
