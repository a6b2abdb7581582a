"""Histories in Temporal's JSON: nothing is lost, the real SDK reads ours, and nonsense gets one clear message."""

from __future__ import annotations

import copy
import dataclasses
import json
import sys
from enum import IntEnum
from pathlib import Path
from typing import Any

import pytest
from history_samples import RECORDED, STARTED, started
from hypothesis import given, settings
from hypothesis import strategies as st
from stormproof.engine.core import events as ev
from stormproof.engine.core import failures as fl
from stormproof.engine.core.events import HistoryEvent
from stormproof.engine.core.payloads import Payload
from stormproof.engine.history_json import _CODECS, events_from_json, events_to_json
from stormproof.engine.proto_json import camel_of_snake
from stormproof.engine.proto_messages import MessageCodec, message_codec


def real_history(source: str | dict[str, Any]) -> Any:
    client = pytest.importorskip("temporalio.client")
    return client.WorkflowHistory.from_json("id", source)


def real_json(history: Any) -> Any:
    return json.loads(history.to_json())


# --- recorded histories ---------------------------------------------------------------------------------------------


def with_full_enums(raw: Any) -> Any:
    """A recorded history as today's tools write it: only the spelling of enumerations is changed."""
    tree = copy.deepcopy(raw)
    for event in tree["events"]:
        kind = event["eventType"]
        if not kind.startswith("EVENT_TYPE_"):
            upper = "".join(f"_{char}" if char.isupper() else char.upper() for char in kind).lstrip("_")
            event["eventType"] = f"EVENT_TYPE_{upper}"
        for attributes in event.values():
            queue = attributes.get("taskQueue") if isinstance(attributes, dict) else None
            if queue and not queue["kind"].startswith("TASK_QUEUE"):
                queue["kind"] = f"TASK_QUEUE_KIND_{queue['kind'].upper()}"
    return tree


@pytest.mark.parametrize("name", sorted(RECORDED))
def test_a_recorded_history_is_written_again_as_it_was(name: str) -> None:
    events = events_from_json(RECORDED[name])
    written = events_to_json(events)
    assert written == with_full_enums(json.loads(RECORDED[name]))
    # Byte strings, parsed objects and what was written give the same events.
    assert events_from_json(RECORDED[name].encode()) == events
    assert events_from_json(written) == events
    assert events_from_json(json.dumps(written)) == events


@pytest.mark.parametrize("name", sorted(RECORDED))
def test_the_real_sdk_sees_no_difference_in_a_history_written_again(name: str) -> None:
    written = events_to_json(events_from_json(RECORDED[name]))
    assert real_history(written) == real_history(RECORDED[name])


@pytest.mark.parametrize("name", sorted(RECORDED))
def test_a_history_read_by_the_real_sdk_and_written_by_it_is_read_here(name: str) -> None:
    canonical = real_json(real_history(RECORDED[name]))
    assert events_to_json(events_from_json(canonical)) == canonical


def test_recorded_protobuf_histories_of_the_sdks_core_are_kept_whole() -> None:
    pytest.importorskip("temporalio")
    import temporalio
    from google.protobuf.json_format import MessageToDict
    from google.protobuf.message import DecodeError
    from temporalio.api.history.v1 import History

    found = 0
    for path in sorted(Path(temporalio.__file__).parent.glob("bridge/**/histories/*.bin")):
        history = History()
        try:
            history.ParseFromString(path.read_bytes())
        except DecodeError:
            continue
        tree = MessageToDict(history)
        assert events_to_json(events_from_json(tree)) == tree, path.name
        found += 1
    if not found:
        pytest.skip("this build of temporalio brings no recorded histories")


def test_a_changed_event_is_written_as_it_is_now() -> None:
    source = RECORDED["test_replayer_swallowed_activity_cancellation"]
    events = events_from_json(source)
    for event in events:
        event.time_us += 1_000_000
        if isinstance(event, ev.WorkflowExecutionStarted):
            event.input = []
            event.task_queue = None
            event.cron_schedule = "* * * * *"
    again = events_from_json(events_to_json(events))
    assert [event.time_us for event in again] == [event.time_us for event in events]
    assert isinstance(again[0], ev.WorkflowExecutionStarted)
    assert (again[0].input, again[0].task_queue, again[0].cron_schedule) == ([], None, "* * * * *")


# --- the tables against Temporal's own descriptors ------------------------------------------------------------------


