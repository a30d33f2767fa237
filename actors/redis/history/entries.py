"""The entries of a history, and the envelopes in which they are published.

An entry's id is ``<ms>-<n>``: the server's time in milliseconds, and a number that counts the
entries without holes. An envelope names the entry and the one before it::

    ~<id> <milliseconds of the entry before> <payload>

Anybody may write to a channel or a stream: whatever has another form is no error here, but None.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Final, Self

import msgspec

#: The field of an entry that holds the payload.
PAYLOAD_FIELD: Final = b"d"

_LARGEST: Final = 2**64 - 1
_ID: Final = re.compile(rb"(\d{1,20})-(\d{1,20})")
_ENVELOPE: Final = re.compile(rb"~(\d{1,20})-(\d{1,20}) (\d{1,20}) ")


class EntryId(msgspec.Struct, frozen=True, order=True, gc=False):
    """The id of an entry; ids have the order of their entries in the stream."""

    #: The server's time in milliseconds; never less than that of the entry before.
    ms: int
    #: The number of the entry: 1 for the first one, and one more for each following one.
    n: int

    @classmethod
    def parse(cls, text: bytes) -> Self:
        """Return the id that ``text`` shows, ``<ms>-<n>``; ValueError if it shows none."""
        match = _ID.fullmatch(text)
        if match is None:
            raise ValueError(f"an entry's id is <milliseconds>-<number>, not {text!r}")
        ms, n = int(match[1]), int(match[2])
        if ms > _LARGEST or n > _LARGEST:
            raise ValueError(f"both numbers of an entry's id are below 2**64, not so {text!r}")
        return cls(ms, n)

    def __str__(self) -> str:
        return f"{self.ms}-{self.n}"


#: What stands for the entry before the first one.
BEFORE_FIRST: Final = EntryId(0, 0)


class Entry(msgspec.Struct, frozen=True, gc=False):
    """One entry of the stream."""

    id: EntryId
    #: The message; None where somebody else's entry has no payload field.
    payload: bytes | None


class Envelope(msgspec.Struct, frozen=True, gc=False):
    """What is published on the history's channel for one entry."""

    id: EntryId
    #: The milliseconds of the entry before this one; 0 for the first entry.
    previous_ms: int
    #: The message, as subscribers of the channel itself receive it.
    payload: bytes

    @property
    def previous(self) -> EntryId:
        """The id of the entry before this one; :data:`BEFORE_FIRST` for the first entry."""
        return EntryId(self.previous_ms, self.id.n - 1)


def parse_envelope(message: bytes) -> Envelope | None:
    """Return the envelope in a message of the history's channel; None: the message is none."""
    match = _ENVELOPE.match(message)
    if match is None:
        return None
    ms, n, previous_ms = map(int, match.groups())
    if not (previous_ms <= ms <= _LARGEST and 1 <= n <= _LARGEST):
        return None
    return Envelope(EntryId(ms, n), previous_ms, message[match.end() :])


def parse_entries(reply: Iterable[Any] | None) -> list[Entry]:
    """Return the entries in a reply to XRANGE or XREVRANGE that is not decoded, in its order.

    Other fields of an entry than the payload's are left out.

    Raises:
        ValueError: the reply is none of XRANGE.
    """
    try:
        return [Entry(EntryId.parse(name), _payload(fields)) for name, fields in reply or ()]
    except (TypeError, AttributeError, IndexError) as error:
        raise ValueError(f"the reply has not the form of a reply to XRANGE: {error}") from error


def _payload(fields: list[bytes]) -> bytes | None:
    names, values = fields[::2], fields[1::2]
    return values[names.index(PAYLOAD_FIELD)] if PAYLOAD_FIELD in names else None
