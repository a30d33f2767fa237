"""Python's cyclic garbage collector beside many actors.

The collector looks at every object that is old again and again, and the event loop stands still
meanwhile: a quarter of a second with ten thousand actors. ``gc.freeze()`` takes the objects that
there are out of collection. The price: a frozen object that dies later as a part of a reference
cycle is never freed. So only a program may decide that, and not a library: ``mailslot run`` does.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

from supervisor.log import get_logger

log = get_logger("mailslot.actors")

# So many new actors or subscriptions at once are worth another freeze, or a pause.
_LARGE = 1000


class Freezer:
    """Freezes what lives long, once it is enabled."""

    def __init__(self) -> None:
        self.enabled = False

    def enable(self) -> None:
        """Freeze the objects that there are, and from now on those of large additions."""
        self.enabled = True
        self._freeze()

    def added(self, count: int) -> None:
        """Take that ``count`` subscriptions were added together."""
        if self.enabled and count >= _LARGE:
            self._freeze()

    def _freeze(self) -> None:
        gc.collect()  # what is garbage now would stay for ever
        gc.freeze()
        log.debug("garbage_collection_frozen", objects=gc.get_freeze_count())


#: The one of this process: the collector is the process's, too.
FREEZER = Freezer()


@contextmanager
def collection_paused(count: int) -> Iterator[None]:
    """Collect no garbage while ``count`` objects are made, all of which are kept.

    Without a pause, the collector looks at all of them several times over. The block must not
    await: other tasks want the collector.
    """
    if count < _LARGE or not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
