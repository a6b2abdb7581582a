"""Exceptions become the failures that the real failure converter makes, and failures the same exceptions."""

from __future__ import annotations

import asyncio
import importlib
import json
from collections.abc import Callable
from datetime import timedelta
from types import ModuleType
from typing import Any

import pytest

temporal_converter = pytest.importorskip("temporalio.converter")
real_exceptions = pytest.importorskip("temporalio.exceptions")

from stormproof.engine import converter as our_converter  # noqa: E402
from stormproof.engine import exceptions as our_exceptions  # noqa: E402
from stormproof.engine.core.failures import Failure, ResetWorkflowFailureInfo  # noqa: E402
from stormproof.engine.failure_converter import from_failure, to_failure  # noqa: E402
from stormproof.engine.proto_messages import message_codec  # noqa: E402

OURS = our_converter.DataConverter.default
REAL = temporal_converter.DataConverter.default
CODEC = message_codec(Failure)


class DomainError(Exception):
    pass


def raised(error: BaseException, cause: BaseException | None = None) -> BaseException:
    """The error after it was raised, from a cause if there is one."""
    try:
        raise error from cause  # noqa: TRY301 (the traceback is the subject)
    except BaseException as caught:
        caught.__suppress_context__ = False
        return caught


def with_context(error: BaseException, context: BaseException, *, suppressed: bool = False) -> BaseException:
    try:
        try:
            raise context  # noqa: TRY301
        except BaseException:
            if suppressed:
                raise error from None
            raise error  # noqa: B904 (the implicit context is the subject)
    except BaseException as caught:
        return caught


def activity_error(ex: ModuleType, cause: BaseException | None, **changes: Any) -> BaseException:
    fields = {
        "scheduled_event_id": 5,
        "started_event_id": 6,
        "identity": "worker",
        "activity_type": "charge",
        "activity_id": "1",
        "retry_state": ex.RetryState.MAXIMUM_ATTEMPTS_REACHED,
    }
    error = ex.ActivityError("Activity task failed", **{**fields, **changes})
    error.__cause__ = cause
    return error


def child_error(ex: ModuleType, cause: BaseException | None) -> BaseException:
    error = ex.ChildWorkflowError(
        "Child failed",
        namespace="default",
        workflow_id="child",
        run_id="run",
        workflow_type="Child",
        initiated_event_id=7,
        started_event_id=8,
        retry_state=ex.RetryState.TIMEOUT,
    )
    error.__cause__ = cause
    return error


Make = Callable[[ModuleType], BaseException]

CASES: dict[str, Make] = {
    "plain": lambda ex: ValueError("bad value"),
    "plain without text": lambda ex: ValueError(),
    "a user's": lambda ex: DomainError("a", 2),
    "key error": lambda ex: KeyError("key"),
    "exit": lambda ex: SystemExit(3),
    "asyncio's cancellation": lambda ex: asyncio.CancelledError("why"),
    "group": lambda ex: ExceptionGroup("several", [ValueError("a"), DomainError("b")]),
    "raised": lambda ex: raised(ValueError("bad")),
    "with cause": lambda ex: raised(DomainError("outer"), ValueError("inner")),
    "with context": lambda ex: with_context(DomainError("outer"), ValueError("inner")),
    "application": lambda ex: ex.ApplicationError("message"),
    "application, empty": lambda ex: ex.ApplicationError(""),
    "application, all": lambda ex: ex.ApplicationError(
        "message",
        "detail",
        {"b": 1, "a": [2]},
        None,
        b"\0\1",
        type="Declined",
        non_retryable=True,
        next_retry_delay=timedelta(hours=1, microseconds=7),
        category=ex.ApplicationErrorCategory.BENIGN,
    ),
    "application, delay 0": lambda ex: ex.ApplicationError("m", next_retry_delay=timedelta(0)),
    "application with cause": lambda ex: raised(ex.ApplicationError("outer", type="T"), DomainError("inner")),
    "application with context": lambda ex: with_context(ex.ApplicationError("outer"), DomainError("inner")),
    "application without its context": lambda ex: with_context(
        ex.ApplicationError("o"), KeyError("i"), suppressed=True
    ),
    "application, context of a cause": lambda ex: raised(
        ex.ApplicationError("outer"), with_context(ex.ApplicationError("inner"), ValueError("innermost"))
    ),
    "cancelled": lambda ex: ex.CancelledError(),
    "cancelled, all": lambda ex: ex.CancelledError("stop", 1, "two"),
    "terminated": lambda ex: ex.TerminatedError("ended", "details are not sent"),
    "timeout": lambda ex: ex.TimeoutError("late", type=ex.TimeoutType.START_TO_CLOSE, last_heartbeat_details=[]),
    "timeout, all": lambda ex: ex.TimeoutError("late", type=ex.TimeoutType.HEARTBEAT, last_heartbeat_details=[1, "x"]),
    "timeout, no type": lambda ex: ex.TimeoutError("late", type=None, last_heartbeat_details=()),
    "server": lambda ex: ex.ServerError("server"),
    "server, final": lambda ex: ex.ServerError("server", non_retryable=True),
    "failure": lambda ex: ex.FailureError("unknown kind"),
    "activity": lambda ex: activity_error(ex, ex.ApplicationError("inner", type="Declined")),
    "activity, no state": lambda ex: activity_error(ex, None, retry_state=None, started_event_id=0, identity=""),
    "activity, timed out": lambda ex: activity_error(
        ex, ex.TimeoutError("late", type=ex.TimeoutType.SCHEDULE_TO_CLOSE, last_heartbeat_details=[{"at": 3}])
    ),
    "child": lambda ex: child_error(ex, activity_error(ex, ex.CancelledError("c", 1))),
    "already started": lambda ex: ex.WorkflowAlreadyStartedError("id", "Type", run_id="run"),
    "a subclass": lambda ex: type("Special", (ex.ApplicationError,), {})("special", 1, type="S"),
}


