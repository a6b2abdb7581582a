"""Histories in Temporal's JSON: what ``temporal workflow show``, the web interface and the SDKs write and read.

Event types and other enumerations are read in both spellings (``EVENT_TYPE_TIMER_FIRED``, ``TimerFired``) and written
in the first, which is protocol buffers' own. Nothing is lost: what an event class has no place for is kept in its
``extra``, and an event of another type is kept as a whole.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, NoReturn

from .core import events as ev
from .core.errors import MisuseError
from .core.events import HistoryEvent, OtherEvent
from .proto_json import (
    INT64,
    NOTHING,
    TIMESTAMP_US,
    BadValue,
    camel_of_upper,
    shorten,
    upper_snake,
)
from .proto_messages import Field, MessageCodec, message_codec, message_fields

_DEPTH_MAX = 100
_PREFIX = "EVENT_TYPE_"
_SUFFIX = "EventAttributes"
_BASE_FIELDS = ("event_id", "time_us", "user_metadata", "extra")

REQUIRED_TEXTS = (
    "activity_id",
    "activity_type",
    "marker_name",
    "signal_name",
    "timer_id",
    "workflow_type",
)
"""Attributes without which an event that has them says nothing."""

REQUIRED_EVENTS: dict[type[HistoryEvent], tuple[str, ...]] = {
    ev.WorkflowTaskStarted: ("scheduled_event_id",),
    ev.WorkflowTaskCompleted: ("scheduled_event_id", "started_event_id"),
    ev.WorkflowTaskTimedOut: ("scheduled_event_id",),
    ev.WorkflowTaskFailed: ("scheduled_event_id",),
    ev.ActivityTaskStarted: ("scheduled_event_id",),
    ev.ActivityTaskCompleted: ("scheduled_event_id", "started_event_id"),
    ev.ActivityTaskFailed: ("scheduled_event_id", "started_event_id"),
    ev.ActivityTaskTimedOut: ("scheduled_event_id",),
    ev.ActivityTaskCancelRequested: ("scheduled_event_id",),
    ev.ActivityTaskCanceled: ("scheduled_event_id",),
    ev.TimerFired: ("started_event_id",),
    ev.TimerCanceled: ("started_event_id",),
}
"""Attributes that name an earlier event, and must."""


class HistoryError(MisuseError):
    """What was given is not a history: the message says where, what was expected, and what was found."""


def _event_classes() -> list[type[HistoryEvent]]:
    found = [value for value in vars(ev).values() if isinstance(value, type) and issubclass(value, HistoryEvent)]
    return [cls for cls in found if cls not in (HistoryEvent, OtherEvent)]


class _EventCodec:
    """The codec of one event type: its attributes are a message of their own."""

    def __init__(self, cls: type[HistoryEvent]) -> None:
        self.cls = cls
        self.event_type = _PREFIX + upper_snake(cls.__name__)
        self.attributes_key = cls.__name__[0].lower() + cls.__name__[1:] + _SUFFIX
        fields = message_fields(cls, without=_BASE_FIELDS)
        names = {field.attribute for field in fields}
        self.texts = tuple(name for name in REQUIRED_TEXTS if name in names)
        self.events = REQUIRED_EVENTS.get(cls, ())
        self.keys = {field.attribute: field.key for field in fields}
        self.attributes = MessageCodec(dict, fields)

    def check(self, event_id: int, values: dict[str, Any]) -> None:
        """Refuse attributes that are missing."""
        for name in self.texts:
            if not values[name]:
                raise _missing(self.attributes_key, self.keys[name])
        for name in self.events:
            if not 0 < values[name] < event_id:
                bad = BadValue("the id of an earlier event", values[name])
                bad.path = [self.attributes_key, self.keys[name]]
                raise bad


def _missing(*path: str) -> BadValue:
    bad = BadValue("this attribute", NOTHING)
    bad.path = list(path)
    return bad


_CODECS = {cls: _EventCodec(cls) for cls in _event_classes()}
_BY_TYPE = {codec.event_type: codec for codec in _CODECS.values()}
_BASE = MessageCodec(
    dict,
    [
        Field("event_id", "eventId", INT64, has_presence=False),
        Field("time_us", "eventTime", TIMESTAMP_US, has_presence=False),
        Field("user_metadata", "userMetadata", message_codec(ev.UserMetadata), has_presence=True),
    ],
)


# --- reading --------------------------------------------------------------------------------------------------------


def events_from_json(source: str | bytes | dict[str, Any]) -> list[HistoryEvent]:
    """The events of a history in Temporal's JSON.

    Args:
        source: JSON text, or what it was parsed to: an object with a list of ``events``.

    Raises:
        HistoryError: It is not a whole history, from its first event on.
    """
    raw_events = _events_of(source)
    try:
        events = [_decode_numbered(number, raw) for number, raw in enumerate(raw_events, start=1)]
    except RecursionError:
        raise HistoryError("a history: it is nested too deeply to be one") from None
    if not isinstance(events[0], ev.WorkflowExecutionStarted):
        _fail(1, raw_events[0], "expected WorkflowExecutionStarted as the first event of a history")
    return events


def _events_of(source: str | bytes | dict[str, Any]) -> list[Any]:
    tree = _parse(source) if isinstance(source, (str, bytes)) else source
    if not isinstance(tree, dict):
        raise HistoryError(f'a history: expected an object with a list of "events", found {shorten(tree)}')
    raw_events = tree.get("events")
    if not isinstance(raw_events, list):
        found = "no such key" if raw_events is None else shorten(raw_events)
        raise HistoryError(f'a history: expected a list under the key "events", found {found}')
    if not raw_events:
        raise HistoryError("a history: expected at least one event, found none")
    _check_depth(raw_events)
    return raw_events


def _parse(source: str | bytes) -> Any:
    try:
        return json.loads(source, parse_constant=_refuse_constant)
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        is_cut = error.pos >= len(error.doc.rstrip()) or error.msg.startswith("Unterminated string")
        cut = " (it looks cut short)" if is_cut else ""
        raise HistoryError(f"a history: expected JSON, but at {where}{cut}: {error.msg}") from None
    except UnicodeDecodeError as error:
        raise HistoryError(f"a history: expected text in UTF-8, found other bytes at byte {error.start}") from None
    except RecursionError:
        raise HistoryError(f"a history: expected JSON of at most {_DEPTH_MAX} levels, found far more") from None
    except ValueError as error:
        raise HistoryError(f"a history: expected JSON of plain numbers: {error}") from None


def _refuse_constant(text: str) -> NoReturn:
    raise ValueError(f"found {text}")


def _check_depth(raw_events: list[Any]) -> None:
    """Protocol buffers refuse deep nesting too. Without recursion: this is what protects the rest from it."""
    level: list[Any] = raw_events
    for _ in range(_DEPTH_MAX):
        below: list[Any] = []
        for raw in level:
            if isinstance(raw, dict):
                below.extend(raw.values())
            elif isinstance(raw, list):
                below.extend(raw)
        if not below:
            return
        level = below
    raise HistoryError(f"a history: expected at most {_DEPTH_MAX} levels of nesting, found more")


def _decode_numbered(number: int, raw: Any) -> HistoryEvent:
    try:
        event = _decode_event(raw)
    except BadValue as bad:
        _fail(number, raw, str(bad) if bad.args[1] is not NOTHING else f"{'.'.join(bad.path)}: it is missing")
    if event.event_id != number:
        _fail(number, raw, f"expected eventId {number} (ids count from 1 without gaps), found {event.event_id}")
    return event


def _fail(number: int, raw: Any, message: str) -> NoReturn:
    kind = raw.get("eventType") if isinstance(raw, dict) else None
    name = f" ({shorten(kind)})" if isinstance(kind, str) else ""
    raise HistoryError(f"a history, event {number}{name}: {message}")


def _decode_event(raw: Any) -> HistoryEvent:
    if not isinstance(raw, dict):
        raise BadValue("an event (an object)", raw)
    event_type = _event_type(raw)
    codec = _BY_TYPE.get(event_type)
    attributes_key = codec.attributes_key if codec else _attributes_key(event_type)
    rest = dict(raw)
    rest.pop("eventType")
    attributes = rest.pop(attributes_key, None)
    if attributes is None:
        raise _missing_attributes(rest, attributes_key)
    values, remainder = _BASE.decode(rest)
    extra: dict[str, Any] = {} if remainder is NOTHING else remainder
    if codec is None:
        if not isinstance(attributes, dict):
            raise _at(attributes_key, BadValue("an object", attributes))
        return OtherEvent(**values, event_type=event_type, attributes=attributes, extra=extra or None)
    try:
        inner, left = codec.attributes.decode(attributes)
    except BadValue as bad:
        raise _at(attributes_key, bad) from None
    codec.check(values["event_id"], inner)
    if left is not NOTHING:
        extra[attributes_key] = left
    return codec.cls(**values, **inner, extra=extra or None)


def _at(key: str, bad: BadValue) -> BadValue:
    bad.path.insert(0, key)
    return bad


def _event_type(raw: dict[str, Any]) -> str:
    """The full name of an event's type."""
    name = raw.get("eventType")
    if not isinstance(name, str) or not name.isascii() or not name.isidentifier():
        raise _at("eventType", BadValue('a name such as "EVENT_TYPE_TIMER_FIRED"', name))
    return name if name.startswith(_PREFIX) else _PREFIX + upper_snake(name)


