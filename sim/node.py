"""Nodes and their incarnations: machines, and the processes that live and die on them.

A node has a name and lasts as long as the world; an incarnation is one process on it, from a start to a crash or an
end. What a process has in memory dies with it. A crash runs no code of the process, ``finally`` blocks included: the
incarnation is marked dead, what is suspended in it goes to the graveyard, and every door refuses it (``NodeDead``).
See ``sim/loop.py`` and ``sim/graveyard.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from contextvars import Context
from datetime import tzinfo
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from ..engine.activity import ActivityEvent
from .graveyard import Graveyard
from .greenlets import Waiter
from .loop import VirtualLoop
from .network import Call, Connection
from .process import current_process, require_alive

if TYPE_CHECKING:
    from .world import World

ENGINE = "engine"
"""The name under which nodes reach the engine's service."""


class Program(Protocol):
    """What runs on a node: made anew for each incarnation."""

    def start(self) -> None:
        """The process has started."""

    def receive(self, call: Call) -> None:
        """A request has arrived."""

    def shutdown(self, on_stopped: Callable[[], None]) -> None:
        """End in an orderly way and call ``on_stopped`` when done."""

    def abandon(self) -> None:
        """The process has died: let go of everything, run nothing of the user's."""

    def connection_lost(self, source: str) -> None:
        """A process that had called this one is gone."""


class Incarnation:
    """One process. It is the ``Process`` of its loop and the ``Host`` of the engine's machines on it."""

    def __init__(self, node: Node, number: int) -> None:
        self.node = node
        self.world: World = node.world
        self.name = node.name
        self.number = number
        self.alive = True
        self.lane = node.lane
        self.zone: tzinfo | None = node.zone
        self.serving: dict[int, Call] = {}
        self.connections: dict[str, Connection] = {}
        self.program: Program | None = None
        self.callees: dict[str, bool] = {}
        self.is_engine = node.kind == "engine"
        self.address = f"{node.name}#{number}"
        context = self.context = node.world.base_context.copy()
        context.run(current_process.set, self)
        # Bound once: each message costs a call of it, and none of Python's own frames.
        self.run_callback: Callable[..., object] = context.run
        self._monotonic_base_us = self.world.kernel.now_us
        self._loop: VirtualLoop | None = None

    def release(self) -> None:
        """The world has ended: break the circles of which this is a part, so that nothing waits for a collector."""
        program, self.program = self.program, None
        release = getattr(program, "release", None)
        if release is not None:
            release()
        self.context = Context()
        self.run_callback = self.context.run
        self._loop = None
        self.connections.clear()
        self.serving.clear()

    # --- clocks (Process) -------------------------------------------------------------------------------------------

    def wall_clock_us(self) -> int:
        """The node's wall clock: true time plus the node's skew."""
        return self.world.kernel.now_us + self.node.skew_us

    def monotonic_us(self) -> int:
        """Microseconds since this process started."""
        return self.world.kernel.now_us - self._monotonic_base_us

    def true_delay_us(self, delay_us: int) -> int:
        """Clocks do not drift yet: the delay itself."""
        return delay_us

    # --- running code -----------------------------------------------------------------------------------------------

    @property
    def loop(self) -> VirtualLoop:
        """The asyncio loop of this process."""
        if self._loop is None:
            self._loop = self.world.new_loop(self)
        return self._loop

    def receive(self, call: Call) -> None:
        """A request has arrived for this process."""
        program = self.program
        if program is None:
            return
        if self.is_engine:
            program.receive(call)  # runs no user code, so that it needs no context
        else:
            self.run_callback(program.receive, call)

    # --- Host -------------------------------------------------------------------------------------------------------

    @property
    def identity(self) -> str:
        """The node's name."""
        return self.name

    def now_us(self) -> int:
        """The node's wall clock."""
        return self.world.kernel.now_us + self.node.skew_us

    def call_later(self, delay_us: int, callback: Callable[..., None], *args: Any) -> Any:
        """Run ``callback(*args)`` later, if the process is still alive then."""
        if not self.alive:
            require_alive(self)
        return self.world.kernel.schedule(delay_us, self._due, callback, args, lane=self.lane)

    def _due(self, callback: Callable[..., None], args: tuple[Any, ...]) -> None:
        if self.alive:
            self.run_callback(callback, *args)

    def call_service(
        self, request: object, on_reply: Callable[[Any], None], *, timeout_us: int, long_poll: bool = False
    ) -> None:
        """Call the engine."""
        if not self.alive:
            require_alive(self)
        self.callees[ENGINE] = True
        self.world.network.call(self, ENGINE, request, on_reply, timeout_us=timeout_us, long_poll=long_poll)

    def hang_up(self) -> None:
        """Give up this process's waiting polls at the engine."""
        self.world.connection_closed(self)

    def new_id(self, purpose: str) -> str:
        """A UUID drawn from the world's choices."""
        return self.world.choices.uuid(purpose)

    def choose(self, label: str, count: int) -> int:
        """One of ``range(count)``."""
        return self.world.choices.draw(label, count) if count > 1 else 0

    def start_coroutine(self, coroutine: Coroutine[Any, Any, Any], name: str, on_done: Callable[[Any], None]) -> Any:
        """Run a coroutine as a task on this process's loop."""
        require_alive(self)
        task = self.loop.create_task(coroutine, name=name)
        task.add_done_callback(on_done)
        return task

    def start_thread(
        self, function: Callable[[], Any], name: str, on_done: Callable[[Any, BaseException | None], None]
    ) -> Any:
        """Run a blocking function in a simulated thread of this process."""
        require_alive(self)
        return self.world.start_thread(self, function, name, on_done)

    def block_thread(self, event: ActivityEvent, timeout_us: int | None) -> None:
        """Block the calling simulated thread until the event has happened or the timeout is over."""
        waiter = Waiter()
        event.on_set(waiter.wake)
        try:
            waiter.wait(timeout_us)
        finally:
            event.forget(waiter.wake)

    def busy_with(self, label: str) -> None:
        """Tell the watchdog whose code runs next."""
        self.world.kernel.busy_with = label

    def reach(self, point: str, subject: str, detail: str = "") -> None:
        """A named point was reached; faults may strike here.

        Raises:
            NodeDead: The process died of it.
        """
        world = self.world
        observers = world.observers
        if observers:
            for observer in observers:
                observer(point, self.name, subject, detail)
            world.threads.leave_if_dead()
            require_alive(self)

    def trace(self, kind: str, text: str, **data: Any) -> None:
        """Tell the trace, if there is one."""
        if self.world.tracer is not None:
            self.world.tracer.add(kind, self.name, text, data)

    @property
    def graveyard(self) -> Graveyard:
        """Where suspended user code of dead processes is kept."""
        return self.world.graveyard

    def unregistered(self, kind: str, name: str, task_queue: str) -> None:
        """A task came for a ``workflow`` or an ``activity`` that this worker has no code for."""
        self.world.unregistered(kind, name, task_queue)

    def committed(self, execution: Any, run: Any, transition: Any) -> None:
        """A transition was committed by this (server) process."""
        self.world.committed(self, execution, run, transition)


