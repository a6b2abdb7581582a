"""Python's collector of cyclic garbage, paused while a run is under way.

A run makes hardly any cyclic garbage (tasks that end by an exception make some), but hundreds of thousands of objects
that live until its end, and the collector would walk over them again and again: 6 to 9 % of a run. So it is off inside
a run, and the kernel looks after the young generations every so many entries, which bounds what a long run may hold.
By the number of an entry, too, finalizers run at the same moment whenever the run is made again.
"""

from __future__ import annotations

import gc
from collections.abc import Generator
from contextlib import contextmanager

ENTRIES_PER_COLLECTION = 200_000
"""Kernel entries between two looks at what was made since the last one: some seconds of real time."""


@contextmanager
def collection_paused() -> Generator[None, None, None]:
    """The collector is off inside the block, and afterwards as it was before."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def collect_young() -> None:
    """Collect what was made since the last time; what survives is not looked at again."""
    gc.collect(1)
