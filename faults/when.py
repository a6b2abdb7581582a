"""When a fault strikes: at a virtual time, or when a named point is reached."""

from __future__ import annotations

from dataclasses import dataclass

from ..engine.core.errors import MisuseError
from .units import duration_text, ordinal

POINTS: dict[str, str] = {
    "activity.started": "a worker has got an activity task and is about to call the activity; subject: activity type",
    "activity.before_report": "an activity attempt has ended and nobody knows yet; subject: activity type",
    "activity.after_report": "the report of an activity attempt is on its way; subject: activity type",
    "service.before_effect": "a service is about to apply an effect; subject: service.operation",
    "service.after_effect": "a service has applied an effect and not answered yet; subject: service.operation",
    "workflow_task.received": "a worker has got a workflow task; subject: workflow id",
    "workflow_task.before_answer": "a worker has worked on a workflow task and not answered yet; subject: workflow id",
    "workflow_task.answered": "the answer to a workflow task is on its way; subject: workflow id",
    "engine.before_commit": "the engine is about to write a transition of a run; subject: workflow id",
    "engine.after_commit": "the engine has written it, and dispatched and answered nothing yet; subject: workflow id",
    "history.event": "an event was added to a history (one by one, after the write); subject: workflow id",
}
"""Named points: name -> what has happened there, and what their subject is."""


def register_point(name: str, description: str) -> None:
    """Make a point of your own known, so that plans may name it (``incarnation.reach(name, subject)`` reaches it)."""
    POINTS[name] = description


@dataclass(frozen=True, slots=True)
class At:
    """A moment: so many microseconds of virtual time after the start of the run."""

    us: int = 0

    def __post_init__(self) -> None:
        if self.us.__class__ is not int or self.us < 0:
            raise MisuseError(f"At({self.us!r}): expected a whole number of microseconds since the start, 0 or more")

    def __str__(self) -> str:
        return f"at {duration_text(self.us)}" if self.us else "from the start"


@dataclass(frozen=True, slots=True)
class AtPoint:
    """The moment at which a named point is reached for the ``nth`` time, before anything else can happen.

    Args:
        point: One of ``POINTS``.
        subject: Counts only points of this subject (an activity type, ``service.operation``, a workflow id). Default:
            all subjects.
        nth: Which time, from 1. Default 1.
        after_us: Microseconds from then to the fault. Default 0: at that very instant.
    """

    point: str
    subject: str = ""
    nth: int = 1
    after_us: int = 0

    def __post_init__(self) -> None:
        if self.point not in POINTS:
            raise MisuseError(f"there is no point {self.point!r}: expected one of {', '.join(POINTS)}")
        if not isinstance(self.subject, str):
            raise MisuseError(f"the subject of point {self.point} is {self.subject!r}: expected a string")
        if self.nth.__class__ is not int or self.nth < 1:
            raise MisuseError(f"nth of point {self.point} is {self.nth!r}: expected a whole number, 1 or more")
        if self.after_us.__class__ is not int or self.after_us < 0:
            raise MisuseError(f"after_us of point {self.point} is {self.after_us!r}: expected microseconds, 0 or more")

    def __str__(self) -> str:
        after = f"{duration_text(self.after_us)} after" if self.after_us else "when"
        subject = f" of {self.subject}" if self.subject else ""
        times = f" for the {ordinal(self.nth)} time" if self.nth > 1 else ""
        return f"{after} {self.point}{subject} is reached{times}"


When = At | AtPoint

__all__ = ["POINTS", "At", "AtPoint", "When", "register_point"]
