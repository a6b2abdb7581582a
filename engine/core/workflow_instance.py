"""One run of a workflow class: activations go in, commands come out.

The semantics are those of ``temporalio``'s ``_WorkflowInstanceImpl``: the order in which jobs are applied, how often
the loop runs, when conditions are looked at, and what fails the workflow task rather than the workflow.

``activate`` answers; it never raises what the workflow's code has raised. Only what isn't meant for the workflow goes
through it: the exceptions, based on ``BaseException``, by which the world stops a process or a spinning workflow.
"""

from __future__ import annotations

import asyncio
from asyncio import _get_running_loop, _set_running_loop
from collections.abc import Callable, Sequence
from typing import Any

from ..common import RawValue
from .activation import (
    Activation,
    ActivationCompletion,
    CancelWorkflow,
    CancelWorkflowCommand,
    CompleteWorkflowCommand,
    FailWorkflowCommand,
    FireTimer,
    InitializeWorkflow,
    Job,
    NotifyHasPatch,
    QueryWorkflow,
    RemoveFromCache,
    ResolveActivity,
    SignalWorkflow,
    UpdateRandomSeed,
)
from .failures import ApplicationFailureInfo, Failure
from .workflow_calls import PROCESS_JOBS_AS_SINGLE_BATCH, WorkflowCalls, is_over

_TERMINAL = frozenset({CompleteWorkflowCommand, FailWorkflowCommand, CancelWorkflowCommand})
_PATCHES, _SIGNALS, _OTHERS, _QUERIES = range(4)
_CHECKS_CONDITIONS = (False, True, True, False)


