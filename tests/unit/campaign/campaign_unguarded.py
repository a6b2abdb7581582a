"""A script that begins a campaign at its top level without a guard."""

from __future__ import annotations

from stormproof.sim.campaign import run_campaign
from stormproof.sim.campaign.processes import in_simulation_process


async def main() -> None:
    """Never run."""


if in_simulation_process():
    run_campaign(main, seeds=1)
