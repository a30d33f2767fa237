"""A member's lease, by its own clock.

The clock must go on while the machine sleeps (CLOCK_BOOTTIME on Linux): a member that was suspended
for longer than its lease has to notice that, before it handles anything.
"""

from __future__ import annotations

from math import inf

from actors.worker.fleet.members import FleetSettings

# How many times within its duration a lease is renewed, and how long a failed call rests before
# the next one, and a look at a doubt: as parts of the duration.
_RENEW = 1 / 4
_RETRY = 1 / 8
_HASTE = 1 / 20


class OwnLease:
    """When to renew the lease, and when it is over.

    A lease counts from when its renewal was sent: the server cannot have renewed it earlier. So the
    member takes its lease for over before the server does.

    Attributes:
        due: when the next call for the lease is due; ``inf`` while one is on its way.
    """

    def __init__(self, settings: FleetSettings) -> None:
        self._ttl = settings.ttl
        self._trusted = settings.ttl * (1 - settings.drift)
        self._ends = -inf
        self.due = inf

    @property
    def ends(self) -> float:
        """When the lease is over; ``-inf`` where there is none."""
        return self._ends

    def is_over(self, now: float) -> bool:
        """Whether the lease is over, or was never there."""
        return now >= self._ends

    def called(self) -> None:
        """A call for the lease goes out."""
        self.due = inf

    def granted(self, sent: float, now: float) -> None:
        """The server carried out the call that was sent at ``sent``."""
        self._ends = max(self._ends, sent + self._trusted)
        self.due = max(sent + self._ttl * _RENEW, now)

    def failed(self, now: float) -> None:
        """The call was not answered, or the server refused the lease for now."""
        self.due = now + self._ttl * _RETRY

    def hasten(self, now: float) -> None:
        """Have the next call soon: what the server says and what the streams say differ."""
        self.due = min(self.due, now + self._ttl * _HASTE)

    def at_once(self, now: float) -> None:
        """Have the next call at once, unless one is on its way."""
        if self.due != inf:
            self.due = now

    def lost(self) -> None:
        """The lease is over."""
        self._ends = -inf
