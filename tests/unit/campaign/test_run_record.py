"""Records: JSON there and back, judgement, and the command that makes the run again."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from stormproof.engine.core.errors import MisuseError
from stormproof.engine.core.events import TaskQueue, WorkflowExecutionStarted
from stormproof.sim.options import RunOptions
from stormproof.sim.record import (
    PropertyViolated,
    RunHistory,
    RunInconclusive,
    RunRecord,
    reproduce_command,
)
from stormproof.sim.verdict import Truth, Verdict

STARTED = WorkflowExecutionStarted(
    event_id=1, time_us=1_767_603_600_000_000, workflow_type="Order", task_queue=TaskQueue(name="orders")
)


def full_record() -> RunRecord:
    return RunRecord(
        seed=17,
        scenario="examples/abc/scenario.py:naive",
        options=RunOptions(plan=({"kind": "outage"},), overrides={"latency#3": 2}, evict_every_task=True),
        stormproof_version="0.1.0",
        python_version="3.11.7",
        python_hash_seed="42",
        choices_overrides={"latency#3": 2},
        faults_planned=[{"kind": "outage", "target": "C"}],
        faults_fired=[{"index": 0, "kind": "outage", "target": "C", "time_us": 5, "point": "", "detail": ""}],
        trace=[{"id": 1, "cause": 0, "time_us": 5, "node": "C", "kind": "fault", "text": "outage", "data": {"n": 1}}],
        histories=[RunHistory("order-1", "run-1", "Order", events=[STARTED])],
        ledgers=[{"service": "C", "effects": [{"key": "k"}]}],
        outcomes=[
            {
                "workflow": "Order",
                "workflow_id": "order-1",
                "run_id": "run-1",
                "status": "completed",
                "result": [1, "two"],
                "failure": None,
            }
        ],
        verdicts=[Verdict("P2", "Order", Truth.FALSE, "charged twice", [{"event_id": 9}], "order-1")],
        digest="ab" * 16,
        checkpoints=[[10, "cd"], [20, "ef"]],
        statistics={"events": 20},
        stopped_by="events",
        stopped_detail="worker spins",
        notes=["a worker keeps its objects"],
        error="ValueError: no",
    )


def test_a_record_survives_json() -> None:
    record = full_record()
    again = RunRecord.from_json(record.to_json())
    assert again.to_json() == record.to_json()
    assert again.options == record.options
    assert again.verdicts == record.verdicts
    assert again.histories[0].events == [STARTED]
    assert json.loads(record.to_json())["schema_version"] == 1


def test_a_record_of_plain_data_alone_has_histories_in_temporals_json() -> None:
    data = full_record().to_data()["histories"][0]["history"]
    assert data["events"][0]["eventType"] == "EVENT_TYPE_WORKFLOW_EXECUTION_STARTED"


def test_lone_surrogates_of_users_are_kept() -> None:
    record = RunRecord(seed=0, error="\udc80")
    assert RunRecord.from_json(record.to_json().encode("ascii")).error == "\udc80"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "not valid JSON"),
        ('{"seed": 1', "cut short"),
        ("[1]", "expected a JSON object, found a list"),
        (b'{"\xff": 1}', "not UTF-8"),
        ("{}", "'schema_version' is missing"),
        ('{"schema_version": true, "seed": 1}', "'schema_version' is missing or is no whole number"),
        ('{"schema_version": 99, "seed": 1}', "schema version 99, this stormproof reads 1"),
        ('{"schema_version": 1}', "'seed' is missing"),
        ('{"schema_version": 1, "seed": -4}', "-4: expected 0 or more"),
        ('{"schema_version": 1, "seed": true}', "'seed' of the run record is true or false: expected a whole number"),
        ('{"schema_version": 1, "seed": 1, "colour": 2}', "unknown field 'colour'"),
        ('{"schema_version": 1, "seed": 1, "trace": {}}', "'trace' of the run record is an object: expected a list"),
        ('{"schema_version": 1, "seed": 1, "verdicts": [7]}', "'verdicts' of the run record holds 7"),
        ('{"schema_version": 1, "seed": 1, "verdicts": [{"code": "P1"}]}', "'workflow' is missing"),
        (
            '{"schema_version": 1, "seed": 1, "verdicts": [{"code": "P1", "workflow": "", "result": "maybe"}]}',
            "'maybe': expected true, false or unknown",
        ),
        ('{"schema_version": 1, "seed": 1, "options": {"fault": true}}', "unknown field 'fault'"),
        ('{"schema_version": 1, "seed": 1, "options": {"events_max": 0}}', "events_max is 0"),
        ('{"schema_version": 1, "seed": 1, "histories": [{}]}', "'workflow_id' is missing"),
    ],
)
def test_bad_input_is_refused_with_the_reason(text: str | bytes, told: str) -> None:
    with pytest.raises(MisuseError) as caught:
        RunRecord.from_json(text)
    assert told in str(caught.value)


def verdicts(*results: Truth) -> list[Verdict]:
    return [Verdict(f"P{number}", "Order", result, "why") for number, result in enumerate(results, 1)]


@pytest.mark.parametrize(
    ("fields", "result"),
    [
        ({}, Truth.TRUE),
        ({"verdicts": verdicts(Truth.TRUE, Truth.UNKNOWN)}, Truth.TRUE),
        ({"verdicts": verdicts(Truth.UNKNOWN, Truth.UNKNOWN)}, Truth.UNKNOWN),
        ({"verdicts": verdicts(Truth.UNKNOWN, Truth.FALSE)}, Truth.FALSE),
        ({"verdicts": verdicts(Truth.TRUE), "stopped_by": "events"}, Truth.UNKNOWN),
        ({"verdicts": verdicts(Truth.FALSE), "stopped_by": "events"}, Truth.FALSE),
        ({"verdicts": verdicts(Truth.TRUE), "error": "ValueError: no"}, Truth.FALSE),
    ],
)
def test_the_result_of_a_run(fields: dict[str, Any], result: Truth) -> None:
    record = RunRecord(seed=1, **fields)
    assert record.result is result
    assert record.ok == (result is Truth.TRUE)


def test_a_truth_has_no_truth_value() -> None:
    with pytest.raises(TypeError, match=r"compare it with Truth\.TRUE"):
        bool(Truth.FALSE)


def test_check_raises_with_what_was_found_and_how_to_see_it_again() -> None:
    record = replace(full_record(), options=RunOptions(faults=False), choices_overrides={})
    with pytest.raises(PropertyViolated) as caught:
        record.check()
    said = str(caught.value)
    assert isinstance(caught.value, AssertionError)
    assert "P2 (Order) violated: charged twice" in said
    assert "outage 1" in said
    assert record.digest in said
    assert "stormproof run examples/abc/scenario.py:naive --seed 17 --no-faults --show" in said


def test_check_tells_a_run_that_says_nothing_from_one_that_holds() -> None:
    record = RunRecord(seed=1, stopped_by="events", stopped_detail="worker-1 was busy")
    with pytest.raises(RunInconclusive, match=r"budget of events \(worker-1 was busy\)"):
        record.check()
    record.check(allow_unknown=True)
    RunRecord(seed=1).check()


def test_properties_judge_a_record() -> None:
    class OddSeeds:
        code = "odd"

        def check(self, record: RunRecord) -> list[Verdict]:
            return [Verdict(self.code, "", Truth.TRUE if record.seed % 2 else Truth.FALSE, "the seed is even")]

    record = RunRecord(seed=2)
    record.judge([OddSeeds()])
    assert [verdict.message for verdict in record.violations] == ["the seed is even"]


def test_the_command_is_one_that_a_shell_takes() -> None:
    options = RunOptions(evict_every_task=True, real_time_limit_s=2.5)
    command = reproduce_command("my flows/a.py:main", 3, options)
    assert command == "stormproof run 'my flows/a.py:main' --seed 3 --evict --real-time-limit 2.5"


def test_a_run_that_no_shell_can_name_is_made_again_otherwise() -> None:
    assert RunRecord(seed=4).command() == "stormproof.simulate(<the same function>, seed=4)"
    assert "--record" in full_record().command()


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"real_time_limit_s": 0}, "real_time_limit_s"),
        ({"events_max": -1}, "events_max"),
        ({"virtual_time_max_us": 0}, "virtual_time_max_us"),
    ],
)
def test_options_out_of_range_are_refused(fields: dict[str, Any], told: str) -> None:
    with pytest.raises(MisuseError, match=told):
        RunOptions(**fields)


def test_fault_values_become_plain_data() -> None:
    class Fault:
        def to_data(self) -> dict[str, str]:
            return {"kind": "outage"}

    assert RunOptions(plan=(Fault(), {"kind": "crash"})).to_data()["plan"] == [{"kind": "outage"}, {"kind": "crash"}]
