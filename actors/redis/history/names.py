"""The name of a channel's history.

One name serves twice: as the key of the stream that keeps the messages, and as the channel on which
each message is published together with its entry's id. It has the hash tag of the channel, so that
on a cluster a shard channel, its history and the history's channel belong to one slot.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from actors.redis.exceptions import DataError
from actors.redis.topology.slots import hash_tag

_SUFFIX: Final = b":history"
_POSITIONS: Final = b":positions"


@lru_cache(maxsize=1024)
def history_name(channel: bytes) -> bytes:
    """Return the name of the history of ``channel``.

    That is ``{orders}:history`` for ``orders``, and ``{shop}.orders:history`` for a channel with a
    hash tag, ``{shop}.orders``. ``orders`` and ``{orders}`` so have the same history: use only one
    of the two.

    Raises:
        DataError: the channel cannot have a history, because no name is in its slot for sure.
    """
    if hash_tag(channel) is not None:
        return channel + _SUFFIX
    if not channel:
        raise DataError("a channel with an empty name cannot have a history: give it a name")
    if b"{" in channel or b"}" in channel:
        raise DataError(
            f"channel {channel.decode('utf-8', 'backslashreplace')!r} cannot have a history: its "
            "name has braces, but no hash tag, which is some text between the first { and the next "
            "}: use a name without braces or with a hash tag"
        )
    return b"{%b}%b" % (channel, _SUFFIX)


def positions_name(history: bytes) -> bytes:
    """Return the name of the hash that keeps consumers' positions in ``history``, in its slot."""
    return history + _POSITIONS
