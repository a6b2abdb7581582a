from __future__ import annotations

import os
import random
import secrets
import uuid
from collections.abc import Callable
from random import choice, uniform
from typing import Any
from uuid import uuid4

from stormproof.sim.patches import installed_patches


def drawn() -> list[Any]:
    return [
        uuid4(),
        uuid.uuid1(),
        random.random(),
        random.randint(0, 10**9),
        choice(range(10**9)),
        uniform(0, 1),
        os.urandom(8),
        secrets.token_hex(),
        random.Random().random(),
        random.SystemRandom().random(),
        random.Random(5).random(),
    ]


def on_nodes(new_world: Callable[..., Any], seed: int, *names: str) -> list[Any]:
    world = new_world(seed)
    with installed_patches():
        for name in names:
            world.thread(world.process(name), drawn)
            world.run()
    world.close()
    log: list[Any] = world.log
    return log


def test_a_node_draws_from_the_seed(new_world: Callable[..., Any]) -> None:
    first = on_nodes(new_world, 1, "a")
    random.seed(99)
    assert on_nodes(new_world, 1, "a") == first
    other = on_nodes(new_world, 2, "a")
    assert all(ours != theirs for ours, theirs in zip(first[0][:-1], other[0][:-1], strict=True))
    assert first[0][-1] == other[0][-1] == random.Random(5).random(), "a seed of the user's own stays what it is"


def test_nodes_and_incarnations_draw_their_own(new_world: Callable[..., Any]) -> None:
    a, b, a_again = on_nodes(new_world, 1, "a", "b", "a")
    assert len({tuple(map(str, log[:-1])) for log in (a, b, a_again)}) == 3


def test_one_draw_seeds_a_process(new_world: Callable[..., Any]) -> None:
    world = new_world(1)
    with installed_patches():
        world.thread(world.process("worker-1"), drawn)
        world.run()
    assert {label: len(values) for label, values in world.choices.record().items()} == {"random.worker-1": 1}
    assert str(world.log[0][1])[14] == "1"
    world.close()


def test_outside_any_process_randomness_is_the_hosts() -> None:
    random.seed(7)
    expected = random.random()
    with installed_patches():
        random.seed(7)
        assert random.random() == expected
        assert uuid4() != uuid4()
        assert os.urandom(16) != os.urandom(16)
        assert random.Random().random() != random.Random().random()
    assert random.seed.__self__ is random._inst  # type: ignore[attr-defined]
