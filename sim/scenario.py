"""Scenarios: what is run. Workload, workers, services, topology, and what the user declares about them."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from ..engine.core.errors import MisuseError
from .code import CodeVersion
from .services import Service
from .world import START_TIME_US

if TYPE_CHECKING:
    from ..engine.client import Client
    from ..engine.worker import Worker

WorkerFactory = Callable[["Client"], "Worker"]


@dataclass(frozen=True)
class WorkerGroup:
    """Worker processes of one kind.

    Args:
        factory: Makes the ``Worker``, given a client; called anew for each start of a process, so that what it keeps in
            memory dies with the process. ``"package.module:function"`` loads the module anew as well.
        count: How many processes. Default 1.
        name: Of the nodes; they are numbered when there are several. Default ``worker``.
        code: Which version of the code the processes run, where the factory is given as a string; the code as it is by
            default.
        modules: More modules that are loaded anew for each process. ``("package.module", ...)``.
    """

    factory: WorkerFactory | str
    count: int = 1
    name: str = "worker"
    code: CodeVersion | None = None
    modules: Sequence[str] = ()

    def node_names(self) -> list[str]:
        """The names of its nodes."""
        if self.count == 1:
            return [self.name]
        return [f"{self.name}-{number}" for number in range(1, self.count + 1)]


@dataclass(frozen=True)
class Scenario:
    """One thing to simulate.

    Args:
        workload: What clients do: ``async def workload()``, ``workload(client)`` or ``workload(client, draw)``, where
            ``draw`` gives seeded choices. It runs on a driver node, which never crashes.
        name: For reports; the workload's name by default.
        workers: Worker groups or factories; none where the workload makes its own ``Worker``.
        services: Fakes of outside systems: classes or factories, made anew for each run.
        properties: Properties beside the default ones.
        outcomes: Allowed outcomes, as a predicate on an ``Outcome`` or a list of results; without it P10 compares with
            fault-free runs.
        effects_at_most_once: Names of service operations (``"payments.charge"``) that P2 is checked for.
        faults: The fault mix; the default mix when ``None``. ``()`` has none.
        latency_us: Least and greatest latency of a message. Default 200 µs to 2 ms.
        start_time: When the world begins, timezone-aware. Default 2026-01-05 09:00 UTC.
        engines: Accepted for later: one server.

    Raises:
        MisuseError: An argument has a wrong type or value.
    """

    workload: Callable[..., Awaitable[Any]]
    name: str = ""
    workers: Sequence[WorkerGroup | WorkerFactory] = ()
    services: Sequence[Callable[[], Service]] = ()
    properties: Sequence[Any] = ()
    outcomes: Callable[[Any], bool] | Sequence[Any] | None = None
    effects_at_most_once: Sequence[str] = ()
    faults: Any = None
    latency_us: tuple[int, int] = (200, 2_000)
    start_time: datetime | None = None
    waits_for_people: Sequence[str] = field(default=())

    def __post_init__(self) -> None:
        if not inspect.iscoroutinefunction(self.workload):
            raise MisuseError(
                f"the workload of a scenario is {self.workload!r}: expected an async function (`async def main(): ...`)"
            )
        low_us, high_us = self.latency_us
        if not 0 <= low_us <= high_us:
            raise MisuseError(f"latency_us is {self.latency_us}: expected 0 <= least <= greatest")
        if self.start_time is not None and self.start_time.tzinfo is None:
            raise MisuseError(f"start_time is {self.start_time}: give it a time zone (tzinfo=timezone.utc)")

    @property
    def title(self) -> str:
        """Its name, or its workload's."""
        return self.name or self.workload.__name__

    @property
    def start_time_us(self) -> int:
        """When the world begins, microseconds since the Unix epoch."""
        if self.start_time is None:
            return START_TIME_US
        return round(self.start_time.timestamp() * 1_000_000)

    def groups(self) -> list[WorkerGroup]:
        """Its worker groups, bare factories included."""
        groups: list[WorkerGroup] = []
        for number, worker in enumerate(self.workers, 1):
            if isinstance(worker, WorkerGroup):
                groups.append(worker)
            else:
                name = "worker" if len(self.workers) == 1 else f"worker-{number}"
                groups.append(WorkerGroup(worker, name=name))
        return groups


def as_scenario(target: Any) -> Scenario:
    """A scenario from what a user gave: a scenario, or an async function that uses ``Client`` and ``Worker``.

    Raises:
        MisuseError: It is neither.
    """
    if isinstance(target, Scenario):
        return target
    if inspect.iscoroutinefunction(target):
        return Scenario(target)
    raise MisuseError(f"{target!r} can't be simulated: expected an async function or a stormproof.Scenario")