class Node:
    """A machine with a name. ``program`` makes what runs on it, anew for each incarnation.

    Args:
        kind: ``engine``, ``worker``, ``client``, ``service`` or ``driver``.
    """

    def __init__(
        self, world: World, name: str, kind: str, program: Callable[[Incarnation], Program | None] | None = None
    ) -> None:
        self.world = world
        self.name = name
        self.kind = kind
        self.lane = world.kernel.new_lane(name)
        self.skew_us = 0
        self.zone: tzinfo | None = None
        self.retired = False
        self.task_queues: dict[str, bool] = {}
        self.incarnation: Incarnation | None = None
        self._program = program
        self._count = 0
        self._incarnations: list[Incarnation] = []
        self._stopping: Incarnation | None = None
        self._on_stopped: list[Callable[[], None]] = []

    def start(self) -> Incarnation:
        """Start a process on this node; the node must be down."""
        assert self.incarnation is None, f"{self.name} is already up"
        self._count += 1
        incarnation = self.incarnation = Incarnation(self, self._count)
        self._incarnations.append(incarnation)
        incarnation.trace("start", f"{self.name} starts", incarnation=self._count)
        if self._program is not None:
            incarnation.program = incarnation.context.run(self._program, incarnation)
        if incarnation.program is not None:
            incarnation.context.run(incarnation.program.start)
        return incarnation

    def crash(self) -> None:
        """The process dies: nothing of it runs any more. Does nothing when the node is down."""
        incarnation = self.incarnation
        if incarnation is None:
            return
        incarnation.trace("crash", f"{self.name} crashes")
        self._end(incarnation)

    def shutdown(self, on_stopped: Callable[[], None] | None = None) -> None:
        """Ask the process to end in an orderly way; the node is down when it has. Does nothing when it is down.

        ``on_stopped`` is called when the process is gone, even if it crashes on its way; so is that of a second caller.
        """
        incarnation = self.incarnation
        if incarnation is None:
            return
        if on_stopped is not None:
            self._on_stopped.append(on_stopped)
        if self._stopping is incarnation:
            return
        self._stopping = incarnation
        incarnation.trace("shutdown", f"{self.name} is asked to shut down")
        # Soon, as a signal reaches a process: never in the middle of what its code or its machines are doing.
        self.world.kernel.schedule(0, self._shut_down, incarnation, lane=self.lane)

    def _shut_down(self, incarnation: Incarnation) -> None:
        if not incarnation.alive:
            return
        if incarnation.program is None:
            self._stopped(incarnation)
        else:
            incarnation.context.run(incarnation.program.shutdown, partial(self._stop_soon, incarnation))

    def _stop_soon(self, incarnation: Incarnation) -> None:
        self.world.kernel.schedule(0, self._stopped, incarnation, lane=self.lane)

    def _stopped(self, incarnation: Incarnation) -> None:
        if incarnation.alive:
            incarnation.trace("stop", f"{self.name} has shut down")
            self._end(incarnation)

    def _end(self, incarnation: Incarnation) -> None:
        self.incarnation = None
        incarnation.alive = False
        if incarnation.program is not None:
            incarnation.program.abandon()
        self.world.threads.kill(incarnation)
        self.world.connection_closed(incarnation)
        self.world.network.broken(incarnation)
        self._stopping = None
        waiting, self._on_stopped = self._on_stopped, []
        for on_stopped in waiting:
            on_stopped()

    def release(self) -> None:
        """The world has ended: break the circles of all processes that there ever were on this node."""
        for incarnation in self._incarnations:
            incarnation.release()
        self._incarnations.clear()

    def end_quietly(self) -> None:
        """The world ends: as a crash, but nobody is told."""
        incarnation = self.incarnation
        if incarnation is not None:
            incarnation.callees.clear()
            incarnation.serving.clear()
            self._on_stopped.clear()
            self._end(incarnation)