def test_every_attribute_has_the_name_and_type_of_temporals_protocol() -> None:
    pytest.importorskip("temporalio")
    from temporalio.api.history.v1 import HistoryEvent as RealEvent

    for cls, codec in _CODECS.items():
        attributes = RealEvent.DESCRIPTOR.fields_by_camelcase_name[codec.attributes_key].message_type
        check_names(codec.attributes, attributes, cls.__name__)


def check_names(codec: MessageCodec, descriptor: Any, path: str, *, seen: tuple[str, ...] = ()) -> None:
    from stormproof.engine.proto_json import ListOf, MapOf, Wrapped

    if descriptor.full_name in seen:
        return
    for field in codec._fields:
        real = descriptor.fields_by_camelcase_name.get(field.key)
        where = f"{path}.{field.key}"
        assert real is not None, where
        inner = field.codec
        while not isinstance(inner, MessageCodec):
            if isinstance(inner, Wrapped):
                real = real.message_type.fields_by_camelcase_name[inner._key]
                inner = inner._inner
            elif isinstance(inner, MapOf):
                real = real.message_type.fields_by_name["value"]
                inner = inner._item
            elif isinstance(inner, ListOf):
                assert real.is_repeated, where
                inner = inner._item
            else:
                break
        if isinstance(inner, MessageCodec):
            check_names(inner, real.message_type, where, seen=(*seen, descriptor.full_name))
        else:
            check_scalar(inner, real, where)


def check_scalar(codec: Any, real: Any, where: str) -> None:
    from stormproof.engine import proto_json as pj

    by_type = {
        real.TYPE_STRING: pj.TEXT,
        real.TYPE_BOOL: pj.BOOL,
        real.TYPE_INT32: pj.INT32,
        real.TYPE_UINT32: pj.INT32,
        real.TYPE_INT64: pj.INT64,
        real.TYPE_DOUBLE: pj.FLOAT,
        real.TYPE_BYTES: pj.BYTES,
    }
    if real.type == real.TYPE_MESSAGE:
        kinds = {"google.protobuf.Duration": pj.DURATION_US, "google.protobuf.Timestamp": pj.TIMESTAMP_US}
        assert codec is kinds[real.message_type.full_name], where
    elif real.type == real.TYPE_ENUM:
        assert isinstance(codec, pj.EnumCodec), where
        numbers = real.enum_type.values_by_name
        for member, name in codec._names.items():
            assert numbers[name].number == int(member), where
    else:
        assert codec is by_type[real.type], where


def test_every_event_type_of_temporal_is_written_again_under_its_own_attributes() -> None:
    pytest.importorskip("temporalio")
    from temporalio.api.enums.v1 import EventType
    from temporalio.api.history.v1 import HistoryEvent as RealEvent

    for name in EventType.keys()[1:]:
        events = events_from_json({"events": [STARTED, {"eventId": "2", "eventType": name, **attributes_of(name)}]})
        raw = events_to_json(events)["events"][1]
        keys = [key for key in raw if key.endswith("EventAttributes")]
        assert raw["eventType"] == name
        assert [key in RealEvent.DESCRIPTOR.fields_by_camelcase_name for key in keys] == [True], name


def attributes_of(name: str) -> dict[str, Any]:
    """The least that an event of a type says."""
    camel = camel_of_snake(name.removeprefix("EVENT_TYPE_").lower())
    attributes = {
        **dict.fromkeys(("scheduledEventId", "startedEventId"), "1"),
        "workflowType": {"name": "x"},
        "activityType": {"name": "x"},
        **dict.fromkeys(("activityId", "timerId", "signalName", "markerName"), "x"),
    }
    return {f"{camel}EventAttributes": attributes}


# --- our own events -------------------------------------------------------------------------------------------------

SCALARS: dict[str, st.SearchStrategy[Any]] = {
    "str": st.text(st.characters(exclude_categories=["Cs"]), max_size=8),
    "bool": st.booleans(),
    "int": st.integers(-(2**63), 2**63 - 1),
    "Int32": st.integers(-(2**31), 2**31 - 1),
    "Int64": st.integers(-(2**63), 2**63 - 1),
    "float": st.floats(allow_nan=False, allow_infinity=False),
    "DurationUs": st.integers(-(10**15), 10**17),
    "TimestampUs": st.integers(-62_135_596_800 * 10**6, 253_402_300_799_999_999),
}


