"""Exceptions of workflows and activities: names, signatures and behaviour of ``temporalio.exceptions``.

**Why there is a metaclass.** SimPy rebuilds an exception that crosses a process as ``type(e)(*e.args)``. Temporal's
exceptions keep one text in ``args``, and several have required keyword arguments, so that call would fail or lose what
they know. Putting everything into ``args`` would change what user code reads there. So reading ``args`` yields the
usual text, as a ``str`` that also carries the state of its exception, and calling the class with such a text alone
builds the same exception again. Making an exception costs nothing more, and nothing refers back to it (no cycle).
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from enum import IntEnum
from typing import TYPE_CHECKING, Any

from .core.failures import Failure


class _CarriedText(str):
    """The text of an exception, with the state that builds the exception again."""

    __slots__ = ("state",)
    state: dict[str, Any]


def _rebuild(cls: type[BaseException], args: tuple[Any, ...], state: dict[str, Any]) -> BaseException:
    """Make an exception without calling its constructor (used by ``pickle`` and ``copy`` too)."""
    exception = cls.__new__(cls, *args)
    exception.__dict__.update(state)
    return exception


_raw_args = BaseException.__dict__["args"]

if TYPE_CHECKING:
    # Type checkers read the constructors' signatures, which a metaclass with ``__call__`` would hide from them.
    _Rebuildable = type
else:

    class _Rebuildable(type):
        def __call__(cls, *args: Any, **kwargs: Any) -> Any:
            if len(args) == 1 and type(args[0]) is _CarriedText and not kwargs:
                return _rebuild(cls, (str(args[0]),), args[0].state)
            return super().__call__(*args, **kwargs)


class TemporalError(Exception, metaclass=_Rebuildable):
    """Base of all of Temporal's exceptions."""

    if not TYPE_CHECKING:

        @property
        def args(self) -> tuple[Any, ...]:
            """What the exception was made with; see the head of this module."""
            args = _raw_args.__get__(self)
            if len(args) != 1 or type(args[0]) is not str:
                return args
            text = _CarriedText(args[0])
            text.state = self.__dict__
            return (text,)

        @args.setter
        def args(self, value: tuple[Any, ...]) -> None:
            _raw_args.__set__(self, value)

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), _raw_args.__get__(self), self.__dict__)

    @property
    def cause(self) -> BaseException | None:
        """The same as ``__cause__``."""
        return self.__cause__


class FailureError(TemporalError):
    """Base of the failures of workflows and activities.

    Args:
        message: For people.
        failure: The failure that this exception was made from, if it came from a history.
        exc_args: What ``args`` holds; ``(message,)`` by default.
    """

    def __init__(
        self,
        message: str,
        *,
        failure: Failure | None = None,
        exc_args: tuple[Any, ...] | None = None,
    ) -> None:
        super().__init__(*((message,) if exc_args is None else exc_args))
        self._message = message
        self._failure = failure

    @property
    def message(self) -> str:
        """The message, without the type that ``str()`` puts before it."""
        return self._message

    @property
    def failure(self) -> Failure | None:
        """The failure that this exception was made from."""
        return self._failure


class WorkflowAlreadyStartedError(FailureError):
    """A workflow with this id is already started.

    Attributes:
        workflow_id: Its id.
        workflow_type: Its type's name.
        run_id: Its run, when a client raised this.
        first_run_id: The first run of its chain, when the server said so.
    """

    def __init__(
        self,
        workflow_id: str,
        workflow_type: str,
        *,
        run_id: str | None = None,
        first_run_id: str | None = None,
    ) -> None:
        super().__init__("Workflow execution already started")
        self.workflow_id = workflow_id
        self.workflow_type = workflow_type
        self.run_id = run_id
        self.first_run_id = first_run_id


class ApplicationErrorCategory(IntEnum):
    """How severe an application error is; BENIGN ones are expected."""

    UNSPECIFIED = 0
    BENIGN = 1


class ApplicationError(FailureError):
    """An error raised by workflow or activity code on purpose.

    Args:
        message: For people.
        details: Any values that the payload converter can encode.
        type: What ``RetryPolicy.non_retryable_error_types`` is matched with.
        non_retryable: The activity or workflow that raises this is not retried, whatever its policy says.
        next_retry_delay: Takes the place of the interval that the retry policy would give for the next attempt.
        category: How severe it is.
    """

    def __init__(
        self,
        message: str,
        *details: Any,
        type: str | None = None,
        non_retryable: bool = False,
        next_retry_delay: timedelta | None = None,
        category: ApplicationErrorCategory = ApplicationErrorCategory.UNSPECIFIED,
    ) -> None:
        super().__init__(message, exc_args=(f"{type}: {message}" if type else message,))
        self._details = details
        self._type = type
        self._non_retryable = non_retryable
        self._next_retry_delay = next_retry_delay
        self._category = category

    @property
    def details(self) -> Sequence[Any]:
        """The values given."""
        return self._details

    @property
    def type(self) -> str | None:
        """The error's type as a name."""
        return self._type

    @property
    def non_retryable(self) -> bool:
        """Whether it was made non-retryable; a retry policy may refuse a retry on its own."""
        return self._non_retryable

    @property
    def next_retry_delay(self) -> timedelta | None:
        """The delay before the next attempt, if it was given."""
        return self._next_retry_delay

    @property
    def category(self) -> ApplicationErrorCategory:
        """How severe it is."""
        return self._category


