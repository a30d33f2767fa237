"""What an attempt to connect waits for at the moment, for the error if it takes too long."""

from __future__ import annotations

from actors.redis.config.locations import Location


class ConnectProgress:
    """How far one attempt to connect has come.

    Time limits of callers cancel the attempt, which then cannot say what it was waiting for; the
    caller asks this object.

    Attributes:
        asks_provider: whether the attempt is, or ended, where the credential provider is asked: an
            error of that attempt is the provider's own.
    """

    __slots__ = ("_at", "_kind", "_missing", "_where", "asks_provider")

    def __init__(self) -> None:
        self.asks_provider = False
        self._where: Location | None = None
        self._missing = ""
        self._at: dict[str, str] = {}
        self._kind: type[TimeoutError] = TimeoutError

    def waits(self, where: Location, missing: str, kind: type[TimeoutError] = TimeoutError) -> None:
        """Note what the attempt waits for, for an error of class ``kind``.

        ``missing`` is a clause, ``the server did not answer`` for instance.
        """
        self._where = where
        self._missing = missing
        self._at = {}
        self._kind = kind
        self.asks_provider = False

    def waits_for_provider(self, where: Location, kind: type[TimeoutError]) -> None:
        """Note that the attempt waits for the credential provider."""
        self.waits(where, "the credential provider did not answer", kind)
        self.asks_provider = True

    def waits_at(self, address: str, missing: str) -> None:
        """Note what happens at one of several addresses of the server; see :meth:`waits`."""
        self._at[address] = missing

    def timed_out(self, within: str) -> TimeoutError:
        """Return the error of an attempt that took longer than ``within``."""
        place = "" if self._where is None else f" to {self._where}"
        missing = "; ".join(f"{at}: {what}" for at, what in self._at.items()) or self._missing
        cause = f": {missing}" if missing else ""
        return self._kind(f"no connection{place} within {within}{cause}")
