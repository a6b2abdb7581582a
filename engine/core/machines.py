"""One cached run of a workflow on a worker: between its history and its code.

Does what Temporal's core does (``managed_run.rs``): makes an activation of each workflow task of the history, lets the
workflow's code answer, and hands the answer to the machines (``history_machines.py``), which match it with the history.
Past the end of the history the commands become the answer to the workflow task.

An activation may cause another one without any new event: cancelling an activity without waiting for it resolves it at
once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextvars import Context, copy_context
from dataclasses import dataclass, field
from typing import Any, Protocol

from .activation import (
    Activation,
    ActivationCompletion,
    CancelWorkflowCommand,
    CompleteWorkflowCommand,
    FailWorkflowCommand,
    InitializeWorkflow,
    Job,
    NotifyHasPatch,
    QueryResultCommand,
    QueryWorkflow,
    SignalWorkflow,
    UpdateRandomSeed,
    WorkflowCommand,
)
from .commands import Command, FailWorkflowExecution
from .conversion import Conversion
from .definition import WorkflowDefinition
from .enums import WorkflowTaskFailedCause
from .events import HistoryEvent, WorkflowTaskCompletedMetadata
from .failures import ApplicationFailureInfo, Failure
from .history_machines import HistoryMachines
from .nondeterminism import MachinesError, Nondeterminism
from .requests import Execution, WorkflowQuery, WorkflowQueryResult
from .runtime_context import NondeterminismError
from .workflow_instance import WorkflowInstance

MOVE_TERMINAL_COMMANDS = 3
"""Flag of the core: the command that ends the run is sent last, and none that came after it is dropped."""

LEGACY_QUERY_ID = "legacy"

OnActivation = Callable[[Activation, ActivationCompletion], None]


class Graveyard(Protocol):
    """Keeps suspended user code of a dead process: strong references, in order."""

    def add_task(self, task: Any, context: Context) -> None:
        """A task that isn't done, and the context to end it in."""

    def keep(self, thing: object) -> None:
        """Anything else."""


@dataclass(slots=True)
class WorkflowTaskOutcome:
    """The answer to a workflow task.

    Attributes:
        commands: What the server is asked to do.
        failure: Set: the task has failed (``failure_cause`` says how), and the run must leave the cache.
        query_results: The results of the queries that came with the task.
        query_result: The result of the query that came as a task of its own.
        sdk_metadata: Flags to record with the task.
        is_answer: False if there is nothing to tell the server: all of a closed run was replayed.
        error: What of the history and the code doesn't fit, where that failed the task.
    """

    commands: list[Command] = field(default_factory=list)
    failure: Failure | None = None
    failure_cause: WorkflowTaskFailedCause = WorkflowTaskFailedCause.UNSPECIFIED
    query_results: dict[str, WorkflowQueryResult] = field(default_factory=dict)
    query_result: WorkflowQueryResult | None = None
    sdk_metadata: WorkflowTaskCompletedMetadata | None = None
    is_answer: bool = True
    error: MachinesError | None = None


