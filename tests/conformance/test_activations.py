"""Our runtime against the real SDK: the same verdict on a history, the same activations, the same answers to them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("temporalio")

from both import load_both
from real_core import Seen, replay_ours, replay_real
from stormproof.engine.core.definition import WorkflowDefinition
from stormproof.engine.history_json import events_to_json
from toy_server import ToyServer

HERE = Path(__file__).parent
REAL, OURS = load_both(HERE / "workflows" / "tried.py")


def workflow_names() -> list[str]:
    return [name for name, value in vars(OURS).items() if isinstance(value, type) and WorkflowDefinition.find(value)]


ARGUMENTS: dict[str, tuple[Any, ...]] = {"Sequential": ("it",), "Strict": ("told",)}
SIGNALS: dict[str, tuple[tuple[str, tuple[Any, ...]], ...]] = {
    "Talkative": (("late", (0,)), ("put", ("a",)), ("put", ("b",)), ("go", ()), ("late", (1,)), ("put", ("c",))),
    "Dynamic": (("one", (1,)), ("two", ()), ("one", (1, "x")), ("three", (3,))),
    "Untidy": (("poke", (1,)), ("poke", (0,))),
    "SignalFails": (("unknown", ()), ("boom", (0,)), ("boom", (1,))),
}
CANCELLED = {"Cleanup", "Deaf", "TryCancel", "WaitCancelled", "Abandon", "Parallel", "Talkative", "TimesOut"}


def make(name: str, seed: int) -> dict[str, Any]:
    definition = WorkflowDefinition.of(getattr(OURS, name))
    server = ToyServer(
        definition,
        seed,
        arguments=ARGUMENTS.get(name, ()),
        signals=SIGNALS.get(name, ()),
        cancels=name in CANCELLED and seed % 2 == 1,
        lang_flags=frozenset({2}) if seed % 5 == 4 else frozenset(),
    )
    events = server.play()
    if seed % 3 == 0:
        # A run that isn't closed, or a history that was cut short.
        events = events[: 3 + seed * 7 % len(events)]
    return events_to_json(events)


def assert_same(ours: Seen, real: Seen) -> None:
    for number, (our_one, real_one) in enumerate(zip(ours.activations, real.activations, strict=False)):
        assert our_one == real_one, f"activation {number}"
        assert ours.answers[number] == real.answers[number], f"answer to activation {number}"
    assert (ours.verdict, len(ours.activations)) == (real.verdict, len(real.activations)), (ours.message, real.message)


def compare(name: str, histories: list[dict[str, Any]]) -> list[Seen]:
    real = replay_real([("wf", history) for history in histories], [getattr(REAL, name)])
    definition = WorkflowDefinition.of(getattr(OURS, name))
    found = []
    for number, history in enumerate(histories):
        ours = replay_ours("wf", history, definition)
        try:
            assert_same(ours, real[number])
        except AssertionError:
            print(f"history {number} of {name}:", *(one["eventType"] for one in history["events"]), sep="\n  ")
            raise
        found.append(ours)
    return found


@pytest.mark.parametrize("name", workflow_names())
@pytest.mark.filterwarnings("ignore:.TMPRL1102.")
def test_histories_of_every_kind(name: str) -> None:
    compare(name, [make(name, seed) for seed in range(40)])


# --- histories made wrong on purpose --------------------------------------------------------------------------------


def indexes(history: dict[str, Any], *names: str) -> list[int]:
    wanted = {f"EVENT_TYPE_{name}" for name in names}
    return [index for index, event in enumerate(history["events"]) if event["eventType"] in wanted]


def another_type(history: dict[str, Any], index: int) -> None:
    history["events"][index]["activityTaskScheduledEventAttributes"]["activityType"]["name"] = "something_else"


def another_id(history: dict[str, Any], index: int) -> None:
    history["events"][index]["activityTaskScheduledEventAttributes"]["activityId"] = "77"


def timer_for_activity(history: dict[str, Any], index: int) -> None:
    event = history["events"][index]
    del event["activityTaskScheduledEventAttributes"]
    event["eventType"] = "EVENT_TYPE_TIMER_STARTED"
    event["timerStartedEventAttributes"] = {"timerId": "1", "startToFireTimeout": "1s"}


def activity_for_timer(history: dict[str, Any], index: int) -> None:
    event = history["events"][index]
    del event["timerStartedEventAttributes"]
    event["eventType"] = "EVENT_TYPE_ACTIVITY_TASK_SCHEDULED"
    event["activityTaskScheduledEventAttributes"] = {"activityId": "1", "activityType": {"name": "step"}}


def another_timer(history: dict[str, Any], index: int) -> None:
    history["events"][index]["timerFiredEventAttributes"]["timerId"] = "99"


def another_timer_length(history: dict[str, Any], index: int) -> None:
    history["events"][index]["timerStartedEventAttributes"]["startToFireTimeout"] = "12345s"


def another_input(history: dict[str, Any], index: int) -> None:
    history["events"][index]["activityTaskScheduledEventAttributes"]["input"] = {}


def another_cause(history: dict[str, Any], index: int) -> None:
    history["events"][index]["activityTaskStartedEventAttributes"]["scheduledEventId"] = "2"


def no_result(history: dict[str, Any], index: int) -> None:
    history["events"][index]["activityTaskCompletedEventAttributes"].pop("result", None)


def failed_for_completed(history: dict[str, Any], index: int) -> None:
    event = history["events"][index]
    completed = event.pop("workflowExecutionCompletedEventAttributes")
    task = completed.get("workflowTaskCompletedEventId", "0")
    event["eventType"] = "EVENT_TYPE_WORKFLOW_EXECUTION_FAILED"
    event["workflowExecutionFailedEventAttributes"] = {
        "failure": {"message": "x"},
        "workflowTaskCompletedEventId": task,
    }


def no_flags(history: dict[str, Any], index: int) -> None:
    history["events"][index]["workflowTaskCompletedEventAttributes"].pop("sdkMetadata", None)


def terminated_after(history: dict[str, Any], index: int) -> None:
    del history["events"][index + 1 :]
    event_id = str(index + 2)
    history["events"].append(
        {
            "eventId": event_id,
            "eventTime": "2030-01-01T00:00:00Z",
            "eventType": "EVENT_TYPE_WORKFLOW_EXECUTION_TERMINATED",
            "workflowExecutionTerminatedEventAttributes": {"reason": "enough"},
        }
    )


def cut_after(history: dict[str, Any], index: int) -> None:
    del history["events"][index + 1 :]


CHANGES = [
    (another_type, ("ACTIVITY_TASK_SCHEDULED",)),
    (another_id, ("ACTIVITY_TASK_SCHEDULED",)),
    (timer_for_activity, ("ACTIVITY_TASK_SCHEDULED",)),
    (another_input, ("ACTIVITY_TASK_SCHEDULED",)),
    (activity_for_timer, ("TIMER_STARTED",)),
    (another_timer_length, ("TIMER_STARTED",)),
    (another_timer, ("TIMER_FIRED",)),
    (another_cause, ("ACTIVITY_TASK_STARTED",)),
    (no_result, ("ACTIVITY_TASK_COMPLETED",)),
    (failed_for_completed, ("WORKFLOW_EXECUTION_COMPLETED",)),
    (no_flags, ("WORKFLOW_TASK_COMPLETED",)),
    (
        terminated_after,
        ("WORKFLOW_TASK_COMPLETED", "TIMER_STARTED", "ACTIVITY_TASK_SCHEDULED", "WORKFLOW_TASK_STARTED"),
    ),
    (cut_after, ("WORKFLOW_TASK_SCHEDULED", "WORKFLOW_TASK_COMPLETED", "TIMER_FIRED", "ACTIVITY_TASK_STARTED")),
]


@pytest.mark.filterwarnings("ignore:.TMPRL1102.")
@pytest.mark.parametrize(("change", "names"), CHANGES, ids=[change.__name__ for change, _ in CHANGES])
def test_histories_made_wrong(change: Any, names: tuple[str, ...]) -> None:
    for workflow_name in ("Sequential", "Parallel", "Talkative", "WaitCancelled", "Timers"):
        histories = []
        for seed in range(24):
            history = make(workflow_name, seed)
            places = indexes(history, *names)
            if places:
                change(history, places[seed % len(places)])
                histories.append(history)
        compare(workflow_name, histories)
