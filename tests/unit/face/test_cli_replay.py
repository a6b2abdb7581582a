"""``stormproof replay``: recorded histories on present code."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from stormproof.cli import main

WORKFLOWS = """
    from datetime import timedelta
    from stormproof import workflow

    @workflow.defn
    class Nap:
        @workflow.run
        async def run(self) -> str:
            await workflow.sleep(timedelta(seconds=3))
            return "rested"
"""


def history(**changes: Any) -> dict[str, Any]:
    started = {
        "workflowType": {"name": "Nap"},
        "taskQueue": {"name": "naps"},
        "originalExecutionRunId": "11111111-1111-1111-1111-111111111111",
        "workflowId": "nap-1",
    }
    events = [
        ("WORKFLOW_EXECUTION_STARTED", {"workflowExecutionStartedEventAttributes": started}),
        ("WORKFLOW_TASK_SCHEDULED", {"workflowTaskScheduledEventAttributes": {"taskQueue": {"name": "naps"}}}),
        ("WORKFLOW_TASK_STARTED", {"workflowTaskStartedEventAttributes": {"scheduledEventId": "2"}}),
        (
            "WORKFLOW_TASK_COMPLETED",
            {"workflowTaskCompletedEventAttributes": {"scheduledEventId": "2", "startedEventId": "3"}},
        ),
        (
            "TIMER_STARTED",
            {
                "timerStartedEventAttributes": {
                    "timerId": "1",
                    "startToFireTimeout": "3s",
                    "workflowTaskCompletedEventId": "4",
                }
            },
        ),
        ("TIMER_FIRED", {"timerFiredEventAttributes": {"timerId": "1", "startedEventId": "5"}}),
        ("WORKFLOW_TASK_SCHEDULED", {"workflowTaskScheduledEventAttributes": {"taskQueue": {"name": "naps"}}}),
        ("WORKFLOW_TASK_STARTED", {"workflowTaskStartedEventAttributes": {"scheduledEventId": "7"}}),
        (
            "WORKFLOW_TASK_COMPLETED",
            {"workflowTaskCompletedEventAttributes": {"scheduledEventId": "7", "startedEventId": "8"}},
        ),
        (
            "WORKFLOW_EXECUTION_COMPLETED",
            {"workflowExecutionCompletedEventAttributes": {"workflowTaskCompletedEventId": "9"}},
        ),
    ]
    found = [
        {"eventId": str(number), "eventTime": "2026-01-05T09:00:00Z", "eventType": f"EVENT_TYPE_{name}", **attributes}
        for number, (name, attributes) in enumerate(events, 1)
    ]
    started.update(changes)
    return {"events": found}


@dataclass
class Ended:
    code: int
    out: str
    err: str


@pytest.fixture
def call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "naps.py").write_text(dedent(WORKFLOWS), encoding="utf-8")
    (tmp_path / "good.json").write_text(json.dumps(history()), encoding="utf-8")

    def run(*arguments: str) -> Ended:
        code = main(["replay", *arguments])
        captured = capsys.readouterr()
        return Ended(code, captured.out, captured.err)

    return run


def test_a_history_that_replays(call: Any) -> None:
    ended = call("good.json", "--workflows", "naps.py")
    assert (ended.code, ended.out, ended.err) == (0, "good.json: HOLDS Nap, 10 events\n", "")
    assert call("good.json", "-w", "naps", "--quiet").out == ""


def test_a_history_of_other_code_does_not(call: Any, tmp_path: Path) -> None:
    changed = dedent(WORKFLOWS).replace("await workflow.sleep(timedelta(seconds=3))", "pass")
    (tmp_path / "naps_2.py").write_text(changed, encoding="utf-8")
    ended = call("good.json", "good.json", "--workflows", "naps_2.py", "--json", "r.json")
    assert ended.code == 1
    assert ended.out.count("good.json: VIOLATED Nap, 10 events") == 2
    data = json.loads((tmp_path / "r.json").read_text(encoding="utf-8"))
    assert data["verdict"] == "violated"
    assert [item["replays"] for item in data["histories"]] == [False, False]
    assert data["histories"][0]["message"]


def test_json_on_standard_output_is_alone_there(call: Any) -> None:
    ended = call("good.json", "-w", "naps.py", "--json", "-")
    assert json.loads(ended.out)["histories"][0]["replays"] is True
    assert "HOLDS" in ended.err


def test_mistakes_get_one_message_and_exit_code_2(call: Any, tmp_path: Path) -> None:
    good = (tmp_path / "good.json").read_text(encoding="utf-8")
    (tmp_path / "cut.json").write_text(good[: len(good) // 2], encoding="utf-8")
    (tmp_path / "headless.json").write_text(json.dumps({"events": history()["events"][1:]}), encoding="utf-8")
    (tmp_path / "other.json").write_text(json.dumps(history(workflowType={"name": "Nup"})), encoding="utf-8")
    (tmp_path / "empty.json").write_text('{"events": []}', encoding="utf-8")
    (tmp_path / "none.py").write_text("x = 1", encoding="utf-8")
    (tmp_path / "twice.py").write_text(dedent(WORKFLOWS), encoding="utf-8")
    for arguments, told in (
        (["missing.json", "-w", "naps.py"], "the history missing.json cannot be read: No such file"),
        (["good.json"], "Missing option '--workflows'"),
        (["-w", "naps.py"], "Missing argument 'HISTORY.json...'"),
        (["good.json", "-w", "none.py"], "none.py has no workflow"),
        (["good.json", "-w", "missing.py"], "there is no file missing.py"),
        (["good.json", "-w", "naps.py", "-w", "twice.py"], "two workflows are named 'Nap'"),
        (["cut.json", "-w", "naps.py"], "cut.json: "),
        (["headless.json", "-w", "naps.py"], "headless.json: "),
        (["empty.json", "-w", "naps.py"], "empty.json: "),
        (["other.json", "-w", "naps.py"], "a history of the workflow 'Nup', which naps.py does not have (it has Nap)"),
        (["good.json", "other.json", "-w", "naps.py"], "is Nap its new name?"),
        (["good.json", "-w", "naps.py", "--json", "no/r.json"], "cannot be written to no/r.json"),
    ):
        ended = call(*arguments)
        assert ended.code == 2, arguments
        assert told in ended.err, arguments
        assert "Traceback" not in ended.err
        assert ended.out == "" or "--json" in arguments
