"""What happens when a mailbox is at its bound, pure (A3)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from supervisor import SpecError

__all__ = ["DEFAULT_CAPACITY", "MailboxSpec", "Overflow", "as_mailbox_spec"]

#: The bound of an actor's mailbox unless it is given one.
DEFAULT_CAPACITY = 16_384


class Overflow(StrEnum):
    """Whose loss it is when a mailbox is full."""

    DROP_OLDEST = "drop_oldest"
    DROP_NEWEST = "drop_newest"
    FAIL = "fail"
    BLOCK = "block"


_POLICIES = {member.value: member for member in Overflow}


@dataclass(frozen=True, slots=True)
class MailboxSpec:
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
        object.__setattr__(self, "overflow", overflow)


_DEFAULT = MailboxSpec()


def as_mailbox_spec(value: MailboxSpec | int | None) -> MailboxSpec:
    """Return ``value`` as a spec: an int is a capacity, None the default."""
    if value is None:
        return _DEFAULT
    return value if isinstance(value, MailboxSpec) else MailboxSpec(value)
