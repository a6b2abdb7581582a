"""One attempt of an activity on a worker: from its task to the report of its outcome."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from ..activity import ActivityContext, ActivityDefinition, current_activity, make_info
from ..core import requests as rq
from ..core.errors import ServiceError
from ..core.failures import ApplicationFailureInfo, Failure
from ..exceptions import CancelledError
from ..failure_converter import to_failure
from ..host import Cancellable
from ..rpc import RetriedCall
from .heartbeats import Heartbeats
from .settings import WorkerHost, WorkerSettings

LOCAL_TIMEOUT_BUFFER_US = 5_000_000


class RunningActivity:
    """Runs one attempt; ``on_done`` is called once, when its slot is free again."""

    def __init__(
        self,
        host: WorkerHost,
        settings: WorkerSettings,
        task: rq.PollActivityTaskQueueResponse,
        on_done: Callable[[RunningActivity], None],
    ) -> None:
        self.number = 0
        self.task = task
        self._host = host
        self._settings = settings
        self._on_done = on_done
        self._heartbeats = Heartbeats(host, settings, task, self._heartbeat_answered)
        self._local_timeout: Cancellable | None = None
        self._context: ActivityContext | None = None
        self._handle: Any = None
        self._is_async = False
        self._reported = False
        self._cancel_requested = False
        self._cancelled_for_shutdown = False
        self._known_not_found = False

    # --- running ----------------------------------------------------------------------------------------------------

    def start(self, definition: ActivityDefinition) -> None:
        """Decode the arguments and run the user's function."""
        task = self.task
        converter = self._settings.converter.payload_converter
        try:
            arguments = converter.from_payloads(task.input, definition.arg_types)
        except Exception as error:
            message = f"Failed decoding arguments: {error}"
            self.report_failure(Failure(message=message, info=ApplicationFailureInfo(type=type(error).__name__)))
            return
        self._host.trace(
            "activity", f"{task.activity_type} attempt {task.attempt} begins", workflow_id=task.execution.workflow_id
        )
        self._arm_local_timeout()
        self._is_async = definition.is_async
        self._context = ActivityContext(
            info=make_info(task, self._settings.converter),
            heartbeat=self._heartbeat,
            payload_converter=converter,
            is_async=definition.is_async,
        )
        name = f"activity {task.activity_type} {task.activity_id}"
        self._host.busy_with(name)
        token = current_activity.set(self._context)
        try:
            if definition.is_async:
                coroutine = definition.fn(*arguments)
                self._handle = self._host.start_coroutine(coroutine, name, self._task_done)
            else:
                fn = definition.fn
                self._handle = self._host.start_thread(lambda: fn(*arguments), name, self._ended)
        except Exception as error:
            self._ended(None, error)
        finally:
            current_activity.reset(token)

    def _task_done(self, task: asyncio.Task[Any]) -> None:
        if task.cancelled():
            self._ended(None, asyncio.CancelledError())
        else:
            error = task.exception()
            self._ended(None if error is not None else task.result(), error)

    def _arm_local_timeout(self) -> None:
        limits = [us for us in (self.task.heartbeat_timeout_us, self.task.start_to_close_timeout_us) if us]
        if limits:
            delay_us = min(limits) + LOCAL_TIMEOUT_BUFFER_US
            self._local_timeout = self._host.call_later(delay_us, self._locally_timed_out)

    def _locally_timed_out(self) -> None:
        self._local_timeout = None
        self._cancel("timed_out", by_request=False)

    # --- heartbeats and cancellation --------------------------------------------------------------------------------

    def _heartbeat(self, details: list[Any]) -> None:
        payloads = self._settings.converter.payload_converter.to_payloads(details)
        heartbeat_us = self.task.heartbeat_timeout_us
        start_to_close_us = self.task.start_to_close_timeout_us
        if self._local_timeout is not None and heartbeat_us and heartbeat_us <= (start_to_close_us or heartbeat_us):
            self._local_timeout.cancel()
            self._arm_local_timeout()
        self._heartbeats.record(payloads)

    def _heartbeat_answered(self, reply: Any) -> None:
        if isinstance(reply, ServiceError):
            if reply.status == "NOT_FOUND":
                self._known_not_found = True
                self._cancel("not_found", by_request=False)
        elif reply is not None and reply.cancel_requested:
            self._cancel("cancel_requested", by_request=True)

    def worker_shutdown(self) -> None:
        """Tell the code that its worker is about to stop."""
        if self._context is not None:
            self._context.worker_shutdown()

    def cancel_for_shutdown(self) -> None:
        """The worker's grace period is over."""
        self._cancelled_for_shutdown = True
        self._cancel("worker_shutdown", by_request=True)

    def _cancel(self, reason: str, *, by_request: bool) -> None:
        if self._reported or self._context is None:
            return
        self._cancel_requested = self._cancel_requested or by_request
        if self._context.cancel(reason):
            self._host.trace("activity cancelled", f"{self.task.activity_type}: {reason}")
            if self._is_async:
                self._handle.cancel()
            else:
                self._handle.throw_soon(CancelledError("Cancelled"))

    # --- the report -------------------------------------------------------------------------------------------------

    def _ended(self, result: Any, error: BaseException | None) -> None:
        if self._context is not None:
            self._context.done()
        if error is None:
            try:
                payloads = self._settings.converter.payload_converter.to_payloads([result])
            except Exception as failed:
                error = failed
            else:
                self._report(rq.RespondActivityTaskCompleted(self.task.task_token, payloads, self._settings.identity))
                return
        self._report_error(error)

    def _report_error(self, error: BaseException) -> None:
        converter = self._settings.converter.payload_converter
        cancelled = isinstance(error, asyncio.CancelledError | CancelledError)
        if cancelled and self._cancelled_for_shutdown:
            info = ApplicationFailureInfo(type="WorkerShutdown")
            self.report_failure(Failure(message="Worker is shutting down and this activity did not complete in time", source="", info=info))
        elif cancelled and self._cancel_requested:
            details = list(error.details) if isinstance(error, CancelledError) else []
            payloads = converter.to_payloads(details)
            request = rq.RespondActivityTaskCanceled(self.task.task_token, payloads, self._settings.identity)
            self._heartbeats.end()
            self._report(request)
        else:
            if isinstance(error, asyncio.CancelledError):
                error = CancelledError("Cancelled")
            self.report_failure(to_failure(error, converter))

    def report_failure(self, failure: Failure) -> None:
        """Report that this attempt failed, with the heartbeat details that were held back."""
        task = self.task
        self._host.trace(
            "activity failed",
            f"{task.activity_type} attempt {task.attempt} fails: {failure.message}",
            workflow_id=task.execution.workflow_id,
        )
        waiting = self._heartbeats.end()
        request = rq.RespondActivityTaskFailed(
            self.task.task_token, failure, self._settings.identity, waiting if waiting is not None else []
        )
        self._report(request)

    def _report(self, request: Any) -> None:
        if self._reported:
            return
        self._reported = True
        self._heartbeats.end()
        if self._local_timeout is not None:
            self._local_timeout.cancel()
            self._local_timeout = None
        if self._known_not_found:
            self._on_done(self)
            return
        name = self.task.activity_type
        self._host.reach("activity.before_report", name, f"attempt {self.task.attempt}")
        RetriedCall(self._host, request, lambda reply: self._on_done(self))
        self._host.reach("activity.after_report", name, f"attempt {self.task.attempt}")
