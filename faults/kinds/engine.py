"""What happens to the engine's server."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Self

from ...sim.node import ENGINE
from ..kind import Fault, register
from ..units import SECOND, duration_text

if TYPE_CHECKING:
    from ..draw import PlanDraw
    from ..strike import Strike

ENGINE_POINTS = ("engine.before_commit", "engine.after_commit")


@register
@dataclass(frozen=True, slots=True)
class EngineCrash(Fault):
    """The engine's server dies and is started again; what is in its store survives, the rest is lost.

    In the real world: a crash or a deploy of the Temporal server (or of the shard that owns the run). Before a commit
    the request is lost, and its caller tries again. After the commit and before the dispatch the write is there and
    nobody was
    told: the next server finds the tasks in its outbox, and the caller, who got no answer, sends the same request
        again.

    Applies to: the engine, if it is up; at ``engine.before_commit``, ``engine.after_commit``, or any other point or
    time.

    Args:
        restart_after_us: Microseconds until the server is started again; ``None``: when everything heals. Default 1 s.
        engine: The name of the engine's node. Default ``engine``.
    """

    kind: ClassVar[str] = "engine_crash"
    area: ClassVar[str] = "engine"
    weight: ClassVar[int] = 3

    restart_after_us: int | None = SECOND
    engine: str = ENGINE

    def strike(self, strike: Strike) -> None:
        """It dies."""
        node = strike.node(self.engine)
        if node is not None:
            strike.crash(node, self.restart_after_us)

    def lasts_us(self) -> int:
        """Until the server is back."""
        return self.restart_after_us or 0

    def names(self) -> dict[str, str]:
        """The engine's node."""
        return {self.engine: "engine"}

    def sentence(self) -> str:
        """In plain words."""
        if self.restart_after_us is None:
            return f"{self.engine} crashes and stays down until everything heals"
        return f"{self.engine} crashes and is started again after {duration_text(self.restart_after_us)}"

    @classmethod
    def draw(cls, draw: PlanDraw) -> Self:
        """Beside a commit, or any time."""
        return cls(draw.restart_after_us(), draw.topology.engine, when=draw.when(*ENGINE_POINTS))


__all__ = ["EngineCrash"]
