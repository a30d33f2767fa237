"""Who looks after whom, and who is suspected.

Each member subscribes to a presence channel of its own on the connections with which it consumes.
Where nobody is subscribed to that channel in two looks in a row, the member gets no messages,
whatever else is true of it: it is suspected.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from hashlib import blake2b

from actors.worker.fleet.members import Member

# In a fleet of more members than this, each one looks after a few neighbours only: the work of all
# looks would grow with the square of the members.
_EVERYBODY = 50
_NEIGHBOURS = 3


@lru_cache(maxsize=8)
def _ring(members: frozenset[Member]) -> list[Member]:
    """Return ``members`` in an order by chance, the same at each member."""
    places = {member: blake2b(str(member).encode(), digest_size=8).digest() for member in members}
    return sorted(members, key=lambda member: (places[member], member))


def looked_after(me: Member, members: Iterable[Member]) -> list[Member]:
    """Return the members that ``me`` looks after: all others, or the next ones on the hash ring."""
    everybody = frozenset(members) | {me}
    if len(everybody) <= _EVERYBODY:
        return sorted(everybody - {me})
    ring = _ring(everybody)
    after = ring.index(me) + 1
    return (ring[after:] + ring)[:_NEIGHBOURS]


class Presence:
    """The looks of one member."""

    def __init__(self) -> None:
        self._absent: set[Member] = set()

    @property
    def in_doubt(self) -> bool:
        """Whether the last look found a member absent that is not suspected yet."""
        return bool(self._absent)

    def looked(self, subscribers: Mapping[Member, int]) -> list[Member]:
        """Return the members that nobody was subscribed for in this look and in the last one.

        Args:
            subscribers: how many are subscribed to the presence channel of each member.
        """
        absent = {member for member, count in subscribers.items() if count == 0}
        suspects = sorted(absent & self._absent)
        self._absent = absent - set(suspects)
        return suspects

    def forget(self) -> None:
        """Forget the last look: it is too long ago, or failed."""
        self._absent.clear()
