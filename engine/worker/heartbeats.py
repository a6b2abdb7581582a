"""Throttled heartbeats of one activity attempt (``activity_heartbeat_manager.rs`` of the SDK's core)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..core import requests as rq
from ..core.payloads import Payloads
from ..host import Cancellable
from ..rpc import RetriedCall
from .settings import WorkerHost, WorkerSettings


class Heartbeats:
    """Sends the first heartbeat at once and then at most one an interval, always the newest.

    ``on_reply`` gets every answer of the service.
    """

    def __init__(
        self,
        host: WorkerHost,
        settings: WorkerSettings,
        task: rq.PollActivityTaskQueueResponse,
        on_reply: Callable[[Any], None],
    ) -> None:
        self._host = host
        self._token = task.task_token
        self._identity = settings.identity
        self._on_reply = on_reply
        interval_us = settings.default_heartbeat_throttle_interval_us
        if task.heartbeat_timeout_us:
            interval_us = task.heartbeat_timeout_us * 4 // 5
        self._interval_us = min(interval_us, settings.max_heartbeat_throttle_interval_us)
        self._waiting: Payloads | None = None
        self._timer: Cancellable | None = None
        self._ended = False

    def record(self, details: Payloads) -> None:
        """A heartbeat of the activity's code."""
        if self._ended:
            return
        if self._timer is not None:
            self._waiting = details
            return
        self._send(details)

    def _send(self, details: Payloads) -> None:
        self._waiting = None
        self._timer = self._host.call_later(self._interval_us, self._interval_over)
        request = rq.RecordActivityTaskHeartbeat(self._token, details, self._identity)
        RetriedCall(self._host, request, self._on_reply)

    def _interval_over(self) -> None:
        self._timer = None
        if self._waiting is not None:
            self._send(self._waiting)

    def end(self) -> Payloads | None:
        """No more heartbeats. Returns the details that were held back, to be flushed with a failure."""
        self._ended = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        waiting, self._waiting = self._waiting, None
        return waiting
