"""What a workflow's code can ask its instance for, and know from it: commands, waiting, time, random numbers.

``workflow_instance.py`` has the other side, from which activations come.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from contextvars import Context
from dataclasses import dataclass, field
from random import Random
from typing import Any

from ..exceptions import CancelledError, FailureError, is_cancelled_exception
from .activation import (
    ActivationCompletion,
    CancelTimerCommand,
    CancelWorkflowCommand,
    FailWorkflowCommand,
    InitializeWorkflow,
    ScheduleActivityCommand,
    SetPatchMarkerCommand,
    StartTimerCommand,
    WorkflowCommand,
)
from .conversion import Conversion
from .definition import WorkflowDefinition
from .events import UserMetadata
from .payloads import Payload
from .requests import Execution
from .runtime_context import WorkflowBeingEvictedError
from .siphash import randomness_seed
from .workflow_activity import ActivityHandle, ActivityState
from .workflow_handlers import Handlers
from .workflow_info import Info, build_info
from .workflow_loop import TimerHandle, new_loop, refuse_in_read_only, timer_summary

RAISE_ON_CANCELLING_COMPLETED_ACTIVITY = 1
"""Flag: cancelling a task that awaits an activity which has just ended raises ``CancelledError`` in it."""
PROCESS_JOBS_AS_SINGLE_BATCH = 2
"""Flag: all jobs of an activation are applied before any code runs."""


@dataclass(slots=True)
class Condition:
    """What a ``wait_condition`` waits for."""

    is_met: Callable[[], bool]
    future: asyncio.Future[None] = field(repr=False)


class WorkflowCalls:
    """See the module. What only some workflows use is made when it is asked for; its default stands in the class.

    Args:
        definition: The workflow's class.
        execution: The run.
        converter: Values to payloads and back.
        task_queue: The worker's task queue, which is the default of activities.
        failure_exception_types: Exceptions of these types too fail the workflow, not the workflow task.
        lang_flags: Flags that new workflow tasks switch on.
        reverses_sets: Sets of tasks have the opposite order (see ``WorkflowTask``).

    Attributes:
        task_error: What fails the workflow task.
        is_being_evicted: The instance is torn down: commands are refused, exceptions swallowed.
    """

    object: Any = None
    time_us = 0
    is_replaying = False
    history_length = 0
    history_size_bytes = 0
    continue_as_new_suggested = False
    task_error: BaseException | None = None
    is_being_evicted = False
    is_in_query = False
    cancel_reason: str | None = None
    _handlers: Handlers | None = None
    _flags: frozenset[int] = frozenset()
    _is_single_batch = False
    _start: InitializeWorkflow | None = None
    _start_time_us = 0
    _timer_count = 0
    _activity_count = 0
    _info: Info | None = None
    _random: Random | None = None
    _random_run_id: str | None = None
    _seed_callbacks: Sequence[Callable[[int], None]] = ()
    _memo: dict[str, Any] | None = None
    _abort: BaseException | None = None
    _completion: ActivationCompletion
    _patches_decided: dict[str, bool] | None = None

    def __init__(
        self,
        definition: WorkflowDefinition,
        execution: Execution,
        converter: Conversion,
        *,
        task_queue: str,
        failure_exception_types: Sequence[type[BaseException]] = (),
        lang_flags: frozenset[int] = frozenset(),
        reverses_sets: bool = False,
    ) -> None:
        self.definition = definition
        self.execution = execution
        self.converter = converter
        self.task_queue = task_queue
        self.loop = new_loop(self)
        if reverses_sets:
            self.loop.reverses_sets = True
        self._failure_types = (FailureError, asyncio.TimeoutError, *failure_exception_types)
        self._lang_flags = lang_flags
        self._conditions: list[Condition] = []
        self._timers: dict[int, TimerHandle] = {}
        self._activities: dict[int, ActivityState] = {}
        self._patches_notified: dict[str, None] = {}

    @property
    def workflow_type(self) -> str:
        """The workflow's name."""
        return self._start.workflow_type if self._start is not None else self.definition.name or ""

    @property
    def handlers(self) -> Handlers:
        """The signal and query handlers."""
        if self._handlers is None:
            self._handlers = Handlers(self)
        return self._handlers

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
            self.fail_workflow(error)
        else:
            self.task_error = error
        return True

    def fail_workflow(self, error: BaseException) -> None:
        """Fail the workflow.

        Raises:
            ValueError: The exception can't be converted.
        """
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

    def start_activity(
        self, command: ScheduleActivityCommand, args: Sequence[Any], result_type: Any
    ) -> ActivityHandle[Any]:
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
        seq = command.seq = self._activity_count
        loop = self.loop
        state = ActivityState(self, seq, result_type)
        handle: ActivityHandle[Any] = ActivityHandle(state, loop, command.activity_type)
        loop.keep(handle)
        if not command.activity_id:
            command.activity_id = str(seq)
        if not command.task_queue:
            command.task_queue = self.task_queue
        if args:
            command.arguments = self.converter.payload_converter.to_payloads(args)
        self._completion.commands.append(command)
        self._activities[seq] = state
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

    async def wait_condition(self, is_met: Callable[[], bool], timeout_s: float | None, summary: str | None) -> None:
        """Wait until ``is_met()``, which is looked at whenever the workflow's code has run.

        Raises:
            TimeoutError: ``timeout_s`` seconds have passed.
        """
        self.refuse_if_read_only("wait condition")
        was_cancelled = self.cancel_reason is not None
        future = self.loop.create_future()
        self._conditions.append(Condition(is_met, future))
        try:
            if timeout_s is None:
                await future
            else:
                token = timer_summary.set(self.to_payload(summary) if summary else None)
                try:
                    await asyncio.wait_for(future, timeout_s)
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
        if self._patches_decided is None:
            self._patches_decided = {}
        decided = self._patches_decided.get(patch_id)
        if decided is not None:
            return decided
        use = not self.is_replaying or patch_id in self._patches_notified
        self._patches_decided[patch_id] = use
        if use:
            self.add_command(SetPatchMarkerCommand(patch_id, deprecated))
        return use

    # --- what the workflow's code can know --------------------------------------------------------------------------

    def is_failure_exception(self, error: BaseException) -> bool:
        """Whether an exception fails the workflow; any other fails the workflow task, which is tried again."""
        return isinstance(error, (*self._failure_types, *self.definition.failure_exception_types))

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

    def random(self) -> Random:
        """The workflow's random numbers, the same on every replay."""
        self.refuse_if_read_only("random")
        if self._random is None:
            self._random = Random(self.random_seed())  # noqa: S311 (must be reproducible)
        return self._random

    def on_reseed(self, callback: Callable[[int], None]) -> None:
        """Have a function called with each new seed."""
        self.refuse_if_read_only("register random seed callback")
        self._seed_callbacks = [*self._seed_callbacks, callback]

    def reseed(self, run_id: str) -> None:
        """Go on with the random numbers of another run (after a reset)."""
        self._random_run_id = run_id
        seed = self.random_seed()
        if self._random is not None:
            self._random.seed(seed)
        for callback in self._seed_callbacks:
            # A callback's error is nobody's (as in the real SDK).
            with contextlib.suppress(Exception):
                callback(seed)

    def last_completion_result(self) -> Sequence[Payload]:
        """What the run before this one in its chain has returned."""
        return () if self._start is None else self._start.started.last_completion_result

    def last_failure(self) -> BaseException | None:
        """What has failed the run before this one in its chain."""
        failure = None if self._start is None else self._start.started.continued_failure
        return None if failure is None else self.converter.from_failure(failure)

    def memo(self) -> dict[str, Any]:
        """The memo's values, converted without type hints."""
        if self._memo is None:
            from_payloads = self.converter.payload_converter.from_payloads
            self._memo = {key: from_payloads([payload])[0] for key, payload in self.info().raw_memo.items()}
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


def is_over(condition: Condition) -> bool:
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
