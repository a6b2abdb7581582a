"""What waits for what, when nothing can happen any more or a budget is over."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..engine.core import events as ev
from ..engine.core.errors import MisuseError
from ..engine.core.state import ActivityState, MutableState, rebuild
from .node import ENGINE
from .programs import EngineProgram

if TYPE_CHECKING:
    from ..engine.server.server import Server
    from .world import RunState, World

ABANDONED = "main has shut its worker down"
"""How the reason of a run begins that no worker is left for, because the driver ended the last one."""

LISTED_MAX = 5
"""So many of the things that a run waits for are named."""


def waiting(world: World) -> list[str]:
    """One line for each open run: what it waits for."""
    down = [node.name for node in world.nodes.values() if node.incarnation is None and not node.retired]
    lines = [f"down: {', '.join(down)}"] if down else []
    still_open = [run for run in world.runs.values() if not run.closed]
    return lines + [f"{run.workflow_type} {run.execution.workflow_id}: {waits_for(world, run)}" for run in still_open]


def waits_for(world: World, run: RunState) -> str:
    """What an open run waits for, as the store has it."""
    stored = world.store.load(run.execution)
    assert stored is not None
    state = rebuild(stored.events, stored.record, namespace=run.execution.namespace)
    reasons = []
    if _is_abandoned(world, state.task_queue):
        reasons.append(ABANDONED)
    task = _pending_workflow_task(state, run.events)
    if task:
        reasons.append(task)
    activities = [one for one in state.activities.values() if not one.closing]
    if activities:
        reasons.append("waits for activity " + _listed([_describe(one) for one in activities]))
    timers = [timer for timer in state.timers.values() if not timer.closing]
    if timers and not activities:
        now_us = world.kernel.now_us
        names = [f"{timer.timer_id} (due in {(timer.due_us - now_us) // 1_000_000} s)" for timer in timers]
        reasons.append("waits for timer " + _listed(names))
    if not reasons:
        return "waits for a signal that nobody will send, or for a condition that nothing can make true"
    return ", and ".join(reasons)


def _is_abandoned(world: World, task_queue: str) -> bool:
    """Has the driver itself shut down every worker of this queue?"""
    workers = [node for node in world.nodes.values() if task_queue in node.task_queues]
    return bool(workers) and all(node.retired for node in workers)


def _listed(names: list[str]) -> str:
    more = len(names) - LISTED_MAX
    return ", ".join(names[:LISTED_MAX]) + (f" and {more} more" if more > 0 else "")


def _describe(activity: ActivityState) -> str:
    attempt = activity.attempt
    where = "running" if attempt.started else "for a worker" if attempt.dispatched else "for its next attempt"
    failure = attempt.last_failure
    failed = "" if failure is None else f", last failure: {failure.message}"
    return f"{activity.scheduled.activity_type} (attempt {attempt.attempt}, {where}{failed})"


def _pending_workflow_task(state: MutableState, events: list[ev.HistoryEvent]) -> str:
    """Words for a workflow task that is not completed; empty if there is none."""
    task = state.workflow_task
    if task is None:
        return ""
    failed = next((event for event in reversed(events) if isinstance(event, ev.WorkflowTaskFailed)), None)
    if failed is not None and failed.event_id > state.previous_started_event_id and task.attempt > 1:
        message = failed.failure.message if failed.failure is not None else failed.cause.name
        return f"its workflow task fails again and again (attempt {task.attempt}): {message}"
    return "its workflow task is with a worker" if task.started_event_id else "its workflow task waits for a worker"


def unpolled_queue(world: World) -> MisuseError | None:
    """The mistake of a task queue that no worker ever polled, if it was made."""
    server = _server(world)
    if server is None:
        return None
    for (_, kind, name), (tasks, was_polled) in server.dispatcher.matching.backlog().items():
        if was_polled or world.missing.polls(kind, name):
            continue
        known = ", ".join(repr(queue) for queue in sorted(world.missing.polled(kind))) or "none"
        what = "workflows" if kind == "workflow" else "activities"
        return MisuseError(
            f"{tasks} {kind} task(s) wait on task queue {name!r}, which no worker polls for {what} (polled: {known}): "
            f"give a Worker of this task_queue {what}, or name a queue that has one"
        )
    return None


def _server(world: World) -> Server | None:
    node = world.nodes.get(ENGINE)
    program = None if node is None or node.incarnation is None else node.incarnation.program
    return program.server if isinstance(program, EngineProgram) else None
