"""Exceptions to failures and back, by the rules of ``temporalio``'s default failure converter.

An exception that came from a history gives back the very failure that it was made from. Anything that isn't one of
Temporal's exceptions becomes an application failure of its class's name.
"""

from __future__ import annotations

import linecache
from abc import ABC, abstractmethod
from collections.abc import Callable
from datetime import timedelta
from types import CodeType, TracebackType
from typing import TYPE_CHECKING, Any, ClassVar

from .common import timedelta_to_us
from .core.enums import RetryState, TimeoutType
from .core.failures import (
    ActivityFailureInfo,
    ApplicationFailureInfo,
    CanceledFailureInfo,
    ChildWorkflowExecutionFailureInfo,
    Failure,
    FailureInfo,
    ServerFailureInfo,
    TerminatedFailureInfo,
    TimeoutFailureInfo,
)
from .exceptions import (
    ActivityError,
    ApplicationError,
    ApplicationErrorCategory,
    CancelledError,
    ChildWorkflowError,
    FailureError,
    ServerError,
    TerminatedError,
    TimeoutError,  # noqa: A004 (its name in temporalio)
)
from .exceptions import RetryState as RetryStateOfError
from .exceptions import TimeoutType as TimeoutTypeOfError

if TYPE_CHECKING:
    from .converter import PayloadConverter

_FRAMES_MAX = 64


class FailureConverter(ABC):
    """Converts exceptions to failures and back."""

    default: ClassVar[FailureConverter]
    """The one that is used where none is given."""

    @abstractmethod
    def to_failure(self, exception: BaseException, payload_converter: PayloadConverter, failure: Failure) -> None:
        """Write an exception, which must not be changed, into ``failure``."""

    @abstractmethod
    def from_failure(self, failure: Failure, payload_converter: PayloadConverter) -> BaseException:
        """The exception that a failure, which must not be changed, stands for."""


class DefaultFailureConverter(FailureConverter):
    """The failure converter of all of Temporal's SDKs.

    Args:
        encode_common_attributes: Move message and stack trace into a payload, where a codec can reach them.
    """

    def __init__(self, *, encode_common_attributes: bool = False) -> None:
        super().__init__()
        self._encode_common_attributes = encode_common_attributes

    def to_failure(self, exception: BaseException, payload_converter: PayloadConverter, failure: Failure) -> None:
        """Write an exception into ``failure``."""
        known = exception.failure if isinstance(exception, FailureError) else None
        if known is not None:
            _copy(known, failure)
        else:
            self._describe(exception, payload_converter, failure)
        if self._encode_common_attributes:
            common = {"message": failure.message, "stack_trace": failure.stack_trace}
            failure.encoded_attributes = payload_converter.to_payloads([common])[0]
            failure.message = "Encoded failure"
            failure.stack_trace = ""

    def _describe(self, exception: BaseException, payload_converter: PayloadConverter, failure: Failure) -> None:
        if exception.__traceback__ is not None:
            failure.stack_trace = format_stack(exception.__traceback__)
        if isinstance(exception, FailureError):
            failure.message = exception.message
            failure.info = _info_of(exception, payload_converter)
            # The causes of an exception that isn't Temporal's are its explicit ones only.
            implicit = None if exception.__suppress_context__ else exception.__context__
        else:
            failure.message = str(exception)
            failure.info = ApplicationFailureInfo(type=type(exception).__name__)
            implicit = None
        cause = exception.__cause__ or implicit
        if cause is not None:
            failure.cause = Failure()
            self.to_failure(cause, payload_converter, failure.cause)

    def from_failure(self, failure: Failure, payload_converter: PayloadConverter) -> BaseException:
        """The exception that a failure stands for, with its causes."""
        if failure.encoded_attributes is not None:
            failure = _with_decoded_attributes(failure, payload_converter)
        read = _READERS.get(type(failure.info))
        if read is None:
            exception = FailureError(failure.message or "Failure error")
        else:
            exception = read(failure.message, failure.info, payload_converter)
        exception._failure = failure  # noqa: SLF001 (given only when an exception comes from a failure)
        if failure.cause is not None:
            exception.__cause__ = self.from_failure(failure.cause, payload_converter)
        return exception


