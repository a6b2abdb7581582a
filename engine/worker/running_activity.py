"""One attempt of an activity on a worker: from its task to the report of its outcome.

What ends an attempt, and as what it is reported, follows ``temporalio/worker/_activity.py`` and the core's
``worker/activities.rs``: a cancellation is told to the code once, for the first reason that came; the code may end as
it likes; only where it ends with a cancellation does the reason decide what is reported.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from ..activity import ActivityContext, ActivityDefinition, current_activity, make_info
from ..core import requests as rq
from ..core.errors import ServiceError
from ..core.failures import ApplicationFailureInfo, Failure
from ..exceptions import ApplicationError, CancelledError
from ..host import Cancellable
from ..rpc import RetriedCall
from .heartbeats import Heartbeats
from .settings import WorkerHost, WorkerSettings

LOCAL_TIMEOUT_BUFFER_US = 5_000_000
"""How much longer than its timeout an attempt may take before its own worker cancels it."""

REQUESTED = "cancel_requested"
SHUTDOWN = "worker_shutdown"


class RunningActivity:
    """Runs one attempt; ``on_done`` is called once, when its slot is free again."""

    __slots__ = (
        "_cancelled_for",
        "_context",
        "_ended",
        "_handle",
        "_heartbeat_error",
        "_heartbeats",
        "_host",
        "_is_async",
        "_known_not_found",
        "_local_timeout",
        "_on_done",
        "_settings",
        "number",
        "task",
    )

    def __init__(
        self,
        host: WorkerHost,
        settings: WorkerSettings,
        task: rq.PollActivityTaskQueueResponse,
        number: int,
        on_done: Callable[[RunningActivity], None],
    ) -> None:
        self.number = number
        self.task = task
        self._host = host
        self._settings = settings
        self._on_done = on_done
        self._heartbeats: Heartbeats | None = None
        self._local_timeout: Cancellable | None = None
        self._context: ActivityContext | None = None
        self._handle: Any = None
        self._is_async = False
        self._ended = False
        self._cancelled_for = ""
        self._heartbeat_error: Exception | None = None
        self._known_not_found = False

    # --- running ----------------------------------------------------------------------------------------------------

    def start(self, definition: ActivityDefinition) -> None:
        """Decode the arguments and run the user's function."""
        task = self.task
        converter = self._settings.converter.payload_converter
        self._arm_local_timeout()
        self._is_async = definition.is_async
        self._context = ActivityContext(
            info=make_info(task, self._settings.converter),
            heartbeat=self._heartbeat,
            payload_converter=converter,
            is_async=definition.is_async,
            no_thread_cancel_exception=definition.no_thread_cancel_exception,
            block_thread=None if definition.is_async else self._host.block_thread,
            client=self._settings.client if definition.is_async else None,
        )
        try:
            arguments = converter.from_payloads(task.input, definition.types_for(len(task.input)))
        except Exception as error:
            failed = ApplicationError("Failed decoding arguments")
            failed.__cause__ = error
            self._code_ended(None, failed)
            return
        name = f"activity {task.activity_type} {task.activity_id}"
        self._host.busy_with(name)
        token = current_activity.set(self._context)
        try:
            if task.heartbeat_details:
                _ = self._context.info  # raises if the details can't be decoded
            if definition.is_async:
                self._handle = self._host.start_coroutine(definition.fn(*arguments), name, self._task_done)
            else:
                fn = definition.fn
                self._handle = self._host.start_thread(lambda: fn(*arguments), name, self._code_ended)
        except Exception as error:
            self._code_ended(None, error)
        finally:
            current_activity.reset(token)

    def _task_done(self, task: asyncio.Task[Any]) -> None:
        if task.cancelled():
            self._code_ended(None, asyncio.CancelledError())
        else:
            error = task.exception()
            self._code_ended(None if error is not None else task.result(), error)

    def _arm_local_timeout(self) -> None:
        limits = [us for us in (self.task.heartbeat_timeout_us, self.task.start_to_close_timeout_us) if us]
        if limits:
            delay_us = min(limits) + LOCAL_TIMEOUT_BUFFER_US
            self._local_timeout = self._host.call_later(delay_us, self._locally_timed_out)

    def _locally_timed_out(self) -> None:
        """The server has given up this attempt long ago: there is nobody to report to."""
        self._local_timeout = None
        if not self._cancelled_for:
            self._known_not_found = True
        self._cancel("timed_out", "not_found")

    # --- heartbeats and cancellation --------------------------------------------------------------------------------

    def _heartbeat(self, details: list[Any]) -> None:
        if self._ended:
            return
        try:
            payloads = self._settings.converter.payload_converter.to_payloads(details)
        except Exception as error:
            self._heartbeat_error = error
            self._tell_code()
            return
        if self._heartbeats is None:
            self._heartbeats = Heartbeats(self._host, self._settings, self.task, self._heartbeat_answered)
        self._heartbeats.record(payloads)

    def _heartbeat_answered(self, reply: Any) -> None:
        heartbeat_us = self.task.heartbeat_timeout_us
        start_to_close_us = self.task.start_to_close_timeout_us
        if self._local_timeout is not None and heartbeat_us and heartbeat_us <= (start_to_close_us or heartbeat_us):
            self._local_timeout.cancel()
            self._arm_local_timeout()
        if isinstance(reply, ServiceError):
            if reply.status == "NOT_FOUND":
                if not self._cancelled_for:
                    self._known_not_found = True
                self._cancel("not_found")
        elif reply is not None and reply.cancel_requested:
            self._cancel(REQUESTED)

    def worker_shutdown(self) -> None:
        """Tell the code that its worker is about to stop."""
        if self._context is not None:
            self._context.worker_shutdown()

    def cancel_for_shutdown(self) -> None:
        """The worker's grace period is over."""
        self._cancel(SHUTDOWN)

    def _cancel(self, *reasons: str) -> None:
        """Cancel the code, unless it was cancelled before: the first reason counts."""
        if self._ended or self._context is None or self._cancelled_for:
            return
        self._cancelled_for = reasons[0]
        self._host.trace("activity cancelled", f"{self.task.activity_type}: {reasons[0].replace('_', ' ')}")
        self._tell_code(*reasons)

    def _tell_code(self, *reasons: str) -> None:
        context = self._context
        if context is None or not context.cancel(*reasons) or self._handle is None:
            return
        if self._is_async:
            self._handle.cancel("Activity cancelled")
        elif context.take_thread_exception():
            self._handle.throw_soon(CancelledError("Cancelled"))

    # --- the report -------------------------------------------------------------------------------------------------

    def _code_ended(self, result: Any, error: BaseException | None) -> None:
        self._ended = True
        if self._context is not None:
            self._context.done()
        if self._local_timeout is not None:
            self._local_timeout.cancel()
            self._local_timeout = None
        if error is None:
            try:
                payloads = self._settings.converter.payload_converter.to_payloads([result])
            except Exception as failed:
                error = failed
            else:
                token, identity = self.task.task_token, self._settings.identity
                self._report(rq.RespondActivityTaskCompleted(token, payloads, identity), completed=True)
                return
        self._report(self._request_for(error), completed=False)

    def _request_for(self, error: BaseException) -> rq.RespondActivityTaskFailed | rq.RespondActivityTaskCanceled:
        """How an attempt is reported whose code raised ``error``."""
        if isinstance(error, asyncio.CancelledError | CancelledError):
            if self._heartbeat_error is not None:
                error = self._heartbeat_error
            elif self._cancelled_for == SHUTDOWN:
                return self._failed(worker_shutdown_failure())
            elif self._cancelled_for == REQUESTED:
                return rq.RespondActivityTaskCanceled(self.task.task_token, [], self._settings.identity)
        try:
            failure = self._settings.converter.to_failure(error)
        except Exception as failed:
            failure = Failure(f"Failed building exception result: {failed}", info=ApplicationFailureInfo())
        return self._failed(failure)

    def _failed(self, failure: Failure) -> rq.RespondActivityTaskFailed:
        return rq.RespondActivityTaskFailed(self.task.task_token, failure, self._settings.identity)

    def refuse(self, failure: Failure) -> None:
        """Report a failure without running any code."""
        self._ended = True
        self._report(self._failed(failure), completed=False)

    def _report(self, request: Any, *, completed: bool) -> None:
        """Send the outcome, once no heartbeat is under way. An attempt that the server gave up is not reported."""
        known_not_found = self._known_not_found
        if self._heartbeats is None:
            self._send(request)
        else:
            self._heartbeats.end(lambda: self._send(request), flush=not completed and not known_not_found)

    def _send(self, request: Any) -> None:
        if self._known_not_found:
            self._reported(None)
            return
        name, attempt = self.task.activity_type, f"attempt {self.task.attempt}"
        self._host.reach("activity.before_report", name, attempt)
        RetriedCall(self._host, request, self._reported)
        self._host.reach("activity.after_report", name, attempt)

    def _reported(self, reply: Any) -> None:
        """The report was answered or given up: either way there is nothing more to do for this attempt."""
        # The code's context refers to this object: a circle.
        self._context = self._handle = self._heartbeats = None
        self._on_done(self)


def worker_shutdown_failure() -> Failure:
    """What an attempt is reported as that a shutdown cancelled (``worker_shutdown_failure`` in ``activities.rs``).

    It is retried, so that nobody waits for the attempt's timeout.
    """
    info = ApplicationFailureInfo(type="WorkerShutdown")
    return Failure("Worker is shutting down and this activity did not complete in time", "", info=info)
