"""Exceptions of workflows and activities survive whatever rebuilds them, with all that they know."""

from __future__ import annotations

import copy
import gc
import pickle
import weakref
from collections.abc import Callable, Generator
from datetime import timedelta
from typing import Any

import pytest
import simpy
from stormproof.engine import client_errors as ce
from stormproof.engine import exceptions as ex
from stormproof.engine.core.failures import Failure


class Declined(ex.ApplicationError):
    """A user's, with a constructor of its own."""

    def __init__(self, card: str, amount: int) -> None:
        super().__init__(f"{card} declined", amount, type="Declined")
        self.card = card


MAKERS: dict[str, Callable[[], ex.TemporalError]] = {
    "temporal": lambda: ex.TemporalError("text"),
    "nothing": ex.TemporalError,
    "two": lambda: ex.TemporalError("one", 2),
    "failure": lambda: ex.FailureError("text", failure=Failure("f")),
    "application": lambda: ex.ApplicationError(
        "m", 1, "two", type="T", non_retryable=True, next_retry_delay=timedelta(seconds=1)
    ),
    "cancelled": lambda: ex.CancelledError("m", 1),
    "terminated": lambda: ex.TerminatedError("m", 1),
    "timeout": lambda: ex.TimeoutError("m", type=ex.TimeoutType.HEARTBEAT, last_heartbeat_details=[1]),
    "server": lambda: ex.ServerError("m", non_retryable=True),
    "activity": lambda: ex.ActivityError(
        "m",
        scheduled_event_id=1,
        started_event_id=2,
        identity="i",
        activity_type="t",
        activity_id="3",
        retry_state=ex.RetryState.TIMEOUT,
    ),
    "child": lambda: ex.ChildWorkflowError(
        "m",
        namespace="n",
        workflow_id="w",
        run_id="r",
        workflow_type="t",
        initiated_event_id=1,
        started_event_id=2,
        retry_state=None,
    ),
    "already started": lambda: ex.WorkflowAlreadyStartedError("w", "T", run_id="r"),
    "a user's": lambda: Declined("card", 5),
    "workflow failure": lambda: ce.WorkflowFailureError(cause=ValueError("inner")),
    "rpc": lambda: ce.RPCError("m", ce.RPCStatusCode.NOT_FOUND, b""),
}


def through_simpy(error: BaseException) -> BaseException:
    """The error as a SimPy process sees it that waits for another."""
    environment = simpy.Environment()
    seen: list[BaseException] = []

    def fails() -> Generator[Any, Any, None]:
        yield environment.timeout(1)
        raise error

    def waits() -> Generator[Any, Any, None]:
        try:
            yield environment.process(fails())
        except type(error) as caught:
            seen.append(caught)

    environment.process(waits())
    environment.run()
    return seen[0]


def by_args(error: BaseException) -> BaseException:
    return type(error)(*error.args)


WAYS: dict[str, Callable[[Any], Any]] = {
    "args": by_args,
    "simpy": through_simpy,
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    "pickle": lambda error: pickle.loads(pickle.dumps(error)),
    "twice": lambda error: by_args(by_args(error)),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", MAKERS)
def test_an_exception_is_rebuilt_whole(name: str, way: str) -> None:
    error = MAKERS[name]()
    found = WAYS[way](error)
    assert found is not error
    assert type(found) is type(error)
    assert (str(found), found.args, repr(found)) == (str(error), error.args, repr(error))
    assert set(found.__dict__) == set(error.__dict__)
    for key, value in error.__dict__.items():
        assert found.__dict__[key] == value or isinstance(value, BaseException)


def test_args_are_plain_text_for_whoever_reads_them() -> None:
    error = ex.ApplicationError("message", type="T")
    assert error.args == ("T: message",)
    assert isinstance(error.args[0], str)
    assert f"{error.args[0]}!" == "T: message!"
    error.args = ("other", 1)
    assert error.args == ("other", 1)
    assert str(error) == "('other', 1)"


def test_a_text_that_comes_from_another_exception_is_a_message_where_more_is_given() -> None:
    cause = ex.ApplicationError("cause", 1, type="T")
    wrapped = ex.ApplicationError(cause.args[0], "detail")
    assert (wrapped.message, wrapped.details, wrapped.type) == ("T: cause", ("detail",), None)
    plain = ValueError(*cause.args)
    assert str(plain) == "T: cause"


def test_an_exception_leaves_no_cycle_behind() -> None:
    class Watched(ex.ApplicationError):
        pass

    gc.disable()
    try:
        error = Watched("m", 1)
        assert error.args
        rebuilt = by_args(error)
        alive = weakref.ref(error), weakref.ref(rebuilt)
        del error, rebuilt
        assert [reference() for reference in alive] == [None, None]
    finally:
        gc.enable()


def test_notes_and_attributes_set_later_are_kept() -> None:
    error = ex.ApplicationError("m")
    error.add_note("seen on node 3")
    error.extra = 5  # type: ignore[attr-defined]
    found = by_args(error)
    assert found.__notes__ == ["seen on node 3"]
    assert found.extra == 5  # type: ignore[attr-defined]
