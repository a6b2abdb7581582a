"""A module that ends every simulation process which imports it."""

from __future__ import annotations

import os

from stormproof.sim.campaign.processes import in_simulation_process

if in_simulation_process():
    print("born dead", flush=True)
    os._exit(9)


async def main() -> None:
    """Never run."""
