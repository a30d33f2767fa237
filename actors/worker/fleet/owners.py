"""Which member owns which name: rendezvous hashing.

Each pair of a name and a member has a score, and the member with the highest one owns the name. So
a member that comes takes names from all others and none between others, and the names of one that
goes are spread over all that stay. The scores are the same in every process and on every version
of Python.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from functools import lru_cache
from hashlib import blake2b

import msgspec


class Move(msgspec.Struct, frozen=True):
    """A name that changes its owner; None stands for nobody."""

    name: str
    old: str | None
    new: str | None


def score(name: str, id: str) -> bytes:
    """Return the score of the member ``id`` for ``name``."""
    pair = f"{id}/{name}".encode("utf-8", "surrogateescape")
    return blake2b(pair, digest_size=8).digest()


def owner(name: str, ids: tuple[str, ...]) -> str | None:
    """Return the id of the member that owns ``name``; None where there are no members."""
    return max(ids, key=lambda each: (score(name, each), each), default=None)


@lru_cache(maxsize=16)
def shares(names: frozenset[str], ids: tuple[str, ...]) -> Mapping[str, frozenset[str]]:
    """Return what each member owns. The last few answers are kept: views are asked repeatedly."""
    owned_by: dict[str | None, set[str]] = defaultdict(set)
    for name in names:
        owned_by[owner(name, ids)].add(name)
    return {member: frozenset(owned_by[member]) for member in ids}


def owned(names: frozenset[str], ids: tuple[str, ...], id: str) -> frozenset[str]:
    """Return the names that the member ``id`` owns."""
    return shares(names, ids).get(id, frozenset())


def moves(names: frozenset[str], before: tuple[str, ...], after: tuple[str, ...]) -> list[Move]:
    """Return what changes its owner when the members ``after`` follow the members ``before``."""
    old, new = owners(names, before), owners(names, after)
    return [Move(name, old[name], new[name]) for name in sorted(names) if old[name] != new[name]]


def owners(names: frozenset[str], ids: tuple[str, ...]) -> dict[str, str | None]:
    """Return the owner of each name."""
    found: dict[str, str | None] = dict.fromkeys(names)
    for member, share in shares(names, ids).items():
        found.update(dict.fromkeys(share, member))
    return found
