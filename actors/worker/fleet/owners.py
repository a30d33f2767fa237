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