class WorkflowRun:
    """A run in a worker's cache.

    Args:
        definition: The workflow's class.
        execution: The run.
        converter: Values to payloads and back.
        task_queue: The worker's task queue.
        failure_exception_types: Exceptions of these types too fail the workflow, not the workflow task. With
            ``NondeterminismError`` or a base of it, so does nondeterminism.
        lang_flags: Flags of the language's side that new workflow tasks switch on.
        reverses_sets: Sets of tasks have the opposite order, which code that can be replayed doesn't notice.
    """

    def __init__(
        self,
        definition: WorkflowDefinition,
        execution: Execution,
        converter: Conversion,
        *,
        task_queue: str,
        failure_exception_types: Sequence[type[BaseException]] = (),
        lang_flags: frozenset[int] = frozenset(),
        reverses_sets: bool = False,
    ) -> None:
        self._machines = HistoryMachines(execution)
        self._instance = WorkflowInstance(
            definition,
            execution,
            converter,
            task_queue=task_queue,
            failure_exception_types=failure_exception_types,
            lang_flags=lang_flags,
            reverses_sets=reverses_sets,
        )
        self._failure_types = (*failure_exception_types, *definition.failure_exception_types)

    @property
    def last_event_id(self) -> int:
        """The last event that was given."""
        return self._machines.last_event_id

    @property
    def processed_event_id(self) -> int:
        """The last event that was applied."""
        return self._machines.processed_event_id

    @property
    def is_replaying(self) -> bool:
        """Whether what was applied last had been done before."""
        return self._machines.is_replaying

    @property
    def completed(self) -> bool:
        """Whether the workflow's code has ended."""
        return self._machines.completed

    def handle_task(
        self,
        events: list[HistoryEvent],
        *,
        previous_started_event_id: int,
        started_event_id: int,
        queries: Mapping[str, WorkflowQuery] | None = None,
        query: WorkflowQuery | None = None,
        on_activation: OnActivation | None = None,
    ) -> WorkflowTaskOutcome:
        """Replay what is known, checking the code's commands, then work on the new task.

        Args:
            events: What follows the events given before; a whole history for a new run. Those known are skipped.
            previous_started_event_id: The start of the last task before this one that was completed, 0 if none.
            started_event_id: The start of this task, 0 for a query's task.
            queries: Queries to answer with the task.
            query: The query for which alone this task was made.
            on_activation: Called with each activation and its completion.
        """
        machines = self._machines
        asked: list[QueryWorkflow] = []
        if query is not None:
            asked = [QueryWorkflow(LEGACY_QUERY_ID, query.query_type, query.query_args, query.header)]
        elif queries:
            asked = [QueryWorkflow(key, one.query_type, one.query_args, one.header) for key, one in queries.items()]
        try:
            machines.take_in(events, previous_started_event_id)
            machines.apply_next_task()
            if not machines.jobs:
                machines.apply_next_task()
            return self._work(asked, on_activation)
        except MachinesError as error:
            return self._failed(error, is_query=query is not None)
        finally:
            machines.forget_events()

    def _work(self, queries: list[QueryWorkflow], on_activation: OnActivation | None) -> WorkflowTaskOutcome:
        """Activate the code until the task is answered or there is nothing more to do."""
        machines = self._machines
        # Nothing to do but to answer, perhaps: the task brought nothing that concerns the workflow.
        completion = self._activate(machines.jobs, on_activation) if machines.jobs else ActivationCompletion()
        is_asked = bool(queries)
        while True:
            if completion.failure is not None:
                return self._failed_by_code(completion.failure, queries)
            if completion.used_internal_flags:
                machines.note_lang_flags(completion.used_internal_flags)
            commands, results = self._sort(completion.commands)
            if LEGACY_QUERY_ID in results:
                return WorkflowTaskOutcome(query_result=results[LEGACY_QUERY_ID])
            machines.accept(commands)
            if not machines.jobs:
                machines.apply_while_replaying()
            is_held = bool(machines.jobs) or machines.is_replaying or machines.is_closed or is_asked
            if results or not is_held:
                return WorkflowTaskOutcome(
                    machines.make_commands(), query_results=results, sdk_metadata=machines.metadata()
                )
            # Once the run's end was seen, nobody waits for what is left to do.
            if machines.jobs and not (machines.is_closed and not is_asked):
                completion = self._activate(machines.jobs, on_activation)
            elif is_asked:
                is_asked = False
                completion = self._activate(list(queries), on_activation)
            else:
                return WorkflowTaskOutcome(is_answer=False)

    def _activate(self, jobs: Sequence[Job], on_activation: OnActivation | None) -> ActivationCompletion:
        machines = self._machines
        if jobs is machines.jobs:
            machines.jobs = []
        if len(jobs) > 1:
            jobs = sorted(jobs, key=_job_order)
        activation = Activation(
            self._instance.execution.run_id,
            machines.time_us,
            # Queries are never recorded, so that they look like a replay even at the end of the history.
            machines.is_replaying or jobs[0].__class__ is QueryWorkflow,
            machines.processed_event_id,
            jobs,  # type: ignore[arg-type]  # a list in any case
            machines.history_size_bytes,
            machines.continue_as_new_suggested,
            machines.lang_flags,
        )
        completion = self._instance.activate(activation)
        if on_activation is not None:
            on_activation(activation, completion)
        return completion

    def _sort(self, commands: list[WorkflowCommand]) -> tuple[list[WorkflowCommand], dict[str, WorkflowQueryResult]]:
        """The commands in the order in which they are sent, and the results of queries among them."""
        results: dict[str, WorkflowQueryResult] = {}
        if not commands or (len(commands) == 1 and commands[0].__class__ is not QueryResultCommand):
            return commands, results
        machines = self._machines
        moves_terminal = not machines.is_replaying or MOVE_TERMINAL_COMMANDS in machines.core_flags
        terminal: WorkflowCommand | None = None
        kept: list[WorkflowCommand] = []
        for command in commands:
            if isinstance(command, QueryResultCommand):
                answer = [] if command.response is None else [command.response]
                results[command.query_id] = WorkflowQueryResult(answer, command.failure)
            elif command.__class__ in _TERMINAL:
                terminal = terminal or command
            elif terminal is None or moves_terminal:
                kept.append(command)
        if terminal is not None:
            kept.append(terminal)
        return kept, results

    # --- failing a task ---------------------------------------------------------------------------------------------

    def _failed_by_code(self, failure: Failure, queries: list[QueryWorkflow]) -> WorkflowTaskOutcome:
        outcome = WorkflowTaskOutcome(
            failure=failure, failure_cause=WorkflowTaskFailedCause.WORKFLOW_WORKER_UNHANDLED_FAILURE
        )
        if queries and queries[0].query_id == LEGACY_QUERY_ID:
            outcome.query_result = WorkflowQueryResult(failure=failure)
        return outcome

    def _failed(self, error: MachinesError, *, is_query: bool) -> WorkflowTaskOutcome:
        failure = Failure(message=str(error), info=ApplicationFailureInfo())
        cause = WorkflowTaskFailedCause.WORKFLOW_WORKER_UNHANDLED_FAILURE
        if isinstance(error, Nondeterminism):
            cause = WorkflowTaskFailedCause.NON_DETERMINISTIC_ERROR
            if not is_query and any(issubclass(NondeterminismError, kind) for kind in self._failure_types):
                machines = self._machines
                commands = [*machines.make_commands(), FailWorkflowExecution(failure=failure)]
                return WorkflowTaskOutcome(commands, sdk_metadata=machines.metadata(), error=error)
        outcome = WorkflowTaskOutcome(failure=failure, failure_cause=cause, error=error)
        if is_query:
            outcome.query_result = WorkflowQueryResult(failure=failure)
        return outcome

    # --- closing ----------------------------------------------------------------------------------------------------

    def close(self, *, run_user_code: bool = True, graveyard: Graveyard | None = None) -> None:
        """Let go of the run, as on eviction.

        Args:
            run_user_code: Cancel its tasks and let their ``finally`` blocks run, as the real SDK does; what they ask
                for is ignored. False for a process that has crashed: nothing of it may run any more.
            graveyard: Gets what would run code when it is freed. Without one, such things are freed now.
        """
        instance = self._instance
        if run_user_code:
            instance.evict()
        left = instance.detach()
        if graveyard is not None and left:
            for task in left:
                graveyard.add_task(task, copy_context())
            graveyard.keep(instance.object)


def _job_order(job: Job) -> int:
    """The place of a job in its activation (``prepare_to_ship_activation`` of the core)."""
    return _JOB_ORDER.get(job.__class__, 4)


_JOB_ORDER: dict[type, int] = {
    InitializeWorkflow: 0,
    NotifyHasPatch: 1,
    UpdateRandomSeed: 2,
    SignalWorkflow: 3,
    QueryWorkflow: 6,
}

_TERMINAL = frozenset({CompleteWorkflowCommand, FailWorkflowCommand, CancelWorkflowCommand})
