"""What publish_many() sends at the same time: a batch is bounded in messages and in bytes."""

from __future__ import annotations

from collections.abc import AsyncIterable, Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import islice
from operator import itemgetter
from typing import Any, Final, TypeAlias, cast

from actors.redis.clients.payloads import Payload, encoded
from actors.redis.wire.resp import Argument

#: Pairs of channel and message.
MessageBatch: TypeAlias = list[tuple[str | bytes, Argument]]

_MOST_MESSAGES: Final = 2000
# A batch ends with the piece in which its payloads reach so many bytes.
_MOST_BYTES: Final = 4 * 1024 * 1024
_PIECE: Final = 20
#: The types of most messages, which need no encoding.
_TEXTS: Final = frozenset((str, bytes))
_message: Final = itemgetter(1)
_TAKES: Final = "publish_many takes pairs of channel and message"


def in_batches(messages: Iterable[tuple[str | bytes, Payload]]) -> Iterator[MessageBatch]:
    """Yield ``messages``, encoded, in batches; the next ones are taken when a batch is asked for.

    Raises:
        TypeError: ``messages`` are no pairs of channel and message.
        DataError: a message of the batch cannot be encoded.
    """
    if not isinstance(messages, Iterable):
        cure = "; collect them into a list first" if isinstance(messages, AsyncIterable) else ""
        raise TypeError(f"{_TAKES} from an iterable, not from {messages!r}{cure}")
    rest = iter(messages)
    batch: MessageBatch = []
    size = 0
    while piece := list(islice(rest, _PIECE)):
        _check(piece)
        if not _TEXTS.issuperset(map(type, map(_message, piece))):
            piece = [(channel, encoded(message)) for channel, message in piece]
        batch += cast(MessageBatch, piece)
        size += _size(piece)
        if len(batch) >= _MOST_MESSAGES or size >= _MOST_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _check(piece: Sequence[Any]) -> None:
    """Raise TypeError for the first of ``piece`` that is no pair."""
    with suppress(TypeError):  # what has no length is no pair
        # A text of two characters would pass as a pair.
        if set(map(len, piece)) == {2} and _TEXTS.isdisjoint(map(type, piece)):
            return
    wrong = next(one for one in piece if not isinstance(one, tuple | list) or len(one) != 2)
    raise TypeError(f"{_TAKES}, not {wrong!r}")


def _size(piece: Iterable[tuple[Any, Any]]) -> int:
    try:
        return sum(map(len, map(_message, piece)))
    except TypeError:  # numbers have no length
        return sum(len(message) for _, message in piece if isinstance(message, str | bytes))