class DefaultFailureConverterWithEncodedAttributes(DefaultFailureConverter):
    """The default failure converter, with message and stack trace moved into a payload."""

    def __init__(self) -> None:
        super().__init__(encode_common_attributes=True)


FailureConverter.default = DefaultFailureConverter()


def to_failure(exception: BaseException, payload_converter: PayloadConverter) -> Failure:
    """An exception as a failure, by the default failure converter."""
    failure = Failure()
    FailureConverter.default.to_failure(exception, payload_converter, failure)
    return failure


def from_failure(failure: Failure, payload_converter: PayloadConverter) -> BaseException:
    """A failure as an exception, by the default failure converter."""
    return FailureConverter.default.from_failure(failure, payload_converter)


def _copy(source: Failure, target: Failure) -> None:
    target.message = source.message
    target.source = source.source
    target.stack_trace = source.stack_trace
    target.encoded_attributes = source.encoded_attributes
    target.cause = source.cause
    target.info = source.info


def _with_decoded_attributes(failure: Failure, payload_converter: PayloadConverter) -> Failure:
    """A copy with the message and stack trace that were encoded; what can't be decoded is left as it is."""
    assert failure.encoded_attributes is not None
    decoded = Failure()
    _copy(failure, decoded)
    try:
        attributes = payload_converter.from_payloads([failure.encoded_attributes])[0]
    except Exception:
        return decoded
    if isinstance(attributes, dict):
        if isinstance(attributes.get("message"), str):
            decoded.message = attributes["message"]
        if isinstance(attributes.get("stack_trace"), str):
            decoded.stack_trace = attributes["stack_trace"]
    return decoded


# --- stack traces ---------------------------------------------------------------------------------------------------

_frame_texts: dict[tuple[CodeType, int], str] = {}


def format_stack(traceback: TracebackType) -> str:
    """The frames of a traceback, outermost first, in the form of ``traceback.format_tb``.

    Without the marks under parts of a line: finding those costs more than all else, for every failure of a run. The
    frames in the middle of a very deep traceback are left out.
    """
    lines = []
    current: TracebackType | None = traceback
    while current is not None:
        lines.append(_frame_text(current.tb_frame.f_code, current.tb_lineno or 0))
        current = current.tb_next
    if len(lines) > _FRAMES_MAX:
        half = _FRAMES_MAX // 2
        lines[half:-half] = [f"  ... {len(lines) - _FRAMES_MAX} frames ...\n"]
    return "\n".join(lines)


def _frame_text(code: CodeType, line_number: int) -> str:
    text = _frame_texts.get((code, line_number))
    if text is None:
        text = f'  File "{code.co_filename}", line {line_number}, in {code.co_name}\n'
        source = linecache.getline(code.co_filename, line_number).strip()
        if source:
            text += f"    {source}\n"
        if len(_frame_texts) >= 1024:
            _frame_texts.clear()
        _frame_texts[code, line_number] = text
    return text


# --- exceptions to the infos of failures ----------------------------------------------------------------------------


def _info_of(error: FailureError, payload_converter: PayloadConverter) -> FailureInfo | None:
    if isinstance(error, ApplicationError):
        return ApplicationFailureInfo(
            type=error.type or "",
            non_retryable=error.non_retryable,
            details=payload_converter.to_payloads_wrapper(error.details) if error.details else [],
            next_retry_delay_us=timedelta_to_us(error.next_retry_delay) if error.next_retry_delay else None,
            category=int(error.category),
        )
    if isinstance(error, TimeoutError):
        details = error.last_heartbeat_details
        return TimeoutFailureInfo(
            timeout_type=TimeoutType(error.type or 0),
            last_heartbeat_details=payload_converter.to_payloads_wrapper(details) if details else [],
        )
    if isinstance(error, CancelledError):
        details = error.details
        return CanceledFailureInfo(payload_converter.to_payloads_wrapper(details) if details else [])
    if isinstance(error, TerminatedError):
        return TerminatedFailureInfo()
    if isinstance(error, ServerError):
        return ServerFailureInfo(error.non_retryable)
    return _info_of_call(error)