def _attributes_key(event_type: str) -> str:
    name = camel_of_upper(event_type.removeprefix(_PREFIX))
    return name[:1].lower() + name[1:] + _SUFFIX


def _missing_attributes(rest: dict[str, Any], attributes_key: str) -> BadValue:
    others = [key for key in rest if isinstance(key, str) and key.endswith(_SUFFIX)]
    return _at(attributes_key, BadValue("the attributes of this event", NOTHING if not others else others[0]))


# --- writing --------------------------------------------------------------------------------------------------------


def events_to_json(events: Iterable[HistoryEvent]) -> dict[str, Any]:
    """A history in Temporal's JSON, as an object for ``json.dumps``. The real SDK reads it.

    Raises:
        HistoryError: A value has no place in JSON (a time after the year 9999).
    """
    written = []
    for event in events:
        try:
            written.append(_encode_event(event))
        except (BadValue, RecursionError) as error:
            raise HistoryError(f"a history, event {event.event_id}: it can't be written: {error}") from None
    return {"events": written}


def _encode_event(event: HistoryEvent) -> dict[str, Any]:
    extra = event.extra
    if isinstance(event, OtherEvent):
        event_type, attributes_key, attributes = event.event_type, _attributes_key(event.event_type), event.attributes
        left: Any = NOTHING
    else:
        codec = _CODECS[type(event)]
        event_type, attributes_key = codec.event_type, codec.attributes_key
        left = extra.get(attributes_key, NOTHING) if extra else NOTHING
        attributes = codec.attributes.encode(event) if left is NOTHING else codec.attributes.merge(event, left)
    raw: dict[str, Any] = _BASE.merge(event, extra) if extra else _BASE.encode(event)
    raw["eventType"] = event_type
    raw[attributes_key] = attributes
    return raw


__all__ = ["HistoryError", "events_from_json", "events_to_json"]
