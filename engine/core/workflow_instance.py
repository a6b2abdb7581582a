"""One run of a workflow class: activations go in, commands come out.

The semantics are those of ``temporalio``'s ``_WorkflowInstanceImpl``: the order in which jobs are applied, how often the
loop runs, when conditions are looked at, and what fails the workflow task rather than the workflow.

``activate`` answers; it never raises what the workflow's code has raised. Only what isn't meant for the workflow goes
through it: the exceptions, based on ``BaseException``, by which the world stops a process or a spinning workflow.
"""

from __future__ import annotations

import asyncio
import random
from asyncio import _get_running_loop, _set_running_loop
from collections.abc import Callable, Sequence
from contextvars import Context
from dataclasses import dataclass, field
from typing import Any

from ..exceptions import CancelledError, FailureError, is_cancelled_exception
from .activation import (
    Activation,
    ActivationCompletion,
    CancelTimerCommand,
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
    ScheduleActivityCommand,
    SetPatchMarkerCommand,
    SignalWorkflow,
    StartTimerCommand,
    UpdateRandomSeed,
    WorkflowCommand,
)
from .conversion import Conversion
from .definition import WorkflowDefinition
from .events import UserMetadata
from .failures import ApplicationFailureInfo, Failure
from .payloads import Payload
from .requests import Execution
from .runtime_context import WorkflowBeingEvictedError
from .siphash import randomness_seed
from .workflow_activity import ActivityHandle, ActivityState, start_activity
from .workflow_handlers import Handlers
from .workflow_info import Info, build_info
from .workflow_loop import TimerHandle, WorkflowLoop, refuse_in_read_only, timer_summary

RAISE_ON_CANCELLING_COMPLETED_ACTIVITY = 1
"""Flag: cancelling a task that awaits an activity which has just ended raises ``CancelledError`` in it."""
PROCESS_JOBS_AS_SINGLE_BATCH = 2
"""Flag: all jobs of an activation are applied before any code runs."""

_TERMINAL = frozenset({CompleteWorkflowCommand, FailWorkflowCommand, CancelWorkflowCommand})
_PATCHES, _SIGNALS, _OTHERS, _QUERIES = range(4)


@dataclass(slots=True)
class Condition:
    """What a ``wait_condition`` waits for."""

    is_met: Callable[[], bool]
    future: asyncio.Future[None] = field(repr=False)


