"""Our runtime against the real SDK: the same verdict on a history, the same activations, the same answers to them."""

from __future__ import annotations

import copy
import json
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


# --- recorded histories of real servers -----------------------------------------------------------------------------


def recorded(name: str) -> dict[str, Any]:
    history: dict[str, Any] = json.loads((HERE / "histories" / f"test_replayer_{name}.json").read_text("utf-8"))
    return history


def without_lang_flags(history: dict[str, Any]) -> dict[str, Any]:
    history = copy.deepcopy(history)
    for event in history["events"]:
        completed = event.get("workflowTaskCompletedEventAttributes", {})
        completed.get("sdkMetadata", {}).pop("langUsedFlags", None)
    return history


@pytest.mark.parametrize(
    ("name", "workflow_name", "verdict"),
    [
        ("complete_history", "SayHelloWorkflow", "accepted"),
        ("nondeterministic_history", "SayHelloWorkflow", "nondeterminism"),
        ("swallowed_activity_cancellation", "QuickActivityWorkflow", "nondeterminism"),
        ("event_tracing_alternate", "ActivityAndSignalsWhileWorkflowDown", "accepted"),
    ],
)
def test_recorded_histories(name: str, workflow_name: str, verdict: str) -> None:
    real, ours = load_both(HERE / "workflows" / "recorded.py")
    history = recorded(name)
    ours_seen = replay_ours("wf", history, WorkflowDefinition.of(getattr(ours, workflow_name)))
    assert_same(ours_seen, replay_real([("wf", history)], [getattr(real, workflow_name)])[0])
    assert ours_seen.verdict == verdict


def test_a_flag_of_the_language_decides_whether_a_cancellation_is_swallowed() -> None:
    real, ours = load_both(HERE / "workflows" / "recorded.py")
    history = without_lang_flags(recorded("swallowed_activity_cancellation"))
    seen = replay_ours("wf", history, WorkflowDefinition.of(ours.QuickActivityWorkflow))
    assert_same(seen, replay_real([("wf", history)], [real.QuickActivityWorkflow])[0])
    assert seen.verdict == "accepted"


def test_signals_are_seen_before_the_end_of_an_activity() -> None:
    _, ours = load_both(HERE / "workflows" / "recorded.py")
    history = recorded("event_tracing_alternate")
    seen = replay_ours("wf", history, WorkflowDefinition.of(ours.ActivityAndSignalsWhileWorkflowDown))
    assert json.loads(seen.answers[-1]["commands"][-1]["result"]) == [
        *("act-start", "sig-1", "sig-2", "counter-2", "act-done"),
    ]


# --- going on from a cache ------------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:.TMPRL1102.")
@pytest.mark.parametrize("name", workflow_names())
def test_a_run_in_the_cache_and_a_replayed_one_ask_for_the_same(name: str) -> None:
    """The toy server evicts by chance; whatever it evicts, the history must come out the same for the same whims."""
    definition = WorkflowDefinition.of(getattr(OURS, name))
    for seed in range(20):
        options: dict[str, Any] = {"arguments": ARGUMENTS.get(name, ()), "signals": SIGNALS.get(name, ())}
        cached = ToyServer(definition, seed, **options, evicts="never").play()
        cold = ToyServer(definition, seed, **options, evicts="always").play()
        assert cached == cold


# --- versions of the code -------------------------------------------------------------------------------------------

VERSIONS = ["VersionedBefore", "VersionedPatched", "VersionedTwice", "VersionedDeprecated", "VersionedAfter"]


def with_upserts(history: dict[str, Any]) -> dict[str, Any]:
    """As a real server and core record it: a search attribute is written next to each patch's marker."""
    events: list[dict[str, Any]] = []
    for event in history["events"]:
        event["eventId"] = str(len(events) + 1)
        events.append(event)
        if event["eventType"] == "EVENT_TYPE_MARKER_RECORDED":
            attributes = {"searchAttributes": {"indexedFields": {"TemporalChangeVersion": {"data": "W10="}}}}
            events.append(
                {
                    "eventId": str(len(events) + 1),
                    "eventTime": event["eventTime"],
                    "eventType": "EVENT_TYPE_UPSERT_WORKFLOW_SEARCH_ATTRIBUTES",
                    "upsertWorkflowSearchAttributesEventAttributes": attributes,
                }
            )
    return {"events": events}


def renumbered(history: dict[str, Any]) -> dict[str, Any]:
    """The same, with references to events that have moved, and the flag that says so."""
    before = [event["eventId"] for event in history["events"]]
    history = with_upserts(copy.deepcopy(history))
    kept = [e for e in history["events"] if e["eventType"] != "EVENT_TYPE_UPSERT_WORKFLOW_SEARCH_ATTRIBUTES"]
    moved = dict(zip(before, (event["eventId"] for event in kept), strict=True))
    for event in history["events"]:
        for key, attributes in event.items():
            if key.endswith("EventAttributes"):
                for name in [name for name in attributes if name.endswith("EventId")]:
                    attributes[name] = moved[attributes[name]]
                attributes.get("sdkMetadata", {}).setdefault("coreUsedFlags", []).append(2)
    return history


@pytest.mark.parametrize("recorded_by", VERSIONS)
@pytest.mark.parametrize("replayed_by", VERSIONS)
@pytest.mark.parametrize("upserts", [False, True])
def test_a_history_of_one_version_on_another(recorded_by: str, replayed_by: str, upserts: bool) -> None:
    histories = [make(recorded_by, seed) for seed in range(8)]
    if upserts:
        histories = [renumbered(history) for history in histories]
    verdicts = {seen.verdict for seen in compare(replayed_by, histories)}
    assert "failed" not in verdicts