def real_failure(error: BaseException, converter: Any = REAL) -> Any:
    from temporalio.api.failure.v1 import Failure as RealFailure

    failure = RealFailure()
    converter.failure_converter.to_failure(error, converter.payload_converter, failure)
    return failure


def as_json(failure: Failure) -> Any:
    return CODEC.encode(failure)


def real_as_json(failure: Any) -> Any:
    from google.protobuf.json_format import MessageToDict

    return MessageToDict(failure)


def without_stacks(tree: Any) -> Any:
    """Stack traces of the two differ in form: ours leave out the marks under parts of a line."""
    if isinstance(tree, dict):
        return {
            key: "".join(line for line in value.splitlines(keepends=True) if line.startswith("  File "))
            if key == "stackTrace"
            else without_stacks(value)
            for key, value in tree.items()
        }
    return tree


@pytest.mark.parametrize("name", CASES)
def test_an_exception_becomes_the_real_failure(name: str) -> None:
    expected = without_stacks(real_as_json(real_failure(CASES[name](real_exceptions))))
    error = CASES[name](our_exceptions)
    assert without_stacks(as_json(to_failure(error, OURS.payload_converter))) == expected
    assert without_stacks(as_json(OURS.to_failure(error))) == expected


def facts(error: BaseException | None) -> Any:
    """All that can be seen of an exception, by names that both packages share."""
    if error is None:
        return None
    names = [
        name
        for cls in type(error).__mro__
        if cls.__module__.endswith("exceptions")
        for name in vars(cls)
        if not name.startswith("_") and name not in {"failure", "cause", "args"}
    ]
    seen = {name: getattr(error, name) for name in sorted(names)}
    if "details" in seen:
        seen["details"] = list(seen["details"])
    return type(error).__name__, str(error), error.args, seen, facts(error.__cause__)


def in_full(failure: Failure) -> Any:
    """Our failure as a real one."""
    from google.protobuf.json_format import ParseDict
    from temporalio.api.failure.v1 import Failure as RealFailure

    return ParseDict(json.loads(json.dumps(as_json(failure))), RealFailure())


@pytest.mark.parametrize("name", CASES)
def test_a_failure_becomes_the_real_exception(name: str) -> None:
    failure = to_failure(CASES[name](our_exceptions), OURS.payload_converter)
    expected = REAL.failure_converter.from_failure(in_full(failure), REAL.payload_converter)
    found = from_failure(failure, OURS.payload_converter)
    assert facts(found) == facts(expected)
    assert isinstance(found, our_exceptions.FailureError)
    assert found.failure is failure
    assert to_failure(found, OURS.payload_converter) == failure


@pytest.mark.parametrize(
    "tree",
    [
        {},
        {"message": "only a text"},
        {"applicationFailureInfo": {}},
        {"timeoutFailureInfo": {}},
        {"canceledFailureInfo": {}},
        {"terminatedFailureInfo": {}},
        {"serverFailureInfo": {}},
        {"activityFailureInfo": {}},
        {"childWorkflowExecutionFailureInfo": {}},
        {"resetWorkflowFailureInfo": {}},
        {"applicationFailureInfo": {"nextRetryDelay": "0s"}},
        {"cause": {"message": "inner", "serverFailureInfo": {"nonRetryable": True}}},
    ],
)
def test_bare_failures_become_the_real_exceptions(tree: dict[str, Any]) -> None:
    failure, remainder = CODEC.decode(tree)
    assert CODEC.merge(failure, remainder if isinstance(remainder, dict) else {}) == tree
    expected = REAL.failure_converter.from_failure(in_full(failure), REAL.payload_converter)
    assert facts(from_failure(failure, OURS.payload_converter)) == facts(expected)


