"""The outside systems of one world."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, TypeVar, cast

from ...engine.core.errors import MisuseError
from ..record import Ledger
from .exchange import calling_process
from .host import ServiceCall, ServiceHost
from .service import Service
from .values import plain

if TYPE_CHECKING:
    from ..node import Node
    from ..world import World

S = TypeVar("S", bound=Service)


class Services:
    """All outside systems of a world: one node each, named like the service.

    Args:
        world: The world.
        declared: The objects that are the outside systems, each made for this world alone.

    Raises:
        MisuseError: One of them is no ``Service``, or runs elsewhere already; or two have one name.
    """

    def __init__(self, world: World, declared: Sequence[Service] = ()) -> None:
        self.world = world
        self.current_call: ServiceCall | None = None
        """The call that has just reached ``service.before_effect`` or ``service.after_effect``."""
        self._hosts: dict[str, ServiceHost] = {}
        self._objects: dict[str, Service] = {}
        self._nodes: dict[str, Node] = {}
        self._addresses: dict[str, ServiceHost] = {}
        self._waiting: list[str] = []
        world.services = self
        for service in declared:
            self._declare(service)

    def start(self) -> None:
        """Start the nodes of those that do not run yet."""
        waiting, self._waiting = self._waiting, []
        for name in waiting:
            self._nodes[name].start()

    def add(self, service: Service) -> ServiceHost:
        """One more outside system, started at once."""
        host = self._declare(service)
        self.start()
        return host

    def _declare(self, service: Service) -> ServiceHost:
        if not isinstance(service, Service):
            raise MisuseError(
                f"{service!r} is no outside system: expected an object of a class derived from stormproof's Service"
            )
        host = service.make_host(self)
        for address in host.addresses():
            if address in self._addresses:
                raise MisuseError(
                    f"two services answer for the host {address!r}: {self._addresses[address].name}, {host.name}"
                )
            self._addresses[address] = host
        self._nodes[host.name] = self.world.add_node(host.name, "service", host.program)
        self._hosts[host.name] = host
        self._objects[host.name] = service
        self._waiting.append(host.name)
        return host

    def __iter__(self) -> Iterator[ServiceHost]:
        """The services' hosts, in the order in which they were declared."""
        return iter(self._hosts.values())

    def __len__(self) -> int:
        return len(self._hosts)

    def names(self) -> list[str]:
        """Their names."""
        return list(self._hosts)

    def host(self, name: str) -> ServiceHost:
        """What runs a service: its conditions (``host.conditions.set(...)``), its ledger.

        Raises:
            MisuseError: There is none of that name.
        """
        found = self._hosts.get(name)
        if found is None:
            known = ", ".join(self._hosts) or "none"
            raise MisuseError(f"there is no service {name!r} in this simulation: it has {known}")
        return found

    def node(self, name: str) -> Node:
        """The node of a service."""
        self.host(name)
        return self._nodes[name]

    def get(self, cls: type[S], name: str | None = None) -> S:
        """The outside system itself, with its state."""
        found = self._objects.get(cls.name if name is None else name)
        if not isinstance(found, cls):
            raise MisuseError(
                f"there is no {cls.__name__} in this simulation: it has {', '.join(self._hosts) or 'none'}"
            )
        return found

    def at(self, address: str) -> ServiceHost | None:
        """Who answers for a host name (``payments.test``, or ``payments.test:8080`` where it is one port alone)."""
        return self._addresses.get(address)

    def addresses(self) -> list[str]:
        """The host names that somebody answers for."""
        return list(self._addresses)

    def ledgers(self) -> list[Ledger]:
        """The effect ledgers as plain data, for the record."""
        return [cast("Ledger", host.ledger.to_data()) for host in self._hosts.values()]

    def close(self) -> None:
        """The world has ended: break the cycles between it, its services, and what runs them."""
        for service in self._objects.values():
            service.leave()
        for mapping in (self._hosts, self._objects, self._nodes, self._addresses):
            mapping.clear()
        self.current_call = None
        del self.world

    def snapshots(self) -> dict[str, Any]:
        """The state of each service as plain data, by name."""
        return {name: plain(service.snapshot()) for name, service in self._objects.items()}


def start_service(service: S | type[S]) -> S:
    """Start an outside system, from a driver (``main``). Returns it: what ``main`` does with it directly is instant.

    Args:
        service: An object, or a class that is made without arguments.

    Raises:
        MisuseError: No simulation is running here; or there is one of that name.
    """
    process = calling_process("start_service()")
    made = service() if isinstance(service, type) else service
    process.world.services.add(made)
    return made


__all__ = ["Services", "start_service"]
