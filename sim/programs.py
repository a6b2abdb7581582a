"""What runs on engine and worker nodes: the engine's machines, made anew for each incarnation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ..engine.core.errors import MisuseError
from ..engine.server.server import Server
from ..engine.worker.machine import WorkerMachine
from .network import Call

if TYPE_CHECKING:
    from ..engine.worker.settings import WorkerSettings
    from .node import Incarnation


class EngineProgram:
    """An engine server."""

    def __init__(self, incarnation: Incarnation) -> None:
        self.server = Server(incarnation, incarnation.world.store)

    def start(self) -> None:
        """Dispatch what an earlier incarnation left undone."""
        self.server.recover()

    def receive(self, call: Call) -> None:
        """Serve a request."""
        self.server.handle(call.body, call.reply, call.sender.address)

    def shutdown(self, on_stopped: Callable[[], None]) -> None:
        """A server keeps nothing that must be brought to an end."""
        on_stopped()

    def abandon(self) -> None:
        """What it had in memory is lost."""

    def release(self) -> None:
        """The world has ended: the server's parts refer to each other, and nobody needs them any more."""
        server = self.server
        for part in (server.dispatcher.timers, server.dispatcher, server.queries, server):
            vars(part).clear()

    def connection_lost(self, source: str) -> None:
        """A worker or client is gone."""
        self.server.connection_lost(source)


class WorkerProgram:
    """A worker."""

    def __init__(self, incarnation: Incarnation, settings: WorkerSettings) -> None:
        self.settings = settings
        self.machine = WorkerMachine(incarnation, settings)

    def start(self) -> None:
        """Begin to poll."""
        self.machine.start()

    def receive(self, call: Call) -> None:
        """A worker serves nothing."""
        call.reply(MisuseError(f"{call.target} is a worker: it answers no calls"))

    def shutdown(self, on_stopped: Callable[[], None]) -> None:
        """Stop in an orderly way."""
        self.machine.shutdown(on_stopped)

    def abandon(self) -> None:
        """The process died."""
        self.machine.abandon()

    def release(self) -> None:
        """The world has ended: the machine's parts refer to each other, and nobody needs them any more."""
        machine = self.machine
        for part in (machine.workflows, machine.activities, machine):
            vars(part).clear()

    def connection_lost(self, source: str) -> None:
        """Nobody calls a worker."""


def worker_program(settings: Callable[[], WorkerSettings]) -> Callable[[Any], WorkerProgram]:
    """A maker of worker programs; ``settings`` is called for each incarnation, in its context."""

    def make(incarnation: Incarnation) -> WorkerProgram:
        made = settings()
        evict = incarnation.world.evict_every_task
        made = replace(made, identity=made.identity or incarnation.name, evict_every_task=evict)
        incarnation.node.task_queues[made.task_queue] = True
        incarnation.world.register(made)
        return WorkerProgram(incarnation, made)

    return make
