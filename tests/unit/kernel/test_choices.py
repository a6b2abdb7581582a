from __future__ import annotations

import json
import os
import subprocess
import sys
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stormproof.engine.core.errors import MisuseError
from stormproof.sim.choices import COUNT_MAX, Choices
from stormproof.sim.digest import Digest


def some(choices: Choices, label: str = "network.latency", number: int = 20) -> list[int]:
    return [choices.draw(label, 1000) for _ in range(number)]


def test_a_seed_repeats_and_seeds_differ() -> None:
    assert some(Choices(7)) == some(Choices(7))
    assert some(Choices(7)) != some(Choices(8))


def test_a_seed_gives_the_same_draws_on_every_machine() -> None:
    choices = Choices(1)
    drawn = [choices.draw("a.b", 1000), choices.draw("a.c", 1000), choices.draw("b.b", COUNT_MAX)]
    assert drawn == [choices.record()[label][0] for label in ("a.b", "a.c", "b.b")]
    assert drawn == PINNED
    assert choices.digest.hexdigest() == PINNED_DIGEST


def test_draws_do_not_depend_on_the_hash_seed() -> None:
    program = (
        "from stormproof.sim.choices import Choices; c = Choices(5);"
        "print([c.draw('network.loss', 99) for _ in range(9)], c.uuid('x.id'), c.digest.hexdigest())"
    )
    outputs = [
        subprocess.run(
            [sys.executable, "-P", "-c", program],
            env=os.environ | {"PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
            text=True,
        ).stdout
        for seed in ("0", "12345")
    ]
    assert outputs[0] == outputs[1]


def test_draws_of_one_component_do_not_shift_anothers() -> None:
    plain, mixed = Choices(3), Choices(3)
    expected = some(plain)
    drawn = []
    for _ in range(20):
        mixed.draw("service.error", 10)
        mixed.draw("service.latency", 10)
        drawn.append(mixed.draw("network.latency", 1000))
    assert drawn == expected


def test_no_choice_is_not_drawn() -> None:
    choices = Choices(1)
    assert choices.draw("a.b", 1) == 0
    assert choices.chance("a.c", 0, 10) is False
    assert choices.chance("a.c", 10, 10) is True
    assert choices.record() == {}
    assert choices.digest.count == 0


@given(st.integers(0, 2**80), st.integers(1, COUNT_MAX))
def test_draws_are_in_range(seed: int, count: int) -> None:
    assert 0 <= Choices(seed).draw("a.b", count) < count


def test_draws_are_about_uniform() -> None:
    choices = Choices(11)
    counts = [0] * 10
    for _ in range(20_000):
        counts[choices.draw("a.b", 10)] += 1
    assert min(counts) > 1800
    assert max(counts) < 2200
    assert 4_800 < sum(choices.chance("a.c", 1, 4) for _ in range(20_000)) < 5_200


def test_one_draw_is_overridden_and_the_others_stay() -> None:
    plain = some(Choices(3))
    choices = Choices(3, overrides={"network.latency#2": 5, "network.latency#4": 99_999, "never.drawn#0": 1})
    changed = some(choices)
    assert changed[2] == 5
    assert changed[4] == 999, "a value out of range becomes the largest"
    assert [value for index, value in enumerate(changed) if index not in (2, 4)] == [
        value for index, value in enumerate(plain) if index not in (2, 4)
    ]
    assert choices.unused_overrides() == ["never.drawn#0"]


def test_a_record_alone_makes_the_run_again() -> None:
    original = Choices(3)
    first = some(original), original.pick("x.pick", "abcdef"), original.uuid("x.id")
    record = json.loads(json.dumps(original.record()))
    again = Choices(999, recorded=record)
    assert (some(again), again.pick("x.pick", "abcdef"), again.uuid("x.id")) == first
    assert again.digest.hexdigest() == original.digest.hexdigest()


def test_every_draw_changes_the_digest() -> None:
    digests = []
    for overrides in ({}, {"a.b#1": 0}, {"a.b#1": 1}):
        choices = Choices(1, overrides=overrides)
        some(choices, "a.b", 3)
        digests.append(choices.digest.hexdigest())
    assert len(set(digests)) == 3
    by_label = Choices(1), Choices(1)
    some(by_label[0], "a.b", 3)
    some(by_label[1], "a.c", 3)
    assert by_label[0].record()["a.b"] == by_label[1].record()["a.c"]
    assert by_label[0].digest.hexdigest() != by_label[1].digest.hexdigest()


def test_a_journal_has_every_draw_in_order() -> None:
    choices = Choices(3, journal=True)
    first, second = choices.draw("a.b", 10), choices.draw("c.d", 20)
    third = choices.draw("a.b", 30)
    assert choices.journal == [("a.b", 0, 10, first), ("c.d", 0, 20, second), ("a.b", 1, 30, third)]


@given(st.integers(0, 10**6), st.integers(0, 10**13), st.integers(0, 2**32))
def test_log_uniform_stays_in_range(low: int, extra: int, seed: int) -> None:
    value = Choices(seed).log_uniform_us("a.b", low, low + extra)
    assert low <= value <= low + extra


def test_log_uniform_magnitudes_are_about_equally_likely() -> None:
    choices = Choices(5)
    counts = [0] * 6
    for _ in range(6_000):
        counts[len(str(choices.log_uniform_us("a.b", 1, 999_999))) - 1] += 1
    assert min(counts) > 800
    assert max(counts) < 1200


def test_uuids_are_uuids_and_differ() -> None:
    choices = Choices(5)
    made = [choices.uuid("a.id") for _ in range(1000)]
    assert len(set(made)) == 1000
    assert all(str(uuid.UUID(text)) == text and uuid.UUID(text).version == 4 for text in made)


def test_a_workload_has_its_own_stream() -> None:
    choices = Choices(5)
    workload = choices.workload()
    assert sorted(workload.shuffled(range(10))) == list(range(10))
    assert 3 <= workload.integer(3, 5) <= 5
    assert workload.pick("abc") in "abc"
    assert 10 <= workload.duration_us(10, 1000) <= 1000
    workload.chance(1, 2)
    workload.uuid()
    assert all(label.startswith("workload.") for label in choices.record())


def test_what_cannot_work_is_refused() -> None:
    with pytest.raises(MisuseError, match="seed is -1"):
        Choices(-1)
    with pytest.raises(MisuseError, match="count must be"):
        Choices(1).draw("a.b", 0)
    with pytest.raises(MisuseError, match="network"):
        Choices(1, overrides={"network.loss": 3})
    with pytest.raises(MisuseError, match="without"):
        Choices(1).workload("a.b")


def test_choices_write_into_the_digest_they_are_given() -> None:
    digest = Digest(keep=(0, 2))
    choices = Choices(1, digest=digest)
    value = choices.draw("network.loss", 10)
    assert digest.kept() == [f"0: draw network.loss: {value} of 10"]


PINNED = [92, 941, 2074304415061551507]
PINNED_DIGEST = "ca3ae6dec1629cae53593bdf24ad2646"
