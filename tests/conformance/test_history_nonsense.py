"""What is no history gets one clear message, and whatever is damaged is read or refused, but never breaks."""

from __future__ import annotations

import contextlib
import copy
import json
from collections.abc import Iterator
from typing import Any

import pytest
from history_samples import RECORDED, STARTED, started
from hypothesis import given, settings
from hypothesis import strategies as st
from stormproof.engine.core import events as ev
from stormproof.engine.core.errors import MisuseError
from stormproof.engine.history_json import HistoryError, events_from_json, events_to_json

TIMER: dict[str, Any] = {"timerId": "1", "startToFireTimeout": "1s", "workflowTaskCompletedEventId": "1"}


def second(kind: str, attributes: Any, **changes: Any) -> dict[str, Any]:
    raw = {"eventId": "2", "eventType": kind, f"{kind[0].lower()}{kind[1:]}EventAttributes": attributes, **changes}
    return {"events": [STARTED, raw]}


BAD: list[tuple[Any, str]] = [
    ("", "a history: expected JSON, but at line 1, column 1 (it looks cut short): Expecting value"),
    ("{", "it looks cut short"),
    ('{"events": [{"eventId": "1", "even', "cut short"),
    ('{"events": [}', "expected JSON, but at line 1, column 13: Expecting value"),
    ('{"events": []} x', "Extra data"),
    ("null", 'expected an object with a list of "events", found None'),
    ("[1, 2]", "found a list of 2"),
    ('"text"', "found 'text'"),
    ("3", "found 3"),
    (None, "found None"),
    (b"\xff\xfe\xfd", "expected text in UTF-8"),
    (b"\x80abc", "expected text in UTF-8, found other bytes at byte 0"),
    ("{}", 'expected a list under the key "events", found no such key'),
    ({"events": {}}, "found an object of 0"),
    ({"events": "x"}, "found 'x'"),
    ({"events": []}, "expected at least one event"),
    ({"events": [None]}, "event 1: expected an event (an object), found None"),
    ({"events": [{}]}, "event 1: eventType: expected a name"),
    ({"events": [{"eventType": "no type"}]}, "expected a name such as"),
    ({"events": [{"eventType": 5}]}, "found 5"),
    ({"events": [{**STARTED, "eventId": "2"}]}, "expected eventId 1 (ids count from 1 without gaps), found 2"),
    ({"events": [{**STARTED, "eventId": None}]}, "expected eventId 1"),
    ({"events": [STARTED, STARTED]}, "event 2 ('EVENT_TYPE_WORKFLOW_EXECUTION_STARTED'): expected eventId 2"),
    ({"events": [{**STARTED, "eventTime": "yesterday"}]}, "eventTime: expected a time such as"),
    ({"events": [{**STARTED, "eventTime": "2024-13-01T00:00:00Z"}]}, "eventTime: expected a time"),
    ({"events": [{**STARTED, "eventTime": 5}]}, "eventTime: expected a time"),
    ({"events": [{**STARTED, "userMetadata": 1}]}, "userMetadata: expected an object, found 1"),
    (
        {"events": [{"eventId": "1", "eventType": "WorkflowExecutionStarted"}]},
        "workflowExecutionStartedEventAttributes: it is missing",
    ),
    (
        {"events": [{"eventId": "1", "eventType": "WorkflowExecutionStarted", "timerFiredEventAttributes": {}}]},
        "EventAttributes: expected the attributes of this event, found 'timerFiredEventAttributes'",
    ),
    ({"events": [{"eventId": "1", "eventType": "Future", "futureEventAttributes": 1}]}, "expected an object, found 1"),
    ({"events": [{"eventId": "1", "eventType": "Future"}]}, "futureEventAttributes: it is missing"),
    ({"events": [{"eventId": "1", "eventType": "Future", "futureEventAttributes": {}}]}, "as the first event"),
    ({"events": [{"eventId": "1", "eventType": "Future", 3: 4}]}, "futureEventAttributes: it is missing"),
    (started(workflowType=None), "workflowExecutionStartedEventAttributes.workflowType: it is missing"),
    (started(workflowType="W"), "workflowType: expected an object with \"name\", found 'W'"),
    (started(workflowType={"name": 5}), "workflowType.name: expected a text, found 5"),
    (started(attempt="many"), "attempt: expected an integer, found 'many'"),
    (started(attempt=True), "attempt: expected an integer, found True"),
    (started(attempt=1.5), "attempt: expected an integer, found 1.5"),
    (started(attempt=2**31), "attempt: expected an integer of 32 bits"),
    (started(attempt="9" * 30), "attempt: expected an integer"),
    (started(workflowRunTimeout="1"), "expected a duration such as \"1.500s\", found '1'"),
    (started(workflowRunTimeout=1), "expected a duration"),
    (started(workflowRunTimeout="1.s"), "expected a duration"),
    (started(workflowRunTimeout="\u0661s"), "expected a duration"),
    (started(input=[1]), 'input: expected an object with "payloads", found a list of 1'),
    (started(input={"payloads": {}}), "input.payloads: expected a list, found an object of 0"),
    (started(input={"payloads": [1]}), "input.payloads.0: expected an object, found 1"),
    (started(input={"payloads": [{"data": "!"}]}), "input.payloads.0.data: expected bytes in base64, found '!'"),
    (started(input={"payloads": [{"data": "A"}]}), "expected bytes in base64"),
    (started(input={"payloads": [{"metadata": {"a": 1}}]}), "input.payloads.0.metadata.a: expected bytes in base64"),
    (started(header={"fields": []}), "header.fields: expected an object, found a list of 0"),
    (started(initiator=1.5), "initiator: expected the name of an enumeration's member"),
    (started(initiator="a b"), "initiator: expected the name of an enumeration's member"),
    (started(retryPolicy={"backoffCoefficient": "wide"}), "retryPolicy.backoffCoefficient: expected a number"),
    (started(retryPolicy={"backoffCoefficient": "NaN"}), "expected a number"),
    (started(retryPolicy={"backoffCoefficient": True}), "expected a number, found True"),
    (started(retryPolicy={"nonRetryableErrorTypes": [1]}), "nonRetryableErrorTypes.0: expected a text"),
    (started(continuedFailure={"cause": {"cause": {"message": 1}}}), "continuedFailure.cause.cause.message: expected"),
    (second("TimerFired", {"timerId": "1"}), "timerFiredEventAttributes.startedEventId: expected the id of an earlier"),
    (second("TimerFired", {"startedEventId": "1"}), "timerFiredEventAttributes.timerId: it is missing"),
    (second("TimerFired", {"timerId": "1", "startedEventId": "2"}), "expected the id of an earlier event, found 2"),
    (second("TimerStarted", TIMER, eventId="3"), "expected eventId 2"),
    (second("WorkflowTaskStarted", {"suggestContinueAsNew": "yes", "scheduledEventId": 1}), "expected true or false"),
    ('{"events": [{"eventId": NaN}]}', "expected JSON of plain numbers: found NaN"),
    ('{"events": [{"eventId": ' + "9" * 5000 + "}]}", "a history"),
    ('{"events": ' + "[" * 100_000, "a history: expected JSON"),
    ({"events": [{**STARTED, "a": json.loads("[" * 200 + "]" * 200)}]}, "at most 100 levels"),
]


