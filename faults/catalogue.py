"""The catalogue of fault kinds as a page (Markdown), made from their docstrings: ``docs/reference/faults.md``.

Whoever changes a kind writes the page anew: ``python -m stormproof.faults.catalogue docs/reference/faults.md``.
"""

from __future__ import annotations

import inspect
import re
import sys
from dataclasses import MISSING
from fractions import Fraction
from pathlib import Path
from typing import Any

from . import kinds  # noqa: F401  # registers the kinds that the page is about
from .fields import FieldSpec, specs_of
from .kind import KINDS, Fault
from .units import duration_text, ratio_text
from .when import POINTS, At

AREAS: dict[str, str] = {
    "services": "Services",
    "workers": "Workers",
    "engine": "The engine",
    "network": "The network",
}
_ARGUMENT = re.compile(r"^    (\w+): (.*)$")

_HEAD = """\
# The fault catalogue

This page is written by `python -m stormproof.faults.catalogue` from the docstrings of the fault kinds.

A fault is a value: what goes wrong, where, when and for how long. A plan is a tuple of faults. Without a plan each run
draws its own from the scenario's fault mix. Whether a planned fault really did something is recorded: a fault *fires*
when it changes what happens, an outage when a call is refused, a crash when the process was up.

Times are whole microseconds of virtual time. In files they may be written with units (`"1 h 30 min"`, `"250 ms"`),
ratios are `"1/5"`, and what ends only when everything heals has the duration `"never"` (`None` in Python).

## When

Every kind takes `when` (default: at the start of the run):

| in Python | in a file | |
|---|---|---|
| `At(10_000_000)` | `when = "10 s"` | a time after the start |
| `AtPoint("activity.started", "charge", nth=2)` \
| `when = { point = "activity.started", subject = "charge", nth = 2 }` | the second time that the point is \
reached for this subject, before anything else can happen |
| `AtPoint("activity.started", after_us=5_000)` | `when = { point = "activity.started", after_us = "5 ms" }` \
| some time after a point |

The points:

| point | reached when |
|---|---|
"""


def catalogue_page() -> str:
    """The whole page."""
    parts = [_HEAD + "".join(f"| `{name}` | {text} |\n" for name, text in POINTS.items())]
    ours = [kind for kind in KINDS.values() if kind.__module__.startswith(__name__.rpartition(".")[0])]
    for area, title in AREAS.items():
        parts.append(f"\n## {title}\n")
        parts.extend(_section(kind) for kind in ours if kind.area == area)
    return "".join(parts)


def _section(kind: type[Fault]) -> str:
    text, arguments = read_docstring(kind)
    weight = f"weight {kind.weight} in the default mix" if kind.weight else "not in the default mix"
    lines = [f"\n### {kind.__name__}\n\n`{kind.kind}`, {weight}\n\n{text}\n"]
    lines.append("\n| field | default | |\n|---|---|---|\n")
    for spec in specs_of(kind).values():
        if spec.name != "when":
            meaning = arguments.get(spec.name) or _INHERITED[spec.name]
            lines.append(f"| `{spec.name}` | {default_text(spec)} | {meaning} |\n")
    return "".join(lines)


_INHERITED = {"duration_us": "For how many microseconds it lasts; `None`: until everything heals."}


def read_docstring(kind: type[Fault]) -> tuple[str, dict[str, str]]:
    """The text of a kind's docstring, and the meaning of its fields, without their defaults."""
    text, _, rest = (inspect.getdoc(kind) or "").partition("\nArgs:\n")
    arguments: dict[str, str] = {}
    name = ""
    for line in rest.splitlines():
        match = _ARGUMENT.match(line)
        if match is not None:
            name, arguments[match[1]] = match[1], match[2]
        elif line.strip():
            arguments[name] += " " + line.strip()
    paragraphs = [" ".join(part.split()) for part in text.strip().split("\n\n")]
    body = "\n\n".join(re.sub(r"^(In the real world|Applies to):", r"**\1:**", part) for part in paragraphs)
    return body.replace("``", "`"), {key: _meaning(value) for key, value in arguments.items()}


def _meaning(text: str) -> str:
    """Without its default, which has a column of its own, unless that needs words."""
    return re.sub(r"\.? Default (?:`[^`]*`|[^.]*?)(?:\.$|$)", ".", text.replace("``", "`")).replace("...", "…").strip()


def default_text(spec: FieldSpec) -> str:
    """A field's default, for people."""
    value: Any = spec.default
    if value is MISSING:
        return "must be given"
    if value is None:
        return "`None`"
    if isinstance(value, bool | str):
        return f"`{value!r}`".replace("'", '"') if value != "" else "any"
    if isinstance(value, Fraction):
        return ratio_text(value)
    if isinstance(value, At):
        return str(value)
    return duration_text(value) if spec.name.endswith("_us") else str(value)


def main(arguments: list[str]) -> None:
    """Write the page to a file, or to the standard output."""
    if not arguments:
        sys.stdout.write(catalogue_page())
        return
    path = Path(arguments[0])
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(catalogue_page(), encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main(sys.argv[1:])

__all__ = ["AREAS", "catalogue_page", "default_text", "read_docstring"]
