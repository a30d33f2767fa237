"""Commands between MULTI and EXEC: one behind the other in one write, so no other comes between."""

from __future__ import annotations

from typing import Any, Final

from actors.redis.wire.resp import pack

_MULTI: Final = pack(("MULTI",))
_EXEC: Final = pack(("EXEC",))


def in_transaction(packed: list[bytes]) -> list[bytes]:
    """Return packed commands between MULTI and EXEC."""
    return [_MULTI, *packed, _EXEC]


def results_of(replies: list[Any]) -> list[Any]:
    """Return the result of each command of a transaction, errors as values.

    Args:
        replies: those to MULTI, to each command, and to EXEC.
    """
    *queued, results = replies
    if not isinstance(results, Exception):
        return list(results)
    # The server has executed nothing; commands that it refused to queue have their own errors.
    return [reply if isinstance(reply, Exception) else results for reply in queued[1:]]
