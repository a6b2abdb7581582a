# ruff: noqa: DTZ001, DTZ002, DTZ003, DTZ005, DTZ006, DTZ011, DTZ012, PLW0108, ASYNC251  # they forbid what is tested here
from __future__ import annotations

import asyncio
import copy
import datetime as dt
import io
import pickle
import signal
import sys
import threading
import time
import types
import uuid
from collections.abc import Callable
from datetime import date as imported_date
from datetime import datetime as imported_datetime
from datetime import timedelta
from time import monotonic as imported_monotonic
from time import perf_counter, strftime
from time import sleep as imported_sleep
from time import time as imported_time
from typing import Any
from zoneinfo import ZoneInfo

import freezegun
import hypothesis
import pytest
import rich.console
import rich.progress
from hypothesis import given
from hypothesis import strategies as st
from stormproof.engine.core.errors import MisuseError
from stormproof.sim import real_clock
from stormproof.sim.patches import installed_patches
from stormproof.sim.process import NodeDead

START = imported_datetime(2023, 11, 14, 22, 13, 20)
"""Where the worlds of these tests begin, in UTC."""
REAL: dict[str, Any] = {
    "datetime": dt.datetime,
    "date": dt.date,
    "imported_datetime": imported_datetime,
    "sleep": time.sleep,
    "time": time.time,
    "imported_sleep": imported_sleep,
    "imported_time": imported_time,
    "new_event_loop": asyncio.new_event_loop,
    "thread": threading.Thread.start,
}


def now_bound() -> dict[str, Any]:
    return {
        "datetime": dt.datetime,
        "date": dt.date,
        "imported_datetime": imported_datetime,
        "sleep": time.sleep,
        "time": time.time,
        "imported_sleep": imported_sleep,
        "imported_time": imported_time,
        "new_event_loop": asyncio.new_event_loop,
        "thread": threading.Thread.start,
    }


def on_node(world: Any, function: Callable[[], Any], **process: Any) -> Any:
    """Run a function in a thread of a new process while patches are installed."""
    node = world.process()
    for name, value in process.items():
        setattr(node, name, value)
    with installed_patches():
        world.thread(node, function)
        result = world.run()
    assert result.reason == "idle"
    if isinstance(world.log[-1], BaseException):
        raise world.log[-1]
    return world.log[-1]


