"""What each property is called, for people who read a verdict."""

from __future__ import annotations

from .text import one_line

TITLES: dict[str, str] = {
    "P1": "replay determinism",
    "P2": "effect at most once",
    "P3": "no lost effect",
    "P4": "no lost or doubled message",
    "P5": "liveness",
    "P6": "honest status",
    "P7": "compensation complete",
    "P8": "mutual exclusion",
    "P9": "bounded growth",
    "P10": "convergence",
    "P11": "isolation",
    "P12": "version compatibility",
    "P13": "no orphans",
    "P14": "read purity",
    "P15": "time budget",
    "P16": "schedule coverage",
    "main": "the scenario's function",
}


def title_of(code: str) -> str:
    """``P2 effect at most once``; a property of the user's is its own title."""
    name = TITLES.get(code)
    return f"{code} {name}" if name else one_line(code)
