"""A world without an engine: kernel, network, nodes and services are the real ones."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from contextvars import copy_context
from typing import Any

import pytest
from stormproof.engine.core.errors import MisuseError
from stormproof.sim.choices import Choices
from stormproof.sim.graveyard import Graveyard
from stormproof.sim.greenlets import Greenlets
from stormproof.sim.kernel import Kernel
from stormproof.sim.loop import VirtualLoop
from stormproof.sim.network import Network
from stormproof.sim.node import Incarnation, Node
from stormproof.sim.services import Service, Services

START_US = 1_700_000_000_000_000


class Tracer:
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, str, str]] = []

    def add(self, kind: str, node: str, text: str, data: dict[str, Any]) -> None:
        self.lines.append((kind, node, text))


class SmallWorld:
    """Runs functions as drivers and activities against services."""

    def __init__(self, seed: int, services: list[Service]) -> None:
        self.choices = Choices(seed)
        self.digest = self.choices.digest
        self.kernel = Kernel(self.choices, start_time_us=START_US)
        self.network = Network(self, (100, 1_000))  # type: ignore[arg-type]
        self.nodes: dict[str, Node] = {}
        self.graveyard = Graveyard()
        self.threads = Greenlets(self.kernel, self.graveyard)
        self.observers: list[Callable[[str, str, str, str], None]] = []
        self.tracer = Tracer()
        self.misuse: MisuseError | None = None
        self.notes: list[str] = []
        self.unregistered: list[str] = []
        self.base_context = copy_context()
        self.services = Services(self, services)  # type: ignore[arg-type]
        self.services.start()

    def add_node(self, name: str, kind: str, program: Any = None) -> Node:
        assert name not in self.nodes
        node = self.nodes[name] = Node(self, name, kind, program)  # type: ignore[arg-type]
        return node

    def new_loop(self, incarnation: Incarnation) -> VirtualLoop:
        return VirtualLoop(self.kernel, incarnation, self.threads)

    def start_thread(self, incarnation: Incarnation, function: Any, name: str, on_done: Any) -> Any:
        return incarnation.context.run(self.threads.spawn, incarnation, function, on_done, name=name)

    def connection_closed(self, incarnation: Incarnation) -> None:
        pass

    def reach(self, point: str, node: str, subject: str, detail: str = "") -> None:
        for observer in self.observers:
            observer(point, node, subject, detail)

    # --- driving ------------------------------------------------------------------------------------------------------

    def client_node(self, name: str = "client") -> Incarnation:
        """A node that only calls."""
        node = self.nodes.get(name) or self.add_node(name, "client")
        return node.incarnation or node.start()

    def begin(self, function: Callable[[], Coroutine[Any, Any, Any]], name: str = "client") -> list[Any]:
        """Begin a coroutine on a client node; its task is in the list when it is done."""
        done: list[Any] = []
        machine = self.client_node(name)
        machine.context.run(machine.start_coroutine, function(), "test", done.append)
        return done

    def run(self, function: Callable[[], Coroutine[Any, Any, Any]], name: str = "client") -> Any:
        """Run a coroutine until nothing happens any more; its result."""
        done = self.begin(function, name)
        self.kernel.run(events=100_000)
        assert done, "it is still waiting"
        return done[0].result()

    def run_thread(self, function: Callable[[], Any], name: str = "client") -> Any:
        """The same for a blocking function."""
        done: list[Any] = []
        self.client_node(name).start_thread(function, "test", lambda *ended: done.append(ended))
        self.kernel.run(events=100_000)
        assert done, "it is still waiting"
        result, error = done[0]
        if error is not None:
            raise error
        return result

    @property
    def elapsed_us(self) -> int:
        return self.kernel.now_us - START_US

    def close(self) -> None:
        for node in self.nodes.values():
            node.end_quietly()
        self.network.close()
        self.threads.close()
        self.kernel.close()


@pytest.fixture
def world() -> Any:
    """Makes a world with these services."""
    made: list[SmallWorld] = []

    def make(*services: Service, seed: int = 1) -> SmallWorld:
        made.append(SmallWorld(seed, list(services)))
        return made[-1]

    yield make
    for each in made:
        each.close()