def test_a_node_reads_its_own_wall_clock_everywhere(world: Any) -> None:
    def read() -> list[Any]:
        imported_sleep(1.5)
        return [
            dt.datetime.now(),
            imported_datetime.now(),
            imported_datetime.utcnow(),
            imported_datetime.today(),
            dt.datetime.now(dt.UTC).replace(tzinfo=None),
            dt.datetime.now(ZoneInfo("Europe/Berlin")).replace(tzinfo=None) - timedelta(hours=1),
            imported_datetime.fromtimestamp(time.time()),
            START + timedelta(seconds=imported_time() - START.replace(tzinfo=dt.UTC).timestamp()),
            START + timedelta(microseconds=time.time_ns() // 1000 - 1_700_000_000_000_000),
        ]

    for reading in on_node(world, read):
        assert reading == START + timedelta(seconds=1.5)


def test_a_node_whose_clock_is_wrong_reads_it_wrong(world: Any) -> None:
    assert on_node(world, lambda: dt.datetime.now(), skew_us=0) == START
    assert on_node(world, lambda: dt.datetime.now(), skew_us=60_000_000) == START + timedelta(minutes=1)


def test_local_time_is_the_nodes_zone(world: Any) -> None:
    berlin, new_york = ZoneInfo("Europe/Berlin"), ZoneInfo("America/New_York")

    def read() -> list[Any]:
        now = dt.datetime.now()
        summer = imported_datetime(2024, 7, 1, 12)
        return [
            now,
            imported_date.today(),
            strftime("%H:%M %Z"),
            time.localtime().tm_hour,
            time.localtime(0).tm_hour,
            time.ctime(0),
            time.asctime(),
            time.gmtime().tm_hour,
            now.timestamp(),
            time.mktime(now.timetuple()),
            summer.timestamp(),
            summer.astimezone(dt.UTC).hour,
            now.astimezone().utcoffset(),
            imported_date.fromtimestamp(1_700_000_000),
            dt.datetime.now(dt.UTC).hour,
        ]

    utc = on_node(world, read)
    assert utc[:5] == [START, START.date(), "22:13 UTC", 22, 0]
    assert utc[5:8] == ["Thu Jan  1 00:00:00 1970", "Tue Nov 14 22:13:20 2023", 22]
    assert utc[8:12] == [1_700_000_000.0, 1_700_000_000.0, 1_719_835_200.0, 12]
    local = on_node(world, read, zone=berlin)
    assert local[:5] == [START + timedelta(hours=1), START.date(), "23:13 CET", 23, 1]
    assert local[7:] == [
        *(22, 1_700_000_000.0, 1_700_000_000.0, 1_719_828_000.0, 10),
        *(timedelta(hours=1), imported_date(2023, 11, 14), 22),
    ]
    assert on_node(world, read, zone=new_york)[4:6] == [19, "Wed Dec 31 19:00:00 1969"]


def test_monotonic_clocks_tell_virtual_time(world: Any) -> None:
    clocks = ["monotonic", "perf_counter", "process_time", "thread_time"]

    def read() -> list[Any]:
        time.sleep(2)
        values = [getattr(time, name)() for name in clocks] + [getattr(time, name + "_ns")() / 1e9 for name in clocks]
        return [*values, imported_monotonic(), perf_counter()]

    assert on_node(world, read) == [2.0] * 10


@pytest.mark.skipif(not hasattr(time, "clock_gettime"), reason="this platform has no clock_gettime")
def test_clock_gettime(world: Any) -> None:
    read = on_node(
        world, lambda: (time.clock_gettime(time.CLOCK_REALTIME), time.clock_gettime_ns(time.CLOCK_MONOTONIC))
    )
    assert read == (1_700_000_000.0, 0)


def test_sleep_blocks_in_virtual_time(world: Any) -> None:
    began = real_clock.real_monotonic()

    def sleeps() -> int:
        time.sleep(86_400 * 400)
        time.sleep(0)
        with pytest.raises(ValueError, match="non-negative"):
            time.sleep(-1)
        return int(world.now_us())

    assert on_node(world, sleeps) == 86_400 * 400 * 1_000_000
    assert real_clock.real_monotonic() - began < 5


def test_outside_any_process_clocks_are_real(world: Any) -> None:
    with installed_patches():
        before = real_clock.real_time()
        assert before <= time.time() <= imported_datetime.now().timestamp() <= real_clock.real_time()
        assert abs(dt.datetime.now(dt.UTC).timestamp() - before) < 5
        assert dt.datetime.now() - dt.datetime.fromtimestamp(time.time()) < timedelta(seconds=5)
        assert imported_date.today() - real_clock.real_date.today() <= timedelta(days=1)
        assert time.localtime()[:4] == time.localtime(time.time())[:4]
        assert dt.datetime(2024, 7, 1).astimezone().tzinfo is not None
        began = real_clock.real_monotonic()
        imported_sleep(0.01)
        assert 0.01 <= real_clock.real_monotonic() - began < 5


def test_everything_is_as_it_was_afterwards() -> None:
    with installed_patches():
        changed = now_bound()
        assert all(changed[name] is not REAL[name] for name in REAL)
        with installed_patches():
            assert now_bound() == changed
        assert now_bound() == changed, "the outermost counts"
    assert now_bound() == REAL
    assert freezegun.api.freeze_factories == []
    with pytest.raises(ZeroDivisionError), installed_patches():
        1 / 0  # noqa: B018
    assert now_bound() == REAL


def test_names_of_modules_that_come_and_change_are_found() -> None:
    module = types.ModuleType("a_module_of_the_user")
    module.__file__ = "/home/user/a_module_of_the_user.py"
    sys.modules[module.__name__] = module
    namespace: Any = module
    try:
        namespace.nap = REAL["sleep"]
        with installed_patches():
            assert namespace.nap is time.sleep is not REAL["sleep"]
            namespace.later = time.time
        assert namespace.nap is REAL["sleep"]
        assert namespace.later is REAL["time"], "what was imported meanwhile is put right, too"
        namespace.another, namespace.nap = REAL["sleep"], None
        with installed_patches():
            assert namespace.another is time.sleep
        assert namespace.another is REAL["sleep"]
    finally:
        del sys.modules[module.__name__]


def test_installing_is_cheap_once_modules_are_known() -> None:
    with installed_patches():
        pass
    times = []
    for _ in range(20):
        began = real_clock.real_perf_counter()
        with installed_patches():
            pass
        times.append(real_clock.real_perf_counter() - began)
    assert min(times) < 0.002, "freezegun alone takes 14 ms"


@given(st.datetimes(timezones=st.none() | st.timezones()))
def test_fake_datetimes_do_what_real_ones_do(moment: dt.datetime) -> None:
    with installed_patches():
        fake = dt.datetime(
            *(moment.year, moment.month, moment.day, moment.hour, moment.minute, moment.second, moment.microsecond),
            tzinfo=moment.tzinfo,
            fold=moment.fold,
        )
        assert isinstance(fake, REAL["datetime"])
        assert isinstance(moment, dt.datetime)
        assert fake == moment
        assert fake.isoformat() == moment.isoformat()
        assert copy.deepcopy(fake) == fake == pickle.loads(pickle.dumps(fake))
        if moment.tzinfo is not None and 1000 < moment.year < 9000:
            assert fake.timestamp() == REAL["datetime"].timestamp(moment)
            for zone in (dt.UTC, ZoneInfo("Asia/Kolkata")):
                assert fake.astimezone(zone) == moment.astimezone(zone)
                assert fake.astimezone(zone).isoformat() == moment.astimezone(zone).isoformat()


def test_freeze_time_around_and_inside_keeps_its_meaning(world: Any) -> None:
    with freezegun.freeze_time("2001-02-03"), installed_patches():
        assert dt.datetime.now() == REAL["datetime"](2001, 2, 3)
        assert time.time() == 981_158_400
        assert on_node(world, lambda: dt.datetime.now()) == START

    def frozen() -> Any:
        with freezegun.freeze_time("2002-03-04"):
            return dt.datetime.now()

    assert on_node(world, frozen) == REAL["datetime"](2002, 3, 4)
    assert now_bound() == REAL


def test_asyncio_run_works_in_a_thread_of_a_node(world: Any) -> None:
    handler = signal.getsignal(signal.SIGINT)

    async def inner(seconds: int) -> int:
        assert signal.getsignal(signal.SIGINT) is handler
        await asyncio.gather(asyncio.sleep(seconds), asyncio.to_thread(time.sleep, 1))
        time.sleep(3)
        return seconds

    def work() -> list[int]:
        with asyncio.Runner() as runner:
            results = [runner.run(inner(5)), runner.run(inner(2))]
        results.append(asyncio.run(inner(1)))
        with pytest.raises(ZeroDivisionError):
            asyncio.run(fails())
        return results

    async def fails() -> None:
        task = asyncio.ensure_future(asyncio.sleep(1000))
        await asyncio.sleep(1)
        assert not task.done()
        raise ZeroDivisionError

    assert on_node(world, work) == [5, 2, 1]
    assert world.now_us() == 18_000_000
    assert list(world.threads.loops) == []
    with pytest.raises(RuntimeError):
        asyncio.get_running_loop()


def test_a_crash_during_asyncio_run_in_a_thread_runs_nothing(world: Any) -> None:
    process = world.process()

    async def inner() -> None:
        try:
            await asyncio.sleep(100)
        finally:
            world.log.append("finally")

    with installed_patches():
        world.thread(process, lambda: asyncio.run(inner()))
        world.kernel.schedule(1_000_000, world.threads.kill, process)
        world.run()
        assert world.log == []
        assert world.close() == []
    assert world.log == ["finally"]


def test_real_asyncio_works_outside_while_installed() -> None:
    async def main() -> str:
        await asyncio.sleep(0.001)
        return await asyncio.to_thread(lambda: "real")

    with installed_patches():
        assert asyncio.run(main()) == "real"


def test_progress_bars_and_property_tests_work_while_installed() -> None:
    output = io.StringIO()
    with installed_patches():
        console = rich.console.Console(file=output, force_terminal=True, width=80)
        with rich.progress.Progress(console=console, refresh_per_second=50) as progress:
            for _ in progress.track(range(3), description="runs"):
                time.sleep(0.01)
        moments: list[dt.datetime] = []

        @hypothesis.settings(max_examples=5)
        @given(st.datetimes())
        def collect(moment: dt.datetime) -> None:
            moments.append(moment)

        collect()
    assert "runs" in output.getvalue()
    assert "100%" in output.getvalue()
    assert len(moments) == 5


def test_as_completed_starts_in_the_given_order(world: Any) -> None:
    async def child(number: int) -> int:
        world.log.append(number)
        await asyncio.sleep(number % 3)
        return number

    async def main() -> list[int]:
        return [await future for future in asyncio.as_completed([child(number) for number in range(30)])]

    with installed_patches():
        results = world.run_main(main())
    assert world.log == list(range(30))
    assert sorted(results) == world.log
    assert [number % 3 for number in results] == [0] * 10 + [1] * 10 + [2] * 10


def test_real_threads_are_refused_on_a_node_only(world: Any) -> None:
    with pytest.raises(MisuseError, match="real thread"):
        on_node(world, lambda: threading.Thread(target=print).start())
    with installed_patches():
        thread = threading.Thread(target=lambda: None)
        thread.start()
        thread.join()


def test_a_dead_process_has_no_clock(world: Any) -> None:
    process = world.process()

    def work() -> None:
        try:
            time.sleep(100)
        finally:
            for read in (time.time, dt.datetime.now, time.monotonic, lambda: time.sleep(1), time.localtime):
                with pytest.raises(NodeDead):
                    read()
            world.log.append("checked")

    with installed_patches():
        world.thread(process, work)
        world.kernel.schedule(1_000_000, world.threads.kill, process)
        world.run()
        world.close()
    assert world.log == ["checked"]


def test_time_based_uuids_come_from_the_nodes_clock(world: Any) -> None:
    made = on_node(world, lambda: uuid.uuid1())
    assert (made.time - 0x01B21DD213814000) // 10 == 1_700_000_000_000_000
