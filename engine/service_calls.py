"""One awaitable call to the service from a client, with the retries of the SDK's core."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

from .client_errors import rpc_error
from .common import timedelta_to_us
from .core.errors import ServiceError
from .host import world
from .rpc import CALL_RETRY, POLL_RETRY, RetriedCall

HISTORY_POLL_US = 20_000_000
"""A real server answers a client that waits for the end of a run, with nothing, after so long, and is asked again."""


async def call_service(request: object, *, long_poll: bool = False, rpc_timeout: timedelta | None = None) -> Any:
    """Send ``request`` from the calling process and wait for the answer.

    Args:
        request: What the engine is asked.
        long_poll: It waits for something to happen.
        rpc_timeout: Of each attempt; 30 seconds by default. A long poll never ends by one that is longer than a real
            server lets a poll wait.

    Raises:
        ServiceError: The service refused, or could not be reached although the call was tried again.
        MisuseError: No simulation is running here.
    """
    host = world().current_host()
    future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

    def replied(reply: Any) -> None:
        if future.done():
            return
        if isinstance(reply, BaseException):
            future.set_exception(reply)
        else:
            future.set_result(reply)

    timeout_us = timedelta_to_us(rpc_timeout)
    if long_poll and 0 < timeout_us < HISTORY_POLL_US:
        long_poll = False
    elif long_poll:
        timeout_us = 0
    options = POLL_RETRY if long_poll else CALL_RETRY
    call = RetriedCall(host, request, replied, options=options, long_poll=long_poll, timeout_us=timeout_us)
    try:
        return await future
    finally:
        if future.cancelled():
            call.abandon()


async def call_service_as_client(request: object, rpc_timeout: timedelta | None, *, long_poll: bool = False) -> Any:
    """Like ``call_service``, but raises ``RPCError`` as ``temporalio`` does."""
    try:
        return await call_service(request, long_poll=long_poll, rpc_timeout=rpc_timeout)
    except ServiceError as error:
        raise rpc_error(error) from None
