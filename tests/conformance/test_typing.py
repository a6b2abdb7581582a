"""A type checker knows as much of code written against ``stormproof`` as of the same code for ``temporalio``."""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("temporalio")

MODULE = """
from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Optional

from PACKAGE import activity, common, workflow
from PACKAGE.client import Client, WorkflowFailureError, WorkflowHandle
from PACKAGE.common import RawValue, RetryPolicy
from PACKAGE.converter import DataConverter
from PACKAGE.exceptions import ActivityError, ApplicationError, TimeoutError, is_cancelled_exception
from PACKAGE.worker import Worker

MINUTE = timedelta(minutes=1)


@dataclass
class Order:
    number: int


@activity.defn
async def nothing() -> int:
    activity.heartbeat(1, "two")
    reveal_type(activity.info().attempt)
    reveal_type(activity.info().heartbeat_details)
    reveal_type(activity.info().retry_policy)
    reveal_type(activity.is_cancelled())
    reveal_type(activity.payload_converter().from_payload(activity.payload_converter().to_payload(1), Order))
    return 1


@activity.defn(name="one")
async def one(order: Order) -> str:
    return "x"


@activity.defn
def blocking(order: Order) -> list[Order]:
    return [order]


@activity.defn
async def several(order: Order, count: int, note: Optional[str] = None) -> dict[str, int]:
    return {}


class Activities:
    @activity.defn
    async def method(self, order: Order) -> float:
        return 1.0

    @activity.defn
    def blocking_method(self) -> bytes:
        return b""


class CallableActivity:
    @activity.defn
    async def __call__(self, order: Order) -> tuple[int, str]:
        return (1, "")


@workflow.defn(name="Orders")
class Orders:
    @workflow.init
    def __init__(self, order: Order) -> None:
        self.done = False

    @workflow.run
    async def run(self, order: Order) -> str:
        reveal_type(await workflow.execute_activity(nothing, start_to_close_timeout=MINUTE))
        reveal_type(await workflow.execute_activity(one, order, schedule_to_close_timeout=MINUTE))
        reveal_type(await workflow.execute_activity(blocking, order, start_to_close_timeout=MINUTE))
        reveal_type(await workflow.execute_activity(several, args=[order, 1], start_to_close_timeout=MINUTE))
        reveal_type(await workflow.execute_activity("by name", order, start_to_close_timeout=MINUTE))
        reveal_type(await workflow.execute_activity("by name", start_to_close_timeout=MINUTE, result_type=Order))
        reveal_type(await workflow.execute_activity_method(Activities.method, order, start_to_close_timeout=MINUTE))
        reveal_type(await workflow.execute_activity_method(Activities.blocking_method, start_to_close_timeout=MINUTE))
        reveal_type(await workflow.start_activity(one, order, start_to_close_timeout=MINUTE))
        handle = workflow.start_activity(one, order, start_to_close_timeout=MINUTE)
        reveal_type(handle.cancel())
        reveal_type(workflow.info().attempt)
        reveal_type(workflow.info().run_timeout)
        reveal_type(workflow.info().start_time)
        reveal_type(workflow.now())
        reveal_type(workflow.time())
        reveal_type(workflow.random())
        reveal_type(workflow.uuid4())
        reveal_type(workflow.patched("change"))
        reveal_type(workflow.memo())
        reveal_type(await workflow.sleep(5))
        reveal_type(await workflow.wait_condition(lambda: self.done, timeout=MINUTE))
        reveal_type(workflow.get_signal_handler("finish"))
        return "done"

    @workflow.signal
    async def finish(self, how: str) -> None:
        self.done = True

    @workflow.signal(name="stop")
    def stop_now(self) -> None:
        self.done = True

    @workflow.query
    def is_done(self) -> bool:
        return self.done

    @workflow.query(name="part")
    def part_of(self, name: str) -> list[int]:
        return []


@workflow.defn
class NoArguments:
    @workflow.run
    async def run(self) -> None:
        return None


async def use(client: Client) -> None:
    reveal_type(await Client.connect("localhost:7233"))
    reveal_type(await client.execute_workflow(Orders.run, Order(1), id="1", task_queue="q"))
    reveal_type(await client.execute_workflow(NoArguments.run, id="1", task_queue="q"))
    reveal_type(await client.execute_workflow("by name", id="1", task_queue="q"))
    handle = await client.start_workflow(
        Orders.run, Order(1), id="1", task_queue="q", retry_policy=RetryPolicy(maximum_attempts=3), run_timeout=MINUTE
    )
    reveal_type(await handle.result())
    reveal_type(handle.id)
    reveal_type(handle.result_run_id)
    reveal_type(await handle.query(Orders.is_done))
    reveal_type(await handle.query(Orders.part_of, "x"))
    reveal_type(await handle.query("by name"))
    reveal_type(await handle.signal(Orders.finish, "well"))
    reveal_type(await handle.signal(Orders.stop_now))
    reveal_type(await handle.cancel())
    reveal_type(await handle.terminate("reason", 1))
    reveal_type(await client.get_workflow_handle("1").result())
    reveal_type(await client.get_workflow_handle_for(Orders.run, "1").result())
    try:
        await handle.result()
    except WorkflowFailureError as error:
        reveal_type(error.cause)
    worker = Worker(client, task_queue="q", workflows=[Orders], activities=[nothing, Activities().method])
    reveal_type(await worker.run())
    async with worker:
        pass


def errors(error: ApplicationError, activity_error: ActivityError, timeout: TimeoutError) -> None:
    reveal_type(error.details)
    reveal_type(error.type)
    reveal_type(error.next_retry_delay)
    reveal_type(error.category)
    reveal_type(error.cause)
    reveal_type(activity_error.retry_state)
    reveal_type(timeout.type)
    reveal_type(is_cancelled_exception(error))
    reveal_type(DataConverter.default.payload_converter.to_payloads([1]))
    reveal_type(common.WorkflowIDReusePolicy.REJECT_DUPLICATE)
    reveal_type(RawValue)


# Each of these is a mistake that a type checker finds.
async def mistakes(client: Client, handle: WorkflowHandle[Orders, str]) -> None:
    await client.execute_workflow(Orders.run, "no order", id="1", task_queue="q")
    await client.execute_workflow(Orders.run, Order(1), task_queue="q")
    await handle.signal(Orders.finish, 5)
    await workflow.execute_activity(one, 5, start_to_close_timeout=MINUTE)
    await workflow.execute_activity(one, Order(1), start_to_close_timeout=5)
    await workflow.execute_activity(one, Order(1), no_such_option=MINUTE)
    RetryPolicy(initial_interval=5)
    ApplicationError("m", type=5)
    raise TimeoutError("type is missing")
"""

