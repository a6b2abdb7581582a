"""What waits for what, when nothing can happen any more or a budget is over."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..engine.core import events as ev
from ..engine.core.errors import MisuseError
from .node import ENGINE
from .programs import EngineProgram

if TYPE_CHECKING:
    from .world import RunState, World


def waiting(world: World) -> list[str]:
    """One line for each open run: what it waits for."""
    return [
        f"{run.workflow_type} {run.execution.workflow_id}: {waits_for(run)}"
        for run in world.runs.values()
        if not run.closed
    ]


def waits_for(run: RunState) -> str:
    """What an open run waits for, from its history alone."""
    task = _pending_workflow_task(run)
    if task:
        return task
    activities: dict[int, str] = {}
    timers: dict[str, int] = {}
    for event in run.events:
        if isinstance(event, ev.ActivityTaskScheduled):
            activities[event.event_id] = event.activity_type
        elif isinstance(
            event, ev.ActivityTaskCompleted | ev.ActivityTaskFailed | ev.ActivityTaskTimedOut | ev.ActivityTaskCanceled
        ):
            activities.pop(event.scheduled_event_id, None)
        elif isinstance(event, ev.TimerStarted):
            timers[event.timer_id] = event.time_us + event.start_to_fire_timeout_us
        elif isinstance(event, ev.TimerFired | ev.TimerCanceled):
            timers.pop(event.timer_id, None)
    if activities:
        return "waits for activity " + ", ".join(activities.values())
    if timers:
        return f"waits for {len(timers)} timer(s)"
    return "waits for a signal that nobody will send, or for a condition that nothing can make true"


def _pending_workflow_task(run: RunState) -> str:
    """Words for a workflow task that is not completed; empty if there is none."""
    failures = 0
    pending = False
    for event in run.events:
        if isinstance(event, ev.WorkflowTaskScheduled):
            pending = True
        elif isinstance(event, ev.WorkflowTaskCompleted):
            pending, failures = False, 0
        elif isinstance(event, ev.WorkflowTaskFailed):
            failures += 1
            last = event.failure.message if event.failure is not None else event.cause.name
            if event is run.events[-1] or failures:
                pending, message = True, last
    if failures:
        return f"its workflow task fails again and again: {message}"
    return "its workflow task waits for a worker" if pending else ""


def unpolled_queue(world: World) -> MisuseError | None:
    """The mistake of a task queue that no worker ever polled, if it was made."""
    node = world.nodes.get(ENGINE)
    program = None if node is None or node.incarnation is None else node.incarnation.program
    if not isinstance(program, EngineProgram):
        return None
    for (_, kind, name), (tasks, _) in program.server.dispatcher.matching.backlog().items():
        if name not in world.polled_queues and name not in world.sticky_queues:
            known = ", ".join(repr(queue) for queue in sorted(world.polled_queues)) or "none"
            return MisuseError(
                f"{tasks} {kind} task(s) wait on task queue {name!r}, which no worker polls (polled: {known}): "
                "give a Worker this task_queue, or start the workflow on a queue that has one"
            )
    return None
