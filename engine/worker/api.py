"""``Worker``, with the name and the options of ``temporalio.worker.Worker``."""

from __future__ import annotations

import asyncio
import concurrent.futures
from collections.abc import Callable, Sequence
from datetime import timedelta
from types import TracebackType
from typing import Any, Self

from ..client import Client
from ..common import timedelta_to_us
from ..core.errors import MisuseError
from ..host import world
from .settings import WorkerSettings, activity_table, workflow_table


class Worker:
    """A worker of one task queue.

    ``async with Worker(...)`` runs it while the block runs; ``await worker.run()`` until it is shut down. In a
    simulation it runs on a node of its own, which faults crash, restart and cut off; its workflow classes and activity
    objects are the ones given here, so what they keep in memory outlives such a crash. Give a scenario a worker factory
    to have them made anew.

    Args:
        client: The client that it works for.
        task_queue: The queue that it polls.
        activities: Activity functions or bound methods, sync or async.
        workflows: Workflow classes.
        activity_executor: Accepted for compatibility: sync activities run in simulated threads.
        identity: The name of its node by default.
        max_cached_workflows: Size of the sticky cache. Default 1000; 0 switches it off.
        max_concurrent_activities: Default 100.
        graceful_shutdown_timeout: How long activities may go on after a shutdown was asked for. Default 0.
        workflow_failure_exception_types: Exceptions that fail the workflow instead of its workflow task.

    Raises:
        MisuseError: There is neither a workflow nor an activity, or two have the same name.
    """

    def __init__(
        self,
        client: Client,
        *,
        task_queue: str,
        activities: Sequence[Callable[..., Any]] = [],
        workflows: Sequence[type] = [],
        activity_executor: concurrent.futures.Executor | None = None,
        identity: str | None = None,
        max_cached_workflows: int = 1000,
        max_concurrent_workflow_tasks: int | None = None,
        max_concurrent_activities: int | None = None,
        sticky_queue_schedule_to_start_timeout: timedelta = timedelta(seconds=10),
        max_heartbeat_throttle_interval: timedelta = timedelta(seconds=60),
        default_heartbeat_throttle_interval: timedelta = timedelta(seconds=30),
        graceful_shutdown_timeout: timedelta = timedelta(),
        workflow_failure_exception_types: Sequence[type[BaseException]] = [],
        debug_mode: bool = False,
    ) -> None:
        if not activities and not workflows:
            raise MisuseError("at least one activity or workflow must be given to a Worker")
        self.client = client
        self.settings = WorkerSettings(
            task_queue=task_queue,
            namespace=client.namespace,
            workflows=workflow_table(workflows),
            activities=activity_table(activities),
            converter=client.data_converter,
            identity=identity or "",
            cached_workflows_max=max_cached_workflows,
            concurrent_activities_max=max_concurrent_activities or 100,
            concurrent_workflow_tasks_max=max_concurrent_workflow_tasks or 100,
            sticky_schedule_to_start_timeout_us=timedelta_to_us(sticky_queue_schedule_to_start_timeout),
            graceful_shutdown_timeout_us=timedelta_to_us(graceful_shutdown_timeout),
            max_heartbeat_throttle_interval_us=timedelta_to_us(max_heartbeat_throttle_interval),
            default_heartbeat_throttle_interval_us=timedelta_to_us(default_heartbeat_throttle_interval),
            workflow_failure_exception_types=tuple(workflow_failure_exception_types),
            client=client,
        )
        self._running: asyncio.Task[None] | None = None
        self._stop: asyncio.Event | None = None
        self._started = False

    @property
    def task_queue(self) -> str:
        """The queue that it polls."""
        return self.settings.task_queue

    @property
    def is_running(self) -> bool:
        """Has it been started, and not been shut down?"""
        return self._started and self._stop is not None and not self._stop.is_set()

    @property
    def is_shutdown(self) -> bool:
        """Was it asked to shut down?"""
        return self._stop is not None and self._stop.is_set()

    async def run(self) -> None:
        """Run until ``shutdown`` is called or this call is cancelled; either way the shutdown is orderly.

        Raises:
            MisuseError: It was already run, or no simulation is running here.
        """
        if self._started:
            raise MisuseError("this Worker was already run: make another one")
        self._started = True
        stop = self._stop = asyncio.Event()
        await world().run_worker(self.settings, stop)

    async def shutdown(self) -> None:
        """Ask it to stop, and wait until it has."""
        if self._stop is not None:
            self._stop.set()
        if self._running is not None:
            await asyncio.wait([self._running])

    async def __aenter__(self) -> Self:
        """Start it."""
        self._running = asyncio.get_running_loop().create_task(self.run())
        await asyncio.sleep(0)
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Shut it down."""
        await self.shutdown()
        if self._running is not None and self._running.done() and not self._running.cancelled():
            error = self._running.exception()
            if error is not None and exc_value is None:
                raise error
