"""A workflow's handle of an activity: a task that ends when the history says how the activity ended.

The turns of the loop between the resolution and the code that awaits it are those of the real SDK, which awaits a
future through ``asyncio.wait``: one turn to release the waiter, one to wake the handle's coroutine (see
``workflow_loop.py``). The coroutine holds its state, never its handle: an error that it raises refers back to its
frame, and a frame that refers to the handle, which keeps the error, would be garbage that only the collector can free.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, TypeVar

from .activation import RequestCancelActivityCommand
from .workflow_loop import WorkflowLoop, WorkflowTask

if TYPE_CHECKING:
    from .workflow_calls import WorkflowCalls

_T = TypeVar("_T")


class ActivityState:
    """What an activity's handle and its coroutine share."""

    is_started = False
    is_resolved = False
    result: Any = None
    error: BaseException | None = None
    waiter: asyncio.Future[None] | None = None
    cancel_command_seq = 0

    def __init__(self, instance: WorkflowCalls, seq: int, result_type: Any) -> None:
        self.instance = instance
        self.seq = seq
        self.result_type = result_type

    def resolve(self, result: Any, error: BaseException | None) -> None:
        """The activity has ended."""
        self.is_resolved = True
        self.result = result
        # The error of an activity that was cancelled before anything awaited it goes nowhere.
        self.error = error if self.is_started else None
        if self.waiter is not None:
            self.instance.loop.call_soon(_release, self.waiter)

    def request_cancel(self) -> None:
        """Ask for the activity's cancellation, once."""
        if self.cancel_command_seq != self.seq or self.instance.is_being_evicted:
            self.cancel_command_seq = self.seq
            self.instance.add_command(RequestCancelActivityCommand(self.seq))


def _release(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)


async def _outcome(state: ActivityState) -> Any:
    """Wait until the activity has ended. A cancellation is passed on to it; what comes of that is the outcome."""
    state.is_started = True
    while True:
        loop = state.instance.loop
        state.waiter = waiter = loop.create_future()
        if state.is_resolved:
            loop.call_soon(_release, waiter)
        try:
            await waiter
        except asyncio.CancelledError:
            if state.is_resolved and state.instance.may_raise_cancel_of_completed():
                raise
            state.request_cancel()
            # Or else the next await would raise the same cancellation again.
            task = asyncio.current_task()
            if task is not None:
                task.uncancel()
            continue
        finally:
            state.waiter = None
        error = state.error
        if error is None:
            return state.result
        state.error = None
        try:
            raise error
        finally:
            del error


class ActivityHandle(WorkflowTask[_T]):
    """An activity of this workflow: an ``asyncio.Task`` whose result is the activity's.

    Cancelling it asks for the activity's cancellation, in the way that its ``cancellation_type`` says.
    """

    def __init__(self, state: ActivityState, loop: WorkflowLoop, activity_type: str) -> None:
        self._activity = state
        super().__init__(_outcome(state), loop=loop, name=f"activity: {activity_type}")

    def cancel(self, msg: Any | None = None) -> bool:
        """Ask for the cancellation of the activity. False if it has ended already."""
        state = self._activity
        if not state.instance.is_being_evicted:
            state.instance.refuse_if_read_only("cancel activity handle")
            # The coroutine that would pass the cancellation on doesn't run if it is cancelled before its first turn.
            if not state.is_started and not self.done():
                state.request_cancel()
        return super().cancel(msg)
