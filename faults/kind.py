"""What a fault is: a value that says what goes wrong, where, when and for how long. And the registry of the kinds.

A kind is a frozen, slotted dataclass derived from ``Fault`` (or ``LastingFault``), registered under its ``kind``. To
add one of your own::

    @register
    @dataclass(frozen=True, slots=True)
    class ClockJump(Fault):
        \"\"\"The clock of a node jumps forward.\"\"\"

        kind: ClassVar[str] = "clock_jump"
        node: str
        by_us: int = 1_000_000

        def strike(self, strike: Strike) -> None:
            node = strike.node(self.node)
            if node is not None:
                node.skew_us += self.by_us
                strike.fired(node.name, f"by {self.by_us} us")

        def sentence(self) -> str:
            return f"the clock of {self.node} jumps forward"

The value itself never changes and knows no world: one plan serves any number of runs. What a fault does in a world it
does through its ``Strike``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field, is_dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Self, TypeVar

from ..engine.core.errors import MisuseError
from .fields import check_values, specs_of, values_from_data, values_to_data
from .units import MINUTE, duration_text
from .when import At, AtPoint, When

if TYPE_CHECKING:
    from .draw import PlanDraw
    from .strike import Strike
    from .topology import Topology


@dataclass(frozen=True, slots=True)
class Fault(ABC):
    """Base of all kinds.

    Args:
        when: When it strikes. Default: at the start of the run.
    """

    kind: ClassVar[str] = ""
    """The name of the kind, in plans and records."""
    area: ClassVar[str] = ""
    """What it strikes: ``services``, ``workers``, ``engine``, ``network`` ..."""
    weight: ClassVar[int] = 0
    """How often the default mix draws it, beside the other kinds; 0: never."""

    when: When = field(default=At(), kw_only=True)

    def __post_init__(self) -> None:
        check_values(self, f"{self.kind or type(self).__name__}")
        self.check()

    # --- for each kind to say -----------------------------------------------------------------------------------------

    @abstractmethod
    def strike(self, strike: Strike) -> None:
        """Do it, now. What lasts is undone by what ``strike.on_end`` is given."""

    @abstractmethod
    def sentence(self) -> str:
        """What goes wrong, in plain words, without the moment."""

    def check(self) -> None:  # noqa: B027  # most kinds have nothing to add to the check of the fields
        """Refuse values that fit no such fault, with ``MisuseError``."""

    def lasts_us(self) -> int:
        """Microseconds from the strike until what it did is over; 0: it is over at once, or ends with the healing."""
        return 0

    def names(self) -> dict[str, str]:
        """The names of nodes and services that it strikes, each with what it is (``service``, ``worker``, ``node``)."""
        return {}

    @classmethod
    def applies(cls, topology: Topology) -> bool:
        """Whether such a fault can happen in a world of this shape."""
        return True

    @classmethod
    def draw(cls, draw: PlanDraw) -> Self:
        """One such fault, drawn for a world that it applies to."""
        raise MisuseError(
            f"faults of kind {cls.kind!r} can't be drawn: define {cls.__name__}.draw(), or write them by hand"
        )

    # --- plain data ---------------------------------------------------------------------------------------------------

    def to_data(self) -> dict[str, Any]:
        """Plain data (JSON), from which ``fault_from_data`` makes an equal fault."""
        return {"kind": self.kind, **values_to_data(self)}

    def __str__(self) -> str:
        return f"{self.when}: {self.sentence()}"


@dataclass(frozen=True, slots=True)
class LastingFault(Fault):
    """Base of the kinds that last.

    Args:
        duration_us: For how many microseconds it lasts; ``None``: until everything heals. Default 60 s.
    """

    duration_us: int | None = field(default=MINUTE, kw_only=True)

    def lasts_us(self) -> int:
        """Its duration."""
        return self.duration_us or 0

    def for_so_long(self) -> str:
        """Its duration, for sentences."""
        return "until everything heals" if self.duration_us is None else f"for {duration_text(self.duration_us)}"


F = TypeVar("F", bound=type[Fault])

KINDS: dict[str, type[Fault]] = {}
"""All kinds, by name, in the order in which they were registered."""


def register(cls: F) -> F:
    """Make a kind known, so that plans can hold it and mixes can draw it. Use it as the outermost decorator.

    Raises:
        MisuseError: It has no name or the name of another kind, or is no frozen dataclass.
    """
    if not cls.kind:
        raise MisuseError(f"{cls.__name__} has no name: set `kind: ClassVar[str] = ...`")
    known = KINDS.get(cls.kind)
    if known is not None and known.__qualname__ != cls.__qualname__:
        raise MisuseError(f"there are two fault kinds named {cls.kind!r}: {known.__name__} and {cls.__name__}")
    parameters: Any = getattr(cls, "__dataclass_params__", None)
    if not is_dataclass(cls) or parameters is None or not parameters.frozen:
        raise MisuseError(
            f"{cls.__name__} is no frozen dataclass: decorate it with @dataclass(frozen=True, slots=True)"
        )
    specs_of(cls)
    KINDS[cls.kind] = cls
    return cls


def kind_named(name: object) -> type[Fault]:
    """A kind by its name.

    Raises:
        MisuseError: There is none.
    """
    found = KINDS.get(name) if isinstance(name, str) else None
    if found is None:
        raise MisuseError(f"there is no fault kind {name!r}: expected one of {', '.join(KINDS)}")
    return found


def fault_from_data(data: object, *, place: str = "the fault") -> Fault:
    """A fault from plain data.

    Args:
        data: ``{"kind": ..., "when": ..., ...}``; fields with defaults may be left out.
        place: Which fault it is, for error messages.

    Raises:
        MisuseError: The kind is unknown, or a field is missing, unknown or wrong.
    """
    if not isinstance(data, Mapping):
        raise MisuseError(f"{place} is {data!r}: expected an object with a 'kind'")
    if "kind" not in data:
        raise MisuseError(f"{place} has no 'kind': expected one of {', '.join(KINDS)}")
    try:
        cls = kind_named(data["kind"])
        values = values_from_data(cls, {name: item for name, item in data.items() if name != "kind"}, str(cls.kind))
        return cls(**values)
    except MisuseError as error:
        raise MisuseError(f"{place}: {error}") from None


__all__ = ["KINDS", "AtPoint", "Fault", "LastingFault", "fault_from_data", "kind_named", "register"]
