"""What happens to messages between nodes."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, ClassVar, Self

from ...engine.core.errors import MisuseError
from ...sim.network import Treatment
from ..kind import LastingFault, register
from ..units import MINUTE, MS, duration_text, ratio_text

if TYPE_CHECKING:
    from ...sim.world import World
    from ..draw import PlanDraw
    from ..strike import Strike

LABEL = "weather-network"


class _Interference:
    """A fault on the wire: a ``Disturbance`` of the network."""

    __slots__ = ("_fault", "_strike")

    def __init__(self, fault: _NetworkFault, strike: Strike) -> None:
        self._fault = fault
        self._strike = strike

    def affects(self, source: str, target: str) -> bool:
        """Does it concern messages of this direction?"""
        return self._fault.concerns(source, target)

    def treat(self, world: World, source: str, target: str, kind: str) -> Treatment | None:
        """What happens to this message."""
        treatment = self._fault.treat(world, kind)
        if treatment is not None:
            self._strike.fired(f"{source} to {target}", self._fault.word(kind))
        return treatment


@dataclass(frozen=True, slots=True)
class _NetworkFault(LastingFault):
    """Base of what happens to messages.

    Args:
        a: The name of a node. Default: any.
        b: The name of the node at the other end. Default: any.
    """

    area: ClassVar[str] = "network"
    done: ClassVar[str] = ""

    a: str = ""
    b: str = ""

    def concerns(self, source: str, target: str) -> bool:
        """Is it about messages from ``source`` to ``target``? Both directions count."""
        a, b = self.a, self.b
        return (a in ("", source) and b in ("", target)) or (a in ("", target) and b in ("", source))

    def treat(self, world: World, kind: str) -> Treatment | None:
        """What happens to a message that it is about; ``None``: nothing, this time."""
        raise AssertionError(f"{self.kind} treats no messages")

    def word(self, message: str) -> str:
        """What has happened, in a few words."""
        return f"{message} {self.done}"

    def strike(self, strike: Strike) -> None:
        """It begins."""
        disturbances = strike.world.network.disturbances
        for name in self.names():
            strike.node(name)  # says so if there is none
        interference = _Interference(self, strike)
        disturbances.append(interference)
        strike.on_end(lambda: disturbances.remove(interference))

    def names(self) -> dict[str, str]:
        """The ends that are named."""
        return {name: "node" for name in (self.a, self.b) if name}

    def where(self) -> str:
        """The ends, for sentences."""
        if self.a and self.b:
            return f"between {self.a} and {self.b}"
        return f"to and from {self.a or self.b}" if self.a or self.b else "everywhere"


@dataclass(frozen=True, slots=True)
class _ShareFault(_NetworkFault):
    """Base of what happens to a share of the messages.

    Args:
        ratio: The share of messages. Default 1/10.
    """

    ratio: Fraction = Fraction(1, 10)

    def hit(self, world: World) -> bool:
        """Whether it happens to this message."""
        numerator, denominator = self.ratio.as_integer_ratio()
        return world.choices.chance(f"{LABEL}.{self.done}", numerator, denominator)

    @classmethod
    def draw_ends(cls, draw: PlanDraw) -> tuple[str, str]:
        """Two nodes that talk to each other, or (a third of the time) everywhere."""
        return ("", "") if draw.chance("everywhere", 1, 3) else draw.link()


@register
@dataclass(frozen=True, slots=True)
class MessageLoss(_ShareFault):
    """Messages get lost.

    In the real world: a connection that dies without a word (a firewall or a NAT that forgot it, a failed switch), so
    that a request or its answer never arrives. The caller learns nothing until its own timeout, and can't tell which of
    the two was lost.

    Applies to: requests and replies between two nodes, either way.

    Args:
        a: The name of a node. Default: any.
        b: The name of the node at the other end. Default: any.
        ratio: The share of messages that is lost. Default 1/10.
    """

    kind: ClassVar[str] = "message_loss"
    weight: ClassVar[int] = 3
    done: ClassVar[str] = "lost"

    def treat(self, world: World, kind: str) -> Treatment | None:
        """Lose it, perhaps."""
        return Treatment(lose=True) if self.hit(world) else None

    def sentence(self) -> str:
        """In plain words."""
        return f"{ratio_text(self.ratio)} of the messages {self.where()} get lost {self.for_so_long()}"

    @classmethod
    def draw(cls, draw: PlanDraw) -> Self:
        """From one message in twenty to all."""
        a, b = cls.draw_ends(draw)
        return cls(a, b, ratio=draw.ratio(), when=draw.when(), duration_us=draw.duration_us())


@register
@dataclass(frozen=True, slots=True)
class MessageDelay(_ShareFault):
    """Messages take longer. Those of one connection keep their order, those of others overtake.

    In the real world: congestion, retransmission, a detour, a machine that is busy with something else.

    Applies to: requests and replies between two nodes, either way.

    Args:
        a: The name of a node. Default: any.
        b: The name of the node at the other end. Default: any.
        ratio: The share of messages that is delayed. Default 1/10.
        delay_us: Microseconds on top of the usual latency. Default 500 ms.
    """

    kind: ClassVar[str] = "message_delay"
    weight: ClassVar[int] = 2
    done: ClassVar[str] = "delayed"

    delay_us: int = 500 * MS

    def treat(self, world: World, kind: str) -> Treatment | None:
        """Delay it, perhaps."""
        return Treatment(delay_us=self.delay_us) if self.hit(world) else None

    def lasts_us(self) -> int:
        """Until the last delayed message is there."""
        return (self.duration_us or 0) + self.delay_us

    def sentence(self) -> str:
        """In plain words."""
        share, delay = ratio_text(self.ratio), duration_text(self.delay_us)
        return f"{share} of the messages {self.where()} take {delay} longer {self.for_so_long()}"

    @classmethod
    def draw(cls, draw: PlanDraw) -> Self:
        """From a millisecond to a minute."""
        a, b = cls.draw_ends(draw)
        delay_us = draw.spread_us("delay", MS, MINUTE)
        return cls(a, b, ratio=draw.ratio(), delay_us=delay_us, when=draw.when(), duration_us=draw.duration_us())


@register
@dataclass(frozen=True, slots=True)
class MessageDuplication(_ShareFault):
    """Requests arrive twice.

    In the real world: a client library or a proxy that sends a request again on a new connection when the old one seems
    to be dead, as gRPC does; both copies arrive. The caller hears one answer.

    Applies to: requests between two nodes, either way. Not to polls: of two, the engine would still answer the one that
    nobody waits for.

    Args:
        a: The name of a node. Default: any.
        b: The name of the node at the other end. Default: any.
        ratio: The share of requests that is doubled. Default 1/10.
    """

    kind: ClassVar[str] = "message_duplication"
    weight: ClassVar[int] = 2
    done: ClassVar[str] = "doubled"

    def treat(self, world: World, kind: str) -> Treatment | None:
        """Double a request, perhaps: a second reply would change nothing."""
        return Treatment(copies=2) if kind == "request" and self.hit(world) else None

    def sentence(self) -> str:
        """In plain words."""
        return f"{ratio_text(self.ratio)} of the requests {self.where()} arrive twice {self.for_so_long()}"

    @classmethod
    def draw(cls, draw: PlanDraw) -> Self:
        """From one request in twenty to all."""
        a, b = cls.draw_ends(draw)
        return cls(a, b, ratio=draw.ratio(), when=draw.when(), duration_us=draw.duration_us())


@register
@dataclass(frozen=True, slots=True)
class Partition(_NetworkFault):
    """Two nodes can't reach each other.

    In the real world: a failed link, a wrong firewall rule. Nobody is told: what is sent disappears, and only timeouts
    tell. One direction alone may be cut: then requests arrive and their answers do not, or the other way round.

    Applies to: messages that are sent while it lasts.

    Args:
        a: The name of a node.
        b: The name of the node at the other end. Default: all others.
        symmetric: Whether both directions are cut; otherwise messages from ``a`` to ``b`` alone. Default yes.
    """

    kind: ClassVar[str] = "partition"
    weight: ClassVar[int] = 2
    done: ClassVar[str] = "cut off"

    symmetric: bool = True

    def check(self) -> None:
        """It is about somebody."""
        if not self.a or self.a == self.b:
            raise MisuseError(f"{self.kind} between {self.a!r} and {self.b!r}: name the node a, and another one as b")

    def concerns(self, source: str, target: str) -> bool:
        """Both directions, or one."""
        if source == self.a:
            return self.b in ("", target)
        return self.symmetric and target == self.a and self.b in ("", source)

    def treat(self, world: World, kind: str) -> Treatment | None:
        """Lose it."""
        return Treatment(lose=True)

    def sentence(self) -> str:
        """In plain words."""
        others = self.b or "everybody else"
        if self.symmetric:
            return f"{self.a} and {others} can't reach each other {self.for_so_long()}"
        return f"messages from {self.a} to {others} disappear {self.for_so_long()}"

    @classmethod
    def draw(cls, draw: PlanDraw) -> Self:
        """Two nodes that talk to each other, or one and all others; one direction in three partitions."""
        a, b = draw.link()
        if draw.chance("alone", 1, 4):
            b = ""
        elif draw.chance("other_way", 1, 2):
            a, b = b, a
        symmetric = draw.chance("symmetric", 2, 3)
        return cls(a, b, symmetric=symmetric, when=draw.when(), duration_us=draw.duration_us())


__all__ = ["MessageDelay", "MessageDuplication", "MessageLoss", "Partition"]
