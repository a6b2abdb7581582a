"""What a checker says about a run: true, false or unknown, for one property and one workflow."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Protocol

from ..engine.core.errors import MisuseError
from .plain import Types, check_fields

if TYPE_CHECKING:
    from .record import RunRecord


class Truth(StrEnum):
    """The result of a judgement. It has no truth value of its own: compare with ``Truth.TRUE``."""

    TRUE = "true"
    FALSE = "false"
    UNKNOWN = "unknown"

    def __bool__(self) -> bool:
        # `if verdict.result:` would be true for "false" too.
        raise TypeError("a Truth is true, false or unknown: compare it with Truth.TRUE, Truth.FALSE or Truth.UNKNOWN")


@dataclass(slots=True)
class Verdict:
    """One property's judgement of one workflow in one run.

    Attributes:
        code: The property's code (``P1``) or name.
        workflow: The workflow type that was judged; empty where the run as a whole was.
        result: True, false or unknown.
        message: In plain words what was found; empty where the property simply holds.
        evidence: The events that prove it, as plain objects (``event_id``, ``time_us``, ``text`` ...).
        workflow_id: The execution that was judged; empty where it was all of that type, or none.
    """

    code: str
    workflow: str
    result: Truth
    message: str = ""
    evidence: list[dict[str, Any]] = field(default_factory=list)
    workflow_id: str = ""

    def to_data(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "code": self.code,
            "workflow": self.workflow,
            "result": self.result.value,
            "message": self.message,
            "evidence": self.evidence,
            "workflow_id": self.workflow_id,
        }

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Verdict:
        """A verdict from plain data.

        Raises:
            MisuseError: A field is missing, unknown or of a wrong type.
        """
        check_fields(data, _VERDICT_FIELDS, what="verdict", required=("code", "workflow", "result"))
        values = dict(data)
        try:
            values["result"] = Truth(values["result"])
        except ValueError:
            raise MisuseError(
                f"the result of a verdict is {data['result']!r}: expected true, false or unknown"
            ) from None
        return cls(**values)


_VERDICT_FIELDS: dict[str, Types] = {
    "code": (str,),
    "workflow": (str,),
    "result": (str,),
    "message": (str,),
    "evidence": (list,),
    "workflow_id": (str,),
}


class Property(Protocol):
    """A checker: it reads a sealed record and says what it finds. It never drives the run."""

    @property
    def code(self) -> str:
        """The property's code (``P1``) or name."""
        ...

    def check(self, record: RunRecord) -> list[Verdict]:
        """One verdict for each workflow that the property is about; none where it does not apply."""
        ...


def combine(results: list[Truth]) -> Truth:
    """The result of several judgements together: false if any is, unknown if nothing was found out, else true."""
    if Truth.FALSE in results:
        return Truth.FALSE
    if results and all(result is Truth.UNKNOWN for result in results):
        return Truth.UNKNOWN
    return Truth.TRUE
