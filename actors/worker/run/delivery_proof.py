"""Which probes were published to each node and which came back: the proofs of delivery (pure)."""

from __future__ import annotations

from collections import Counter

#: Probes that are published within one interval.
PER_INTERVAL = 3


class Proof:
    """The proof that what is published reaches us through one node; all times are monotonic.

    A proof is fresh for ``interval`` seconds; ``now`` is when the node came into use.
    """

    __slots__ = ("_interval", "_patience", "_published", "_unanswered", "proved", "since")

    def __init__(self, interval: float, now: float) -> None:
        self.since = now
        #: When the latest probe that came back was published; None: no probe came back yet.
        self.proved: float | None = None
        self._interval = interval
        self._published: float | None = None
        self._unanswered: float | None = None
        # A new connection has an interval to deliver its first probe.
        self._patience = now + interval

    def due(self, now: float) -> bool:
        """Return whether the next probe is due."""
        return self._published is None or now - self._published >= self._interval / PER_INTERVAL

    def sent(self, now: float) -> None:
        """A probe is being published."""
        self._published = now
        if self._unanswered is None:
            self._unanswered = now

    def withdrawn(self, now: float) -> None:
        """The server did not take the probe of ``now``, so it cannot come back."""
        if self._unanswered == now:
            self._unanswered = None

    def came_back(self, sent_at: float) -> None:
        """A probe came back; it counts unless it was published before ``since``."""
        if sent_at < self.since:
            return
        self.proved = sent_at if self.proved is None else max(self.proved, sent_at)
        self._unanswered = None
        self._patience = sent_at

    def age(self, now: float) -> float | None:
        """Return the seconds since the proven probe was published; None: there is none."""
        return None if self.proved is None else now - self.proved

    def silent(self, now: float) -> bool:
        """Return whether a probe has been missing for a third of the interval.

        With a probe in each third, a path that falls silent is found within the interval.
        """
        if self._unanswered is None or now < self._patience:
            return False
        return now - self._unanswered >= self._interval / PER_INTERVAL


class Paths:
    """The proofs of the nodes that one pub/sub object uses."""

    def __init__(self, interval: float) -> None:
        self.interval = interval
        self.proofs: dict[str, Proof] = {}
        self.restarts: Counter[str] = Counter()  # of silent paths, by node
        self.channels: set[str] = set()  # the probe channels
        self.came_back = 0  # how many messages came on the probe channels in all
        # What was published and has not come back: by channel and text, when that was.
        self._under_way: dict[tuple[str, str], float] = {}

    def published(self, channel: str, text: str, now: float) -> None:
        """Note a probe that is published now; nobody else can guess its ``text``."""
        # What does not come back within two intervals proves nothing any more.
        late = [key for key, at in self._under_way.items() if now - at > 2 * self.interval]
        for key in late:
            del self._under_way[key]
        self._under_way[channel, text] = now

    def arrived(self, channel: str, text: str) -> float | None:
        """Return when the probe that arrived was published; None: it is none of ours."""
        self.came_back += 1
        return self._under_way.pop((channel, text), None)

    def follow(self, nodes: set[str], now: float) -> None:
        """Keep proofs for ``nodes``, the nodes in use, and no others."""
        for node in self.proofs.keys() - nodes:
            del self.proofs[node]
        for node in nodes - self.proofs.keys():
            self.proofs[node] = Proof(self.interval, now)

    def restarted(self, node: str, now: float) -> None:
        """The path of ``node`` was restarted; it is unproven again."""
        self.restarts[node] += 1
        self.proofs[node] = Proof(self.interval, now)
