"""Plans: written by hand, printed, saved, loaded, and refused with words that help."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

import hypothesis.strategies as st
import pytest
from hypothesis import given
from stormproof.engine.core.errors import MisuseError
from stormproof.faults import (
    KINDS,
    POINTS,
    At,
    AtPoint,
    EffectReplyLost,
    EngineCrash,
    Fault,
    MessageLoss,
    Partition,
    PointCount,
    ServiceErrors,
    ServiceOutage,
    ServiceShape,
    Topology,
    WorkerCrash,
    WorkerShutdown,
    check_plan,
    fired_text,
    load_plan,
    plan_from_data,
    plan_from_json,
    plan_from_toml,
    plan_text,
    plan_to_data,
    plan_to_json,
    plan_to_toml,
    save_plan,
)
from stormproof.faults.fields import specs_of
from stormproof.faults.units import duration_text, ordinal, parse_duration_us

US = st.integers(0, 10**15)
NAMES = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
WHENS = st.one_of(
    st.builds(At, US), st.builds(AtPoint, st.sampled_from(sorted(POINTS)), NAMES, st.integers(1, 10**6), US)
)


def values_of(name: str, hint: Any) -> st.SearchStrategy[Any]:
    """Values of one field that its kind accepts."""
    if type(None) in get_args(hint):
        return st.none() | values_of(name, get_args(hint)[0])
    if name == "when":
        return WHENS
    if get_origin(hint) is Literal:
        return st.sampled_from(get_args(hint))
    if name == "status":
        return st.integers(500, 599)
    if hint is Fraction:
        return st.fractions(0, 1 if name == "ratio" else 1000)
    if hint is int:
        return st.integers(1, 10**12)
    return st.booleans() if hint is bool else NAMES


def faults_of(kind: type[Fault]) -> st.SearchStrategy[Fault]:
    hints = get_type_hints(kind)
    fields = {name: values_of(name, hints[name]) for name in specs_of(kind)}
    if "worker" in fields:
        fields["worker"] = NAMES.filter(bool)
    if kind is Partition:
        fields["a"] = NAMES.map(lambda name: f"a{name}")
        fields["b"] = NAMES.map(lambda name: f"b{name}")
    return st.builds(kind, **fields)


ANY_FAULT = st.sampled_from(list(KINDS.values())).flatmap(faults_of)

PLAN = (
    WorkerCrash(when=AtPoint("service.after_effect", "payments.charge", nth=2)),
    ServiceOutage("payments", mode="hang", duration_us=5_000_000, when=At(80_000_000)),
    ServiceErrors("stock", "reserve", ratio=Fraction(1, 5), duration_us=None),
    EngineCrash(None, when=AtPoint("engine.after_commit", after_us=1_500)),
    Partition("worker", "engine", symmetric=False),
)

TEXT = """\
1. when service.after_effect of payments.charge is reached for the 2nd time: the worker that is at it crashes and is \
started again after 1 s
2. at 1 min 20 s: payments accepts calls and never answers them for 5 s
3. from the start: 1/5 of the calls of stock.reserve fail with 503 until everything heals
4. 1 ms 500 us after engine.after_commit is reached: engine crashes and stays down until everything heals
5. from the start: messages from worker to engine disappear for 1 min"""

TOML = """\
[[fault]]
kind = "worker_crash"
worker = ""
restart_after_us = 1000000
when = { point = "service.after_effect", subject = "payments.charge", nth = 2, after_us = 0 }

[[fault]]
kind = "service_outage"
service = "payments"
operation = ""
mode = "hang"
duration_us = 5000000
when = { at_us = 80000000 }

[[fault]]
kind = "service_errors"
service = "stock"
operation = "reserve"
ratio = "1/5"
status = 503
duration_us = "never"
when = { at_us = 0 }

