"""A fault at work in one world, and what brings nodes back that faults took down."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from ..sim.kernel import Entry
from ..sim.node import Node
from ..sim.record import FaultFired

if TYPE_CHECKING:
    from ..sim.services import Condition, ServiceCall, ServiceHost
    from ..sim.world import World
    from .kind import Fault

BITES_TRACED_MAX = 50
"""How many bites of one fault the trace tells one by one; the record counts them all."""

DRIVER = "driver"


class Restarts:
    """Starts nodes again, each down time at most once. A retired node stays down."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._healed = False
        # Names the last time that each node went down, so that a delay which belongs to an earlier time does nothing.
        self._times_down: dict[str, int] = {}

    def went_down(self, node: Node, restart_after_us: int | None) -> None:
        """A fault took it down; start it after a delay, or (``None``) when everything heals."""
        number = self._times_down[node.name] = self._times_down.get(node.name, 0) + 1
        if self._healed:
            restart_after_us = 0
        if restart_after_us is not None:
            self._world.kernel.schedule(restart_after_us, self._restart, node, number)

    def _restart(self, node: Node, number: int) -> None:
        if self._times_down.get(node.name) == number:
            self._start(node)

    def heal(self) -> None:
        """Start everything that is down now, and from now on at once whatever comes down later (a slow shutdown)."""
        self._healed = True
        for node in list(self._world.nodes.values()):
            if node.kind != DRIVER:
                self._times_down[node.name] = self._times_down.get(node.name, 0) + 1
                self._start(node)

    def _start(self, node: Node) -> None:
        if node.incarnation is None and not node.retired:
            node.start()


class Strike:
    """One fault of a plan in one world: what its kind works with.

    Attributes:
        fault: The value.
        world: The world.
        index: Its place in the plan.
        point: The named point at which it strikes; empty where a time says when.
        node_name: The node that reached the point; for points of a service's the node that had called it.
        subject: The subject of the point.
        begun: Whether its moment has come.
    """

    __slots__ = (
        "_end_entry",
        "_ended",
        "_first",
        "_restarts",
        "_undo",
        "begun",
        "bites",
        "fault",
        "index",
        "node_name",
        "point",
        "subject",
        "world",
    )

    def __init__(self, fault: Fault, world: World, index: int, restarts: Restarts) -> None:
        self.fault = fault
        self.world = world
        self.index = index
        self.point = ""
        self.node_name = ""
        self.subject = ""
        self.begun = False
        self.bites = 0
        self._restarts = restarts
        self._first: FaultFired | None = None
        self._undo: list[Callable[[], None]] = []
        self._end_entry: Entry | None = None
        self._ended = False

    # --- begin and end ------------------------------------------------------------------------------------------------

    def begin(self) -> None:
        """Its moment has come. Does nothing if it came before, or if everything has healed meanwhile."""
        if self.begun or self._ended:
            return
        self.begun = True
        duration_us: int | None = getattr(self.fault, "duration_us", None)
        if duration_us is not None:
            self.world.trace(
                "weather", self.point and self.node_name, f"begins: {self.fault.sentence()}", index=self.index
            )
            self._end_entry = self.world.kernel.schedule(duration_us, self.end)
        self.fault.strike(self)

    def end(self) -> None:
        """What lasts is over. Does nothing the second time."""
        if self._ended:
            return
        self._ended = True
        if self._end_entry is not None:
            self._end_entry.cancel()
            self._end_entry = None
            self.world.trace("weather", "", f"is over: {self.fault.sentence()}", index=self.index)
        undo, self._undo = self._undo, []
        for callback in reversed(undo):
            callback()

    def on_end(self, undo: Callable[[], None]) -> None:
        """Call this when the fault is over: at its end, or when everything heals."""
        self._undo.append(undo)

    # --- what happened ------------------------------------------------------------------------------------------------

    def fired(self, target: str, detail: str = "") -> None:
        """It really bit. The record keeps the first time and counts the others.

        Args:
            target: The node or service that was hit.
            detail: In a few words what happened to it.
        """
        self.bites += 1
        if self._first is None:
            self.world.fault_fired(self.index, self.fault.kind, target, self.point, detail)
            self._first = self.world.faults_fired[-1]
        elif self.bites <= BITES_TRACED_MAX:
            self.world.trace("fault", target, f"{self.fault.kind} {detail}".strip(), index=self.index, point=self.point)
        self._first["count"] = self.bites

    def missing(self, what: str, name: str, known: list[str]) -> None:
        """What it should strike is not there: the run says so in a note, since nobody else will."""
        there = ", ".join(known) or "none"
        note = f"fault {self.index + 1} ({self.fault.kind}) found no {what} {name!r}: there is {there}"
        if note not in self.world.notes:
            self.world.notes.append(note)

    # --- what it strikes ----------------------------------------------------------------------------------------------

    def node(self, name: str) -> Node | None:
        """A node by its name; ``None`` (and a note in the record) where there is none."""
        found = self.world.nodes.get(name)
        if found is None:
            self.missing("node", name, list(self.world.nodes))
        return found

    def service(self, name: str) -> ServiceHost | None:
        """What runs a service; ``None`` (and a note in the record) where there is none."""
        services = self.world.services
        if name not in services.names():
            self.missing("service", name, services.names())
            return None
        return services.host(name)

    def set_condition(self, service: str, condition: Condition) -> None:
        """Let a condition hold at a service until the fault is over; the fault has fired when the condition bites."""
        host = self.service(service)
        if host is None:
            return

        def bit(_: Condition, call: ServiceCall) -> None:
            self.fired(service, f"{call.title} from {call.source}")

        condition.on_bite = bit
        host.conditions.set(condition)
        self.on_end(lambda: host.conditions.clear(condition))

    # --- nodes go down ------------------------------------------------------------------------------------------------

    def crash(self, node: Node, restart_after_us: int | None) -> None:
        """Crash a node that is up; start it after a delay, or when everything heals (``None``)."""
        if node.incarnation is None or node.retired:
            return
        self.fired(node.name, f"process {node.incarnation.number}")
        node.crash()
        self._restarts.went_down(node, restart_after_us)

    def shut_down(self, node: Node, *, kill_after_us: int, restart_after_us: int | None) -> None:
        """Ask a node to end in an orderly way; kill it if it takes too long; start it again.

        It is asked by an event of its own: a signal reaches a process between two of its steps.
        """
        self.world.kernel.schedule(0, self._shut_down, node, kill_after_us, restart_after_us)

    def _shut_down(self, node: Node, kill_after_us: int, restart_after_us: int | None) -> None:
        incarnation = node.incarnation
        if incarnation is None or node.retired:
            return
        self.fired(node.name, f"process {incarnation.number}")

        def stopped() -> None:
            killing.cancel()
            self._restarts.went_down(node, restart_after_us)

        def kill() -> None:
            self.world.trace("kill", node.name, f"{node.name} has not ended in time and is killed")
            node.crash()

        killing = self.world.kernel.schedule(kill_after_us, kill)
        node.shutdown(stopped)


__all__ = ["BITES_TRACED_MAX", "Restarts", "Strike"]
