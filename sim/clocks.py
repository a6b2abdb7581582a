"""The clocks that code on a node reads.

Functions that stand in for those of ``time`` while a simulation is installed, and the methods of ``datetime`` and
``date`` that read a clock or the local zone. Each asks ``current_process``: in a simulated process it answers with the
process's clock and zone (UTC by default, never the host's); anywhere else it does what the function it replaces does.

``datetime`` and ``date`` become freezegun's ``FakeDatetime`` and ``FakeDate``, which pass ``isinstance`` both ways,
pickle, and go through sqlite3. freezegun itself adds one offset to aware times too, takes the host's zone for
``astimezone``, and loses ``fold``; so the six methods that matter are ours. A ``freeze_time`` of the user inside the
simulation keeps freezegun's own behaviour.
"""

from __future__ import annotations

import calendar
import datetime as dt
import time
from collections.abc import Callable
from typing import Any

from freezegun import api as freezegun_api
from freezegun.api import FakeDate, FakeDatetime

from .greenlets import block_us
from .process import Process, current_process, require_alive
from .real_clock import real_date, real_datetime

_EPOCH = real_datetime(1970, 1, 1, tzinfo=dt.UTC)

Outside = dict[str, Callable[..., Any]]


def _here() -> Process | None:
    """The process that asks, if any.

    Raises:
        NodeDead: It is dead.
    """
    process = current_process.get()
    if process is not None and not process.alive:
        require_alive(process)
    return process


def _at(timestamp_us: int, zone: dt.tzinfo | None) -> dt.datetime:
    return (_EPOCH + dt.timedelta(microseconds=timestamp_us)).astimezone(zone or dt.UTC)


