"""Matching: task queues in memory, where tasks wait for pollers and pollers for tasks.

Nothing here is durable. What must survive a crash of the server is in the outbox, from which the queues are filled
again. Tasks leave a queue in the order in which they came; which of several waiting pollers gets a task is drawn, since
no server promises it.

A sticky queue whose worker has not polled for ten seconds is treated as unavailable and its tasks go to the normal
queue, as in the real server (``stickyPollerUnavailableWindow`` in ``service/matching/matching_engine.go``).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

STICKY_POLLER_UNAVAILABLE_US = 10_000_000

QueueKey = tuple[str, str, str]
"""Namespace, kind of task (``workflow`` or ``activity``) and name of the queue."""


@dataclass(slots=True)
class Poll:
    """A waiting poll. ``source`` names the connection that it came on; ``reply`` answers it."""

    identity: str
    source: str
    sticky: bool
    reply: Callable[[object], None]


@dataclass(slots=True)
class TaskQueueState:
    """Tasks without a poller, or pollers without a task: one of the two is empty. ``polled_at_us``: -1 is never."""

    tasks: deque[Any] = field(default_factory=deque)
    polls: list[Poll] = field(default_factory=list)
    polled_at_us: int = -1


class Matching:
    """Task queues by key. ``choose(label, count)`` decides between pollers that wait for the same task."""

    def __init__(self, choose: Callable[[str, int], int]) -> None:
        self._queues: dict[QueueKey, TaskQueueState] = {}
        self._choose = choose

    def _queue(self, key: QueueKey) -> TaskQueueState:
        queue = self._queues.get(key)
        if queue is None:
            queue = self._queues[key] = TaskQueueState()
        return queue

    def offer(self, key: QueueKey, task: Any) -> Poll | None:
        """The poll that gets this task, which no longer waits; ``None``: the task waits."""
        queue = self._queue(key)
        polls = queue.polls
        if not polls:
            queue.tasks.append(task)
            return None
        index = self._choose("engine.matching", len(polls)) if len(polls) > 1 else 0
        return polls.pop(index)

    def poll(self, key: QueueKey, poll: Poll, now_us: int) -> Any:
        """The task that this poll gets; ``None``: the poll waits."""
        queue = self._queue(key)
        queue.polled_at_us = now_us
        if queue.tasks:
            return queue.tasks.popleft()
        queue.polls.append(poll)
        return None

    def withdraw(self, key: QueueKey, task: Any) -> None:
        """A task no longer waits; does nothing when it was taken."""
        queue = self._queues.get(key)
        if queue is not None and task in queue.tasks:
            queue.tasks.remove(task)

    def polled_within(self, key: QueueKey, window_us: int, now_us: int) -> bool:
        """Does anybody wait on this queue, or did anybody poll it a moment ago?"""
        queue = self._queues.get(key)
        if queue is None:
            return False
        return bool(queue.polls) or 0 <= queue.polled_at_us > now_us - window_us

    def sticky_available(self, key: QueueKey, now_us: int) -> bool:
        """Is there a worker behind this sticky queue, or was there one a moment ago?"""
        return self.polled_within(key, STICKY_POLLER_UNAVAILABLE_US, now_us)

    def connection_lost(self, source: str, now_us: int) -> None:
        """Forget the polls of a process that is gone."""
        for queue in self._queues.values():
            if any(poll.source == source for poll in queue.polls):
                queue.polls = [poll for poll in queue.polls if poll.source != source]
                queue.polled_at_us = now_us

    def backlog(self) -> dict[QueueKey, tuple[int, bool]]:
        """Tasks that wait, and whether anybody ever polled, by queue: what a stuck run is explained with."""
        return {key: (len(queue.tasks), queue.polled_at_us >= 0) for key, queue in self._queues.items() if queue.tasks}
