"""The activity half of a worker: polls while a slot is free, runs activities, heartbeats, cancels and reports them.

Rules are those of the SDK's core (``crates/sdk-core/src/worker/activities.rs``) and of
``temporalio/worker/_activity.py``: heartbeats are throttled to four fifths of the heartbeat timeout, the last one is
flushed before a failure is reported, an attempt that outlives its timeout by five seconds is cancelled locally, and a
cancellation is reported as such only when it was asked for.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..core import requests as rq
from ..core.enums import TaskQueueKind
from ..core.events import TaskQueue
from ..core.failures import ApplicationFailureInfo, Failure
from ..rpc import POLL_RETRY, RetriedCall
from .running_activity import RunningActivity
from .settings import WorkerHost, WorkerSettings


class ActivityTaskPoller:
    """Polls one queue for activity tasks and runs them."""

    def __init__(self, host: WorkerHost, settings: WorkerSettings) -> None:
        self._host = host
        self._settings = settings
        self._queue = TaskQueue(settings.task_queue, TaskQueueKind.NORMAL)
        self._stopping = False
        self._grace_is_over = False
        self._polling = False
        self._count = 0
        self.running: dict[int, RunningActivity] = {}
        self.on_idle: Callable[[], None] = _nothing

    def start(self) -> None:
        """Begin to poll."""
        self._poll()

    def stop(self) -> None:
        """Poll no more; what runs goes on. Activities see ``is_worker_shutdown()``."""
        self._stopping = True
        for activity in list(self.running.values()):
            activity.worker_shutdown()

    def cancel_all(self) -> None:
        """The grace period is over: cancel what still runs, and whatever still arrives."""
        self._grace_is_over = True
        for activity in list(self.running.values()):
            activity.cancel_for_shutdown()

    def _poll(self) -> None:
        if self._stopping or self._polling or len(self.running) >= self._settings.concurrent_activities_max:
            return
        self._polling = True
        request = rq.PollActivityTaskQueue(self._queue, self._settings.identity, self._settings.namespace)
        RetriedCall(self._host, request, self._polled, options=POLL_RETRY, long_poll=True)

    def _polled(self, reply: Any) -> None:
        self._polling = False
        if isinstance(reply, rq.PollActivityTaskQueueResponse):
            self._count += 1
            activity = RunningActivity(self._host, self._settings, reply, self._count, self._done)
            self.running[self._count] = activity
            self._poll()
            self._start(activity)
        else:
            self._poll()

    def _start(self, activity: RunningActivity) -> None:
        task = activity.task
        definition = self._settings.activities.get(task.activity_type)
        if definition is None:
            self._host.unregistered("activity", task.activity_type, self._settings.task_queue)
            known = ", ".join(sorted(self._settings.activities)) or "none"
            message = (
                f"Activity function {task.activity_type} for workflow {task.execution.workflow_id} is not registered "
                f"on this worker, available activities: {known}"
            )
            activity.refuse(Failure(message=message, info=ApplicationFailureInfo(type="NotFoundError")))
            return
        self._host.reach("activity.started", task.activity_type, f"attempt {task.attempt}")
        activity.start(definition)
        if self._stopping:
            activity.worker_shutdown()
        if self._grace_is_over:
            activity.cancel_for_shutdown()

    def _done(self, activity: RunningActivity) -> None:
        """The report of an activity was answered, or given up."""
        self.running.pop(activity.number, None)
        self._poll()
        if not self.running:
            self.on_idle()


def _nothing() -> None:
    """Nobody waits for the last activity."""
