"""When does an activity time out next? One timer task per activity, for its earliest timeout.

Source: ``service/history/workflow/timer_sequence.go`` of github.com/temporalio/temporal. The real server has one task
for the earliest timeout of all activities of a run; one per activity makes each change cost the same however many are
pending.
"""

from __future__ import annotations

from .enums import TimeoutType
from .events import ActivityTaskScheduled
from .record import ActivityAttempt
from .requests import TimerTask

Deadline = tuple[int, int, TimeoutType]
"""(due time, scheduled event id, timeout type): the server's order among timeouts that are due."""


def activity_deadlines(scheduled: ActivityTaskScheduled, attempt: ActivityAttempt) -> list[Deadline]:
    """All timeouts that currently apply, unordered.

    Schedule-to-close counts from the first scheduling, schedule-to-start from this attempt's (in the future while
    backing off), heartbeat from the later of the attempt's start and the last heartbeat.
    """
    event_id = scheduled.event_id
    found: list[Deadline] = []
    timeout_us = scheduled.schedule_to_close_timeout_us
    if timeout_us:
        found.append((scheduled.time_us + timeout_us, event_id, TimeoutType.SCHEDULE_TO_CLOSE))
    if not attempt.started:
        timeout_us = scheduled.schedule_to_start_timeout_us
        if timeout_us:
            found.append((attempt.scheduled_time_us + timeout_us, event_id, TimeoutType.SCHEDULE_TO_START))
        return found
    timeout_us = scheduled.start_to_close_timeout_us
    if timeout_us:
        found.append((attempt.started_time_us + timeout_us, event_id, TimeoutType.START_TO_CLOSE))
    timeout_us = scheduled.heartbeat_timeout_us
    if timeout_us:
        last_us = max(attempt.started_time_us, attempt.heartbeat_time_us)
        found.append((last_us + timeout_us, event_id, TimeoutType.HEARTBEAT))
    return found


def next_activity_timer(scheduled: ActivityTaskScheduled, attempt: ActivityAttempt) -> TimerTask | None:
    """The timer task of the earliest timeout; ``None`` if the activity has none."""
    found = activity_deadlines(scheduled, attempt)
    if not found:
        return None
    due_us, event_id, timeout_type = found[0] if len(found) == 1 else min(found)
    return TimerTask(due_us, "activity_timeout", event_id, attempt.attempt, timeout_type)
