"""Prints the digests of runs: ``python print_digests.py module:name:seeds[:evict] ...``.

Run by the tests of determinism.
"""

from __future__ import annotations

import importlib
import sys

from stormproof.sim.options import RunOptions
from stormproof.sim.patches import installed_patches

from stormproof.simulation import run_one


def main() -> None:
    """One line for each run: scenario, seed, digest, verdicts."""
    with installed_patches():
        for wanted in sys.argv[1:]:
            module, name, seeds, *evict = wanted.split(":")
            target = getattr(importlib.import_module(module), name)
            for seed in range(int(seeds)):
                record = run_one(target, seed=seed, options=RunOptions(evict_every_task=bool(evict)))
                verdicts = " ".join(f"{verdict.code}={verdict.result}" for verdict in record.verdicts)
                print(module, name, seed, record.digest, verdicts)


if __name__ == "__main__":
    main()