[[fault]]
kind = "engine_crash"
restart_after_us = "never"
engine = "engine"
when = { point = "engine.after_commit", subject = "", nth = 1, after_us = 1500 }

[[fault]]
kind = "partition"
a = "worker"
b = "engine"
symmetric = false
duration_us = 60000000
when = { at_us = 0 }
"""


def test_a_plan_reads_as_sentences() -> None:
    assert plan_text(PLAN) == TEXT
    assert plan_text(()) == "no faults"


def test_a_plan_is_written_as_toml_for_people() -> None:
    assert plan_to_toml(PLAN) == TOML
    assert plan_from_toml(TOML) == PLAN


def test_faults_are_values() -> None:
    again = plan_from_data(plan_to_data(PLAN))
    assert again == PLAN
    assert hash(again) == hash(PLAN)
    assert len({*again, *PLAN}) == len(PLAN)
    assert eval(repr(PLAN[0])) == PLAN[0]
    with pytest.raises(AttributeError):
        PLAN[0].when = At(1)  # type: ignore[misc]


@given(st.lists(ANY_FAULT, max_size=4).map(tuple))
def test_plans_of_all_kinds_survive_data_json_and_toml(plan: tuple[Fault, ...]) -> None:
    data = plan_to_data(plan)
    assert json.loads(json.dumps(data)) == data
    assert plan_from_data(data) == plan
    assert plan_from_json(plan_to_json(plan)) == plan
    assert plan_from_toml(plan_to_toml(plan)) == plan
    assert plan_text(plan)


@pytest.mark.parametrize("kind", KINDS.values(), ids=list(KINDS))
def test_each_kind_is_covered_by_the_round_trip(kind: type[Fault]) -> None:
    @given(faults_of(kind))
    def check(fault: Fault) -> None:
        (again,) = plan_from_data([fault.to_data()])
        assert again == fault
        assert fault.lasts_us() >= 0

    check()


def test_by_hand_little_has_to_be_written() -> None:
    plan = plan_from_toml(
        """
        [[fault]]
        kind = "effect_reply_lost"
        service = "payments"
        when = { point = "service.after_effect", subject = "payments.charge" }

        [[fault]]
        kind = "service_outage"
        service = "stock"
        when = "1 min 10s"
        duration_us = "1.5 h"

        [[fault]]
        kind = "worker_crash"
        worker = "worker-2"
        restart_after_us = "never"
        when = 250
        """
    )
    assert plan == (
        EffectReplyLost("payments", when=AtPoint("service.after_effect", "payments.charge")),
        ServiceOutage("stock", when=At(70_000_000), duration_us=5_400_000_000),
        WorkerCrash("worker-2", None, when=At(250)),
    )
    assert plan_from_json('[{"kind": "engine_crash"}]') == (EngineCrash(),)


@pytest.mark.parametrize("suffix", [".json", ".toml"])
@pytest.mark.parametrize("plan", [PLAN, ()])
def test_a_plan_is_saved_and_loaded(suffix: str, plan: tuple[Fault, ...], tmp_path: Path) -> None:
    path = tmp_path / f"plan{suffix}"
    save_plan(plan, path)
    assert load_plan(str(path)) == plan


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (7, "a plan is 7: expected a list of faults"),
        ({"kind": "worker_crash"}, "expected a list of faults"),
        ("worker_crash", "expected a list of faults"),
        ([7], "fault 1 is 7: expected an object with a 'kind'"),
        ([{"service": "payments"}], "fault 1 has no 'kind': expected one of service_outage, "),
        ([{"kind": "worker_crahs"}], "fault 1: there is no fault kind 'worker_crahs': expected one of"),
        ([{"kind": ["x"]}], "there is no fault kind ['x']"),
        (
            [PLAN[0], {"kind": "service_outage"}],
            "fault 2: service_outage: the field 'service' is missing: expected a string",
        ),
        ([{"kind": "service_outage", "service": 3}], "the field 'service' is 3: expected a string"),
        (
            [{"kind": "service_outage", "service": "x", "servce": 3}],
            "an unknown field 'servce': expected service, operation",
        ),
        (
            [{"kind": "service_outage", "service": "x", "mode": "off"}],
            "'mode' is 'off': expected one of 'refuse', 'hang'",
        ),
        ([{"kind": "service_outage", "service": "x", "duration_us": -1}], "'duration_us' is -1: expected a duration"),
        ([{"kind": "service_outage", "service": "x", "duration_us": 1.5}], "'duration_us' is 1.5: expected a duration"),
        ([{"kind": "service_outage", "service": "x", "duration_us": "5 parsecs"}], "'5 parsecs': expected a duration"),
        (
            [{"kind": "service_outage", "service": "x", "duration_us": True}],
            "'duration_us' is True: expected a duration",
        ),
        ([{"kind": "service_errors", "service": "x", "ratio": 0.5}], "'ratio' is 0.5: expected a ratio"),
        ([{"kind": "service_errors", "service": "x", "ratio": "3/2"}], "'ratio' is '3/2': expected a ratio"),
        ([{"kind": "service_errors", "service": "x", "ratio": "1/0"}], "'ratio' is '1/0': expected a ratio"),
        ([{"kind": "service_errors", "service": "x", "status": 200}], "status is 200: expected an HTTP error"),
        ([{"kind": "effect_reply_lost", "service": "x", "calls": 0}], "calls is 0: expected 1 or more"),
        ([{"kind": "effect_reply_lost", "service": "x", "reset": 1}], "'reset' is 1: expected true or false"),
        (
            [{"kind": "engine_crash", "when": {"point": "engine.commit"}}],
            "there is no point 'engine.commit': expected one of",
        ),
        ([{"kind": "engine_crash", "when": {"point": "engine.after_commit", "nth": 0}}], "nth of point"),
        ([{"kind": "engine_crash", "when": {"at": 5}}], "'when' is {'at': 5}: expected"),
        ([{"kind": "engine_crash", "when": {"at_us": 5, "nth": 2}}], "expected a moment: At(...) or AtPoint(...)"),
        ([{"kind": "engine_crash", "when": None}], "'when' is None: expected"),
        ([{"kind": "worker_crash"}], "worker_crash from the start names no worker"),
        ([{"kind": "worker_crash", "when": {"point": "history.event"}}], "names no worker: give it one"),
        ([{"kind": "partition", "b": "engine"}], "partition between '' and 'engine': name the node a"),
    ],
)
def test_a_wrong_plan_is_refused_in_words_that_name_fault_field_and_remedy(data: Any, words: str) -> None:
    with pytest.raises(MisuseError) as caught:
        plan_from_data(data)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("plan.yaml", "", "a plan is a .json or a .toml file"),
        ("plan.json", "[{", "not valid JSON, or was cut short"),
        ("plan.toml", "[[fault]", "not valid TOML"),
        ("plan.toml", "faults = []", "expected a list named 'fault' and nothing else, found 'faults'"),
        ("plan.json", "7", "found int"),
        ("plan.json", "{}", "found nothing"),
        ("plan.toml", "[[fault]]\nkind = 'x'", "fault 1: there is no fault kind 'x'"),
    ],
)
def test_a_wrong_file_is_refused_and_named(name: str, text: str, words: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(MisuseError) as caught:
        load_plan(path)
    assert words in str(caught.value)
    assert name in str(caught.value)


def test_a_file_that_is_not_there_or_no_text_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MisuseError, match="can't be read: No such file"):
        load_plan(tmp_path / "none.json")
    (tmp_path / "bytes.json").write_bytes(b"\xff\xfe")
    with pytest.raises(MisuseError, match="not UTF-8"):
        load_plan(tmp_path / "bytes.json")
    with pytest.raises(MisuseError, match="can't be written"):
        save_plan(PLAN, tmp_path / "no folder" / "plan.json")


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: At(-1), "At(-1): expected a whole number of microseconds"),
        (lambda: At(1.5), "At(1.5)"),  # type: ignore[arg-type]
        (lambda: AtPoint("nowhere"), "there is no point 'nowhere': expected one of activity.started"),
        (lambda: AtPoint("history.event", nth=0), "nth of point history.event is 0"),
        (lambda: AtPoint("history.event", after_us=-1), "after_us of point history.event is -1"),
        (lambda: ServiceOutage(5), "service_outage: the field 'service' is 5: expected a string"),  # type: ignore[arg-type]
        (lambda: ServiceOutage("a", when=5), "the field 'when' is 5: expected a moment"),  # type: ignore[arg-type]
        (lambda: MessageLoss(ratio=0.5), "the field 'ratio' is 0.5: expected a ratio"),  # type: ignore[arg-type]
        (lambda: MessageLoss(ratio=Fraction(3, 2)), "the field 'ratio' is Fraction(3, 2)"),
        (lambda: WorkerShutdown("w", kill_after_us=None), "'kill_after_us' is None"),  # type: ignore[arg-type]
    ],
)
def test_a_wrong_fault_is_refused_when_it_is_made(make: Any, words: str) -> None:
    with pytest.raises(MisuseError) as caught:
        make()
    assert words in str(caught.value)


TOPOLOGY = Topology(
    workers=("worker",), services=(ServiceShape("payments"),), points=(PointCount("history.event", "order-7", 3),)
)


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (ServiceOutage("paymnts"), "fault 2 (service_outage) names the service 'paymnts': there is payments"),
        (WorkerCrash("worker-9"), "names the worker 'worker-9': there is worker"),
        (EngineCrash(engine="shard"), "names the engine 'shard': there is engine"),
        (Partition("worker", "ngine"), "names the node 'ngine': there is engine, worker, payments, driver"),
    ],
)
def test_a_plan_that_names_nobody_is_refused(fault: Fault, words: str) -> None:
    good = ServiceOutage("payments")
    check_plan((good, WorkerCrash("worker"), EngineCrash(), Partition("worker", "payments")), TOPOLOGY)
    with pytest.raises(MisuseError) as caught:
        check_plan((good, fault), TOPOLOGY)
    assert words in str(caught.value)


def test_it_is_told_what_fired_and_what_did_not() -> None:
    fired = [
        {
            "index": 1,
            "kind": "service_outage",
            "target": "payments",
            "detail": "payments.charge from worker",
            "count": 3,
        }
    ]
    lines = fired_text(plan_to_data(PLAN[:2]), fired)
    assert lines[0].endswith("started again after 1 s: did not fire")
    assert lines[1].endswith("for 5 s: hit payments (payments.charge from worker), 3 times")


@given(st.integers(0, 10**16))
def test_durations_are_read_back_to_within_their_two_largest_units(duration_us: int) -> None:
    shown = parse_duration_us(duration_text(duration_us))
    assert shown is not None
    assert shown <= duration_us
    assert duration_us - shown < max(duration_us // 23, 1)


def test_durations_and_ordinals_for_people() -> None:
    assert [duration_text(us) for us in (0, 1, 1_500, 61_000_000, 90_061_000_000)] == [
        "0 s",
        "1 us",
        "1 ms 500 us",
        "1 min 1 s",
        "1 d 1 h",
    ]
    assert [parse_duration_us(text) for text in ("", "5", "1 x", "1.5 us", "2m", "0.25 s")] == [
        None,
        None,
        None,
        None,
        120_000_000,
        250_000,
    ]
    assert [ordinal(number) for number in (1, 2, 3, 4, 11, 12, 13, 21, 112)] == [
        "1st",
        "2nd",
        "3rd",
        "4th",
        "11th",
        "12th",
        "13th",
        "21st",
        "112th",
    ]
