"""Who asks for recovery, and what cannot be recovered: checked before anything is sent."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from actors.pubsub.handlers.handler import Handler
from actors.pubsub.model.names import encode_name
from actors.pubsub.model.recover import Recover, as_recover
from actors.pubsub.model.types import Kind
from actors.redis.history.names import history_name


def wanted_recovery(
    kind: Kind, name: bytes, callback: Any, default: Recover | bool | None
) -> Recover | None:
    """Return what the consumer of a name asks for; None: no recovery.

    Args:
        kind: the name's kind.
        name: the name.
        callback: the handler, a :class:`Recover` in its place, or None.
        default: the pub/sub object's option.

    Raises:
        DataError: the channel cannot have a history; says why.
        TypeError: a pattern cannot be recovered.
    """
    own = callback.recover if isinstance(callback, Handler) else None
    recover = as_recover(callback if isinstance(callback, Recover) else own, default)
    if recover is None:
        return None
    if kind is Kind.PATTERN:
        raise TypeError(
            f"pattern {name.decode(errors='backslashreplace')!r} cannot be recovered: each channel "
            "has a history of its own, and a pattern names none; subscribe to the channels by "
            "name, or to the pattern in a pub/sub object without recover="
        )
    history_name(name)
    return recover


def check_recovery(settings: Any) -> None:
    """Raise ValueError where a pool's settings leave no way to recover; says what to change."""
    if settings.noreply:
        raise ValueError("recovery reads replies of the server: use a client without noreply")
    if "~1-0 ".encode(settings.encoding) != b"~1-0 ":
        raise ValueError(
            f"recovery needs an encoding in which ASCII is what it is, not {settings.encoding!r}"
        )


def check_first(
    subscriptions: Iterable[tuple[Kind, Iterable[Any], Mapping[Any, Any]]],
    default: Recover | bool | None,
    settings: Any,
) -> None:
    """Check the first subscriptions of a pub/sub object, before anything is sent.

    Args:
        subscriptions: kinds, names without a handler, and handlers by name.
        default: the pub/sub object's option.
        settings: those of its connections.

    Raises:
        DataError, TypeError, ValueError: see :func:`wanted_recovery`, :func:`check_recovery`.
    """
    wanted = [
        wanted_recovery(kind, encode_name(name, settings.encoding), callback, default)
        for kind, names, handlers in subscriptions
        for name, callback in (*((name, None) for name in names), *handlers.items())
    ]
    if any(recover is not None for recover in wanted):
        check_recovery(settings)