class WorkflowInstance(WorkflowCalls):
    """See the module."""

    _input: Sequence[Any] = ()
    _primary_task: asyncio.Task[None] | None = None
    _cancel_primary_task_later = False

    # --- activations ------------------------------------------------------------------------------------------------

    def activate(self, activation: Activation) -> ActivationCompletion:
        """Apply jobs, run the workflow's code until it waits, and answer with commands or with a task's failure."""
        completion = self._completion = ActivationCompletion([], None, [])
        self.time_us = activation.timestamp_us
        self.is_replaying = activation.is_replaying
        self.history_length = activation.history_length
        self.history_size_bytes = activation.history_size_bytes
        self.continue_as_new_suggested = activation.continue_as_new_suggested
        flags = self._flags = activation.available_internal_flags
        if flags or self._lang_flags:
            self._is_single_batch = self._use_flag(PROCESS_JOBS_AS_SINGLE_BATCH)
        self.task_error = None
        try:
            self._run_jobs(activation.jobs)
        except Exception as error:
            failed = self._failure_of_activation(error)
            if failed is not None:
                completion.failure = self._to_failure(failed)
        if self._abort is not None:
            raise self._abort
        handlers = self._handlers
        if (
            handlers is not None
            and not handlers.all_finished()
            and any(command.__class__ in _TERMINAL for command in completion.commands)
        ):
            handlers.warn_of_unfinished()
        return completion

    def _run_jobs(self, jobs: list[Job]) -> None:
        if len(jobs) == 1:
            # What nearly all activations are.
            job = jobs[0]
            kind = job.__class__
            if isinstance(job, InitializeWorkflow):
                self._read_start(job)
            _APPLY[kind](self, job)
            self._run_once(check_conditions=_CHECKS_CONDITIONS[_JOB_SETS[kind]])
            return
        sets: tuple[list[Job], ...] = ([], [], [], [])
        for job in jobs:
            sets[_JOB_SETS[job.__class__]].append(job)
            if isinstance(job, InitializeWorkflow):
                self._read_start(job)
        assert not sets[_QUERIES] or len(sets[_QUERIES]) == len(jobs), "queries share an activation with other jobs"
        if self._is_single_batch:
            for job_set in sets:
                for job in job_set:
                    _APPLY[job.__class__](self, job)
            self._run_once(check_conditions=bool(sets[_SIGNALS] or sets[_OTHERS]))
            return
        for index, job_set in enumerate(sets):
            if job_set:
                for job in job_set:
                    _APPLY[job.__class__](self, job)
                self._run_once(check_conditions=_CHECKS_CONDITIONS[index])

    def _run_once(self, *, check_conditions: bool) -> None:
        loop = self.loop
        outer = _get_running_loop()
        _set_running_loop(loop)
        try:
            # Here, because the user's __init__ runs on the workflow's loop.
            if self.object is None and not self.is_being_evicted:
                definition = self.definition
                self.object = definition.cls(*self._input) if definition.init_takes_input else definition.cls()
            while loop.ready:
                loop.run_ready()
                if check_conditions and self._conditions:
                    self._conditions = [condition for condition in self._conditions if not is_over(condition)]
        finally:
            _set_running_loop(outer)

    def _failure_of_activation(self, error: Exception) -> BaseException | None:
        """What fails the workflow task, if anything does."""
        if self.is_being_evicted:
            return None
        if not self.is_failure_exception(error):
            return error
        try:
            self.fail_workflow(error)
        except Exception as conversion_error:
            return conversion_error
        return None

    def _to_failure(self, error: BaseException) -> Failure:
        try:
            return self.converter.to_failure(error)
        except Exception as conversion_error:
            message = f"Failed converting activation exception: {conversion_error}"
            return Failure(message=message, info=ApplicationFailureInfo())

    # --- jobs -------------------------------------------------------------------------------------------------------

    def _read_start(self, job: InitializeWorkflow) -> None:
        self._start = job
        self._start_time_us = self.time_us
        if self._random_run_id is None:
            self._random_run_id = job.started.original_execution_run_id
        if self.definition.name is not None:
            self._input = self.convert_payloads(job.arguments, self.definition.arg_types)
        else:
            self._input = [self.convert_payloads(job.arguments, [RawValue] * len(job.arguments))]

    def _start_primary_task(self, _job: InitializeWorkflow) -> None:
        self._primary_task = self.loop.create_task(self._run_primary(), name="run")
        if self._cancel_primary_task_later:
            self._cancel_primary_task_later = False
            self.loop.call_soon(self._primary_task.cancel)

    async def _run_primary(self) -> None:
        try:
            result = await self.definition.run_fn(self.object, *self._input)
            self.add_command(CompleteWorkflowCommand(self.to_payload(result)))
        except BaseException as error:
            if not self.end_with(error):
                raise

    def _fire_timer(self, job: FireTimer) -> None:
        # It may be gone: a signal of the same activation may have cancelled it.
        handle = self._timers.pop(job.seq, None)
        if handle is not None:
            self.loop.ready.append(handle.ready)

    def _resolve_activity(self, job: ResolveActivity) -> None:
        state = self._activities.pop(job.seq, None)
        if state is None:
            raise RuntimeError(f"Failed finding activity handle for sequence {job.seq}")
        if job.failure is not None:
            state.resolve(None, self.converter.from_failure(job.failure))
        elif job.result is None:
            state.resolve(None, None)
        else:
            hints = [state.result_type] if state.result_type is not None else None
            state.resolve(self.convert_payloads([job.result], hints)[0], None)

    def _cancel_workflow(self, job: CancelWorkflow) -> None:
        self.cancel_reason = job.reason
        if self._primary_task is not None:
            # Later, because the task may not have had its first turn, and must see the cancellation.
            self.loop.call_soon(self._primary_task.cancel)
        elif self._is_single_batch:
            self._cancel_primary_task_later = True

    def _receive_signal(self, job: SignalWorkflow) -> None:
        self.handlers.receive_signal(job)

    def _receive_query(self, job: QueryWorkflow) -> None:
        self.handlers.receive_query(job)

    def _note_patch(self, job: NotifyHasPatch) -> None:
        self._patches_notified[job.patch_id] = None

    def _reseed(self, job: UpdateRandomSeed) -> None:
        self.reseed(job.run_id)

    def _evict(self, _job: RemoveFromCache) -> None:
        self.is_being_evicted = True
        # What looks whether it is replaying, such as a logger, is silent during the teardown too.
        self.is_replaying = True
        for task in list(self.loop.tasks):
            task.cancel()

    # --- closing ----------------------------------------------------------------------------------------------------

    def evict(self) -> None:
        """Cancel every task and let its code run, while commands are ignored, as the real SDK does on eviction."""
        self.loop.forget_done_tasks()
        if self.loop.tasks:
            jobs: list[Job] = [RemoveFromCache()]
            self.activate(
                Activation(
                    self.execution.run_id,
                    self.time_us,
                    is_replaying=True,
                    history_length=self.history_length,
                    jobs=jobs,
                )
            )

    def detach(self) -> list[asyncio.Task[Any]]:
        """Let go of everything without running any code, so that nothing here refers to itself.

        Returns:
            The pending tasks, whose code would run if they were freed.
        """
        self.loop.forget_done_tasks()
        left = self.loop.tasks
        if self._handlers is not None:
            self._handlers.detach()
        self.loop.workflow_instance = None
        self.loop.tasks = []
        self.loop.ready.clear()
        self._conditions = []
        self._timers = {}
        self._activities = {}
        self._primary_task = None
        self.task_error = self._abort = None
        return left


_JOB_SETS: dict[type, int] = {
    NotifyHasPatch: _PATCHES,
    SignalWorkflow: _SIGNALS,
    InitializeWorkflow: _OTHERS,
    FireTimer: _OTHERS,
    ResolveActivity: _OTHERS,
    CancelWorkflow: _OTHERS,
    UpdateRandomSeed: _OTHERS,
    RemoveFromCache: _OTHERS,
    QueryWorkflow: _QUERIES,
}

_APPLY: dict[type, Callable[[WorkflowInstance, Any], None]] = {
    NotifyHasPatch: WorkflowInstance._note_patch,  # noqa: SLF001 (the class's own table)
    SignalWorkflow: WorkflowInstance._receive_signal,  # noqa: SLF001
    InitializeWorkflow: WorkflowInstance._start_primary_task,  # noqa: SLF001
    FireTimer: WorkflowInstance._fire_timer,  # noqa: SLF001
    ResolveActivity: WorkflowInstance._resolve_activity,  # noqa: SLF001
    CancelWorkflow: WorkflowInstance._cancel_workflow,  # noqa: SLF001
    UpdateRandomSeed: WorkflowInstance._reseed,  # noqa: SLF001
    RemoveFromCache: WorkflowInstance._evict,  # noqa: SLF001
    QueryWorkflow: WorkflowInstance._receive_query,  # noqa: SLF001
}