class WorkflowInstance:
    """See the module.

    Args:
        definition: The workflow's class.
        execution: The run.
        converter: Values to payloads and back.
        task_queue: The worker's task queue, which is the default of activities.
        failure_exception_types: Exceptions of these types too fail the workflow, not the workflow task.
        lang_flags: Flags that new workflow tasks switch on.

    Attributes:
        task_error: What fails the workflow task.
        is_being_evicted: The instance is torn down: commands are refused, exceptions swallowed.
    """

    def __init__(
        self,
        definition: WorkflowDefinition,
        execution: Execution,
        converter: Conversion,
        *,
        task_queue: str,
        failure_exception_types: Sequence[type[BaseException]] = (),
        lang_flags: frozenset[int] = frozenset(),
    ) -> None:
        self.definition = definition
        self.execution = execution
        self.converter = converter
        self.task_queue = task_queue
        self._failure_types = (FailureError, asyncio.TimeoutError, *failure_exception_types)
        self._lang_flags = lang_flags
        self.workflow_type = definition.name or ""
        self.object: Any = None
        self.time_us = 0
        self.is_replaying = False
        self.history_length = 0
        self.history_size_bytes = 0
        self.continue_as_new_suggested = False
        self.task_error: BaseException | None = None
        self.is_being_evicted = False
        self.is_in_query = False
        self.cancel_reason: str | None = None
        self.loop = WorkflowLoop(self)
        self.handlers = Handlers(self)
        self._completion = ActivationCompletion()
        self._flags: frozenset[int] = frozenset()
        self._is_single_batch = False
        self._start: InitializeWorkflow | None = None
        self._start_time_us = 0
        self._input: list[Any] = []
        self._primary_task: asyncio.Task[None] | None = None
        self._cancel_primary_task_later = False
        self._abort: BaseException | None = None
        self._conditions: list[Condition] = []
        self._timers: dict[int, TimerHandle] = {}
        self._activities: dict[int, ActivityState] = {}
        self._timer_count = 0
        self._activity_count = 0
        self._info: Info | None = None
        self._random: random.Random | None = None
        self._random_run_id: str | None = None
        self._memo: dict[str, Any] | None = None
        self._patches_notified: dict[str, None] = {}
        self._patches_decided: dict[str, bool] = {}

    # --- activations ------------------------------------------------------------------------------------------------

    def activate(self, activation: Activation) -> ActivationCompletion:
        """Apply jobs, run the workflow's code until it waits, and answer with commands or with a task's failure."""
        completion = self._completion = ActivationCompletion()
        self.time_us = activation.timestamp_us
        self.is_replaying = activation.is_replaying
        self.history_length = activation.history_length
        self.history_size_bytes = activation.history_size_bytes
        self.continue_as_new_suggested = activation.continue_as_new_suggested
        self._flags = activation.available_internal_flags
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
        if self.handlers.all_finished():
            return completion
        if any(command.__class__ in _TERMINAL for command in completion.commands):
            self.handlers.warn_of_unfinished()
        return completion

    def _run_jobs(self, jobs: list[Job]) -> None:
        sets: tuple[list[Job], ...] = ([], [], [], [])
        for job in jobs:
            sets[_JOB_SETS[job.__class__]].append(job)
            if job.__class__ is InitializeWorkflow:
                self._read_start(job)  # type: ignore[arg-type]  # its class was compared
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
                self._run_once(check_conditions=index in (_SIGNALS, _OTHERS))

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
                    self._conditions = [condition for condition in self._conditions if not _is_over(condition)]
        finally:
            _set_running_loop(outer)

    def _failure_of_activation(self, error: Exception) -> BaseException | None:
        """What fails the workflow task, if anything does."""
        if self.is_being_evicted:
            return None
        if not self.is_failure_exception(error):
            return error
        try:
            self._fail_workflow(error)
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
        self.workflow_type = job.workflow_type
        if self._random_run_id is None:
            self._random_run_id = job.started.original_execution_run_id
        if self.definition.name is not None:
            self._input = self.convert_payloads(job.arguments, self.definition.arg_types)
        else:
            from ..common import RawValue  # noqa: PLC0415 (dynamic workflows are rare)

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
            self.loop.ready.append(handle)

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
        self._random_run_id = job.run_id
        if self._random is not None:
            self._random.seed(self.random_seed())

    def _evict(self, _job: RemoveFromCache) -> None:
        self.is_being_evicted = True
        # What looks whether it is replaying, such as a logger, is silent during the teardown too.
        self.is_replaying = True
        for task in list(self.loop.tasks):
            task.cancel()

    # --- how the workflow ends --------------------------------------------------------------------------------------

    def end_with(self, error: BaseException) -> bool:
        """The run method or a signal handler has raised. False if that isn't for the workflow to handle."""
        if self.is_being_evicted:
            return isinstance(error, (Exception, asyncio.CancelledError))
        if isinstance(error, asyncio.CancelledError):
            error = CancelledError(str(error))
        elif not isinstance(error, Exception):
            if not isinstance(error, GeneratorExit):
                # asyncio keeps what a task raises; this is to leave the activation at once.
                self.task_error = self._abort = error
            return False
        if self.cancel_reason is not None and is_cancelled_exception(error):
            self.add_command(CancelWorkflowCommand())
        elif self.is_failure_exception(error):
            self._fail_workflow(error)
        else:
            self.task_error = error
        return True

    def is_failure_exception(self, error: BaseException) -> bool:
        """Whether an exception fails the workflow; any other fails the workflow task, which is tried again."""
        return isinstance(error, self._failure_types) or isinstance(error, self.definition.failure_exception_types)

    def _fail_workflow(self, error: BaseException) -> None:
        try:
            failure = self.converter.to_failure(error)
        except Exception as conversion_error:
            raise ValueError("Failed converting workflow exception") from conversion_error
        self.add_command(FailWorkflowCommand(failure))

    # --- what the workflow's code asks for --------------------------------------------------------------------------

    def add_command(self, command: WorkflowCommand) -> None:
        """Answer this activation with a command."""
        self.refuse_if_read_only("add command")
        self._completion.commands.append(command)

    def refuse_if_read_only(self, action: str) -> None:
        """Refuse what code in a query handler or of an evicted workflow may not do.

        Raises:
            WorkflowBeingEvictedError: The instance is being torn down.
            ReadOnlyContextError: The code may only read.
        """
        if self.is_being_evicted:
            raise WorkflowBeingEvictedError(f"Ignoring {action} while evicting workflow. This is not an error.")
        if self.loop.read_only:
            refuse_in_read_only(action)

    def _use_flag(self, flag: int) -> bool:
        if flag in self._flags:
            return True
        if self.is_replaying or flag not in self._lang_flags:
            return False
        self._completion.used_internal_flags.append(flag)
        return True

    def may_raise_cancel_of_completed(self) -> bool:
        """See ``RAISE_ON_CANCELLING_COMPLETED_ACTIVITY``; always in force for new workflow tasks."""
        if self._is_single_batch:
            return True
        if self.is_replaying and RAISE_ON_CANCELLING_COMPLETED_ACTIVITY not in self._flags:
            return False
        self._completion.used_internal_flags.append(RAISE_ON_CANCELLING_COMPLETED_ACTIVITY)
        return True

    def start_activity(self, command: ScheduleActivityCommand, args: Sequence[Any], result_type: Any) -> Any:
        """Schedule an activity; gives ``command`` its seq, id and task queue where it has none, and its arguments.

        Returns:
            The handle.

        Raises:
            ValueError: It has neither a schedule-to-close nor a start-to-close timeout.
        """
        self.refuse_if_read_only("start activity")
        if not command.start_to_close_timeout_us and not command.schedule_to_close_timeout_us:
            raise ValueError("Activity must have start_to_close_timeout or schedule_to_close_timeout")
        self._activity_count += 1
        command.seq = self._activity_count
        state, handle = start_activity(self, command, result_type)
        self.loop.keep(handle)
        command.activity_id = command.activity_id or str(command.seq)
        command.task_queue = command.task_queue or self.task_queue
        if args:
            command.arguments = self.converter.payload_converter.to_payloads(args)
        self._completion.commands.append(command)
        self._activities[command.seq] = state
        return handle

    def start_timer(
        self,
        delay_us: int,
        callback: Callable[..., Any],
        args: tuple[Any, ...],
        context: Context | None,
        summary: Payload | None,
    ) -> TimerHandle:
        """Start a durable timer.

        Raises:
            RuntimeError: The delay is negative.
        """
        self.refuse_if_read_only("schedule timer")
        if delay_us < 0:
            raise RuntimeError("Attempting to schedule timer with negative delay")
        self._timer_count += 1
        seq = self._timer_count
        when = (self.time_us + delay_us) / 1_000_000
        handle = TimerHandle(seq, when, callback, args, self.loop, context)
        metadata = None if summary is None else UserMetadata(summary=summary)
        self._completion.commands.append(StartTimerCommand(seq, delay_us, metadata))
        self._timers[seq] = handle
        return handle

    def cancel_timer(self, seq: int) -> None:
        """Cancel a durable timer that hasn't fired."""
        if self._timers.pop(seq, None) is not None:
            self.add_command(CancelTimerCommand(seq))

    async def sleep(self, delay_us: int, summary: str | None) -> None:
        """Wait for a durable timer."""
        future = self.loop.create_future()
        payload = self.to_payload(summary) if summary else None
        timer = self.start_timer(delay_us, _set_result, (future,), None, payload)

        def cancel_timer(done: asyncio.Future[Any]) -> None:
            if done.cancelled():
                timer.cancel()

        future.add_done_callback(cancel_timer)
        await future

    async def wait_condition(self, is_met: Callable[[], bool], timeout: float | None, summary: str | None) -> None:
        """Wait until ``is_met()``, which is looked at whenever the workflow's code has run.

        Raises:
            TimeoutError: ``timeout`` seconds have passed.
        """
        self.refuse_if_read_only("wait condition")
        was_cancelled = self.cancel_reason is not None
        future = self.loop.create_future()
        self._conditions.append(Condition(is_met, future))
        try:
            if timeout is None:
                await future
            else:
                token = timer_summary.set(self.to_payload(summary) if summary else None)
                try:
                    await asyncio.wait_for(future, timeout)
                finally:
                    timer_summary.reset(token)
        except TimeoutError:
            if self._was_just_cancelled(was_cancelled):
                raise asyncio.CancelledError from None
            raise
        if self._was_just_cancelled(was_cancelled):
            raise asyncio.CancelledError

    def _was_just_cancelled(self, was_cancelled: bool) -> bool:
        """Some versions of ``wait_for`` prefer a result or a timeout to a cancellation of the same turn."""
        return self._is_single_batch and not was_cancelled and self.cancel_reason is not None

    def patched(self, patch_id: str, *, deprecated: bool) -> bool:
        """Whether the code takes the newer path; see ``workflow.patched``."""
        self.refuse_if_read_only("patch")
        decided = self._patches_decided.get(patch_id)
        if decided is not None:
            return decided
        use = not self.is_replaying or patch_id in self._patches_notified
        self._patches_decided[patch_id] = use
        if use:
            self.add_command(SetPatchMarkerCommand(patch_id, deprecated))
        return use

    # --- what the workflow's code can know --------------------------------------------------------------------------

    def info(self) -> Info:
        """Information about the run."""
        if self._info is None:
            assert self._start is not None
            self._info = build_info(
                self._start,
                namespace=self.execution.namespace,
                task_queue=self.task_queue,
                start_time_us=self._start_time_us,
            )
        return self._info

    def random_seed(self) -> int:
        """The seed of ``random()``."""
        return randomness_seed(self._random_run_id or "")

    def random(self) -> random.Random:
        """The workflow's random numbers, the same on every replay."""
        self.refuse_if_read_only("random")
        if self._random is None:
            self._random = random.Random(self.random_seed())  # noqa: S311 (must be reproducible)
        return self._random

    def memo(self) -> dict[str, Any]:
        """The memo's values, converted without type hints."""
        if self._memo is None:
            from_payload = self.converter.payload_converter.from_payload
            self._memo = {key: from_payload(payload) for key, payload in self.info().raw_memo.items()}
        return self._memo

    # --- conversion -------------------------------------------------------------------------------------------------

    def to_payload(self, value: Any) -> Payload:
        """Encode one value.

        Raises:
            ValueError: The converter makes something else than one payload of it.
        """
        payloads = self.converter.payload_converter.to_payloads([value])
        if len(payloads) != 1:
            raise ValueError(f"Expected 1 result payload, got {len(payloads)}")
        return payloads[0]

    def convert_payloads(self, payloads: Sequence[Payload], types: list[Any] | None) -> list[Any]:
        """Decode payloads; types whose number isn't that of the payloads are ignored.

        Raises:
            RuntimeError: They can't be decoded.
        """
        if not payloads:
            return []
        if types and len(types) != len(payloads):
            types = None
        try:
            return self.converter.payload_converter.from_payloads(payloads, types)
        except Exception as error:
            if self.is_failure_exception(error):
                raise
            raise RuntimeError("Failed decoding arguments") from error

    # --- closing ----------------------------------------------------------------------------------------------------

    def evict(self) -> bool:
        """Cancel every task and let its code run, while commands are ignored, as the real SDK does on eviction.

        Returns:
            Whether nothing is left that still runs.
        """
        activation = Activation(self.execution.run_id, self.time_us, True, self.history_length, [RemoveFromCache()])
        self.activate(activation)
        self.loop.forget_done_tasks()
        return not self.loop.tasks

    def detach(self) -> list[asyncio.Task[Any]]:
        """Let go of everything without running any code, so that nothing here refers to itself.

        Returns:
            The pending tasks, whose code would run if they were freed.
        """
        self.loop.forget_done_tasks()
        left = self.loop.tasks
        self.handlers.detach()
        self.loop.workflow_instance = None
        self.loop.tasks = []
        self.loop.ready.clear()
        self._conditions = []
        self._timers = {}
        self._activities = {}
        self._primary_task = None
        self.task_error = self._abort = None
        return left


def _is_over(condition: Condition) -> bool:
    """Whether a condition needn't be looked at again."""
    if condition.future.done():
        return True
    if not condition.is_met():
        return False
    condition.future.set_result(None)
    return True


def _set_result(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


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

__all__ = ["ActivityHandle", "WorkflowInstance"]
