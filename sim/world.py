"""A world: one kernel, one source of choices, and the nodes, network and store that live in it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextvars import Context, copy_context
from functools import partial
from typing import TYPE_CHECKING, Any

from ..engine.core.definition import WorkflowDefinition
from ..engine.core.errors import MisuseError
from ..engine.core.events import HistoryEvent
from ..engine.core.requests import Execution
from ..engine.host import current_world
from ..engine.store import MemoryStore
from .choices import Choices
from .graveyard import Graveyard
from .greenlets import Greenlets, block_until
from .kernel import Kernel
from .loop import VirtualLoop
from .missing import MissingCode
from .network import Network
from .node import ENGINE, Incarnation, Node
from .process import current_process
from .programs import EngineProgram, worker_program
from .record import FaultFired
from .services import Services
from .trace import Tracer

if TYPE_CHECKING:
    from ..engine.worker.settings import WorkerSettings

Observer = Callable[[str, str, str, str], None]
"""Called with (point, node, subject, detail) at each named point that is reached."""

START_TIME_US = 1_767_603_600_000_000
"""2026-01-05T09:00:00Z, a Monday morning: when every world begins, unless told otherwise."""


class RunState:
    """What the world itself keeps of one workflow run, for the record: it watches, and does not drive."""

    __slots__ = ("closed", "events", "execution", "workflow_type")

    def __init__(self, execution: Execution, workflow_type: str) -> None:
        self.execution = execution
        self.workflow_type = workflow_type
        self.events: list[HistoryEvent] = []
        self.closed = False


class World:
    """One world.

    Args:
        choices: Every nondeterministic decision is drawn here.
        tracing: Keep a trace.
        latency_us: Least and greatest latency of a message.
        start_time_us: Virtual time at the start, microseconds since the Unix epoch.
        evict_every_task: Workers rebuild a workflow from its events for every workflow task.
    """

    def __init__(
        self,
        choices: Choices,
        *,
        tracing: bool = False,
        latency_us: tuple[int, int] = (200, 2_000),
        start_time_us: int = START_TIME_US,
        evict_every_task: bool = False,
    ) -> None:
        self.choices = choices
        self.digest = choices.digest
        self.kernel = Kernel(choices, start_time_us=start_time_us, tracing=tracing)
        self.tracer = Tracer(self.kernel) if tracing else None
        self.network = Network(self, latency_us)
        self.store = MemoryStore()
        self.nodes: dict[str, Node] = {}
        self.graveyard = Graveyard()
        self.threads = Greenlets(self.kernel, self.graveyard)
        self.observers: list[Observer] = []
        self.commit_observers: list[Callable[[Any, Any], None]] = []
        self.faults_fired: list[FaultFired] = []
        self.runs: dict[tuple[str, str], RunState] = {}
        self.open_runs = 0
        self.on_all_closed: Callable[[], None] | None = None
        self.evict_every_task = evict_every_task
        self.notes: list[str] = []
        self.misuse: MisuseError | None = None
        self.leaks: list[str] = []
        self.missing = MissingCode()
        self.definitions: dict[str, WorkflowDefinition] = {}
        self.start_time_us = start_time_us
        self._workers = 0
        self.services = Services(self)
        context = copy_context()
        context.run(current_world.set, self)
        context.run(current_process.set, None)
        self.base_context: Context = context

    # --- nodes ------------------------------------------------------------------------------------------------------

    def add_node(self, name: str, kind: str, program: Callable[[Incarnation], Any] | None = None) -> Node:
        """A new node, not yet started.

        Raises:
            MisuseError: There is one of that name.
        """
        if name in self.nodes:
            raise MisuseError(f"there are two nodes named {name!r}: give one of them another name")
        node = self.nodes[name] = Node(self, name, kind, program)
        return node

    def add_engine(self) -> Node:
        """The engine's server, started."""
        node = self.add_node(ENGINE, "engine", EngineProgram)
        node.start()
        return node

    def add_worker(self, settings: Callable[[], WorkerSettings], *, name: str | None = None) -> Node:
        """A worker node; ``settings`` is called for each incarnation. Not yet started."""
        self._workers += 1
        return self.add_node(name or f"worker-{self._workers}", "worker", worker_program(settings))

    def register(self, settings: WorkerSettings) -> None:
        """A worker has started: its queue is polled, and its code is known."""
        self.missing.register(settings)
        self.definitions.update(settings.workflows)

    def new_loop(self, incarnation: Incarnation) -> VirtualLoop:
        """An asyncio loop for a process."""
        return VirtualLoop(
            self.kernel,
            incarnation,
            self.threads,
            context=incarnation.context,
            on_unhandled=partial(self._unhandled, incarnation.name),
        )

    def _unhandled(self, node: str, context: dict[str, Any]) -> None:
        """What asyncio would have logged: an exception that nobody retrieved."""
        error = context.get("exception")
        self.trace("unhandled", node, f"{context['message']}: {type(error).__name__}: {error}")

    def start_thread(
        self,
        incarnation: Incarnation,
        function: Callable[[], Any],
        name: str,
        on_done: Callable[[Any, BaseException | None], None],
    ) -> Any:
        """A simulated thread of a process; called in the process's own context, which the thread inherits."""
        return self.threads.spawn(incarnation, function, on_done, name=name)

    def connection_closed(self, incarnation: Incarnation) -> None:
        """A process is gone, or hangs up: those whom it had called learn it."""
        callees, incarnation.callees = incarnation.callees, {}
        for target in callees:
            self.network.hang_up(incarnation, target, self._connection_lost, target, incarnation.address)

    def _connection_lost(self, target: str, address: str) -> None:
        callee = self.nodes[target].incarnation
        if callee is not None and callee.program is not None:
            callee.context.run(callee.program.connection_lost, address)

    # --- the engine's World protocol --------------------------------------------------------------------------------

    def current_host(self) -> Incarnation:
        """The process of the calling code.

        Raises:
            MisuseError: The caller is not code of a node.
        """
        process = current_process.get()
        if not isinstance(process, Incarnation):
            raise MisuseError("this code does not run on a node of the simulation: call it from main or an activity")
        return process

    async def run_worker(self, settings: WorkerSettings, stop: asyncio.Event) -> None:
        """Run a worker made in a driver on a node of its own, until ``stop`` is set and it has ended."""
        node = self.add_worker(lambda: settings)
        self.notes.append(f"{node.name} was made inline: it keeps its activity objects over a restart")
        node.start()
        loop = asyncio.get_running_loop()
        try:
            await stop.wait()
        finally:
            node.retired = True
            stopped: asyncio.Future[None] = loop.create_future()
            if node.incarnation is not None:
                node.shutdown(lambda: None if stopped.done() else stopped.set_result(None))
                await asyncio.shield(stopped)

    # --- calls between nodes ----------------------------------------------------------------------------------------

    def now_us(self) -> int:
        """True time, in microseconds since the Unix epoch."""
        return self.kernel.now_us

    def request(self, target: str, body: object, timeout_us: int | None) -> asyncio.Future[Any]:
        """Ask another node from a coroutine.

        Raises:
            ServiceError: The node could not be reached, or did not answer in time.
            Exception: The reply, if it is one.
        """
        sender = self.current_host()
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

        def replied(value: Any) -> None:
            if future.done():
                return
            if isinstance(value, BaseException):
                future.set_exception(value)
            else:
                future.set_result(value)

        self.network.call(sender, target, body, replied, timeout_us=timeout_us)
        return future

    def request_blocking(self, target: str, body: object, timeout_us: int | None) -> Any:
        """The same from a simulated thread, which waits."""
        sender = self.current_host()
        value = block_until(lambda wake: self.network.call(sender, target, body, wake, timeout_us=timeout_us))
        if isinstance(value, BaseException):
            raise value
        return value

    # --- what is watched --------------------------------------------------------------------------------------------

    def reach(self, point: str, node: str, subject: str, detail: str = "") -> None:
        """A named point was reached."""
        for observer in self.observers:
            observer(point, node, subject, detail)

    def trace(self, kind: str, node: str, text: str, **data: Any) -> None:
        """Tell the trace, if there is one."""
        if self.tracer is not None:
            self.tracer.add(kind, node, text, data)

    def fault_fired(
        self, index: int, kind: str, target: str, point: str = "", detail: str = "", *, trace: bool = True
    ) -> None:
        """A fault really happened; ``index`` is its place in the plan."""
        fired = FaultFired(
            index=index, kind=kind, target=target, time_us=self.kernel.now_us, point=point, detail=detail
        )
        self.faults_fired.append(fired)
        if trace and self.tracer is not None:
            self.tracer.add("fault", target, f"{kind} {detail}".strip(), {"index": index, "point": point})

    def committed(self, server: Incarnation, execution: Execution, run: Any, transition: Any) -> None:
        """A transition is in the store: digest, record, trace and watchers see it."""
        events: list[HistoryEvent] = transition.events
        if events:
            key = (execution.workflow_id, execution.run_id)
            state = self.runs.get(key)
            if state is None:
                state = self.runs[key] = RunState(execution, run.state.workflow_type)
                self.open_runs += 1
            state.events.extend(events)
            self.digest.update_bytes(digest_text(execution, events))
            if self.tracer is not None:
                self._trace_events(server, execution, events)
        if transition.closed and not self.runs[(execution.workflow_id, execution.run_id)].closed:
            self.runs[(execution.workflow_id, execution.run_id)].closed = True
            self.open_runs -= 1
            if not self.open_runs and self.on_all_closed is not None:
                self.on_all_closed()
        for observer in self.commit_observers:
            observer(run, transition)
        if self.observers:
            for event in events:
                self.reach("history.event", server.name, execution.workflow_id, type(event).__name__)

    def _trace_events(self, server: Incarnation, execution: Execution, events: list[HistoryEvent]) -> None:
        assert self.tracer is not None
        for event in events:
            name = type(event).__name__
            data = {"workflow_id": execution.workflow_id, "event_id": event.event_id, "event": name}
            self.tracer.add("history", server.name, f"{event.event_id} {name}{describe(event)}", data)

    def unregistered(self, kind: str, name: str, task_queue: str) -> None:
        """A worker got a task that it has no code for. If it goes on for long, that is the user's mistake."""
        if self.misuse is None:
            self.misuse = self.missing.refused(task_queue, (kind, name), self.kernel.now_us)
            if self.misuse is not None:
                self.kernel.stop()

    # --- the end ----------------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Bury what is left and break every cycle. The record must be sealed before: user code may run here."""
        for node in self.nodes.values():
            if node.incarnation is not None:
                node.end_quietly()
        self.network.close()
        self.services.close()
        self.leaks = self.threads.close()
        self.kernel.close()
        for node in self.nodes.values():
            node.release()
        self.nodes.clear()
        self.observers.clear()
        self.commit_observers.clear()
        self.on_all_closed = None
        self.base_context = Context()
        del self.network.world


