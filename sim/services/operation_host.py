"""The kit's side of a service: runs the operations of a ``Service`` object and keeps its idempotency keys."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from ...engine.core.errors import MisuseError
from .errors import CallFailed, IdempotencyConflict, ServiceFailed
from .host import ServiceCall, ServiceHost, working_on
from .operation import Operation
from .rate_limit import TokenBucket
from .values import copied, copied_tuple

if TYPE_CHECKING:
    from ..network import Call
    from ..node import Incarnation
    from .registry import Services
    from .service import Service


E = TypeVar("E", bound=BaseException)


@dataclass(slots=True)
class OperationRequest:
    """A call of an operation on the wire. ``activity`` is the calling activity's ``Info``, if there is one."""

    operation: str
    values: tuple[Any, ...]
    activity: Any


@dataclass(slots=True)
class _StoredReply:
    """What an idempotency key stands for. ``done`` is False while its first call goes on in incarnation ``number``."""

    values: tuple[Any, ...]
    number: int
    done: bool = False
    result: Any = None


class OperationHost(ServiceHost):
    """Hosts one ``Service`` object, which is the outside system's durable state."""

    def __init__(self, services: Services, service: Service) -> None:
        super().__init__(services, service.name, latency=service.latency, rate_limit=service.rate_limit)
        self.service = service
        self._operations = type(service).operations()
        self._replies: dict[tuple[str, str], _StoredReply] = {}
        self._labels = {name: f"service-{self.name}.{name}" for name in self._operations}
        self._titles = {name: f"{self.name}.{name}" for name in self._operations}
        self._latencies = {name: found.latency or self.latency for name, found in self._operations.items()}
        self._buckets = {
            name: TokenBucket(found.rate_limit, self.now_us)
            for name, found in self._operations.items()
            if found.rate_limit is not None
        }

    def opened(self, machine: Incarnation, net: Call) -> ServiceCall | None:
        """Read a request."""
        request = net.body
        if type(request) is not OperationRequest:
            net.reply(
                MisuseError(f"{self.name} is no HTTP service: call its operations through {self._kind()}.client()")
            )
            return None
        operation = self._operations.get(request.operation)
        if operation is None:
            net.reply(
                MisuseError(
                    f"{self.name} has no operation {request.operation!r}: expected one of {', '.join(self._operations)}"
                )
            )
            return None
        return ServiceCall(
            net,
            machine,
            operation.name,
            self._titles[operation.name],
            subject=operation,
            values=request.values,
            activity=request.activity,
            effectful=operation.key_of is not None,
        )

    def _kind(self) -> str:
        return type(self.service).__name__

    def latency_of(self, call: ServiceCall) -> int:
        """How long this call takes."""
        name = call.operation
        return self._latencies[name].draw_us(self.world.choices, self._labels[name])

    def bucket_of(self, call: ServiceCall) -> TokenBucket | None:
        """The operation's own rate limit."""
        return self._buckets.get(call.operation)

    def key_of(self, call: ServiceCall) -> str:
        """The logical effect key."""
        function = call.subject.key_of
        return "" if function is None else str(function(call.values))

    def undoes(self, call: ServiceCall) -> str:
        """The operation whose effect this one undoes."""
        return str(call.subject.undoes)

    def perform(self, call: ServiceCall) -> None:
        """Run the operation, or find the stored reply of its idempotency key."""
        operation: Operation = call.subject
        stored: _StoredReply | None = None
        if operation.idempotency_index >= 0:
            key = call.values[operation.idempotency_index]
            if key is not None:
                stored = self._replies.get((call.operation, key))
                if stored is not None and (stored.done or stored.number == call.machine.number):
                    self.performed(call, self._repeated(call, stored))
                    return
                stored = self._replies[call.operation, key] = _StoredReply(call.values, call.machine.number)
        call.machine.busy_with(call.title)
        if operation.suspends:
            self._run_task(call, stored)
            return
        token = working_on.set(call)
        try:
            result = operation.call(self.service, call.values)
            if operation.is_async:
                result = _finished(result)
        except Exception as error:
            self._failed(call, error)
            return
        finally:
            working_on.reset(token)
        self._succeeded(call, stored, result)

    def _run_task(self, call: ServiceCall, stored: _StoredReply | None) -> None:
        operation: Operation = call.subject

        async def run() -> Any:
            working_on.set(call)
            return await operation.call(self.service, call.values)

        def ended(task: Any) -> None:
            # Out of the loop first: what follows may end this very process.
            call.machine.call_later(0, conclude, task)

        def conclude(task: Any) -> None:
            error = RuntimeError("cancelled") if task.cancelled() else task.exception()
            if error is None:
                self._succeeded(call, stored, task.result())
            else:
                self._failed(call, error)

        call.machine.start_coroutine(run(), call.title, ended)

    def _succeeded(self, call: ServiceCall, stored: _StoredReply | None, result: Any) -> None:
        operation: Operation = call.subject
        result = copied(result)
        if stored is not None:
            stored.done = True
            stored.result = result
        if operation.key_of is not None and not call.without_effect:
            # The operation may keep its arguments and change them later: the ledger has its own.
            arguments = dict(zip(operation.parameters, copied_tuple(call.values), strict=True))
            key = None if stored is None else str(call.values[operation.idempotency_index])
            self.applied(call, arguments, copied(result), idempotency_key=key)
        self.performed(call, result)

    def _failed(self, call: ServiceCall, error: BaseException) -> None:
        operation: Operation = call.subject
        if operation.idempotency_index >= 0:
            self._replies.pop((call.operation, call.values[operation.idempotency_index]), None)
        call.without_effect = True
        self.performed(call, self._told(call, error))

    def _told(self, call: ServiceCall, error: BaseException) -> BaseException:
        """What the caller gets of an exception of the operation's: one of its own, without our frames."""
        if isinstance(error, CallFailed):
            told = _twin(error)
            if not told.service:
                told.args = (error.message, self.name, call.operation, *error.args[3:])
            return told
        operation: Operation = call.subject
        if isinstance(error, operation.raises):
            return _twin(error)
        what = f"{call.title} raised {type(error).__name__}: {error}"
        self.broken.append(what)
        return ServiceFailed(
            f"{what} (its callers get it as it is if the operation declares raises=[{type(error).__name__}])",
            self.name,
            call.operation,
        )

    def _repeated(self, call: ServiceCall, stored: _StoredReply) -> Any:
        """The reply to a call whose idempotency key was seen before."""
        call.without_effect = True
        key = call.values[call.subject.idempotency_index]
        if stored.values != call.values:
            message = f"the idempotency key {key!r} was used before with other arguments"
            return IdempotencyConflict(message, self.name, call.operation)
        if not stored.done:
            message = f"the first call with the idempotency key {key!r} is still going on"
            return IdempotencyConflict(message, self.name, call.operation, status=409)
        self.ledger.repeats += 1
        return copied(stored.result)


def _twin(error: E) -> E:
    """An equal exception without traceback, causes, or anything mutable that the two would share."""
    kind = type(error)
    twin = kind.__new__(kind, *error.args)
    twin.args = copied_tuple(error.args)
    twin.__dict__.update(copied(vars(error)))
    return twin


def _finished(coroutine: Any) -> Any:
    """The result of a coroutine that never suspends."""
    try:
        coroutine.send(None)
    except StopIteration as stop:
        return stop.value
    coroutine.close()
    raise RuntimeError("an operation without await has suspended")


__all__ = ["OperationHost", "OperationRequest"]
