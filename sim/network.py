"""The network between nodes: calls over ordered connections, with latency, loss, duplication and partitions.

A call is a request message and at most one reply message. Messages on one connection (one process to one node, and
back) keep their order, as TCP keeps it; messages on different connections do not. A message is one kernel event.

What a caller can learn is what a real caller can learn: an answer; ``UNAVAILABLE`` at once when nobody listens there or
the connection breaks; ``DEADLINE_EXCEEDED`` when nothing came in time. It never learns whether a lost call was carried
out.

A long poll has no timer while nothing of it is lost: waiting for weeks costs no event. When a message of it is lost,
the caller learns so when its deadline has passed, counted in whole poll periods, as if it had polled again and again.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from heapq import heappush
from typing import TYPE_CHECKING, Any, Protocol

from ..engine.core.errors import ServiceError
from .kernel import Entry

if TYPE_CHECKING:
    from .node import Incarnation
    from .world import World

OnReply = Callable[[Any], None]

SILENCE_MAX_US = 70_000_000
"""After so long without a word the end of a connection is taken for dead: the time that a poll may take."""


class Disturbance(Protocol):
    """What a fault does to messages. Several may be active; they are asked in the order in which they began."""

    def affects(self, source: str, target: str) -> bool:
        """Does it concern messages from ``source`` to ``target`` (node names)?"""
        ...

    def treat(self, world: World, source: str, target: str, kind: str) -> Treatment | None:
        """What happens to this message, a ``request``, ``poll``, ``reply`` or ``close``; ``None`` leaves it alone."""
        ...


class Treatment:
    """``lose`` the message, delay it by ``delay_us`` more, or deliver it ``copies`` times."""

    __slots__ = ("copies", "delay_us", "lose")

    def __init__(self, *, lose: bool = False, delay_us: int = 0, copies: int = 1) -> None:
        self.lose = lose
        self.delay_us = delay_us
        self.copies = copies


class Connection:
    """One direction between two processes: a lane of the kernel, and when its last message arrives."""

    __slots__ = ("arrives_us", "lane")

    def __init__(self, lane: int) -> None:
        self.lane = lane
        self.arrives_us = 0


class Call(Entry):
    """One request and its reply. A handler answers with ``reply``, once, now or later; an exception is a failure.

    It is itself the kernel entry of its request, and afterwards that of its reply.
    """

    __slots__ = (
        "body",
        "deadline_us",
        "done",
        "long_poll",
        "network",
        "number",
        "on_reply",
        "period_us",
        "sender",
        "sent_us",
        "server",
        "source",
        "target",
    )

    def __init__(  # noqa: PLR0917 (made for each call: names would cost)
        self, network: Network, sender: Incarnation, target: str, body: object, on_reply: OnReply, long_poll: bool
    ) -> None:
        # Not Entry's constructor: the kernel's part is filled in when a message of the call is sent.
        self.kernel = network.kernel
        self.callback = None
        self.network = network
        self.sender = sender
        self.source = sender.name
        self.target = target
        self.body = body
        self.on_reply = on_reply
        self.long_poll = long_poll
        self.done = False
        network.calls += 1
        self.number = network.calls
        self.sent_us = network.kernel.now_us
        self.period_us = 0
        self.deadline_us = 0
        self.server: Incarnation | None = None

    def reply(self, value: Any) -> None:
        """Send the answer to the caller; does nothing if the answering process has died meanwhile."""
        self.network.send_reply(self, value)


class _Deadlines:
    """Calls with the same timeout, oldest first: one kernel event at a time instead of one for each call."""

    __slots__ = ("_armed", "_calls", "_network", "timeout_us")

    def __init__(self, network: Network, timeout_us: int) -> None:
        self._network = network
        self._calls: deque[Call] = deque()
        self._armed = False
        self.timeout_us = timeout_us

    def add(self, call: Call) -> None:
        calls = self._calls
        while calls and calls[0].done:
            calls.popleft()
        calls.append(call)
        if not self._armed:
            self._arm()

    def _arm(self) -> None:
        self._armed = True
        kernel = self._network.world.kernel
        kernel.schedule(max(0, self._calls[0].deadline_us - kernel.now_us), self._sweep)

    def _sweep(self) -> None:
        self._armed = False
        calls = self._calls
        now_us = self._network.world.kernel.now_us
        while calls and (calls[0].done or calls[0].deadline_us <= now_us):
            call = calls.popleft()
            if not call.done:
                self._network.finish(call, deadline_exceeded(call))
        if calls:
            self._arm()

    def clear(self) -> None:
        self._calls.clear()


class Network:
    """All connections of a world.

    Args:
        world: The world; its choices draw every latency.
        latency_us: The least and the greatest latency of a message, both included. Default 200 µs to 2 ms.
    """

    def __init__(self, world: World, latency_us: tuple[int, int] = (200, 2_000)) -> None:
        self.world = world
        self.messages = 0
        self.disturbances: list[Disturbance] = []
        self.kernel = world.kernel
        self.calls = 0
        self._latency_low_us = latency_us[0]
        span_us = latency_us[1] - latency_us[0] + 1
        self._draw = world.choices.drawer("network.latency", span_us) if span_us > 1 else _zero
        self._deadlines: dict[int, _Deadlines] = {}

    # --- calls ------------------------------------------------------------------------------------------------------

    def call(
        self,
        sender: Incarnation,
        target: str,
        body: object,
        on_reply: OnReply,
        *,
        timeout_us: int | None,
        long_poll: bool = False,
    ) -> Call:
        """Send ``body`` to the node ``target``.

        Args:
            sender: The calling process. ``on_reply`` is not called any more once it is dead.
            target: The name of the node that is called.
            body: What is sent.
            on_reply: Gets the answer, or a ``ServiceError`` (``UNAVAILABLE``, ``DEADLINE_EXCEEDED``).
            timeout_us: When to give up; ``None`` waits for ever.
            long_poll: Needs no timer of its own while nothing of it is lost.
        """
        call = Call(self, sender, target, body, on_reply, long_poll)
        if timeout_us is not None:
            call.period_us = timeout_us
            call.deadline_us = call.sent_us + timeout_us
            if not long_poll:
                deadlines = self._deadlines.get(timeout_us)
                if deadlines is None:
                    deadlines = self._deadlines[timeout_us] = _Deadlines(self, timeout_us)
                deadlines.add(call)
        self._send(call, sender, target, self._arrived, (call,), "poll" if long_poll else "request")
        return call

    def _connect(self, sender: Incarnation, target: str) -> Connection:
        lane = self.kernel.new_lane(f"{sender.name} to {target}")
        connection = sender.connections[target] = Connection(lane)
        return connection

    def latency(self) -> int:
        """The latency of one message, drawn."""
        return self._latency_low_us + self._draw()

    def _send(  # noqa: PLR0917 (called for each message: names would cost)
        self,
        call: Call,
        sender: Incarnation,
        target: str,
        deliver: Callable[..., None],
        args: tuple[Any, ...],
        kind: str,
    ) -> None:
        """One message from ``sender`` to the node ``target``."""
        kernel = self.kernel
        at_us = kernel.now_us + self._latency_low_us + self._draw()
        copies = 1
        if self.disturbances:
            treatment = self._treatment(sender.name, target, kind)
            if treatment.lose:
                self._lost(call)
                return
            at_us += treatment.delay_us
            copies = treatment.copies
        self.messages += 1
        connection = sender.connections.get(target)
        if connection is None:
            connection = self._connect(sender, target)
        if at_us <= connection.arrives_us:
            at_us = connection.arrives_us + 1
        connection.arrives_us = at_us
        if copies > 1 or call.callback is not None:
            for _ in range(copies):
                kernel.schedule(at_us - kernel.now_us, deliver, *args, lane=connection.lane)
            return
        call.callback = deliver
        call.args = args
        call.lane = connection.lane
        # As Kernel.schedule does it, in place: messages are most of what a kernel does. The call is its own entry, free
        # before its request is sent and again once that has arrived.
        call.cause = kernel.current_cause
        if kernel.tracing:
            call.trace_cause = kernel.trace_cause
        heappush(kernel.heap, (at_us, 0, kernel.next_sequence(), call))

    def _treatment(self, source: str, target: str, kind: str) -> Treatment:
        total = Treatment()
        for disturbance in self.disturbances:
            if disturbance.affects(source, target):
                treatment = disturbance.treat(self.world, source, target, kind)
                if treatment is not None:
                    total.lose = total.lose or treatment.lose
                    total.delay_us += treatment.delay_us
                    total.copies = max(total.copies, treatment.copies)
        return total

    def _lost(self, call: Call) -> None:
        """A message of this call will never come. A caller with a timer learns by it; a long poll learns here."""
        if not call.long_poll or call.done or not call.period_us:
            return
        kernel = self.world.kernel
        periods = (kernel.now_us - call.sent_us) // call.period_us + 1
        due_us = call.sent_us + periods * call.period_us
        kernel.schedule(due_us - kernel.now_us, self.finish, call, deadline_exceeded(call), lane=call.sender.lane)

    def _arrived(self, call: Call) -> None:
        node = self.world.nodes.get(call.target)
        server = None if node is None else node.incarnation
        if server is None or node is None:
            error = ServiceError("UNAVAILABLE", f"connection refused: nothing listens at {call.target}")
            self._refuse(call, error)
            return
        call.server = server
        server.serving[call.number] = call
        server.receive(call)

    def _refuse(self, call: Call, error: ServiceError) -> None:
        """The target's machine refuses the connection: there is no process to send from, yet there is an answer."""
        delay_us = self.latency()
        if self.disturbances:
            treatment = self._treatment(call.target, call.source, "reply")
            if treatment.lose:
                self._lost(call)
                return
            delay_us += treatment.delay_us
        self.world.kernel.schedule(delay_us, self.finish, call, error, lane=call.sender.lane)

    def hang_up(self, sender: Incarnation, target: str, on_lost: Callable[..., None], *args: Any) -> None:
        """A process gives up its connection to a node: the other side learns it after all that was sent before.

        If that message is lost, it learns it when the process has been silent for too long.
        """
        kernel = self.kernel
        at_us = kernel.now_us + self.latency()
        if self.disturbances:
            treatment = self._treatment(sender.name, target, "close")
            at_us += SILENCE_MAX_US if treatment.lose else treatment.delay_us
        connection = sender.connections.get(target) or self._connect(sender, target)
        at_us = connection.arrives_us = max(at_us, connection.arrives_us + 1)
        kernel.schedule(at_us - kernel.now_us, on_lost, *args, lane=connection.lane)

    def send_reply(self, call: Call, value: Any) -> None:
        """Send the answer of a call (``Call.reply``)."""
        server = call.server
        if server is None or not server.alive:
            return
        if server.serving.pop(call.number, None) is None:
            return
        if call.sender.alive:
            self._send(call, server, call.source, self.finish, (call, value), "reply")

    def finish(self, call: Call, value: Any) -> None:
        """The caller learns the outcome, unless it already has, or is dead."""
        if call.done:
            return
        call.done = True
        on_reply, call.on_reply = call.on_reply, _nobody
        if call.sender.alive:
            call.sender.run_callback(on_reply, value)

    def broken(self, server: Incarnation) -> None:
        """A process has ended: its machine resets its connections, and the callers that wait learn so."""
        waiting, server.serving = server.serving, {}
        for call in waiting.values():
            if not call.done and call.sender.alive:
                error = ServiceError("UNAVAILABLE", f"connection to {call.target} was reset")
                self._refuse(call, error)

    def close(self) -> None:
        """Forget everything: the world has ended."""
        for deadlines in self._deadlines.values():
            deadlines.clear()
        self._deadlines.clear()
        self.disturbances.clear()


def deadline_exceeded(call: Call) -> ServiceError:
    """What a caller gets that waited for nothing."""
    return ServiceError("DEADLINE_EXCEEDED", f"no answer from {call.target} in time")


def _zero() -> int:
    """The draw of a latency that has but one value."""
    return 0


def _nobody(value: Any) -> None:
    """The outcome was already delivered."""
