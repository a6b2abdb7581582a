"""One run: a scenario in a world of its own, under one seed, as a record.

The rooms above decide which faults strike and judge the record; this module only lets it happen. A run has a safety
phase under faults, then everything heals, then a bounded liveness phase in which what is still open must close. When
main has returned and every execution has closed, the world goes on for a while (``SETTLE_US``), and ends.
"""

from __future__ import annotations

import asyncio
import inspect
import os
import platform
from collections.abc import Callable
from functools import lru_cache
from typing import Any, Protocol

from ..engine.client import Client
from ..engine.client_errors import RPCError, WorkflowFailureError
from ..engine.core.errors import MisuseError
from ..engine.host import current_world
from .choices import Choices
from .code import CodeLoader
from .detached import detached_from_asyncio
from .garbage import collection_paused
from .http import installed_http
from .kernel import RunResult
from .node import Incarnation, Node
from .options import RunOptions
from .outcomes import outcome_of
from .patches import installed_patches
from .record import RunHistory, RunRecord
from .scenario import Scenario, WorkerGroup
from .services import Services
from .stuck import unpolled_queue, waiting
from .version import VERSION
from .watchdog import watched
from .world import World

PYTHON_VERSION = platform.python_version()

SETTLE_US = 60_000_000
"""How long a world goes on after everything has closed, so that late effects of lost calls are seen: one minute."""

EXPECTED_ERRORS = (WorkflowFailureError, RPCError)
"""What a client must reckon with. That main ended so is noted, and judged by what it means for the workflows."""


class FaultSession(Protocol):
    """The faults of one run."""

    @property
    def heal_at_us(self) -> int:
        """Microseconds after the start when everything has healed; 0 if there are no faults."""
        ...

    def planned(self) -> list[Any]:
        """The plan as plain data."""
        ...

    def install(self, world: World) -> None:
        """Let the faults strike in this world."""

    def heal(self, world: World) -> None:
        """End every fault that still lasts, and start again what is down."""


class _Run:
    """The state of one run while it is under way."""

    def __init__(self, scenario: Scenario, seed: int, options: RunOptions, faults: FaultSession | None) -> None:
        self.scenario = scenario
        self.options = options
        self.faults = faults
        choices = Choices(seed, overrides=options.overrides)
        self.world = World(
            choices,
            tracing=options.trace,
            latency_us=scenario.latency_us,
            start_time_us=scenario.start_time_us,
            evict_every_task=options.evict_every_task,
        )
        self.services = Services(self.world, [make() for make in scenario.services])
        self.main_done = False
        self.main_error: BaseException | None = None
        self.bound_hit = False
        self._settling = False
        self._bound_passed = False

    # --- setting up -------------------------------------------------------------------------------------------------

    def set_up(self, liveness_us: int | None) -> None:
        """Start all nodes, install the faults, begin the workload."""
        world = self.world
        world.add_engine()
        self.services.start()
        loader = CodeLoader()
        for group in self.scenario.groups():
            for name in group.node_names():
                world.add_worker(_settings_maker(world, group, loader, name), name=name).start()
        driver = world.add_node("driver", "driver")
        if self.faults is not None:
            self.faults.install(world)
            heal_at_us = self.faults.heal_at_us
            world.kernel.schedule(heal_at_us, self._heal, liveness_us)
        elif liveness_us is not None:
            world.kernel.schedule(liveness_us, self._bound)
        world.on_all_closed = self._maybe_done
        self._start_workload(driver)

    def _start_workload(self, driver: Node) -> None:
        incarnation = driver.start()
        workload = self.scenario.workload
        count = _parameter_count(workload)

        async def main() -> Any:
            arguments: list[Any] = []
            if count > 0:
                arguments.append(await Client.connect("simulation"))
            if count > 1:
                arguments.append(self.world.choices.workload())
            return await workload(*arguments)

        incarnation.context.run(incarnation.start_coroutine, main(), "main", self._main_ended)

    def _main_ended(self, task: Any) -> None:
        self.main_done = True
        error = self.main_error = asyncio.CancelledError("cancelled") if task.cancelled() else task.exception()
        if isinstance(error, EXPECTED_ERRORS):
            self.world.notes.append(f"main ended with {type(error).__name__}: {error}")
        self.world.trace("driver", "driver", "main has ended" if self.main_error is None else "main has raised")
        if self.main_error is not None and not isinstance(self.main_error, Exception):
            self.world.kernel.stop()
        self._maybe_done()

    def _heal(self, liveness_us: int | None) -> None:
        assert self.faults is not None
        self.world.trace("heal", "", "everything heals")
        self.faults.heal(self.world)
        if liveness_us is not None:
            self.world.kernel.schedule(liveness_us, self._bound)

    def _bound(self) -> None:
        self._bound_passed = True
        if not self._settling:
            self.bound_hit = True
            self.world.kernel.stop()

    def _maybe_done(self) -> None:
        if self.is_done and not self._settling:
            self._settling = True
            self.world.kernel.schedule(SETTLE_US, self._settled)

    @property
    def is_done(self) -> bool:
        """Has main ended, and has every execution closed?"""
        return self.main_done and not self.world.open_runs

    def _settled(self) -> None:
        """Nothing has been open for a while; if something was started meanwhile, the run goes on."""
        self._settling = False
        if self.is_done:
            self.world.kernel.stop()
        elif self._bound_passed:
            self._bound()

    # --- running ----------------------------------------------------------------------------------------------------

    def run(self) -> RunResult:
        """Let it happen."""
        options = self.options
        until_us = self.world.start_time_us + options.virtual_time_max_us
        return self.world.kernel.run(
            until_us, events=options.events_max, real_time_us=round(options.real_time_limit_s * 1_000_000)
        )

    def record(self, result: RunResult, seed: int, reference: str) -> RunRecord:
        """Seal what happened."""
        world = self.world
        stopped_by, detail = self._stopped(result)
        kernel = world.kernel
        checkpoints = world.digest.checkpoints
        return RunRecord(
            seed=seed,
            scenario=reference,
            options=self.options,
            stormproof_version=VERSION,
            python_version=PYTHON_VERSION,
            python_hash_seed=os.environ.get("PYTHONHASHSEED", "random"),
            choices_overrides=dict(self.options.overrides or {}),
            faults_planned=[] if self.faults is None else self.faults.planned(),
            faults_fired=world.faults_fired,
            trace=[] if world.tracer is None else world.tracer.events,
            histories=[
                RunHistory(run.execution.workflow_id, run.execution.run_id, run.workflow_type, events=run.events)
                for run in world.runs.values()
            ],
            ledgers=self.services.ledgers(),
            outcomes=[outcome_of(run) for run in world.runs.values()],
            digest="" if stopped_by in ("real_time", "spinning") else checkpoints[-1][1],
            checkpoints=[list(checkpoint) for checkpoint in checkpoints],
            statistics={
                "events": kernel.current_cause,
                "messages": world.network.messages,
                "virtual_us": kernel.now_us - world.start_time_us,
                "executions": len(world.runs),
            },
            stopped_by=stopped_by,
            stopped_detail=detail,
            notes=world.notes,
            error=self._error(),
        )

    def misuse(self, result: RunResult) -> MisuseError | None:
        """The user's mistake that kept the run from its end, if there is one."""
        world = self.world
        if isinstance(self.main_error, MisuseError):
            return self.main_error
        if world.misuse is not None or self.is_done or result.reason == "spinning":
            return world.misuse
        return world.missing.mistake() or unpolled_queue(world)

    def _stopped(self, result: RunResult) -> tuple[str, str]:
        """Why the run ended before its scenario did, and what waited or who was busy then."""
        if result.reason == "spinning":
            return "spinning", result.detail
        if self.is_done and result.reason != "real_time":
            return "", ""
        lines = waiting(self.world)
        if not self.main_done:
            lines.append("main has not returned")
        if result.reason in ("events", "real_time", "virtual_time"):
            busy = ", ".join(f"{name} ({share})" for name, share in result.busy[:3])
            lines.append(f"busiest: {busy}")
        reason = "liveness" if self.bound_hit else result.reason
        return reason, "; ".join(lines)

    def _error(self) -> str:
        error = self.main_error
        if error is None or isinstance(error, EXPECTED_ERRORS):
            return ""
        return f"{type(error).__name__}: {error}"