def _struct_time(moment: dt.datetime) -> time.struct_time:
    """The moment as ``localtime`` and ``gmtime`` give it."""
    values = moment.timetuple()
    offset = moment.utcoffset() or dt.timedelta()
    saving = int(bool(moment.dst()))
    extra = {"tm_zone": moment.tzname() or "UTC", "tm_gmtoff": offset // dt.timedelta(seconds=1)}
    return time.struct_time((*values[:8], saving), extra)


# --- the module `time`: each takes what it replaces and returns the replacement


def _clock(read: Callable[[Process], Any]) -> Callable[[Outside, str], Callable[..., Any]]:
    """A function without arguments that reads one of a process's clocks."""

    def make(outside: Outside, name: str) -> Callable[..., Any]:
        original = outside[name]

        def clock() -> Any:
            process = current_process.get()
            if process is None:
                return original()
            if not process.alive:
                require_alive(process)
            return read(process)

        return clock

    return make


def _make_clock_gettime(outside: Outside, name: str) -> Callable[..., Any]:
    original = outside[name]
    scale = 1000 if name.endswith("_ns") else None

    def clock_gettime(clk_id: int, /) -> Any:
        process = _here()
        if process is None:
            return original(clk_id)
        value = process.wall_clock_us() if clk_id == time.CLOCK_REALTIME else process.monotonic_us()
        return value * scale if scale is not None else value / 1_000_000

    return clock_gettime


def _make_sleep(outside: Outside, name: str) -> Callable[..., Any]:
    original = outside[name]

    def sleep(seconds: float, /) -> None:
        if _here() is None:
            original(seconds)
            return
        if seconds < 0:
            raise ValueError("sleep length must be non-negative")
        block_us(round(seconds * 1_000_000))

    return sleep


def _make_gmtime(outside: Outside, name: str) -> Callable[..., Any]:
    original = outside[name]

    def gmtime(seconds: float | None = None, /) -> time.struct_time:
        process = _here() if seconds is None else None
        return original(seconds) if process is None else _struct_time(_at(process.wall_clock_us(), None))

    return gmtime


def _local(process: Process, seconds: float | None) -> time.struct_time:
    moment_us = process.wall_clock_us() if seconds is None else int(seconds // 1) * 1_000_000
    return _struct_time(_at(moment_us, process.zone))


def _make_localtime(outside: Outside, name: str) -> Callable[..., Any]:
    original = outside[name]

    def localtime(seconds: float | None = None, /) -> time.struct_time:
        process = _here()
        return original(seconds) if process is None else _local(process, seconds)

    return localtime


def _make_mktime(outside: Outside, name: str) -> Callable[..., Any]:
    original = outside[name]

    def mktime(values: Any, /) -> float:
        process = _here()
        if process is None:
            return float(original(values))
        seconds = calendar.timegm(tuple(values))
        naive = real_datetime(1970, 1, 1) + dt.timedelta(seconds=seconds)
        return naive.replace(tzinfo=process.zone or dt.UTC).timestamp()

    return mktime


def _make_ctime(outside: Outside, name: str) -> Callable[..., Any]:
    original = outside[name]

    def ctime(seconds: float | None = None, /) -> str:
        process = _here()
        return str(original(seconds)) if process is None else time.asctime(_local(process, seconds))

    return ctime


def _with_local_default(position: int) -> Callable[[Outside, str], Callable[..., Any]]:
    """``strftime`` and ``asctime``, which take the local time now if they are not given one."""

    def make(outside: Outside, name: str) -> Callable[..., Any]:
        original = outside[name]

        def function(*args: Any) -> Any:
            if len(args) > position:
                return original(*args)
            process = _here()
            return original(*args) if process is None else original(*args, _local(process, None))

        return function

    return make


TIME_FUNCTIONS: dict[str, Callable[[Outside, str], Callable[..., Any]]] = {
    "time": _clock(lambda process: process.wall_clock_us() / 1_000_000),
    "time_ns": _clock(lambda process: process.wall_clock_us() * 1000),
    "monotonic": _clock(lambda process: process.monotonic_us() / 1_000_000),
    "monotonic_ns": _clock(lambda process: process.monotonic_us() * 1000),
    "perf_counter": _clock(lambda process: process.monotonic_us() / 1_000_000),
    "perf_counter_ns": _clock(lambda process: process.monotonic_us() * 1000),
    # How much CPU code takes is not simulated: as if it had the processor for itself all the time.
    "process_time": _clock(lambda process: process.monotonic_us() / 1_000_000),
    "process_time_ns": _clock(lambda process: process.monotonic_us() * 1000),
    "thread_time": _clock(lambda process: process.monotonic_us() / 1_000_000),
    "thread_time_ns": _clock(lambda process: process.monotonic_us() * 1000),
    "clock_gettime": _make_clock_gettime,
    "clock_gettime_ns": _make_clock_gettime,
    "sleep": _make_sleep,
    "gmtime": _make_gmtime,
    "localtime": _make_localtime,
    "mktime": _make_mktime,
    "ctime": _make_ctime,
    "strftime": _with_local_default(1),
    "asctime": _with_local_default(0),
}
"""Name in ``time`` -> what makes the replacement from the functions replaced. Some are missing on some platforms."""


# --- `datetime`


def factory() -> dt.datetime:
    """The freezegun factory of a simulation: now, naive, in UTC."""
    process = _here()
    if process is not None:
        return _at(process.wall_clock_us(), None).replace(tzinfo=None)
    below = freezegun_api.freeze_factories[:-1]
    return below[-1]() if below else real_datetime.now(dt.UTC).replace(tzinfo=None)


def _freezegun_answers() -> bool:
    """Whether a ``freeze_time`` of the user's answers: one inside the simulation, or, outside a process, around it."""
    factories: list[Any] = freezegun_api.freeze_factories
    if factories[-1] is not factory:
        return True
    return len(factories) > 1 and current_process.get() is None


def _fake(moment: dt.datetime) -> FakeDatetime:
    return FakeDatetime(
        *(moment.year, moment.month, moment.day, moment.hour, moment.minute, moment.second, moment.microsecond),
        tzinfo=moment.tzinfo,
        fold=moment.fold,
    )


def _now(tz: dt.tzinfo | None = None) -> FakeDatetime:
    if _freezegun_answers():
        return FREEZEGUN_METHODS[FakeDatetime, "now"].__func__(FakeDatetime, tz)  # type: ignore[no-any-return]
    process = _here()
    if process is None:
        return _fake(real_datetime.now(tz))
    now = _at(process.wall_clock_us(), tz or process.zone)
    return _fake(now if tz is not None else now.replace(tzinfo=None))


def _from_timestamp(t: float, tz: dt.tzinfo | None = None) -> FakeDatetime:
    if _freezegun_answers():
        return FREEZEGUN_METHODS[FakeDatetime, "fromtimestamp"].__func__(FakeDatetime, t, tz)  # type: ignore[no-any-return]
    process = _here()
    if process is None or tz is not None:
        return _fake(real_datetime.fromtimestamp(t, tz))
    return _fake(real_datetime.fromtimestamp(t, process.zone or dt.UTC).replace(tzinfo=None))


def _timestamp(self: dt.datetime) -> float:
    if _freezegun_answers():
        return float(FREEZEGUN_METHODS[FakeDatetime, "timestamp"](self))
    process = _here()
    if self.tzinfo is None and process is not None:
        self = self.replace(tzinfo=process.zone or dt.UTC)
    return real_datetime.timestamp(self)


def _astimezone(self: dt.datetime, tz: dt.tzinfo | None = None) -> FakeDatetime:
    if _freezegun_answers():
        return FREEZEGUN_METHODS[FakeDatetime, "astimezone"](self, tz)  # type: ignore[no-any-return]
    process = _here()
    if process is None:
        return _fake(real_datetime.astimezone(self, tz))
    zone = process.zone or dt.UTC
    if self.tzinfo is None:
        self = self.replace(tzinfo=zone)
    moment = real_datetime.astimezone(self, tz or zone)
    if tz is None:  # as the real one does: the local zone's offset of that moment, fixed
        moment = moment.replace(tzinfo=dt.timezone(moment.utcoffset() or dt.timedelta(), moment.tzname() or "UTC"))
    return _fake(moment)


def _today() -> FakeDate:
    now = _now()
    return FakeDate(now.year, now.month, now.day)


def _date_from_timestamp(t: float) -> FakeDate:
    moment = _from_timestamp(t)
    return FakeDate(moment.year, moment.month, moment.day)


DATETIME_METHODS: dict[tuple[type, str], Any] = {
    (FakeDatetime, "now"): staticmethod(_now),
    (FakeDatetime, "fromtimestamp"): staticmethod(_from_timestamp),
    (FakeDatetime, "timestamp"): _timestamp,
    (FakeDatetime, "astimezone"): _astimezone,
    (FakeDate, "today"): staticmethod(_today),
    (FakeDate, "fromtimestamp"): staticmethod(_date_from_timestamp),
}
"""What freezegun's classes get while a simulation is installed."""

FREEZEGUN_METHODS: dict[tuple[type, str], Any] = {
    (owner, name): owner.__dict__[name] for owner, name in DATETIME_METHODS if name in owner.__dict__
}
"""What they have otherwise."""

DATETIME_CLASSES: list[tuple[str, type, type]] = [
    ("datetime", real_datetime, FakeDatetime),
    ("date", real_date, FakeDate),
]
"""Name in ``datetime``, the real class, its replacement."""
