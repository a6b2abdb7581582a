"""The signal and query handlers of one workflow instance, and signals that wait for a handler."""

from __future__ import annotations

import asyncio
import json
import logging
import traceback
import warnings
from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ..common import RawValue
from .activation import QueryResultCommand, QueryWorkflow, SignalWorkflow
from .definition import (
    HandlerDefinition,
    HandlerUnfinishedPolicy,
    QueryDefinition,
    SignalDefinition,
    query_definition,
    signal_definition,
)

if TYPE_CHECKING:
    from .workflow_calls import WorkflowCalls

logger = logging.getLogger(__name__)

_UNFINISHED = (
    "[TMPRL1102] Workflow finished while signal handlers are still running. This may have interrupted work that the "
    "signal handler was doing. You can wait for all update and signal handlers to complete by using `await "
    "workflow.wait_condition(lambda: workflow.all_handlers_finished())`. Alternatively, if both you and the clients "
    "sending the signal are okay with interrupting running handlers when the workflow finishes, then you can disable "
    "this warning via the signal handler decorator: "
    "`@workflow.signal(unfinished_policy=workflow.HandlerUnfinishedPolicy.ABANDON)`. The following signals were "
    "unfinished (and warnings were not disabled for their handler): "
)


class UnfinishedSignalHandlersWarning(RuntimeWarning):
    """The workflow ended before all its signal handlers had."""