def _parameter_count(workload: Callable[..., Any]) -> int:
    """How many arguments a workload takes. Reading a signature takes 15 us; a campaign asks for each run."""
    try:
        return _parameter_counts(workload)
    except TypeError:  # it has no hash
        return len(inspect.signature(workload).parameters)


@lru_cache(maxsize=16)
def _parameter_counts(workload: Callable[..., Any]) -> int:
    return len(inspect.signature(workload).parameters)


def _settings_maker(world: World, group: WorkerGroup, loader: CodeLoader, name: str) -> Callable[[], Any]:
    """Makes the settings of one incarnation of a worker node, by the user's factory."""

    def make() -> Any:
        factory = loader.factory(group)
        try:
            worker = factory(Client(identity=name))
        except MisuseError:
            raise
        except Exception as error:
            raise MisuseError(
                f"the factory of worker group {group.name!r} raised {type(error).__name__}: {error}"
            ) from error
        settings = getattr(worker, "settings", None)
        if settings is None:
            raise MisuseError(f"the factory of worker group {group.name!r} gave {worker!r}: expected a Worker")
        return settings

    return make


def run_scenario(
    scenario: Scenario,
    *,
    seed: int,
    options: RunOptions,
    faults: FaultSession | None = None,
    liveness_us: int | None = None,
    reference: str = "",
    watch: Callable[[World], None] | None = None,
) -> RunRecord:
    """Run a scenario once.

    Args:
        scenario: What is run.
        seed: Every choice comes from it.
        options: Budgets, tracing, and what else decides the run.
        faults: The faults of this run; none where ``None``.
        liveness_us: How long after healing (without faults: after the start) everything must have closed; ``None``
            leaves it to the budgets of ``options``.
        reference: Where the scenario is, for the record.
        watch: Called with the world before it starts, to observe it.

    Returns:
        The record, not yet judged. What ``main`` raised is in its ``error``, unless it is an outcome of a workflow.

    Raises:
        MisuseError: The scenario cannot work: a queue that nobody polls, a workflow that nobody registered; or a
            simulation is running here already.
    """
    if current_world.get() is not None:
        raise MisuseError("a simulation is running here already: simulate() can't be called inside one")
    run = _Run(scenario, seed, options, faults)
    world = run.world
    with collection_paused(), detached_from_asyncio(), installed_patches(), installed_http(), watched(world.kernel):
        try:
            if watch is not None:
                watch(world)
            world.base_context.copy().run(run.set_up, liveness_us)
            result = world.base_context.copy().run(run.run)
            misuse = run.misuse(result)
            if misuse is not None:
                raise misuse
            return run.record(result, seed, reference)
        finally:
            world.base_context.copy().run(world.close)


__all__ = ["SETTLE_US", "FaultSession", "Incarnation", "run_scenario"]
