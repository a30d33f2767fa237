"""No room has more modules, and no more floors of imports, than a reader can hold in mind."""

from __future__ import annotations

from functools import cache

import grimp

#: Modules in one room, and floors of imports among them, at the most.
MODULES, FLOORS = 16, 6


@cache
def graph() -> grimp.ImportGraph:
    return grimp.build_graph("actors", "supervisor", cache_dir=None)


def modules_in(room: str) -> set[str]:
    """Return the modules of ``room`` itself; rooms in it are rooms of their own."""
    return {each for each in graph().find_children(room) if not graph().find_children(each)}


def rooms() -> list[str]:
    return [each for each in graph().modules if modules_in(each)]


def floors_of(room: str) -> int:
    """Return the length of the longest chain of modules, each of which imports the next one."""
    modules = modules_in(room)

    @cache
    def height(module: str) -> int:
        below = graph().find_modules_directly_imported_by(module) & modules
        return 1 + max(map(height, below), default=0)

    return max(map(height, modules))


def test_a_room_has_few_modules_and_few_floors():
    sizes = {room: len(modules_in(room)) for room in rooms()}
    assert not {room: size for room, size in sizes.items() if size > MODULES}
    floors = {room: floors_of(room) for room in rooms()}
    assert not {room: count for room, count in floors.items() if count > FLOORS}
    assert len(sizes) > 30
