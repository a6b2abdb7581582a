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
    """Sends the first heartbeat at once, and then the newest one an interval later, if there is one.

    The interval counts from the sending, and what is left of it begins with the answer: one heartbeat at a time is
    under way.
    ``on_reply`` gets every answer of the service, as long as the attempt goes on.
    """

    __slots__ = (
        "_ended",
        "_host",
        "_identity",
        "_in_flight",
        "_interval_us",
        "_on_reply",
        "_pause",
        "_sent_us",
        "_then",
        "_token",
        "_waiting",
    )

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
        self._in_flight = False
        self._sent_us = 0
        self._pause: Cancellable | None = None
        self._ended = False
        self._then: Callable[[], None] | None = None

    def record(self, details: Payloads) -> None:
        """A heartbeat of the activity's code."""
        if self._ended:
            return
        if self._in_flight or self._pause is not None:
            self._waiting = details
        else:
            self._send(details)

    def _send(self, details: Payloads) -> None:
        self._waiting = None
        self._in_flight = True
        self._sent_us = self._host.now_us()
        request = rq.RecordActivityTaskHeartbeat(self._token, details, self._identity)
        RetriedCall(self._host, request, self._replied)

    def _replied(self, reply: Any) -> None:
        self._in_flight = False
        if self._ended:
            then, self._then = self._then, None
            if then is not None:
                then()
            return
        left_us = self._interval_us - (self._host.now_us() - self._sent_us)
        self._pause = self._host.call_later(max(0, left_us), self._pause_over)
        self._on_reply(reply)

    def _pause_over(self) -> None:
        self._pause = None
        if self._waiting is not None:
            self._send(self._waiting)

    def end(self, then: Callable[[], None], *, flush: bool) -> None:
        """The attempt's code has ended: no more heartbeats.

        Args:
            then: Called when none is under way any more.
            flush: Send the newest details if they were held back, so that the next attempt has them.
        """
        self._ended = True
        if self._pause is not None:
            self._pause.cancel()
            self._pause = None
        if flush and self._waiting is not None:
            self._then = then
            self._send(self._waiting)
        elif self._in_flight:
            self._then = then
        else:
            then()
