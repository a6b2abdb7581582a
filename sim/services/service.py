"""``Service``: the base of a fake of an outside system, written by the user as a plain class.

    class Payments(Service):
        latency = Latency.between_us(5_000, 50_000)

        def __init__(self) -> None:
            self.charged: dict[str, int] = {}

        @operation(effect_key="order_id", idempotent_by="key")
        async def charge(self, order_id: str, amount: int, key: str | None = None) -> str:
            self.charged[order_id] = amount
            return f"receipt-{order_id}"

The class is two things. An object of it, one per run, is the outside system with its durable state.
``Payments.client()`` is what activities hold: an object of the same type, as far as type checkers and ``isinstance``
can tell, whose operations go over the network. ``async def`` operations are awaited, ``def`` operations block, so a
fake can implement the very interface that the user's production client has, and the user's activities need not know
the simulator: hand the client to the constructor of the class that holds them.
"""

from __future__ import annotations

import inspect
import re
from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar, Self

from ...engine.core.errors import MisuseError
from .client import make_client
from .latency import Latency
from .operation import Operation, OperationOptions, options_of
from .operation_host import OperationHost
from .rate_limit import RateLimit

if TYPE_CHECKING:
    from ..choices import Workload
    from .host import ServiceHost
    from .registry import Services


class Service:
    """Base of the fakes of outside systems.

    Attributes:
        name: Its name in traces, faults and reports, and of its node. Default: the class's name in lower case, words
            joined by hyphens (``CardPayments``: ``card-payments``). An object may set another for itself.
        latency: How long it works on a call. Default: 1 to 10 milliseconds.
        rate_limit: How many calls it lets through. Default: all.
        timeout: How long its clients wait for an answer. Default: for ever, as most people's clients do.
    """

    name: str = ""
    latency: Latency = Latency.between_us(1_000, 10_000)
    rate_limit: RateLimit | None = None
    timeout: timedelta | None = None

    _operations: ClassVar[dict[str, Operation]] = {}
    _client_class: ClassVar[type[Any] | None] = None
    _used: bool = False
    _host: ServiceHost | None = None

    def __init_subclass__(cls, *, stormproof_client: bool = False, **more: Any) -> None:
        super().__init_subclass__(**more)
        if stormproof_client:
            return
        cls._client_class = None
        if "name" not in vars(cls):
            cls.name = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", cls.__name__.lstrip("_")).lower()
        cls._operations = _collect(cls)

    @classmethod
    def operations(cls) -> dict[str, Operation]:
        """Its operations, by name, in the order of their definition."""
        return cls._operations

    @classmethod
    def client(cls, *, timeout: timedelta | None = None, name: str | None = None) -> Self:
        """What activities hold to call this service. May be made anywhere and kept; calls work inside a simulation.

        Args:
            timeout: How long each call waits for its answer before it raises ``CallTimedOut``; default: the class's
                ``timeout``. Counted from the sending of the request.
            name: The name of the service, where several objects of the class run.
        """
        return make_client(cls, name=cls.name if name is None else name, timeout=timeout or cls.timeout)

    def with_timeout(self, timeout: timedelta | None) -> Self:
        """A client whose calls wait so long: ``await payments.with_timeout(timedelta(seconds=2)).charge(...)``."""
        raise MisuseError(
            f"with_timeout() of {type(self).__name__}: this is the outside system itself; its clients have timeouts "
            f"({type(self).__name__}.client())"
        )

    # --- for operations ---------------------------------------------------------------------------------------------

    def now_us(self) -> int:
        """True time at the outside system: microseconds since the Unix epoch."""
        return self._running().now_us

    @property
    def draws(self) -> Workload:
        """What operations leave to chance, drawn from the run's seed (``self.draws.chance(1, 10)``)."""
        return self._running().draws

    def snapshot(self) -> dict[str, Any]:
        """Its state, for the comparison of runs. Default: its public attributes."""
        return {name: value for name, value in vars(self).items() if not name.startswith("_") and name != "name"}

    def make_host(self, services: Services) -> ServiceHost:
        """What runs this object in a world. For the simulator."""
        if self._used:
            raise MisuseError(
                f"this {type(self).__name__} has run in a simulation already, and would carry its state into another: "
                "make one for each run (hand the class, or a function that makes it, to the scenario's services)"
            )
        self._used = True
        self._host = self._new_host(services)
        return self._host

    def leave(self) -> None:
        """Its world has ended. For the simulator."""
        self._host = None

    def _new_host(self, services: Services) -> ServiceHost:
        return OperationHost(services, self)

    def _running(self) -> ServiceHost:
        if self._host is None:
            raise MisuseError(
                f"{type(self).__name__} runs in no simulation: hand the class to the scenario's services, "
                "and call it through its client()"
            )
        return self._host


def _collect(cls: type[Service]) -> dict[str, Operation]:
    """The operations of a class. A method that overrides an operation is one too, with the same options."""
    found: dict[str, OperationOptions] = {}
    for base in reversed(cls.__mro__):
        for name, function in vars(base).items():
            options = options_of(function)
            if options is not None:
                found[name] = options
    operations: dict[str, Operation] = {}
    for name, options in found.items():
        function = inspect.getattr_static(cls, name)
        if hasattr(Service, name):
            raise MisuseError(f"{cls.__name__}.{name}: operations cannot be called {name!r}, which every Service has")
        if not inspect.isfunction(function):
            raise MisuseError(f"{cls.__name__}.{name}: an operation is a plain method (def or async def)")
        operations[name] = Operation(cls.__name__, name, function, options)
    for name, options in found.items():
        if options.undoes and options.undoes not in operations:
            raise MisuseError(
                f"{cls.__name__}.{name} has undoes={options.undoes!r}: expected one of {', '.join(operations)}"
            )
    return operations


__all__ = ["Service"]
