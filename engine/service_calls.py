"""One awaitable call to the service from a client, with the retries of the SDK's core."""

from __future__ import annotations

import asyncio
from typing import Any

from .client_errors import rpc_error
from .core.errors import ServiceError
from .host import world
from .rpc import CALL_RETRY, POLL_RETRY, RetriedCall


async def call_service(request: object, *, long_poll: bool = False) -> Any:
    """Send ``request`` from the calling process and wait for the answer.

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

    RetriedCall(host, request, replied, options=POLL_RETRY if long_poll else CALL_RETRY, long_poll=long_poll)
    return await future


async def call_service_as_client(request: object, *, long_poll: bool = False) -> Any:
    """Like ``call_service``, but raises ``RPCError`` as ``temporalio`` does."""
    try:
        return await call_service(request, long_poll=long_poll)
    except ServiceError as error:
        raise rpc_error(error) from None
