"""How one run is carried out: everything that decides a run, apart from the scenario and the seed, as plain data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from ..engine.core.errors import MisuseError
from .plain import Types, check_fields

YEAR_US = 365 * 24 * 3600 * 1_000_000
REAL_TIME_LIMIT_S_DEFAULT = 30.0
EVENTS_MAX_DEFAULT = 2_000_000
VIRTUAL_TIME_MAX_US_DEFAULT = 10 * YEAR_US


@dataclass(slots=True)
class RunOptions:
    """The options of a run. Treat as immutable; ``to_data()`` is what a record, a job and a result store keep.

    Attributes:
        faults: Whether faults are injected at all (``--no-faults`` clears it). Default on.
        plan: The faults to inject, as fault values or their plain data; ``None`` lets the scenario's mix draw them.
        overrides: Choices decided by hand, by position key (``label#n``); they win over the seed.
        evict_every_task: Evict each workflow from the sticky cache after every workflow task. Default off.
        trace: Keep the whole trace in the record. Costs 4 to 10 % of a run. Default off.
        checks: Judge the record by the scenario's properties. Default on.
        real_time_limit_s: Seconds of real time after which a run is stopped as unknown. Default 30.
        events_max: Kernel events after which a run is stopped as unknown. Default 2,000,000.
        virtual_time_max_us: Microseconds of virtual time after which a run is stopped as unknown. Default 10 years.
    """

    faults: bool = True
    plan: tuple[Any, ...] | None = None
    overrides: dict[str, int] | None = None
    evict_every_task: bool = False
    trace: bool = False
    checks: bool = True
    real_time_limit_s: float = REAL_TIME_LIMIT_S_DEFAULT
    events_max: int = EVENTS_MAX_DEFAULT
    virtual_time_max_us: int = VIRTUAL_TIME_MAX_US_DEFAULT

    def __post_init__(self) -> None:
        if not self.real_time_limit_s > 0:
            raise MisuseError(f"real_time_limit_s is {self.real_time_limit_s}: give a number of seconds above 0")
        for name in ("events_max", "virtual_time_max_us"):
            value = getattr(self, name)
            if value < 1:
                raise MisuseError(f"{name} is {value}: give a whole number above 0")

    def to_data(self) -> dict[str, Any]:
        """Plain data (JSON-able) from which ``from_data`` makes equal options."""
        data = {name: getattr(self, name) for name in _NAMES}
        if self.plan is not None:
            data["plan"] = [fault_data(fault) for fault in self.plan]
        if self.overrides is not None:
            data["overrides"] = dict(self.overrides)
        return data

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> RunOptions:
        """Options from plain data.

        Raises:
            MisuseError: A field is unknown or has a wrong type.
        """
        check_fields(data, _EXPECTED, what="set of run options", required=())
        values = dict(data)
        if values.get("plan") is not None:
            values["plan"] = tuple(values["plan"])
        return cls(**values)


_NAMES: tuple[str, ...] = tuple(field.name for field in fields(RunOptions))
_EXPECTED: dict[str, Types] = {
    "faults": (bool,),
    "plan": (list, tuple, type(None)),
    "overrides": (dict, type(None)),
    "evict_every_task": (bool,),
    "trace": (bool,),
    "checks": (bool,),
    "real_time_limit_s": (int, float),
    "events_max": (int,),
    "virtual_time_max_us": (int,),
}


def fault_data(fault: Any) -> Any:
    """The plain data of a fault value; plain data is returned as it is."""
    to_data = getattr(fault, "to_data", None)
    return to_data() if callable(to_data) else fault