def strategy_of(cls: type, annotation: str) -> st.SearchStrategy[Any]:
    plain = annotation.removesuffix(" | None")
    if plain != annotation:
        return st.none() | strategy_of(cls, plain)
    names = {name: value for base in cls.__mro__ for name, value in vars(sys.modules[base.__module__]).items()}
    payloads = st.lists(messages(Payload), max_size=2)
    known = {
        **SCALARS,
        "Payloads": payloads,
        "PayloadMap": st.dictionaries(SCALARS["str"], messages(Payload), max_size=2),
        "dict[str, Payloads]": st.dictionaries(SCALARS["str"], payloads, max_size=2),
        "dict[str, bytes]": st.dictionaries(SCALARS["str"], st.binary(max_size=8), max_size=2),
        "bytes": st.binary(max_size=8),
        "list[str]": st.lists(SCALARS["str"], max_size=2),
        "list[Int32]": st.lists(st.integers(0, 2**31 - 1), max_size=2),
        "FailureInfo": st.one_of([messages(info) for info in fl.FailureInfo.__args__]),
    }
    if plain in known:
        return known[plain]
    if issubclass(names[plain], IntEnum):
        return st.sampled_from(names[plain])
    return messages(names[plain])


def messages(cls: type) -> st.SearchStrategy[Any]:
    return st.deferred(lambda: make_strategy(cls))


_strategies: dict[type, st.SearchStrategy[Any]] = {}


def make_strategy(cls: type) -> st.SearchStrategy[Any]:
    if cls not in _strategies:
        special: dict[str, st.SearchStrategy[Any]] = {
            "extra": st.none(),
            "category": st.sampled_from([0, 1]),
            "next_retry_delay_us": st.none() | SCALARS["DurationUs"],
            **({"cause": st.none() | st.builds(fl.Failure, message=SCALARS["str"])} if cls is fl.Failure else {}),
        }
        fields = {
            field.name: special[field.name] if field.name in special else strategy_of(cls, str(field.type))
            for field in dataclasses.fields(cls)
        }
        _strategies[cls] = st.builds(cls, **fields)
    return _strategies[cls]


def complete(events: list[HistoryEvent]) -> list[HistoryEvent]:
    """Numbered, and with the attributes that a history must have."""
    for number, event in enumerate(events, start=1):
        event.event_id = number
        for name in _CODECS[type(event)].texts:
            setattr(event, name, getattr(event, name) or "x")
        for name in _CODECS[type(event)].events:
            setattr(event, name, 1 + abs(getattr(event, name)) % (number - 1))
    return events


histories = st.tuples(
    messages(ev.WorkflowExecutionStarted),
    st.lists(st.one_of([messages(cls) for cls in _CODECS if cls is not ev.WorkflowExecutionStarted]), max_size=3),
).map(lambda parts: complete([parts[0], *parts[1]]))


@settings(max_examples=150)
@given(histories)
def test_events_come_back_equal_and_nothing_is_left_over(events: list[HistoryEvent]) -> None:
    assert events_from_json(json.dumps(events_to_json(events))) == events


@settings(max_examples=150)
@given(histories)
def test_the_real_sdk_reads_what_is_written_and_would_write_the_same(events: list[HistoryEvent]) -> None:
    written = events_to_json(events)
    found = real_json(real_history(written))["events"]
    # The real SDK writes a float without a fraction as it came; numbers compare equal.
    assert found == written["events"]


@pytest.mark.parametrize("info", [info.__name__ for info in fl.FailureInfo.__args__])
def test_each_kind_of_failure_round_trips(info: str) -> None:
    failure = fl.Failure("m", info=getattr(fl, info)(), cause=fl.Failure("c", stack_trace="s"))
    codec = message_codec(fl.Failure)
    raw = codec.encode(failure)
    assert raw["info" if info == "info" else info[0].lower() + info[1:]] == {}
    assert codec.decode(json.loads(json.dumps(raw)))[0] == failure