class CancelledError(FailureError):
    """A workflow or activity was cancelled."""

    def __init__(self, message: str = "Cancelled", *details: Any) -> None:
        super().__init__(message)
        self._details = details

    @property
    def details(self) -> Sequence[Any]:
        """The values given."""
        return self._details


class TerminatedError(FailureError):
    """A workflow was terminated."""

    def __init__(self, message: str, *details: Any) -> None:
        super().__init__(message)
        self._details = details

    @property
    def details(self) -> Sequence[Any]:
        """The values given."""
        return self._details


class TimeoutType(IntEnum):
    """Which timeout fired."""

    START_TO_CLOSE = 1
    SCHEDULE_TO_START = 2
    SCHEDULE_TO_CLOSE = 3
    HEARTBEAT = 4


class TimeoutError(FailureError):  # noqa: A001 (its name in temporalio)
    """A workflow or activity timed out."""

    def __init__(
        self,
        message: str,
        *,
        type: TimeoutType | None,
        last_heartbeat_details: Sequence[Any],
    ) -> None:
        super().__init__(message)
        self._type = type
        self._last_heartbeat_details = last_heartbeat_details

    @property
    def type(self) -> TimeoutType | None:
        """Which timeout fired."""
        return self._type

    @property
    def last_heartbeat_details(self) -> Sequence[Any]:
        """What the activity gave with its last heartbeat."""
        return self._last_heartbeat_details


class ServerError(FailureError):
    """An error of the server's own."""

    def __init__(self, message: str, *, non_retryable: bool = False) -> None:
        super().__init__(message)
        self._non_retryable = non_retryable

    @property
    def non_retryable(self) -> bool:
        """Whether a retry is refused."""
        return self._non_retryable


class RetryState(IntEnum):
    """Why there was no (further) retry."""

    IN_PROGRESS = 1
    NON_RETRYABLE_FAILURE = 2
    TIMEOUT = 3
    MAXIMUM_ATTEMPTS_REACHED = 4
    RETRY_POLICY_NOT_SET = 5
    INTERNAL_SERVER_ERROR = 6
    CANCEL_REQUESTED = 7


class ActivityError(FailureError):
    """An activity failed; ``cause`` says why."""

    def __init__(
        self,
        message: str,
        *,
        scheduled_event_id: int,
        started_event_id: int,
        identity: str,
        activity_type: str,
        activity_id: str,
        retry_state: RetryState | None,
    ) -> None:
        super().__init__(message)
        self._scheduled_event_id = scheduled_event_id
        self._started_event_id = started_event_id
        self._identity = identity
        self._activity_type = activity_type
        self._activity_id = activity_id
        self._retry_state = retry_state

    @property
    def scheduled_event_id(self) -> int:
        """The id of the event that scheduled it."""
        return self._scheduled_event_id

    @property
    def started_event_id(self) -> int:
        """The id of the event that started its last attempt."""
        return self._started_event_id

    @property
    def identity(self) -> str:
        """The worker of the last attempt."""
        return self._identity

    @property
    def activity_type(self) -> str:
        """The activity's name."""
        return self._activity_type

    @property
    def activity_id(self) -> str:
        """The activity's id."""
        return self._activity_id

    @property
    def retry_state(self) -> RetryState | None:
        """Why there was no further retry."""
        return self._retry_state


class ChildWorkflowError(FailureError):
    """A child workflow failed; ``cause`` says why."""

    def __init__(
        self,
        message: str,
        *,
        namespace: str,
        workflow_id: str,
        run_id: str,
        workflow_type: str,
        initiated_event_id: int,
        started_event_id: int,
        retry_state: RetryState | None,
    ) -> None:
        super().__init__(message)
        self._namespace = namespace
        self._workflow_id = workflow_id
        self._run_id = run_id
        self._workflow_type = workflow_type
        self._initiated_event_id = initiated_event_id
        self._started_event_id = started_event_id
        self._retry_state = retry_state

    @property
    def namespace(self) -> str:
        """The child's namespace."""
        return self._namespace

    @property
    def workflow_id(self) -> str:
        """The child's workflow id."""
        return self._workflow_id

    @property
    def run_id(self) -> str:
        """The child's run."""
        return self._run_id

    @property
    def workflow_type(self) -> str:
        """The child's type."""
        return self._workflow_type

    @property
    def initiated_event_id(self) -> int:
        """The id of the event that asked for the child."""
        return self._initiated_event_id

    @property
    def started_event_id(self) -> int:
        """The id of the event that says that the child started."""
        return self._started_event_id

    @property
    def retry_state(self) -> RetryState | None:
        """Why there was no further retry."""
        return self._retry_state


def is_cancelled_exception(exception: BaseException) -> bool:
    """Whether an exception means cancellation, as Temporal sees it.

    True for ``asyncio.CancelledError``, for ``CancelledError``, and for an ``ActivityError`` or ``ChildWorkflowError``
    whose cause is a ``CancelledError``.
    """
    if isinstance(exception, (asyncio.CancelledError, CancelledError)):
        return True
    return isinstance(exception, (ActivityError, ChildWorkflowError)) and isinstance(exception.cause, CancelledError)
