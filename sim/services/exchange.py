"""The caller's side of a call to a service: from a coroutine, which awaits, or from a thread, which blocks."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from ...engine.core.errors import MisuseError, ServiceError
from ..greenlets import block_until, current_thread
from ..process import current_process, require_alive
from .errors import CallTimedOut, ConnectionLost, NoSuchService, ServiceUnavailable

if TYPE_CHECKING:
    from ..node import Incarnation


def calling_process(what: str) -> Incarnation:
    """The process that the calling code runs in.

    Raises:
        MisuseError: No simulation is running here, or the caller is no code of a node.
        NodeDead: The process has died.
    """
    process: Any = current_process.get()
    if process is None:
        raise MisuseError(
            f"{what}: no simulation is running here: call it from an activity or from the function that you hand to "
            "stormproof.simulate()"
        )
    require_alive(process)
    found: Incarnation = process
    return found


async def ask(process: Incarnation, target: str, body: object, timeout_us: int | None, what: str) -> Any:
    """Send a request and await its reply, which is returned even if it is an exception.

    Raises:
        MisuseError: The caller is workflow code.
    """
    loop = asyncio.get_running_loop()
    if getattr(loop, "process", None) is not process:
        raise _from_workflow(what)
    future: asyncio.Future[Any] = loop.create_future()

    def arrived(value: Any) -> None:
        if not future.done():
            future.set_result(value)

    process.world.network.call(process, target, body, arrived, timeout_us=timeout_us)
    return await future


def ask_blocking(process: Incarnation, target: str, body: object, timeout_us: int | None, what: str) -> Any:
    """The same from a simulated thread (or a coroutine, whose whole process then stands still)."""
    loop = asyncio._get_running_loop()  # noqa: SLF001  # `get_running_loop` raises instead
    if current_thread() is None or (loop is not None and getattr(loop, "process", None) is not process):
        raise _from_workflow(what)
    call = process.world.network.call
    return block_until(lambda wake: call(process, target, body, wake, timeout_us=timeout_us))


def _from_workflow(what: str) -> MisuseError:
    return MisuseError(
        f"{what}: workflow code can't call outside systems, since it runs again at every replay: do it in an activity"
    )


def check_target(process: Incarnation, service: str, what: str) -> None:
    """End the run with a clear message if there is no such service: no retry will ever help.

    Raises:
        NoSuchService: There is none of that name.
    """
    world = process.world
    if service in world.nodes:
        return
    known = ", ".join(world.services.names()) or "none"
    error = NoSuchService(
        f"{what}: this simulation has no service {service!r} (it has: {known}): add it to the scenario's services, or "
        "start it in main with start_service()"
    )
    if world.misuse is None:
        world.misuse = error
        world.kernel.stop()
    raise error


def failure_of(reply: ServiceError, service: str, operation: str) -> Exception:
    """What the network's word on a call means to its caller."""
    title = f"{service}.{operation}"
    if reply.status == "DEADLINE_EXCEEDED":
        return CallTimedOut(f"{title}: no answer in time", service, operation)
    if reply.message.startswith("connection refused"):
        return ServiceUnavailable(f"{title}: {reply.message}", service, operation)
    return ConnectionLost(f"{title}: {reply.message}", service, operation)


__all__ = ["ask", "ask_blocking", "calling_process", "check_target", "failure_of"]
