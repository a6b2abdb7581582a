"""How each execution of a world ended, as plain data."""

from __future__ import annotations

from typing import Any

from ..engine.converter import DataConverter
from ..engine.core import events as ev
from ..engine.core.failures import ApplicationFailureInfo, Failure
from ..engine.core.payloads import Payloads
from .record import Outcome
from .world import RunState

STATUS: dict[type, str] = {
    ev.WorkflowExecutionCompleted: "completed",
    ev.WorkflowExecutionFailed: "failed",
    ev.WorkflowExecutionCanceled: "canceled",
    ev.WorkflowExecutionTerminated: "terminated",
    ev.WorkflowExecutionTimedOut: "timed_out",
}


def outcome_of(run: RunState) -> Outcome:
    """The outcome of a run; its status is ``running`` while it is open."""
    last = run.events[-1] if run.closed else None
    failure = getattr(last, "failure", None)
    return Outcome(
        workflow=run.workflow_type,
        workflow_id=run.execution.workflow_id,
        run_id=run.execution.run_id,
        status="running" if last is None else STATUS.get(type(last), "continued_as_new"),
        result=plain(getattr(last, "result", [])),
        failure=None if failure is None else failure_data(failure),
    )


def plain(payloads: Payloads) -> Any:
    """A result as JSON data; what is not JSON is told by its size."""
    if not payloads:
        return None
    try:
        return DataConverter.default.payload_converter.from_payloads(payloads[:1])[0]
    except Exception:
        return f"<{len(payloads[0].data)} bytes>"


def failure_data(failure: Failure) -> dict[str, Any]:
    """A failure with its causes: kind, type, message."""
    info = failure.info
    kind = "unknown" if info is None else type(info).__name__.removesuffix("FailureInfo").removesuffix("Info")
    data: dict[str, Any] = {"kind": kind, "message": failure.message}
    if isinstance(info, ApplicationFailureInfo):
        data["type"] = info.type
    activity = getattr(info, "activity_type", "")
    if activity:
        data["activity"] = activity
    timeout = getattr(info, "timeout_type", None)
    if timeout is not None:
        data["timeout"] = timeout.name
    if failure.cause is not None:
        data["cause"] = failure_data(failure.cause)
    return data
