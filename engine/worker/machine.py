"""The worker machine: one worker process, from its first poll to the end of its shutdown."""

from __future__ import annotations

from collections.abc import Callable

from ..host import Cancellable
from .activity_tasks import ActivityTaskPoller
from .settings import WorkerHost, WorkerSettings
from .workflow_tasks import WorkflowTaskPoller


class WorkerMachine:
    """Runs the workflow half and the activity half of a worker on one host."""

    def __init__(self, host: WorkerHost, settings: WorkerSettings) -> None:
        self._host = host
        self._settings = settings
        self.workflows = WorkflowTaskPoller(host, settings)
        self.activities = ActivityTaskPoller(host, settings)
        self._stopping = False
        self._grace: Cancellable | None = None
        self._on_stopped: Callable[[], None] | None = None

    def start(self) -> None:
        """Begin to poll for what the worker has code for."""
        if self._settings.workflows:
            self.workflows.start()
        if self._settings.activities:
            self.activities.start()

    def shutdown(self, on_stopped: Callable[[], None]) -> None:
        """Stop in an orderly way: no more polls, a grace period for activities, then their cancellation.

        ``on_stopped`` is called when everything that ran has been reported.
        """
        if self._stopping:
            return
        self._stopping = True
        self._on_stopped = on_stopped
        self.workflows.stop()
        self.activities.stop()
        self._host.hang_up()
        self._grace = self._host.call_later(self._settings.graceful_shutdown_timeout_us, self.activities.cancel_all)

        self.workflows.on_idle = self.activities.on_idle = self._check_drained
        self._check_drained()

    def _check_drained(self) -> None:
        if self.activities.running or self.workflows.open_tasks or self._on_stopped is None:
            return
        if self._grace is not None:
            self._grace.cancel()
        self.workflows.close()
        on_stopped, self._on_stopped = self._on_stopped, None
        on_stopped()

    def abandon(self) -> None:
        """The process died. Nothing of it runs any more."""
        self.workflows.abandon()