def digest_text(execution: Execution, events: list[HistoryEvent]) -> bytes:
    """What of committed events goes into the digest: types, ids and payloads; no messages and no stack traces."""
    text = execution.workflow_id.encode()
    for event in events:
        kind = event.__class__
        digested = _DIGESTED.get(kind) or _digested(kind)
        text += digested[0] % event.event_id
        if digested[1]:
            for payload in getattr(event, digested[1]):
                text += b"|" + payload.data
    return text


_DIGESTED: dict[type, tuple[bytes, str]] = {}
"""Event class to what ``digest_text`` makes of it: its id and name, and the field whose payloads follow."""


def _digested(kind: type[HistoryEvent]) -> tuple[bytes, str]:
    fields = [name for name in ("input", "result") if name in kind.__dataclass_fields__]
    found = _DIGESTED[kind] = (b"|%d" + kind.__name__.encode(), fields[0] if fields else "")
    return found


def describe(event: HistoryEvent) -> str:
    """A few words on an event, for the trace: which activity, timer or signal it is about."""
    for name in ("activity_type", "signal_name", "timer_id", "workflow_type", "marker_name"):
        value = getattr(event, name, None)
        if value:
            return f" ({value})"
    failure = getattr(event, "failure", None)
    return "" if failure is None else f" ({failure.message})"