def _info_of_call(error: FailureError) -> FailureInfo | None:
    if isinstance(error, ActivityError):
        return ActivityFailureInfo(
            scheduled_event_id=error.scheduled_event_id,
            started_event_id=error.started_event_id,
            identity=error.identity,
            activity_type=error.activity_type,
            activity_id=error.activity_id,
            retry_state=RetryState(error.retry_state or 0),
        )
    if isinstance(error, ChildWorkflowError):
        return ChildWorkflowExecutionFailureInfo(
            namespace=error.namespace,
            workflow_id=error.workflow_id,
            run_id=error.run_id,
            workflow_type=error.workflow_type,
            initiated_event_id=error.initiated_event_id,
            started_event_id=error.started_event_id,
            retry_state=RetryState(error.retry_state or 0),
        )
    return None


# --- infos of failures to exceptions --------------------------------------------------------------------------------


def _read_application(message: str, info: ApplicationFailureInfo, converter: PayloadConverter) -> FailureError:
    delay_us = info.next_retry_delay_us
    return ApplicationError(
        message or "Application error",
        *converter.from_payloads_wrapper(info.details),
        type=info.type or None,
        non_retryable=info.non_retryable,
        next_retry_delay=None if delay_us is None else timedelta(microseconds=delay_us),
        category=ApplicationErrorCategory(info.category),
    )


def _read_timeout(message: str, info: TimeoutFailureInfo, converter: PayloadConverter) -> FailureError:
    return TimeoutError(
        message or "Timeout",
        type=TimeoutTypeOfError(info.timeout_type) if info.timeout_type else None,
        last_heartbeat_details=converter.from_payloads_wrapper(info.last_heartbeat_details),
    )


def _read_canceled(message: str, info: CanceledFailureInfo, converter: PayloadConverter) -> FailureError:
    return CancelledError(message or "Cancelled", *converter.from_payloads_wrapper(info.details))


def _read_terminated(message: str, info: TerminatedFailureInfo, converter: PayloadConverter) -> FailureError:
    return TerminatedError(message or "Terminated")


def _read_server(message: str, info: ServerFailureInfo, converter: PayloadConverter) -> FailureError:
    return ServerError(message or "Server error", non_retryable=info.non_retryable)


def _read_activity(message: str, info: ActivityFailureInfo, converter: PayloadConverter) -> FailureError:
    return ActivityError(
        message or "Activity error",
        scheduled_event_id=info.scheduled_event_id,
        started_event_id=info.started_event_id,
        identity=info.identity,
        activity_type=info.activity_type,
        activity_id=info.activity_id,
        retry_state=RetryStateOfError(info.retry_state) if info.retry_state else None,
    )


def _read_child(message: str, info: ChildWorkflowExecutionFailureInfo, converter: PayloadConverter) -> FailureError:
    return ChildWorkflowError(
        message or "Child workflow error",
        namespace=info.namespace,
        workflow_id=info.workflow_id,
        run_id=info.run_id,
        workflow_type=info.workflow_type,
        initiated_event_id=info.initiated_event_id,
        started_event_id=info.started_event_id,
        retry_state=RetryStateOfError(info.retry_state) if info.retry_state else None,
    )


_READERS: dict[type[Any], Callable[[str, Any, PayloadConverter], FailureError]] = {
    ApplicationFailureInfo: _read_application,
    TimeoutFailureInfo: _read_timeout,
    CanceledFailureInfo: _read_canceled,
    TerminatedFailureInfo: _read_terminated,
    ServerFailureInfo: _read_server,
    ActivityFailureInfo: _read_activity,
    ChildWorkflowExecutionFailureInfo: _read_child,
}
