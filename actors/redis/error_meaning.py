"""What an error reply means for whoever asked: a "no", or a refusal that passes by itself (pure).

    MOVED, ASK                             the wrong node was asked
    NOPERM, WRONGPASS, NOAUTH, DENIED,     a "no": the server answers the same until somebody
    no such command, no RESP3, a mistake   changes the server, the credentials or the program
    LOADING, BUSY, MASTERDOWN, TRYAGAIN,   a refusal that passes: the same question succeeds later
    CLUSTERDOWN, a proxy's own errors

Proxies word their errors as they like, so whatever is not known for a "no" passes.
"""

from __future__ import annotations

import re
from typing import Final

from actors.redis.exceptions import (
    AskError,
    AuthenticationError,
    AuthorizationError,
    BusyLoadingError,
    ClusterCrossSlotError,
    CommandNotSupportedError,
    ResponseError,
    UnknownCommandError,
)

_NO: Final = (
    AuthenticationError,
    AuthorizationError,
    ClusterCrossSlotError,
    CommandNotSupportedError,
    UnknownCommandError,
)
#: How servers word that a command makes no sense to them, under the code ERR.
_MISTAKE: Final = re.compile(
    "db index|is not allowed|syntax error|wrong number of arguments"
    "|unsupported|not supported|unknown",
    re.IGNORECASE,
)


def is_no(error: BaseException) -> bool:
    """Whether a server's error is a "no": it answers the same until something is changed."""
    if isinstance(error, _NO):
        return True
    return type(error) is ResponseError and _MISTAKE.search(str(error)) is not None


def will_pass(error: BaseException) -> bool:
    """Whether a server's error is a refusal that passes by itself."""
    if isinstance(error, AskError) or is_no(error):
        return False
    return isinstance(error, BusyLoadingError | ResponseError)
