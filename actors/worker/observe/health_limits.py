"""From when on a worker counts as degraded: ``Worker(health=Health(...))``."""

from __future__ import annotations

import msgspec

from supervisor import SpecError
from supervisor.checks import is_number


class Health(msgspec.Struct, frozen=True):
    """From when on ``/ready`` calls a worker degraded.

    A worker is degraded while the breaker of a handler is open, or a handler fails or sheds too
    much of what it gets. Degraded is not unready: ``/ready`` answers 200 all the same, and names
    the handlers, unless ``unready`` is True.

    Attributes:
        failing: the share of a handler's messages that fail, 0 to 1, from which on the handler
            counts; 0: any failure; None: failures do not count.
        shedding: the share of a handler's messages that its full mailbox drops, likewise.
        over: seconds over which the shares are taken, about.
        unready: whether a degraded worker is not ready: ``/ready`` answers 503.
    """

    failing: float | None = 0.5
    shedding: float | None = 0.0
    over: float = 60.0
    unready: bool = False

    def __post_init__(self) -> None:
        problems = [
            f"{name} must be a share from 0 to 1, or None, not {share!r}"
            for name, share in (("failing", self.failing), ("shedding", self.shedding))
            if share is not None and (not is_number(share) or not 0 <= share <= 1)
        ]
        if not is_number(self.over) or not 0 < self.over <= 86_400:
            problems.append(
                f"over must be more than 0 seconds, and a day at most, not {self.over!r}"
            )
        if not isinstance(self.unready, bool):
            problems.append(f"unready must be True or False, not {self.unready!r}")
        if problems:
            raise SpecError("health", problems)