class Handlers:
    """The handlers of one instance."""

    def __init__(self, instance: WorkflowCalls) -> None:
        self._instance = instance
        definition = instance.definition
        # Shared with the definition until one is set or removed.
        self._signals: dict[str | None, SignalDefinition] | None = None
        self._queries: dict[str | None, QueryDefinition] | None = None
        self._defined_signals = definition.signals
        self._defined_queries = definition.queries
        self._waiting: dict[str, list[SignalWorkflow]] = {}
        self._running: dict[int, SignalDefinition] = {}
        self._running_names: dict[int, str] = {}
        self._count = 0

    # --- signals ----------------------------------------------------------------------------------------------------

    def receive_signal(self, job: SignalWorkflow) -> None:
        """Start the handler of a signal, or keep the signal until there is one."""
        signals = self._defined_signals if self._signals is None else self._signals
        definition = signals.get(job.signal_name) or signals.get(None)
        if definition is None:
            self._waiting.setdefault(job.signal_name, []).append(job)
        else:
            self._start_signal(definition, job)

    def _start_signal(self, definition: SignalDefinition, job: SignalWorkflow) -> None:
        instance = self._instance
        try:
            args = self._arguments(definition, job.signal_name, job.input)
        except Exception:
            logger.exception(
                "Failed deserializing signal input for %s on workflow %s with ID %s and run ID %s, dropping the signal",
                job.signal_name,
                instance.workflow_type,
                instance.execution.workflow_id,
                instance.execution.run_id,
            )
            return
        self._count += 1
        number = self._count
        self._running[number] = definition
        self._running_names[number] = job.signal_name
        task = instance.loop.create_task(self._run_signal(job.signal_name, args), name=f"signal: {job.signal_name}")

        def end(_task: asyncio.Task[None]) -> None:
            del self._running[number]
            del self._running_names[number]

        task.add_done_callback(end)

    async def _run_signal(self, name: str, args: list[Any]) -> None:
        try:
            # Looked up again: it may have been replaced since the signal came.
            definition = self.find_signal(name)
            assert definition is not None
            result = definition.bind(self._instance.object)(*args)
            if definition.is_async:
                await result
        except BaseException as error:
            if not self._instance.end_with(error):
                raise

    def _arguments(self, definition: HandlerDefinition, name: str, payloads: list[Any]) -> list[Any]:
        convert = self._instance.convert_payloads
        if definition.name is not None:
            return convert(payloads, definition.arg_types)
        if definition.dynamic_vararg:
            hints = definition.arg_types[1:] if definition.arg_types else None
            return [name, *convert(payloads, hints)]
        return [name, convert(payloads, [RawValue] * len(payloads))]

    def find_signal(self, name: str | None) -> SignalDefinition | None:
        """The handler of a signal, or the dynamic one."""
        signals = self._defined_signals if self._signals is None else self._signals
        return signals.get(name) or signals.get(None)

    def signal_handler(self, name: str | None) -> Callable[..., Any] | None:
        """The function that handles this very name; ``None`` is the dynamic handler's."""
        signals = self._defined_signals if self._signals is None else self._signals
        definition = signals.get(name)
        return None if definition is None else definition.bind(self._instance.object)

    def set_signal_handler(self, name: str | None, handler: Callable[..., Any] | None) -> None:
        """Set or remove a handler; signals that waited for it are handled now."""
        self._instance.refuse_if_read_only("set signal handler")
        if self._signals is None:
            self._signals = dict(self._defined_signals)
        if handler is None:
            self._signals.pop(name, None)
            return
        definition = signal_definition(handler, name, is_method=False)
        self._signals[name] = definition
        if name is not None:
            waiting = self._waiting.pop(name, [])
        else:
            waiting = [job for jobs in self._waiting.values() for job in jobs]
            self._waiting.clear()
        for job in waiting:
            self._start_signal(definition, job)

    def all_finished(self) -> bool:
        """Whether no handler is running."""
        return not self._running

    def warn_of_unfinished(self) -> None:
        """Warn of handlers that are still running when the workflow ends."""
        warn = HandlerUnfinishedPolicy.WARN_AND_ABANDON
        names = Counter(
            self._running_names[number]
            for number, definition in self._running.items()
            if definition.unfinished_policy is warn
        )
        if names:
            found = json.dumps([{"name": name, "count": count} for name, count in names.most_common()])
            warnings.warn(UnfinishedSignalHandlersWarning(_UNFINISHED + found), stacklevel=2)

    # --- queries ----------------------------------------------------------------------------------------------------

    def receive_query(self, job: QueryWorkflow) -> None:
        """Start the handler of a query."""
        self._instance.loop.create_task(self._run_query(job), name=f"query: {job.query_type}")

    async def _run_query(self, job: QueryWorkflow) -> None:
        instance = self._instance
        loop = instance.loop
        try:
            was_read_only, loop.read_only = loop.read_only, True
            was_query, instance.is_in_query = instance.is_in_query, True
            try:
                definition = self._find_query(job.query_type)
                args = self._arguments(definition, job.query_type, job.arguments)
                result = definition.bind(instance.object)(*args)
                if definition.is_async:
                    result = await result
                payload = instance.to_payload(result)
            finally:
                loop.read_only = was_read_only
                instance.is_in_query = was_query
            instance.add_command(QueryResultCommand(job.query_id, response=payload))
        except Exception as error:
            failure = instance.converter.to_failure(error)
            instance.add_command(QueryResultCommand(job.query_id, failure=failure))

    def _all_queries(self) -> dict[str | None, QueryDefinition]:
        if self._queries is None:
            self._queries = dict(self._defined_queries)
            self._queries["__stack_trace"] = query_definition(self._stack_trace, "__stack_trace", is_method=False)
        return self._queries

    def _find_query(self, name: str) -> QueryDefinition:
        definition = self._defined_queries.get(name) if self._queries is None else None
        if definition is None:
            queries = self._all_queries()
            definition = queries.get(name) or queries.get(None)
        if definition is None:
            known = " ".join(sorted(known for known in self._all_queries() if known))
            raise RuntimeError(f"Query handler for '{name}' expected but not found, known queries: [{known}]")
        return definition

    def query_handler(self, name: str | None) -> Callable[..., Any] | None:
        """The function that handles this very name; ``None`` is the dynamic handler's."""
        definition = self._all_queries().get(name)
        return None if definition is None else definition.bind(self._instance.object)

    def set_query_handler(self, name: str | None, handler: Callable[..., Any] | None) -> None:
        """Set or remove a handler."""
        self._instance.refuse_if_read_only("set query handler")
        if handler is None:
            self._all_queries().pop(name, None)
        else:
            self._all_queries()[name] = query_definition(handler, name, is_method=False)

    def detach(self) -> None:
        """Let go of the instance, which refers back to this object."""
        self.__dict__.clear()

    def _stack_trace(self) -> str:
        stacks = []
        for task in self._instance.loop.tasks:
            if not task.done():
                frames = [
                    traceback.FrameSummary(frame.f_code.co_filename, frame.f_lineno, frame.f_code.co_name)
                    for frame in task.get_stack()
                ]
                lines = "\n".join(traceback.format_list(frames))
                stacks.append(f"Stack for {task!r} (most recent call last):\n{lines}")
        return "\n\n".join(stacks)
