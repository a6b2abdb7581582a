"""Which ``PYTHONHASHSEED`` a simulation process runs under.

Python salts ``hash()`` of strings per process, so user code that iterates over a set may behave differently in each.
A run must not depend on the process it happens to be in: seeds are split into four groups by ``seed % 4``, and each
group has one fixed ``PYTHONHASHSEED``. Four groups show most dependences on it; one value would hide them, and one
process per seed would cost a hundred times what a run costs. ``--seed`` at the shell runs under the same value as a
campaign would.
"""

from __future__ import annotations

import hashlib
import os

GROUP_COUNT = 4
VARIABLE = "PYTHONHASHSEED"

# What CPython accepts: 0 turns salting off, so it starts at 1.
_LOW, _HIGH = 1, 4294967295


def group_of(seed: int) -> int:
    """The group of a seed."""
    return seed % GROUP_COUNT


def hash_seed_of_group(group: int) -> str:
    """The value of ``PYTHONHASHSEED`` for a group."""
    digest = hashlib.blake2b(b"stormproof.python_hash_seed.%d" % group, digest_size=8).digest()
    return str(_LOW + int.from_bytes(digest, "big") % (_HIGH - _LOW + 1))


def hash_seed_of(seed: int) -> str:
    """The value of ``PYTHONHASHSEED`` under which a seed is run."""
    return hash_seed_of_group(group_of(seed))


def current_hash_seed() -> str:
    """The value that this process was started under; ``random`` where none was set."""
    return os.environ.get(VARIABLE) or "random"