# --- what is lenient, and what is kept ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("attributes", "attribute", "value"),
    [
        ({"attempt": "3"}, "attempt", 3),
        ({"attempt": 3.0}, "attempt", 3),
        ({}, "attempt", 0),
        ({"attempt": None}, "attempt", 0),
        ({"workflowRunTimeout": "1.5s"}, "workflow_run_timeout_us", 1_500_000),
        ({"workflowRunTimeout": "1.500000999s"}, "workflow_run_timeout_us", 1_500_000),
        ({"workflowRunTimeout": "-0.5s"}, "workflow_run_timeout_us", -500_000),
        ({"workflow_run_timeout": "2s"}, "workflow_run_timeout_us", 2_000_000),
        ({"workflowExecutionExpirationTime": "1970-01-01T00:00:01.123456789Z"},
         "workflow_execution_expiration_time_us", 1_123_456),
        ({"workflowExecutionExpirationTime": "1970-01-01T01:00:00+01:00"}, "workflow_execution_expiration_time_us", 0),
        ({"workflowExecutionExpirationTime": "1969-12-31T23:59:59.5Z"},
         "workflow_execution_expiration_time_us", -500_000),
        ({"taskQueue": {"name": "q", "kind": "Sticky"}}, "task_queue", ev.TaskQueue("q", ev.TaskQueueKind.STICKY)),
        ({"taskQueue": {"name": "q", "kind": 2}}, "task_queue", ev.TaskQueue("q", ev.TaskQueueKind.STICKY)),
        ({"taskQueue": {"name": "q"}}, "task_queue", ev.TaskQueue("q", ev.TaskQueueKind.UNSPECIFIED)),
        ({"input": {"payloads": [{"data": "-_8"}]}}, "input", [Payload({}, b"\xfb\xff")]),
        ({"input": {"payloads": [{"data": "+/8="}]}}, "input", [Payload({}, b"\xfb\xff")]),
        ({"input": None}, "input", []),
        ({"input": {"payloads": None}}, "input", []),
        ({"header": {}}, "header", {}),
        ({"retryPolicy": {}}, "retry_policy", ev.RetryPolicyData(0, 0.0, 0, 0, [])),
        ({"retryPolicy": {"backoffCoefficient": "2.5"}}, "retry_policy", ev.RetryPolicyData(0, 2.5, 0, 0, [])),
    ],
)  # fmt: skip
def test_what_protocol_buffers_read_is_read(attributes: dict[str, Any], attribute: str, value: Any) -> None:
    source = started(**attributes)
    [event] = events_from_json(source)
    assert getattr(event, attribute) == value
    written = events_to_json([event])
    assert real_history(written) == real_history(source)


@pytest.mark.parametrize(
    "attributes",
    [
        {"identity": "", "attempt": 0, "cronSchedule": ""},
        {"taskQueue": {}, "retryPolicy": {}},
        {"taskQueue": {"name": "q", "futureField": [1, {"a": None}]}},
        {"input": {}, "header": {}, "memo": {"fields": {}}, "lastCompletionResult": {"payloads": []}},
        {"input": {"payloads": [{"metadata": {"encodingDecoded": "json/plain"}, "data": "MQ==", "extra": 1}, {}]}},
        {"workflowRunTimeout": "0s", "workflowExecutionTimeout": "1.000000001s", "unknown": {"deep": [{}]}},
        {"initiator": "CONTINUE_AS_NEW_INITIATOR_UNSPECIFIED"},
        {"continuedFailure": {"message": "m", "nexusHandlerFailureInfo": {"type": "X"}, "cause": {"odd": True}}},
        {"continuedFailure": {"childWorkflowExecutionFailureInfo": {"workflowExecution": {}, "namespace": ""}}},
        {"continuedFailure": {"applicationFailureInfo": {"nextRetryDelay": "0s", "category": 7}}},
    ],
)
def test_what_has_no_place_is_kept_and_written_again(attributes: dict[str, Any]) -> None:
    source = started(**attributes)
    source["events"][0].update(
        version="0",
        taskId="1048586",
        links=[{"x": 1}],
        userMetadata={"summary": {}},
        eventTime="2024-05-06T07:08:09.100Z",
    )
    written = events_to_json(events_from_json(source))
    assert written == source


def test_a_failure_cause_that_is_not_ours_is_kept() -> None:
    raw = {
        "eventId": "2",
        "eventType": "WorkflowTaskFailed",
        "workflowTaskFailedEventAttributes": {"scheduledEventId": "1", "cause": "WORKFLOW_TASK_FAILED_CAUSE_FUTURE"},
    }
    events = events_from_json({"events": [STARTED, raw]})
    assert events_to_json(events)["events"][1] == {**raw, "eventType": "EVENT_TYPE_WORKFLOW_TASK_FAILED"}