@pytest.mark.parametrize(("source", "message"), BAD, ids=[text[-60:] for _, text in BAD])
def test_what_is_no_history_gets_one_clear_message(source: Any, message: str) -> None:
    with pytest.raises(HistoryError) as caught:
        events_from_json(source)
    text = str(caught.value)
    assert message in text
    assert text.startswith("a history")
    assert "\n" not in text
    assert isinstance(caught.value, MisuseError)
    assert str(HistoryError(*caught.value.args)) == text


def test_hostile_nesting_of_causes_is_refused() -> None:
    failure: dict[str, Any] = {"message": "innermost"}
    for _ in range(5000):
        failure = {"cause": failure}
    with pytest.raises(HistoryError, match="at most 100 levels"):
        events_from_json(started(continuedFailure=failure))


def test_a_time_that_json_can_not_hold_is_refused_by_the_writer() -> None:
    event = ev.WorkflowExecutionStarted(event_id=1, time_us=10**18, workflow_type="W")
    with pytest.raises(HistoryError, match="event 1: it can't be written: expected a time before the year 10000"):
        events_to_json([event])


def places(tree: Any) -> Iterator[tuple[Any, Any]]:
    """Every place in a tree that a value can be put into."""
    items = list(tree.items()) if isinstance(tree, dict) else list(enumerate(tree)) if isinstance(tree, list) else []
    for key, value in items:
        yield tree, key
        yield from places(value)


ODD = [
    None,
    True,
    -1,
    0,
    2**70,
    1.5,
    "",
    "x",
    "1",
    "é" * 3,
    [],
    [None],
    {},
    {"a": 1},
    {"payloads": 1},
    [[]],
    "0s",
    "Normal",
]


@settings(max_examples=400)
@given(data=st.data(), name=st.sampled_from(sorted(RECORDED)))
def test_a_damaged_history_is_read_or_refused_but_never_breaks(data: st.DataObject, name: str) -> None:
    tree = json.loads(RECORDED[name])
    for _ in range(data.draw(st.integers(1, 3))):
        spots = list(places(tree))
        if not spots:
            break
        parent, key = data.draw(st.sampled_from(spots))
        action = data.draw(st.integers(0, 3))
        if action == 0:
            del parent[key]
        elif action == 1 and isinstance(parent, dict):
            parent[data.draw(st.sampled_from(["cause", "eventType", "x", "payloads"]))] = parent.pop(key)
        else:
            parent[key] = copy.deepcopy(data.draw(st.sampled_from(ODD)))
    try:
        events = events_from_json(tree)
    except HistoryError:
        return
    assert events_from_json(events_to_json(events)) == events


@settings(max_examples=200)
@given(data=st.data(), name=st.sampled_from(sorted(RECORDED)))
def test_a_damaged_text_is_read_or_refused_but_never_breaks(data: st.DataObject, name: str) -> None:
    text = RECORDED[name].encode()
    position = data.draw(st.integers(0, len(text)))
    damaged = data.draw(
        st.sampled_from(
            [text[:position], text[:position] + b"\xff" + text[position:], text[:position] + text[position + 1 :]]
        )
    )
    with contextlib.suppress(HistoryError):
        events_from_json(damaged)