REVEALED = re.compile(r'(?:Revealed type is|Type of ".*" is) "(?P<type>.*)"')


def told(text: str) -> str:
    """A message about a type, with names instead of modules: the two packages are built differently inside."""
    match = REVEALED.search(text)
    if match is None:
        return "an error"
    # Where temporalio leaves out a type argument, pyright says so; ours says Any.
    return re.sub(r"\b(?:\w+\.)+(?=\w)", "", match["type"]).replace("Unknown", "Any")


def write_both(folder: Path) -> list[Path]:
    paths = []
    for package in ("temporalio", "stormproof"):
        path = folder / f"for_{package}.py"
        path.write_text(MODULE.replace("PACKAGE", package), encoding="utf-8")
        paths.append(path)
    return paths


def by_line(messages: list[tuple[int, str]]) -> dict[int, set[str]]:
    """What was said of each line; of a mistake only that it is one, as the words differ."""
    found: dict[int, set[str]] = {}
    for line, text in messages:
        found.setdefault(line, set()).add(told(text))
    return found


def mypy_messages(path: Path, folder: Path) -> dict[int, set[str]]:
    command = [sys.executable, "-m", "mypy", "--strict", "--no-error-summary", "--output=json", "--cache-dir", "cache"]
    done = subprocess.run([*command, path.name], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode in (0, 1), done.stderr or done.stdout
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    return by_line([(line["line"], line["message"]) for line in lines if line["file"] == path.name])


def pyright_messages(path: Path, folder: Path) -> dict[int, set[str]]:
    command = [sys.executable, "-m", "pyright", "--outputjson", "--pythonpath", sys.executable, path.name]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode in (0, 1), done.stderr or done.stdout
    found = json.loads(done.stdout[done.stdout.index("{") :])["generalDiagnostics"]
    return by_line([(item["range"]["start"]["line"] + 1, item["message"]) for item in found])


CHECKERS = {"mypy": mypy_messages, "pyright": pyright_messages}


@pytest.mark.parametrize("checker", CHECKERS)
def test_a_type_checker_says_the_same_of_both(checker: str, tmp_path: Path) -> None:
    if importlib.util.find_spec(checker) is None:
        pytest.skip(f"{checker} is not installed")
    temporal, ours = write_both(tmp_path)
    expected = CHECKERS[checker](temporal, tmp_path)
    found = CHECKERS[checker](ours, tmp_path)
    source = ours.read_text(encoding="utf-8").splitlines()
    different = {
        source[line - 1].strip(): (sorted(expected.get(line, ())), sorted(found.get(line, ())))
        for line in sorted({*expected, *found})
        if expected.get(line) != found.get(line)
    }
    assert not different
    reveals = [number for number, line in enumerate(source, start=1) if "reveal_type(" in line]
    assert set(reveals) <= set(found)
    mistakes = found.keys() - set(reveals)
    assert len(mistakes) == 9
