"""One server on a store, with a clock that is moved by hand."""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappop, heappush
from typing import Any

from stormproof.engine.core import requests as rq
from stormproof.engine.core.commands import Command
from stormproof.engine.core.enums import TaskQueueKind, WorkflowTaskFailedCause
from stormproof.engine.core.events import TaskQueue
from stormproof.engine.core.failures import Failure
from stormproof.engine.core.invariants import check_commit
from stormproof.engine.server.server import Server
from stormproof.engine.store import MemoryStore

SECOND_US = 1_000_000
STICKY = TaskQueue("sticky", TaskQueueKind.STICKY, "queue")
EXECUTION = rq.Execution("workflow")


class Died(BaseException):
    """The server's process died at a named point."""


class Timer:
    def __init__(self, callback: Callable[..., None], args: tuple[Any, ...]) -> None:
        self.callback: Callable[..., None] | None = callback
        self.args = args

    def cancel(self) -> None:
        self.callback = None


class BenchHost:
    """What a server needs of its process."""

    identity = "engine"

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.dies_at = ""
        self.picks: list[int] = []

    def now_us(self) -> int:
        return self.bench.now_us

    def call_later(self, delay_us: int, callback: Callable[..., None], *args: Any) -> Timer:
        timer = Timer(callback, args)
        self.bench.sequence += 1
        heappush(self.bench.timers, (self.bench.now_us + delay_us, self.bench.sequence, timer))
        return timer

    def new_id(self, purpose: str) -> str:
        self.bench.sequence += 1
        return f"id-{self.bench.sequence}"

    def choose(self, label: str, count: int) -> int:
        return self.picks.pop(0) if self.picks else 0

    def reach(self, point: str, subject: str, detail: str = "") -> None:
        if point == self.dies_at:
            raise Died(point)

    def committed(self, execution: rq.Execution, run: Any, transition: Any) -> None:
        stored = self.bench.store.load(execution)
        assert stored is not None
        assert stored.version == run.version
        assert stored.events == run.events
        check_commit(run.state, stored.events, stored.record, stored.outbox)


class Bench:
    """Sends requests; a reply that has not come is waited for by name."""

    def __init__(self) -> None:
        self.store = MemoryStore()
        self.now_us = 1_700_000_000 * SECOND_US
        self.timers: list[tuple[int, int, Timer]] = []
        self.sequence = 0
        self.host = BenchHost(self)
        self.server = Server(self.host, self.store)  # type: ignore[arg-type]

    def restart(self) -> None:
        self.timers.clear()
        self.host = BenchHost(self)
        self.server = Server(self.host, self.store)  # type: ignore[arg-type]
        self.server.recover()

    def advance(self, seconds: float) -> None:
        end_us = self.now_us + round(seconds * SECOND_US)
        while self.timers and self.timers[0][0] <= end_us:
            self.now_us, _, timer = heappop(self.timers)
            if timer.callback is not None:
                timer.callback(*timer.args)
        self.now_us = end_us

    # --- requests -----------------------------------------------------------------------------------------------------

    def send(self, request: object, source: str = "worker#1") -> list[Any]:
        """The replies, now or later: none yet, or one."""
        replies: list[Any] = []
        self.server.handle(request, replies.append, source)
        return replies

    def ask(self, request: object) -> Any:
        """The reply, which must come at once."""
        (reply,) = self.send(request)
        return reply

    def start(self, request_id: str = "start", **options: Any) -> Any:
        return self.ask(rq.StartWorkflowExecution(EXECUTION, "Type", "queue", [], request_id, **options))

    def poll_workflow(self, *, sticky: bool = False, source: str = "worker#1") -> list[Any]:
        queue = STICKY if sticky else TaskQueue("queue")
        return self.send(rq.PollWorkflowTaskQueue(queue, source), source)

    def poll_activity(self, source: str = "worker#1") -> list[Any]:
        return self.send(rq.PollActivityTaskQueue(TaskQueue("queue"), source), source)

    def complete(self, task: Any, *commands: Command, sticky: bool = False, **options: Any) -> Any:
        queue = STICKY if sticky else None
        request = rq.RespondWorkflowTaskCompleted(
            task.task_token, list(commands), "worker#1", queue, 10 * SECOND_US if sticky else 0, **options
        )
        return self.ask(request)

    def fail(self, task: Any) -> Any:
        cause = WorkflowTaskFailedCause.WORKFLOW_WORKER_UNHANDLED_FAILURE
        return self.ask(rq.RespondWorkflowTaskFailed(task.task_token, cause, Failure("no"), "worker#1"))

    def work(self, *commands: Command, sticky: bool = False) -> Any:
        """Take a workflow task and complete it."""
        (task,) = self.poll_workflow()
        assert self.complete(task, *commands, sticky=sticky) is None
        return task

    def signal(self, request_id: str = "signal") -> Any:
        return self.ask(rq.SignalWorkflowExecution(EXECUTION, "go", [], request_id))

    def query(self, **options: Any) -> list[Any]:
        return self.send(rq.QueryWorkflow(EXECUTION, "state", [], **options), "client#1")

    def result(self, run_id: str = "") -> list[Any]:
        execution = rq.Execution("workflow", run_id)
        return self.send(rq.GetWorkflowExecutionHistory(execution, wait_new_event=True, close_event_only=True))

    # --- what there is ------------------------------------------------------------------------------------------------

    def names(self, run_id: str = "") -> list[str]:
        reply = self.ask(rq.GetWorkflowExecutionHistory(rq.Execution("workflow", run_id)))
        return [type(event).__name__ for event in reply.events]
