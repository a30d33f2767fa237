"""What an attempt to connect waits for: whoever gives it up first can say so."""

from __future__ import annotations

from actors.redis.config.locations import Location

__all__ = ["ConnectProgress"]


class ConnectProgress:
    """How far an attempt has come.

    Its own time limit is not the only one there is, and a cancelled attempt says nothing.
    """

    __slots__ = ("_kind", "_missing", "_where")

    def __init__(self) -> None:
        self._where: Location | None = None
        self._missing = ""
        self._kind: type[TimeoutError] = TimeoutError

    def waits(self, where: Location, missing: str, kind: type[TimeoutError] = TimeoutError) -> None:
        """Note what is missing, in the words of the error that is due if it does not come."""
        self._where = where
        self._missing = missing
        self._kind = kind

    def timed_out(self, within: str) -> TimeoutError:
        """Return the error of an attempt that did not succeed ``within`` some time."""
        place = "" if self._where is None else f" to {self._where}"
        cause = f": {self._missing}" if self._missing else ""
        return self._kind(f"no connection{place} within {within}{cause}")
