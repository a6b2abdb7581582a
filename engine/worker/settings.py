"""What a worker is made of, as data: the thin API fills it, the machine works from it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from ..activity import ActivityDefinition, ActivityEvent
from ..converter import DataConverter
from ..core.definition import WorkflowDefinition
from ..core.errors import MisuseError
from ..host import Host

if TYPE_CHECKING:
    from ..client import Client

DYNAMIC = ""
"""The name under which a worker keeps its dynamic workflow."""


class Graveyard(Protocol):
    """Keeps suspended user code of a dead process: strong references, in order."""

    def add_task(self, task: Any, context: Any) -> None:
        """A task that is not done."""

    def keep(self, thing: object) -> None:
        """Anything else."""


class WorkerHost(Host, Protocol):
    """A host that a worker machine runs on."""

    @property
    def graveyard(self) -> Graveyard:
        """Where suspended user code goes that must not be run again."""
        ...

    def reach(self, point: str, subject: str, detail: str = "") -> None:
        """A named point was reached; raises if the process dies here."""

    def trace(self, kind: str, text: str, **data: Any) -> None:
        """Tell the trace, if there is one."""

    def busy_with(self, label: str) -> None:
        """Say whose code runs next, so that code that spins can be named."""

    def unregistered(self, kind: str, name: str, task_queue: str) -> None:
        """A task came for a ``workflow`` or an ``activity`` that this worker has no code for."""

    def block_thread(self, event: ActivityEvent, timeout_us: int | None) -> None:
        """Block the calling (simulated) thread until the event has happened or the timeout is over."""

    def hang_up(self) -> None:
        """Give up this process's waiting polls."""


@dataclass(slots=True)
class WorkerSettings:
    """Names and limits are those of ``temporalio.worker.Worker``; durations are microseconds.

    ``client`` is what activities get from ``activity.client()``.
    ``evict_every_task`` drops a run's instance after each workflow task and rebuilds it from the events that the worker
    keeps: nothing but nondeterminism can tell the difference.
    """

    task_queue: str
    namespace: str = "default"
    workflows: dict[str, WorkflowDefinition] = field(default_factory=dict)
    activities: dict[str, ActivityDefinition] = field(default_factory=dict)
    converter: DataConverter = field(default_factory=lambda: DataConverter.default)
    identity: str = ""
    cached_workflows_max: int = 1000
    concurrent_activities_max: int = 100
    concurrent_workflow_tasks_max: int = 100
    sticky_schedule_to_start_timeout_us: int = 10_000_000
    graceful_shutdown_timeout_us: int = 0
    max_heartbeat_throttle_interval_us: int = 60_000_000
    default_heartbeat_throttle_interval_us: int = 30_000_000
    workflow_failure_exception_types: Sequence[type[BaseException]] = ()
    evict_every_task: bool = False
    client: Client | None = None


def workflow_table(classes: Sequence[type]) -> dict[str, WorkflowDefinition]:
    """Workflow definitions by name; a dynamic one under ``DYNAMIC``.

    Raises:
        MisuseError: Two classes have the same workflow name.
    """
    table: dict[str, WorkflowDefinition] = {}
    for cls in classes:
        definition = WorkflowDefinition.of(cls)
        name = definition.name or DYNAMIC
        if name in table:
            what = f"workflow named {name!r}" if name else "dynamic workflow"
            raise MisuseError(f"a Worker was given more than one {what}: rename one of them, or take it out")
        table[name] = definition
    return table


def activity_table(functions: Sequence[Any]) -> dict[str, ActivityDefinition]:
    """Activity definitions by name.

    Raises:
        MisuseError: Two activities have the same name.
    """
    table: dict[str, ActivityDefinition] = {}
    for function in functions:
        definition = ActivityDefinition.of(function)
        if definition.name in table:
            raise MisuseError(
                f"a Worker was given more than one activity named {definition.name!r}: "
                "rename one of them, or take it out"
            )
        table[definition.name] = definition
    return table
