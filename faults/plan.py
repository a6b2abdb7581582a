"""Plans: tuples of faults, printed, written as JSON or TOML, and read back.

A file holds a list of faults under ``fault``, so that TOML reads well by hand::

    [[fault]]
    kind = "effect_reply_lost"
    service = "payments"
    when = { point = "service.after_effect", subject = "payments.charge" }

    [[fault]]
    kind = "service_outage"
    service = "stock"
    when = "10 s"
    duration_us = "5 min"
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from ..engine.core.errors import MisuseError
from . import kinds  # noqa: F401  # registers the kinds that plans name
from .fields import NEVER
from .kind import Fault, fault_from_data
from .topology import Topology

Plan = tuple[Fault, ...]
KEY = "fault"


def plan_text(plan: Sequence[Fault]) -> str:
    """A plan for people: one numbered sentence for each fault."""
    if not plan:
        return "no faults"
    return "\n".join(f"{number}. {fault}" for number, fault in enumerate(plan, 1))


def plan_to_data(plan: Iterable[Fault]) -> list[dict[str, Any]]:
    """Plain data (JSON)."""
    return [fault.to_data() for fault in plan]


def plan_from_data(data: object) -> Plan:
    """A plan from plain data: a list of faults, each an object with a ``kind``, or a fault already.

    Raises:
        MisuseError: It is no list, or a fault is wrong; the message names fault, field and what is expected.
    """
    if isinstance(data, str | bytes | Mapping) or not isinstance(data, Iterable):
        raise MisuseError(f"a plan is {data!r}: expected a list of faults")
    items = cast("Iterable[object]", data)
    return tuple(
        item if isinstance(item, Fault) else fault_from_data(item, place=f"fault {number}")
        for number, item in enumerate(items, 1)
    )


# --- JSON and TOML ----------------------------------------------------------------------------------------------------


def plan_to_json(plan: Iterable[Fault]) -> str:
    """JSON for people: an object with the list ``fault``."""
    return json.dumps({KEY: plan_to_data(plan)}, indent=2) + "\n"


def plan_from_json(text: str) -> Plan:
    """A plan from JSON: ``{"fault": [...]}``, or the list alone.

    Raises:
        MisuseError: It is no JSON, or no plan.
    """
    try:
        data = json.loads(text)
    except ValueError as error:
        raise MisuseError(f"this is no plan: it is not valid JSON, or was cut short ({error})") from None
    return plan_from_data(data if isinstance(data, list) else _list_of(data))


def plan_to_toml(plan: Iterable[Fault]) -> str:
    """TOML for people: a ``[[fault]]`` for each fault.

    Raises:
        MisuseError: A name holds what no file can (a lone surrogate).
    """
    blocks = []
    for fault in plan:
        lines = [f"{name} = {_toml(item)}" for name, item in fault.to_data().items()]
        blocks.append("\n".join([f"[[{KEY}]]", *lines]) + "\n")
    return "\n".join(blocks) or f"{KEY} = []\n"


def plan_from_toml(text: str) -> Plan:
    """A plan from TOML.

    Raises:
        MisuseError: It is no TOML, or no plan.
    """
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise MisuseError(f"this is no plan: it is not valid TOML ({error})") from None
    return plan_from_data(_list_of(data))


def _list_of(data: object) -> list[Any]:
    if not isinstance(data, dict) or list(data) != [KEY] or not isinstance(data[KEY], list):
        shown = ", ".join(repr(name) for name in data) if isinstance(data, dict) else type(data).__name__
        raise MisuseError(
            f"this is no plan: expected a list named {KEY!r} and nothing else, found {shown or 'nothing'}"
        )
    found: list[Any] = data[KEY]
    return found


def _toml(item: Any) -> str:
    if item is None:
        return f'"{NEVER}"'
    if isinstance(item, dict):
        return "{ " + ", ".join(f"{name} = {_toml(part)}" for name, part in item.items()) + " }"
    if isinstance(item, list):
        return "[" + ", ".join(_toml(part) for part in item) + "]"
    if isinstance(item, str):
        # JSON's strings are TOML's, but for DEL and for pairs of surrogates, which stay as they are.
        return json.dumps(item, ensure_ascii=False).replace("\x7f", "\\u007F")
    return json.dumps(item)


# --- files ------------------------------------------------------------------------------------------------------------


def save_plan(plan: Iterable[Fault], path: str | Path) -> None:
    """Write a plan to a file, as JSON or TOML by its suffix.

    Raises:
        MisuseError: The suffix is neither ``.json`` nor ``.toml``, or the file can't be written.
    """
    path = Path(path)
    text = plan_to_toml(plan) if _suffix(path) == ".toml" else plan_to_json(plan)
    try:
        path.write_text(text, encoding="utf-8", newline="\n")
    except (OSError, UnicodeEncodeError) as error:
        raise MisuseError(f"the plan can't be written to {path}: {error}") from None


def load_plan(path: str | Path) -> Plan:
    """Read a plan from a file, JSON or TOML by its suffix.

    Raises:
        MisuseError: The file can't be read, or holds no plan; the message names file, fault, field and what is
            expected.
    """
    path = Path(path)
    read = plan_from_toml if _suffix(path) == ".toml" else plan_from_json
    try:
        return read(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise MisuseError(f"the plan {path} can't be read: {error.strerror or error}") from None
    except UnicodeDecodeError as error:
        raise MisuseError(f"the plan {path} is not UTF-8 text (byte {error.start})") from None
    except MisuseError as error:
        raise MisuseError(f"{path}: {error}") from None


def _suffix(path: Path) -> str:
    suffix = path.suffix.lower()
    if suffix not in (".json", ".toml"):
        raise MisuseError(f"a plan is a .json or a .toml file: {path} is neither")
    return suffix


# --- checks and reports -----------------------------------------------------------------------------------------------


def check_plan(plan: Sequence[Fault], topology: Topology) -> None:
    """Refuse a plan that names what a world does not have.

    Raises:
        MisuseError: A fault names an unknown service, worker or node.
    """
    known = {
        "service": tuple(service.name for service in topology.services),
        "worker": topology.workers,
        "engine": (topology.engine,),
        "node": topology.nodes(),
    }
    for number, fault in enumerate(plan, 1):
        for name, what in fault.names().items():
            if name not in known[what]:
                there = ", ".join(known[what]) or "none"
                raise MisuseError(f"fault {number} ({fault.kind}) names the {what} {name!r}: there is {there}")


def fired_text(planned: Sequence[Any], fired: Sequence[Mapping[str, Any]]) -> list[str]:
    """What became of each fault of a plan, one line each: what it hit first and how often, or that it did not fire.

    Args:
        planned: ``RunRecord.faults_planned``.
        fired: ``RunRecord.faults_fired``.
    """
    first: dict[int, Mapping[str, Any]] = {}
    for item in fired:
        first.setdefault(item["index"], item)
    lines = []
    for index, fault in enumerate(plan_from_data(planned)):
        hit = first.get(index)
        if hit is None:
            lines.append(f"{index + 1}. {fault}: did not fire")
            continue
        count = hit.get("count", 1)
        times = "" if count == 1 else f", {count} times"
        detail = f" ({hit['detail']})" if hit.get("detail") else ""
        lines.append(f"{index + 1}. {fault}: hit {hit['target']}{detail}{times}")
    return lines


__all__ = [
    "Plan",
    "check_plan",
    "fired_text",
    "load_plan",
    "plan_from_data",
    "plan_from_json",
    "plan_from_toml",
    "plan_text",
    "plan_to_data",
    "plan_to_json",
    "plan_to_toml",
    "save_plan",
]