def test_a_reset_is_a_failure_of_unknown_kind() -> None:
    failure = Failure("reset", info=ResetWorkflowFailureInfo())
    assert facts(from_failure(failure, OURS.payload_converter))[:2] == ("FailureError", "reset")


def test_encoded_attributes_are_written_and_read_as_the_real_converter_does() -> None:
    real = temporal_converter.DataConverter(
        failure_converter_class=temporal_converter.DefaultFailureConverterWithEncodedAttributes
    )
    ours = our_converter.DataConverter(
        failure_converter_class=our_converter.DefaultFailureConverterWithEncodedAttributes
    )
    make: Make = lambda ex: raised(ex.ApplicationError("secret", 1), ValueError("inner"))  # noqa: E731
    failure = ours.to_failure(make(our_exceptions))
    expected = real_failure(make(real_exceptions), real)
    assert failure.message == expected.message == "Encoded failure"
    assert failure.stack_trace == expected.stack_trace == ""
    assert failure.cause is not None
    assert failure.cause.message == expected.cause.message
    found = ours.from_failure(failure)
    assert facts(found) == facts(real.failure_converter.from_failure(in_full(failure), real.payload_converter))
    assert isinstance(found, our_exceptions.FailureError)
    assert found.message == "secret"
    assert failure.message == "Encoded failure"


@pytest.mark.parametrize("data", [b"5", b"{}", b'{"message":5}', b"broken"])
def test_attributes_that_can_not_be_decoded_are_left_as_they_are(data: bytes) -> None:
    from stormproof.engine.core.payloads import Payload

    failure = Failure("Encoded failure", encoded_attributes=Payload({"encoding": b"json/plain"}, data))
    expected = REAL.failure_converter.from_failure(in_full(failure), REAL.payload_converter)
    assert facts(from_failure(failure, OURS.payload_converter)) == facts(expected)


def test_a_detail_that_can_not_be_encoded_raises_as_in_the_real_converter() -> None:
    with pytest.raises(TypeError) as expected:
        real_failure(real_exceptions.ApplicationError("m", object()))
    with pytest.raises(TypeError, match=str(expected.value)):
        OURS.to_failure(our_exceptions.ApplicationError("m", object()))


@pytest.mark.parametrize("name", CASES)
def test_cancellation_is_recognised_as_in_the_real_package(name: str) -> None:
    expected = real_exceptions.is_cancelled_exception(CASES[name](real_exceptions))
    assert our_exceptions.is_cancelled_exception(CASES[name](our_exceptions)) is expected


def test_an_activitys_cancellation_is_recognised() -> None:
    cancelled = activity_error(our_exceptions, our_exceptions.CancelledError())
    assert our_exceptions.is_cancelled_exception(cancelled)
    assert our_exceptions.is_cancelled_exception(child_error(our_exceptions, our_exceptions.CancelledError()))
    assert not our_exceptions.is_cancelled_exception(activity_error(our_exceptions, cancelled))


def test_a_very_deep_stack_is_cut_in_the_middle() -> None:
    def sink(depth: int) -> None:
        if depth:
            sink(depth - 1)
        else:
            raise ValueError("bottom")

    with pytest.raises(ValueError, match="bottom") as caught:
        sink(200)
    text = OURS.to_failure(caught.value).stack_trace
    assert "  ... 138 frames ...\n" in text
    assert text.count("  File ") == 64
    assert text.endswith('raise ValueError("bottom")\n')


def test_all_exceptions_of_the_real_package_are_here_or_named_as_missing() -> None:
    absent = {
        "ActivityAlreadyStartedError",  # standalone activities
        "InvalidVersioningOverrideError",  # worker versioning
        "NexusOperationAlreadyStartedError",  # Nexus
        "NexusOperationError",  # Nexus
    }
    real = {
        name for name, value in vars(real_exceptions).items() if isinstance(value, type) and not name.startswith("_")
    }
    public = {name for name in real if vars(real_exceptions)[name].__module__ == "temporalio.exceptions"}
    ours = set(vars(importlib.import_module("stormproof.engine.exceptions")))
    assert public - ours == absent
