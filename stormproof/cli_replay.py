"""``stormproof replay``: do recorded histories replay on this code?"""

from __future__ import annotations

import difflib
import json as json_module
import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import click

from .engine.converter import DataConverter
from .engine.core.definition import WorkflowDefinition
from .engine.core.errors import MisuseError
from .engine.core.events import HistoryEvent, WorkflowExecutionStarted
from .engine.history_json import events_from_json
from .engine.replayer import ReplayResult, replay
from .reports.console import Line, line, print_lines
from .reports.summary import verdict_word
from .reports.text import one_line
from .sim.campaign import ExitCode
from .sim.loading import load_module
from .sim.verdict import Truth

__all__ = ["replay_histories"]


@dataclass(slots=True)
class History:
    """A history that was read from a file, and the workflow that it is of."""

    path: str
    workflow: str
    events: list[HistoryEvent]
    definition: WorkflowDefinition


@click.command("replay")
@click.argument("histories", nargs=-1, required=True, metavar="HISTORY.json...")
@click.option("--workflows", "-w", multiple=True, required=True, help="Module or file with the workflows; repeatable.")
@click.option(
    "--json", type=click.Path(dir_okay=False), help="Write the result as JSON to a file; - is standard output."
)
@click.option("--quiet", "-q", is_flag=True, help="Print nothing: the exit code says it.")
def replay_histories(histories: tuple[str, ...], workflows: tuple[str, ...], json: str | None, quiet: bool) -> int:
    """Replay histories, recorded by this engine or by a real server, on the workflows' present code."""
    definitions = find_workflows(workflows)
    # All of them are read before the first is replayed: a mistake is told before anything else is.
    read = [read_history(path, definitions, workflows) for path in histories]
    results = [(item, _replay(item)) for item in read]
    if not quiet:
        lines = [told for item, result in results for told in _told(item, result)]
        print_lines(lines, sys.stderr if json == "-" else sys.stdout)
    code = ExitCode.HOLDS if all(result.ok for _, result in results) else ExitCode.VIOLATED
    if json is not None:
        _write_json(json, results, code)
    return code


def find_workflows(references: tuple[str, ...]) -> dict[str, WorkflowDefinition]:
    """The workflows of some modules, by name.

    Raises:
        MisuseError: A module cannot be loaded or has no workflow; two different workflows have one name.
    """
    found: dict[str, WorkflowDefinition] = {}
    for reference in references:
        definitions = _workflows_of(load_module(reference))
        if not definitions:
            raise MisuseError(f"{reference} has no workflow: expected a class with @workflow.defn in it")
        for definition in definitions:
            name = str(definition.name)
            if found.setdefault(name, definition).cls is not definition.cls:
                raise MisuseError(f"two workflows are named {name!r}: name only one of their modules by --workflows")
    return found


def _workflows_of(module: ModuleType) -> list[WorkflowDefinition]:
    definitions = [WorkflowDefinition.find(value) for value in vars(module).values() if isinstance(value, type)]
    return [definition for definition in definitions if definition is not None and definition.name is not None]


def read_history(path: str, definitions: dict[str, WorkflowDefinition], references: tuple[str, ...]) -> History:
    """Read a history and find its workflow.

    Raises:
        MisuseError: The file cannot be read, is no history, was cut short, or is of a workflow that nobody gave.
    """
    try:
        source = Path(path).read_bytes()
    except OSError as error:
        raise MisuseError(f"the history {path} cannot be read: {error.strerror}") from None
    try:
        events = events_from_json(source)
    except MisuseError as error:
        raise MisuseError(f"{path}: {error}") from None
    first = events[0] if events else None
    if not isinstance(first, WorkflowExecutionStarted):
        raise MisuseError(f"{path}: the history does not begin with WorkflowExecutionStarted: give a whole history")
    definition = definitions.get(first.workflow_type)
    if definition is None:
        names = ", ".join(sorted(definitions))
        close = difflib.get_close_matches(first.workflow_type, list(definitions), n=1)
        hint = f"; is {close[0]} its new name?" if close else ""
        raise MisuseError(
            f"{path} is a history of the workflow {first.workflow_type!r}, which {', '.join(references)} does not have "
            f"(it has {names}){hint}"
        )
    return History(path, first.workflow_type, events, definition)


def _replay(item: History) -> ReplayResult:
    try:
        return replay(item.events, item.definition, DataConverter.default)
    except MisuseError as error:
        raise MisuseError(f"{item.path}: {error}") from None


def _told(item: History, result: ReplayResult) -> list[Line]:
    word = verdict_word(Truth.TRUE if result.ok else Truth.FALSE)
    lines: list[Line] = [
        line(f"{one_line(item.path)}: ", word, f" {one_line(item.workflow)}, {len(item.events)} events")
    ]
    if not result.ok:
        lines += [f"  {one_line(text)}" for text in result.message.splitlines()]
    return lines


def _write_json(path: str, results: list[tuple[History, ReplayResult]], code: ExitCode) -> None:
    data = {
        "schema_version": 1,
        "verdict": "holds" if code is ExitCode.HOLDS else "violated",
        "exit_code": int(code),
        "histories": [
            {
                "path": item.path,
                "workflow": item.workflow,
                "events": len(item.events),
                "replays": result.ok,
                "message": result.message,
                "event_id": result.event_id,
            }
            for item, result in results
        ],
    }
    text = json_module.dumps(data, indent=2, sort_keys=True) + "\n"
    if path == "-":
        sys.stdout.write(text)
        return
    try:
        Path(path).write_text(text, encoding="utf-8", newline="\n")
    except OSError as error:
        raise MisuseError(f"the result cannot be written to {path}: {error.strerror}") from None
