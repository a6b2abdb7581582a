"""The workflow half of a worker: polls, keeps runs in its sticky cache, answers workflow tasks and queries."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..core import requests as rq
from ..core.enums import TaskQueueKind, WorkflowTaskFailedCause
from ..core.errors import ServiceError
from ..core.events import HistoryEvent, TaskQueue, WorkflowTaskCompleted, WorkflowTaskScheduled
from ..core.failures import ApplicationFailureInfo, Failure
from ..core.machines import WorkflowRun, WorkflowTaskOutcome
from ..rpc import POLL_RETRY, RetriedCall
from .settings import DYNAMIC, WorkerHost, WorkerSettings


class CachedRun:
    """A run in the sticky cache.

    ``answered_event_id`` is the start of the last workflow task that was answered: where the server's next task must go
    on from. ``events`` are those that the run was given, kept only where it is rebuilt for every task.
    """

    __slots__ = ("answered_event_id", "events", "run")

    def __init__(self, run: WorkflowRun, answered_event_id: int) -> None:
        self.run = run
        self.answered_event_id = answered_event_id
        self.events: list[HistoryEvent] = []


class WorkflowTaskPoller:
    """Polls a normal and a sticky queue; one workflow task of a run is worked on at a time, as the server sees to."""

    def __init__(self, host: WorkerHost, settings: WorkerSettings) -> None:
        self._host = host
        self._settings = settings
        self._cache: dict[str, CachedRun] = {}
        self._stopping = False
        self.open_tasks = 0
        self.on_idle: Callable[[], None] = _nothing
        self._normal_queue = TaskQueue(settings.task_queue, TaskQueueKind.NORMAL)
        sticky_name = f"{settings.identity}-{host.new_id('worker.sticky_queue')}"
        self.sticky_queue = TaskQueue(sticky_name, TaskQueueKind.STICKY, settings.task_queue)
        self._use_sticky = settings.cached_workflows_max > 0

    def start(self) -> None:
        """Begin to poll."""
        self._poll(self._normal_queue)
        if self._use_sticky:
            self._poll(self.sticky_queue)

    def stop(self) -> None:
        """Poll no more; what has arrived is still answered."""
        self._stopping = True

    def abandon(self) -> None:
        """The process died: no user code of a cached run may run any more."""
        for cached in self._cache.values():
            cached.run.close(run_user_code=False, graveyard=self._host.graveyard)
        self._cache.clear()

    def close(self) -> None:
        """The process ends in an orderly way: cached runs are evicted."""
        for run_id in list(self._cache):
            self._evict(run_id)

    def _task_over(self) -> None:
        self.open_tasks -= 1
        if not self.open_tasks:
            self.on_idle()

    # --- polling ----------------------------------------------------------------------------------------------------

    def _poll(self, queue: TaskQueue) -> None:
        if self._stopping:
            return
        request = rq.PollWorkflowTaskQueue(queue, self._settings.identity, self._settings.namespace)
        RetriedCall(
            self._host,
            request,
            lambda reply: self._polled(queue, reply),
            options=POLL_RETRY,
            long_poll=True,
        )

    def _polled(self, queue: TaskQueue, reply: Any) -> None:
        self._poll(queue)
        if isinstance(reply, rq.PollWorkflowTaskQueueResponse):
            self.open_tasks += 1
            self._host.reach("workflow_task.received", reply.execution.workflow_id, reply.workflow_type)
            self._take(reply)

    def _take(self, task: rq.PollWorkflowTaskQueueResponse) -> None:
        """Bring the run up to the task's history, asking for what is missing where the cache does not fit.

        The events of a task follow its ``previous_started_event_id`` or are a whole history; a query's task on a sticky
        queue has none.
        """
        run_id = task.execution.run_id
        cached = self._cache.get(run_id)
        if cached is not None:
            if cached.answered_event_id == task.previous_started_event_id:
                # Used again: the last to be evicted.
                del self._cache[run_id]
                self._cache[run_id] = cached
                self._work(task, cached)
                return
            self._evict(run_id)
        first = task.events[0].event_id if task.events else 0
        if first == 1:
            self._work(task, self._new_run(task))
            return
        request = rq.GetWorkflowExecutionHistoryForWorker(task.execution, max(0, first - 1))
        RetriedCall(self._host, request, lambda reply: self._fetched(task, reply))

    def _fetched(self, task: rq.PollWorkflowTaskQueueResponse, reply: Any) -> None:
        if isinstance(reply, ServiceError):
            # Without its history nothing can be said of the task: it is left to its timeout.
            self._host.trace("history missing", reply.message, workflow_id=task.execution.workflow_id)
            self._task_over()
            return
        task.events = reply.events + task.events
        self._evict(task.execution.run_id)
        self._work(task, self._new_run(task))

    # --- the cache --------------------------------------------------------------------------------------------------

    def _new_run(self, task: rq.PollWorkflowTaskQueueResponse) -> CachedRun | None:
        settings = self._settings
        definition = settings.workflows.get(task.workflow_type) or settings.workflows.get(DYNAMIC)
        if definition is None:
            return None
        run = WorkflowRun(
            definition,
            task.execution,
            settings.converter,
            task_queue=settings.task_queue,
            failure_exception_types=settings.workflow_failure_exception_types,
        )
        cached = CachedRun(run, task.previous_started_event_id)
        if self._use_sticky:
            while len(self._cache) >= settings.cached_workflows_max:
                self._evict(next(iter(self._cache)))
            self._cache[task.execution.run_id] = cached
        return cached

    def _evict(self, run_id: str) -> None:
        cached = self._cache.pop(run_id, None)
        if cached is not None:
            cached.run.close(run_user_code=True, graveyard=self._host.graveyard)

    def _rebuild(self, task: rq.PollWorkflowTaskQueueResponse, cached: CachedRun) -> CachedRun:
        """Drop the instance and make it again from the events that were kept (``evict_every_task``)."""
        known = cached.events
        last_event_id = known[-1].event_id
        self._evict(task.execution.run_id)
        fresh = self._new_run(task)
        assert fresh is not None
        task.events = known + [event for event in task.events if event.event_id > last_event_id]
        return fresh

    # --- work -------------------------------------------------------------------------------------------------------

    def _work(self, task: rq.PollWorkflowTaskQueueResponse, cached: CachedRun | None) -> None:
        if cached is None:
            self._answer(task, self._unknown_workflow(task))
            return
        if task.query is not None:
            task.events = _before_next_task(task)
        evict = self._settings.evict_every_task
        if evict and cached.events:
            cached = self._rebuild(task, cached)
        self._host.busy_with(f"workflow {task.workflow_type} {task.execution.workflow_id}")
        events = task.events
        outcome = cached.run.handle_task(
            events,
            previous_started_event_id=task.previous_started_event_id,
            started_event_id=task.started_event_id,
            queries=task.queries,
            query=task.query,
        )
        if evict:
            last_event_id = cached.events[-1].event_id if cached.events else 0
            cached.events += [event for event in events if event.event_id > last_event_id]
        if task.query is None:
            cached.answered_event_id = task.started_event_id
        if not self._use_sticky:
            cached.run.close(run_user_code=True, graveyard=self._host.graveyard)
        self._answer(task, outcome)

    def _unknown_workflow(self, task: rq.PollWorkflowTaskQueueResponse) -> WorkflowTaskOutcome:
        self._host.unregistered("workflow", task.workflow_type, self._settings.task_queue)
        known = ", ".join(sorted(self._settings.workflows)) or "none"
        message = f"Workflow class {task.workflow_type} is not registered on this worker, available workflows: {known}"
        failure = Failure(message=message, info=ApplicationFailureInfo(type="NotFoundError"))
        return WorkflowTaskOutcome(
            failure=failure, failure_cause=WorkflowTaskFailedCause.WORKFLOW_WORKER_UNHANDLED_FAILURE
        )

    def _answer(self, task: rq.PollWorkflowTaskQueueResponse, outcome: WorkflowTaskOutcome) -> None:
        workflow_id = task.execution.workflow_id
        self._host.reach("workflow_task.before_answer", workflow_id, task.workflow_type)
        if task.query is not None:
            self._answer_query(task, outcome)
            return
        if outcome.failure is not None:
            self._failed(task, outcome)
            return
        settings = self._settings
        request = rq.RespondWorkflowTaskCompleted(
            task_token=task.task_token,
            commands=outcome.commands,
            identity=settings.identity,
            sticky_task_queue=self.sticky_queue if self._use_sticky and not self._stopping else None,
            sticky_schedule_to_start_timeout_us=settings.sticky_schedule_to_start_timeout_us,
            sdk_metadata=outcome.sdk_metadata,
            query_results=outcome.query_results,
        )
        RetriedCall(self._host, request, lambda reply: self._answered(task, reply))
        self._host.reach("workflow_task.answered", workflow_id, task.workflow_type)

    def _failed(self, task: rq.PollWorkflowTaskQueueResponse, outcome: WorkflowTaskOutcome) -> None:
        """A failed task evicts the run; the core reports first attempts only and lets later ones time out.

        (``managed_run.rs``, ``request_eviction``: "attempt <= 1".)
        """
        assert outcome.failure is not None
        self._host.trace("workflow task failed", outcome.failure.message, workflow_id=task.execution.workflow_id)
        self._evict(task.execution.run_id)
        if task.attempt > 1:
            self._task_over()
            return
        request = rq.RespondWorkflowTaskFailed(
            task.task_token, outcome.failure_cause, outcome.failure, self._settings.identity
        )
        RetriedCall(self._host, request, lambda reply: self._answered(task, reply))

    def _answer_query(self, task: rq.PollWorkflowTaskQueueResponse, outcome: WorkflowTaskOutcome) -> None:
        if outcome.failure is not None:
            self._evict(task.execution.run_id)
        result = outcome.query_result or rq.WorkflowQueryResult(failure=outcome.failure or Failure("no answer"))
        request = rq.RespondQueryTaskCompleted(task.query_token, result)
        RetriedCall(self._host, request, lambda reply: self._answered(task, None))

    def _answered(self, task: rq.PollWorkflowTaskQueueResponse, reply: Any) -> None:
        self._task_over()
        cached = self._cache.get(task.execution.run_id)
        if isinstance(reply, ServiceError) or (cached is not None and cached.run.completed):
            self._evict(task.execution.run_id)


def _before_next_task(task: rq.PollWorkflowTaskQueueResponse) -> list[HistoryEvent]:
    """The events of a query's task, without a workflow task that came meanwhile: that is for whoever gets it.

    Nor what it was scheduled for: a run that has seen an event before its task works on both apart, and by replay
    together.
    """
    completed_id = 0
    end = len(task.events)
    for index, event in enumerate(task.events):
        if event.event_id <= task.previous_started_event_id:
            continue
        if event.__class__ is WorkflowTaskScheduled:
            return task.events[: min(index, end)]
        if event.__class__ is WorkflowTaskCompleted and not completed_id:
            completed_id = event.event_id
        elif completed_id and end > index and not _is_command_of(event, completed_id):
            end = index
    return task.events


def _is_command_of(event: HistoryEvent, completed_id: int) -> bool:
    return getattr(event, "workflow_task_completed_event_id", 0) == completed_id


def _nothing() -> None:
    """Nobody waits for the last workflow task."""
