"""The proof of delivery: what was sent on each path, what came back, and what follows (pure)."""

from __future__ import annotations

from collections import Counter

__all__ = ["PER_INTERVAL", "Paths", "Proof"]

#: Probes in an interval.
PER_INTERVAL = 3


class Proof:
    """One node's proof of delivery. All times are points on one monotonic clock.

    Args:
        interval: seconds for which a proof is fresh.
        now: since when the path is in use.
    """

    __slots__ = ("_interval", "_patience", "_published", "_unanswered", "proved", "since")

    def __init__(self, interval: float, now: float) -> None:
        self.since = now
        #: When the latest probe that came back had been sent, or None.
        self.proved: float | None = None
        self._interval = interval
        self._published: float | None = None
        self._unanswered: float | None = None
        # Not blamed before this: a new connection has an interval to prove itself.
        self._patience = now + interval

    def due(self, now: float) -> bool:
        """Return whether it is time for a probe."""
        return self._published is None or now - self._published >= self._interval / PER_INTERVAL

    def sent(self, now: float) -> None:
        """A probe is published."""
        self._published = now
        if self._unanswered is None:
            self._unanswered = now

    def withdrawn(self, now: float) -> None:
        """The probe of ``now`` was not taken: it cannot come back."""
        if self._unanswered == now:
            self._unanswered = None

    def came_back(self, sent_at: float) -> None:
        """A probe that was sent at ``sent_at`` came back; those sent before ``since`` count not."""
        if sent_at < self.since:
            return
        self.proved = sent_at if self.proved is None else max(self.proved, sent_at)
        self._unanswered = None
        self._patience = sent_at

    def age(self, now: float) -> float | None:
        """Return the seconds since the last proof; None: there was none."""
        return None if self.proved is None else now - self.proved

    def silent(self, now: float) -> bool:
        """Return whether the server took a probe that did not come back for too long.

        Too long is a third of the interval. With a probe in each third, a path that falls silent
        is found out before the interval is over.
        """
        if self._unanswered is None or now < self._patience:
            return False
        return now - self._unanswered >= self._interval / PER_INTERVAL


class Paths:
    """The proofs of one pub/sub object's nodes.

    Attributes:
        proofs: by node.
        restarts: how often a silent path was restarted, by node.
        came_back: how many probes came back.
    """

    def __init__(self, interval: float) -> None:
        self.interval = interval
        self.proofs: dict[str, Proof] = {}
        self.restarts: Counter[str] = Counter()
        self.came_back = 0

    def follow(self, nodes: set[str], now: float) -> None:
        """Take note of which nodes are in use."""
        for node in self.proofs.keys() - nodes:
            del self.proofs[node]
        for node in nodes - self.proofs.keys():
            self.proofs[node] = Proof(self.interval, now)

    def restarted(self, node: str, now: float) -> None:
        """The path to ``node`` is begun anew, unproven."""
        self.restarts[node] += 1
        self.proofs[node] = Proof(self.interval, now)
