"""``patched`` and ``deprecate_patch``: markers in the history, by which old runs keep to the old path.

After Temporal's core (``patch_state_machine.rs``, whose head has the table of outcomes). A real core also keeps a list
of a run's patches in a search attribute, which it writes next to each marker, if its flag
``UpsertSearchAttributeOnPatch`` is set. This engine never sets that flag; it follows it in histories of real servers.
"""

from __future__ import annotations

import json
from typing import ClassVar

from .command_machines import CommandMachine, Machines, rows_of
from .commands import Command, RecordMarker
from .events import HistoryEvent, MarkerRecorded, OtherEvent
from .nondeterminism import Nondeterminism, describe_command, describe_event, short_event
from .payloads import Payload

UPSERT_ON_PATCH = 2
"""Flag of the core: each patch's marker is followed by an upsert of search attributes."""

_MARKER_NAME = "core_patch"
_DETAILS_KEY = "patch-data"
_UPSERT_EVENT = "EVENT_TYPE_UPSERT_WORKFLOW_SEARCH_ATTRIBUTES"
_VERSION_ATTRIBUTE = "TemporalChangeVersion"


def patch_of(event: HistoryEvent | None) -> tuple[str, bool] | None:
    """The patch id in a patch's marker, and whether it is deprecated; ``None`` for any other event."""
    if not isinstance(event, MarkerRecorded) or event.marker_name != _MARKER_NAME:
        return None
    details = event.details.get(_DETAILS_KEY)
    if details:
        data = json.loads(details[0].data)
        return str(data["id"]), bool(data.get("deprecated", False))
    # The form of older cores.
    ids, deprecated = event.details.get("patch_id"), event.details.get("deprecated")
    if not ids or not deprecated:
        return None
    return ids[0].data.decode(), deprecated[0].data[:1] not in (b"", b"\0")


def patch_marker(patch_id: str, *, deprecated: bool) -> RecordMarker:
    """The command that records a patch."""
    data = json.dumps({"id": patch_id, "deprecated": deprecated}, separators=(",", ":")).encode()
    return RecordMarker(marker_name=_MARKER_NAME, details={_DETAILS_KEY: [Payload({"encoding": b"json/plain"}, data)]})


class PatchMachine(CommandMachine):
    """One call of ``patched`` or ``deprecate_patch`` that takes the newer path."""

    __slots__ = ("command", "patch_id")
    name = "Change"

    def __init__(self, patch_id: str, *, deprecated: bool) -> None:
        super().__init__("Notified")
        self.patch_id = patch_id
        self.command = patch_marker(patch_id, deprecated=deprecated)

    def make_command(self) -> Command:
        """The marker."""
        return self.command

    def _recorded(self, _run: Machines, event: MarkerRecorded, _is_last_task: bool) -> None:
        recorded = patch_of(event)
        if recorded is None or recorded[0] != self.patch_id:
            found = recorded[0] if recorded else short_event(event)
            raise Nondeterminism(
                f"Change id {found} does not match expected id {self.patch_id}",
                event.event_id,
                describe_event(event),
                describe_command(self.command),
            )

    table: ClassVar = {("Notified", MarkerRecorded): ("MarkerCommandRecorded", _recorded)}
    rows = rows_of(table)
    handled = frozenset({MarkerRecorded})


class PatchUpsertMachine(CommandMachine):
    """The search attribute that a real core has written next to a patch's marker."""

    __slots__ = ()
    name = "UpsertWorkflowSearchAttributes"

    def __init__(self) -> None:
        super().__init__("CommandIssued")

    def make_command(self) -> Command:
        """A stand-in for messages: this engine sends no such command."""
        return RecordMarker(marker_name=_VERSION_ATTRIBUTE)

    def _recorded(self, _run: Machines, event: OtherEvent, _is_last_task: bool) -> None:
        if event.event_type != _UPSERT_EVENT:
            raise Nondeterminism(
                f"UpsertWorkflowSearchAttributesMachine does not handle {short_event(event)}",
                event.event_id,
                describe_event(event),
                "asks for an upsert of search attributes after a patch",
            )

    table: ClassVar = {("CommandIssued", OtherEvent): ("Done", _recorded)}
    rows = rows_of(table)
    handled = frozenset({OtherEvent})


NORMAL, SKIP_COMMAND, SKIP_EVENT, SKIP_TWO_EVENTS = range(4)


def marker_handling(event: HistoryEvent, machine: CommandMachine | None, following: HistoryEvent | None) -> int:
    """How a command event and the next command go together where one of them is a patch's.

    Raises:
        Nondeterminism: The history has a patch that the code hasn't, and that isn't deprecated.
    """
    recorded = patch_of(event)
    is_patch_machine = isinstance(machine, PatchMachine)
    if recorded is None:
        # The workflow calls patched(), and didn't when this history was made.
        return SKIP_COMMAND if is_patch_machine else NORMAL
    patch_id, deprecated = recorded
    if isinstance(machine, PatchMachine) and (machine.patch_id == patch_id or not deprecated):
        return NORMAL
    if deprecated:
        return SKIP_TWO_EVENTS if _is_version_upsert(following) else SKIP_EVENT
    raise Nondeterminism(
        f"Non-deprecated patch marker encountered for change {patch_id}, but there is no corresponding change command!",
        event.event_id,
        f"a patch {patch_id!r}",
        describe_command(None if machine is None else machine.make_command()),
    )


def _is_version_upsert(event: HistoryEvent | None) -> bool:
    if not isinstance(event, OtherEvent) or event.event_type != _UPSERT_EVENT:
        return False
    fields = event.attributes.get("searchAttributes", {}).get("indexedFields", {})
    return _VERSION_ATTRIBUTE in fields
