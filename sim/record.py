"""The record of one run: everything that is needed to judge it, to tell it, and to make it again.

All of it is plain data (JSON) except the histories, which are kept as events while a run is judged and are turned into
Temporal's JSON only when somebody asks: most runs of a campaign are judged and thrown away.

A run is made again from its record alone (``rerun.py``): scenario reference, seed and options decide it, the digest
proves that it was the same run.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, TypedDict

from ..engine.core.errors import MisuseError
from ..engine.core.events import HistoryEvent
from ..engine.history_json import events_from_json, events_to_json
from .options import REAL_TIME_LIMIT_S_DEFAULT, RunOptions
from .plain import Types, check_fields, decode_object, encode
from .verdict import Property, Truth, Verdict, combine

SCHEMA_VERSION = 1

# Why a run ended before its scenario did. The empty string: it did not.
STOPPED_BY_EVENTS = "events"
STOPPED_BY_VIRTUAL_TIME = "virtual_time"
STOPPED_BY_REAL_TIME = "real_time"


class TraceEvent(TypedDict):
    """One thing that happened. ``cause`` is the id of the event that caused it, 0 for none; times are microseconds."""

    id: int
    cause: int
    time_us: int
    node: str
    kind: str
    text: str
    data: dict[str, Any]


class FaultFired(TypedDict, total=False):
    """One fault that really happened, the first time that it did.

    ``index`` is its position in the plan, -1 where it was not planned; ``count`` is how many times it happened in all.
    """

    index: int
    kind: str
    target: str
    time_us: int
    point: str
    detail: str
    count: int


class Ledger(TypedDict):
    """The effects that a service has applied, in order."""

    service: str
    effects: list[dict[str, Any]]


class Outcome(TypedDict):
    """How an execution ended. ``result`` and ``failure`` are plain data, or null."""

    workflow: str
    workflow_id: str
    run_id: str
    status: str
    result: Any
    failure: Any


class PropertyViolated(AssertionError):
    """A property does not hold. The message says which, why, and how to see it again."""


class RunInconclusive(AssertionError):
    """Nothing was found out about the run, because a budget ended it."""


class RunHistory:
    """The history of one execution: as events, as Temporal's JSON, each made from the other when first asked for.

    Args:
        workflow_id: The id of the workflow.
        run_id: The id of the run.
        workflow_type: The name of the workflow.
        events: The events, or
        data: their Temporal JSON (``{"events": [...]}``).
    """

    __slots__ = ("_data", "_events", "run_id", "workflow_id", "workflow_type")

    def __init__(
        self,
        workflow_id: str,
        run_id: str,
        workflow_type: str,
        *,
        events: list[HistoryEvent] | None = None,
        data: dict[str, Any] | None = None,
    ) -> None:
        assert events is not None or data is not None
        self.workflow_id = workflow_id
        self.run_id = run_id
        self.workflow_type = workflow_type
        self._events = events
        self._data = data

    @property
    def events(self) -> list[HistoryEvent]:
        """The events, in order."""
        if self._events is None:
            assert self._data is not None
            self._events = events_from_json(self._data)
        return self._events

    @property
    def data(self) -> dict[str, Any]:
        """The history as Temporal's JSON, which the real SDK's ``Replayer`` reads."""
        if self._data is None:
            assert self._events is not None
            self._data = events_to_json(self._events)
        return self._data

    def to_data(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "workflow_id": self.workflow_id,
            "run_id": self.run_id,
            "workflow_type": self.workflow_type,
            "history": self.data,
        }

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> RunHistory:
        """A history from plain data; raises ``MisuseError`` where a field is wrong."""
        check_fields(data, _HISTORY_FIELDS, what="history of a run record", required=tuple(_HISTORY_FIELDS))
        return cls(data["workflow_id"], data["run_id"], data["workflow_type"], data=data["history"])


_HISTORY_FIELDS: dict[str, Types] = {
    "workflow_id": (str,),
    "run_id": (str,),
    "workflow_type": (str,),
    "history": (dict,),
}


@dataclass(slots=True)
class RunRecord:
    """What a run leaves behind.

    Attributes:
        seed: The seed, from 0.
        scenario: Where the scenario is: ``path/to/file.py:name``, ``package.module:name``; empty for a local function.
        options: The options of the run.
        stormproof_version: The version that made it.
        python_version: As ``3.11.7``.
        python_hash_seed: ``PYTHONHASHSEED`` of the process, ``random`` where none was set.
        choices_overrides: Choices that were decided by hand.
        faults_planned: The plan, as plain data.
        faults_fired: What really happened of it.
        trace: What happened, in order; empty unless the run was traced.
        histories: The history of each execution.
        ledgers: The effects that each service has applied.
        outcomes: How each execution ended.
        verdicts: What the properties say.
        digest: Of every draw and event; empty where real time ended the run.
        checkpoints: ``[count, digest]`` pairs, by which two runs that should be equal are compared.
        statistics: Figures: ``events``, ``messages``, ``virtual_us`` ...
        stopped_by: The budget that ended the run, or empty.
        stopped_detail: Who was busy then, or what waited for what.
        notes: What a reader should know about the run (a worker that keeps its objects over a restart ...).
        error: What the scenario's own function raised where that is no outcome of a workflow, or empty.
    """

    seed: int
    scenario: str = ""
    options: RunOptions = field(default_factory=RunOptions)
    stormproof_version: str = ""
    python_version: str = ""
    python_hash_seed: str = ""
    choices_overrides: dict[str, int] = field(default_factory=dict)
    faults_planned: list[Any] = field(default_factory=list)
    faults_fired: list[FaultFired] = field(default_factory=list)
    trace: list[TraceEvent] = field(default_factory=list)
    histories: list[RunHistory] = field(default_factory=list)
    ledgers: list[Ledger] = field(default_factory=list)
    outcomes: list[Outcome] = field(default_factory=list)
    verdicts: list[Verdict] = field(default_factory=list)
    digest: str = ""
    checkpoints: list[list[Any]] = field(default_factory=list)
    statistics: dict[str, int] = field(default_factory=dict)
    stopped_by: str = ""
    stopped_detail: str = ""
    notes: list[str] = field(default_factory=list)
    error: str = ""
    schema_version: int = SCHEMA_VERSION

    # --- judgement --------------------------------------------------------------------------------------------------

    @property
    def result(self) -> Truth:
        """False if any verdict is, or ``main`` raised; unknown if a budget ended it or all verdicts are; else true."""
        if self.error:
            return Truth.FALSE
        found = combine([verdict.result for verdict in self.verdicts])
        if found is Truth.TRUE and self.stopped_by:
            return Truth.UNKNOWN
        return found

    @property
    def ok(self) -> bool:
        """Whether every property holds, as far as it could be judged."""
        return self.result is Truth.TRUE

    @property
    def violations(self) -> list[Verdict]:
        """The verdicts that are false."""
        return [verdict for verdict in self.verdicts if verdict.result is Truth.FALSE]

    def judge(self, properties: list[Property]) -> None:
        """Replace the verdicts by what these properties say."""
        self.verdicts = [verdict for rule in properties for verdict in rule.check(self)]

    def check(self, *, allow_unknown: bool = False) -> None:
        """Raise unless every property holds.

        Args:
            allow_unknown: Whether a run that says nothing (a budget ended it) is good enough. Default no.

        Raises:
            PropertyViolated: A property does not hold.
            RunInconclusive: Nothing was found out.
        """
        result = self.result
        if result is Truth.FALSE:
            raise PropertyViolated(self.explain())
        if result is Truth.UNKNOWN and not allow_unknown:
            raise RunInconclusive(self.explain())

    def explain(self) -> str:
        """The outcome in plain words: what was found, which faults fired, how to see it again."""
        lines = [self._headline()]
        lines.extend(_verdict_line(verdict) for verdict in self.verdicts if verdict.result is not Truth.TRUE)
        if self.error:
            lines.append(f"the scenario's function raised: {self.error}")
        lines.extend(f"note: {note}" for note in self.notes)
        lines.append(f"faults that fired: {_counted(self.fault_counts()) or 'none'}")
        if self.digest:
            lines.append(f"digest: {self.digest}")
        lines.append(f"see it again: {self.command(show=True)}")
        return "\n".join(lines)

    def _headline(self) -> str:
        result = self.result
        if result is Truth.FALSE:
            count = len(self.violations)
            if not count:
                return f"seed {self.seed}: the scenario's function raised an exception"
            return f"seed {self.seed}: {count} {'property does' if count == 1 else 'properties do'} not hold"
        if self.stopped_by:
            busy = f" ({self.stopped_detail})" if self.stopped_detail else ""
            return f"seed {self.seed}: unknown, because the run was ended by its budget of {self.stopped_by}{busy}"
        if result is Truth.UNKNOWN:
            return f"seed {self.seed}: unknown, no property could be judged"
        return f"seed {self.seed}: holds"

    def fault_counts(self) -> dict[str, int]:
        """How often each kind of fault fired, by kind."""
        counts: dict[str, int] = {}
        for fault in self.faults_fired:
            kind = fault.get("kind", "unknown")
            counts[kind] = counts.get(kind, 0) + 1
        return dict(sorted(counts.items()))

    # --- making it again --------------------------------------------------------------------------------------------

    def command(self, *, show: bool = False) -> str:
        """The command that makes this run again.

        A scenario that no shell can reach (a local function) is made again from Python; a plan or overrides given by
        hand need the record in a file.
        """
        if not self.scenario:
            return f"stormproof.simulate(<the same function>, seed={self.seed})"
        if not shell_can_express(self.options):
            return "record.save('record.json'), then: stormproof run --record record.json" + (" --show" if show else "")
        return reproduce_command(self.scenario, self.seed, self.options, show=show)

    # --- JSON -------------------------------------------------------------------------------------------------------

    def to_data(self) -> dict[str, Any]:
        """Plain data."""
        data = {name: getattr(self, name) for name in _FIELDS}
        for name in ("histories", "verdicts"):
            data[name] = [item.to_data() for item in data[name]]
        data["options"] = self.options.to_data()
        return data

    def to_json(self) -> str:
        """One line of JSON with sorted keys: equal records are equal bytes."""
        return encode(self.to_data())

    def save(self, path: str) -> None:
        """Write the record to a file, from which ``stormproof run --record`` makes the run again."""
        with open(path, "w", encoding="utf-8", newline="\n") as file:  # noqa: PTH123
            file.write(self.to_json() + "\n")

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> RunRecord:
        """A record from plain data.

        Raises:
            MisuseError: It is no record, of a newer schema, or a field is wrong.
        """
        _check_schema(data)
        check_fields(data, _FIELDS, what="run record", required=("schema_version", "seed"))
        values = dict(data)
        if values["seed"] < 0:
            raise MisuseError(f"the seed of the run record is {values['seed']}: expected 0 or more")
        converters: dict[str, Callable[[Any], Any]] = {"histories": RunHistory.from_data, "verdicts": Verdict.from_data}
        for name, convert in converters.items():
            if name in values:
                values[name] = [convert(_object(item, name)) for item in values[name]]
        if "options" in values:
            values["options"] = RunOptions.from_data(values["options"])
        return cls(**values)

    @classmethod
    def from_json(cls, text: str | bytes) -> RunRecord:
        """A record from JSON; raises ``MisuseError`` as ``from_data``, and where the text is no JSON."""
        return cls.from_data(decode_object(text, what="run record"))


_FIELDS: dict[str, Types] = {
    "seed": (int,),
    "scenario": (str,),
    "options": (dict,),
    "stormproof_version": (str,),
    "python_version": (str,),
    "python_hash_seed": (str,),
    "choices_overrides": (dict,),
    "faults_planned": (list,),
    "faults_fired": (list,),
    "trace": (list,),
    "histories": (list,),
    "ledgers": (list,),
    "outcomes": (list,),
    "verdicts": (list,),
    "digest": (str,),
    "checkpoints": (list,),
    "statistics": (dict,),
    "stopped_by": (str,),
    "stopped_detail": (str,),
    "notes": (list,),
    "error": (str,),
    "schema_version": (int,),
}
assert tuple(_FIELDS) == tuple(item.name for item in fields(RunRecord))


def _check_schema(data: Mapping[str, Any]) -> None:
    version = data.get("schema_version")
    if not isinstance(version, int) or isinstance(version, bool):
        raise MisuseError("this is no run record: the field 'schema_version' is missing or is no whole number")
    if version != SCHEMA_VERSION:
        raise MisuseError(
            f"the run record has schema version {version}, this stormproof reads {SCHEMA_VERSION}: "
            "make the record again from its scenario and seed, or use the stormproof that wrote it"
        )


def _object(item: object, where: str) -> Mapping[str, Any]:
    if not isinstance(item, dict):
        raise MisuseError(f"the field {where!r} of the run record holds {item!r}: expected objects")
    return item


def _verdict_line(verdict: Verdict) -> str:
    about = f" ({verdict.workflow})" if verdict.workflow else ""
    word = "violated" if verdict.result is Truth.FALSE else "unknown"
    return f"{verdict.code}{about} {word}: {verdict.message or 'no reason was given'}"


def _counted(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{kind} {count}" for kind, count in counts.items())


def shell_can_express(options: RunOptions) -> bool:
    """Whether the options can be given as options of ``stormproof run``; otherwise it takes a saved record."""
    plain = RunOptions(
        faults=options.faults,
        evict_every_task=options.evict_every_task,
        real_time_limit_s=options.real_time_limit_s,
        trace=options.trace,
    )
    return options == plain


def reproduce_command(scenario: str, seed: int, options: RunOptions, *, show: bool = False) -> str:
    """The shell command that runs one seed of a scenario under these options."""
    words = ["stormproof", "run", scenario, "--seed", str(seed)]
    if not options.faults:
        words.append("--no-faults")
    if options.evict_every_task:
        words.append("--evict")
    if options.real_time_limit_s != REAL_TIME_LIMIT_S_DEFAULT:
        words += ["--real-time-limit", f"{options.real_time_limit_s:g}"]
    if show:
        words.append("--show")
    return shlex.join(words)


__all__ = [
    "SCHEMA_VERSION",
    "FaultFired",
    "Ledger",
    "Outcome",
    "Property",
    "PropertyViolated",
    "RunHistory",
    "RunInconclusive",
    "RunOptions",
    "RunRecord",
    "TraceEvent",
    "Truth",
    "Verdict",
    "reproduce_command",
    "shell_can_express",
]
