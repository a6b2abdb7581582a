"""A run that depends on anything but its seed is caught, and the first difference is named."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from stormproof.engine.core.errors import InternalError
from stormproof.sim.choices import Choices
from stormproof.sim.digest import Digest
from stormproof.sim.divergence import Divergence, find_divergence, here, in_process
from stormproof.sim.kernel import Kernel

PLANTED = """
from datetime import timedelta

import stormproof
from stormproof import workflow
from stormproof.client import Client
from stormproof.worker import Worker


@workflow.defn
class Greet:
    @workflow.run
    async def run(self, name: str) -> str:
        await workflow.sleep(timedelta(seconds=1))
        return name


async def main():
    client = await Client.connect("simulation")
    async with Worker(client, task_queue="greetings", workflows=[Greet]):
        for name in ORDER({"anna", "berta", "clara", "doris", "emil"}):
            await client.execute_workflow(Greet.run, name, id=f"greet-{name}", task_queue="greetings")


def run():
    return stormproof.simulate(main, seed=1)
"""


def test_an_iteration_over_a_set_is_named(tmp_path: Path) -> None:
    program = PLANTED.replace("ORDER", "list")
    found = find_divergence(*[in_process(program, hash_seed=seed, cwd=str(tmp_path)) for seed in ("1", "2")])
    assert found is not None
    assert found.first != found.second
    assert "greet-" in found.first
    assert "greet-" in found.second
    assert found.message.startswith("the runs part here:")


def test_a_sorted_set_makes_no_difference(tmp_path: Path) -> None:
    program = PLANTED.replace("ORDER", "sorted")
    assert find_divergence(*[in_process(program, hash_seed=seed, cwd=str(tmp_path)) for seed in ("1", "2")]) is None


@dataclass
class Record:
    digest: str
    checkpoints: list[Any] = field(default_factory=list)


def small_run(delay_us: int) -> Record:
    kernel = Kernel(Choices(1))
    lane = kernel.new_lane("worker-1")

    def reply_arrives(left: int) -> None:
        kernel.choices.draw("network.latency", 1000)
        if left:
            kernel.schedule(delay_us if left == 700 else 5, reply_arrives, left - 1, lane=lane)

    kernel.schedule(0, reply_arrives, 2000)
    kernel.run()
    return Record(kernel.digest.hexdigest(), list(kernel.digest.checkpoints))


def test_a_difference_inside_one_process_is_named() -> None:
    found = find_divergence(here(lambda: small_run(5)), here(lambda: small_run(6)))
    assert found is not None
    assert "reply_arrives(699) of worker-1" in found.first
    assert found.first.split(":")[0] == found.second.split(":")[0]


def test_equal_runs_agree() -> None:
    assert find_divergence(here(lambda: small_run(5)), here(lambda: small_run(5))) is None


def test_a_difference_that_does_not_come_again_is_said_so() -> None:
    turns = itertools.count()
    found = find_divergence(here(lambda: small_run(5)), here(lambda: small_run(6 if next(turns) == 0 else 5)))
    assert found is not None
    assert (found.first, found.second) == ("", "")
    assert "not when they are repeated" in found.message


def test_a_run_that_fails_in_its_process_is_our_error() -> None:
    with pytest.raises(InternalError, match="ZeroDivisionError"):
        in_process("def run():\n    1 / 0", hash_seed="0")(None)


def test_only_digests_made_meanwhile_keep_entries() -> None:
    assert Digest().kept() == []
    assert Divergence(1, 2, "a", "b").message.endswith("a\n  other: b")
