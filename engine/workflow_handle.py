"""Handles of workflows, as clients have them (``temporalio.client.WorkflowHandle``)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Concatenate, Generic, TypeVar, overload

from .callable_types import (
    UNSET,
    LocalReturnType,
    MethodSyncOrAsyncNoParam,
    MethodSyncOrAsyncSingleParam,
    MultiParamSpec,
    ParamType,
    SelfType,
    arguments_of,
)
from .client_errors import (
    RPCError,
    RPCStatusCode,
    WorkflowContinuedAsNewError,
    WorkflowFailureError,
    WorkflowQueryFailedError,
    WorkflowQueryRejectedError,
)
from .common import QueryRejectCondition, timedelta_to_us
from .core import enums
from .core import events as ev
from .core import requests as rq
from .core.definition import QUERY_ATTRIBUTE, SIGNAL_ATTRIBUTE
from .exceptions import CancelledError, TerminatedError, TimeoutError, TimeoutType
from .host import world
from .replayer import WorkflowHistory
from .rpc import CALL_TIMEOUT_US
from .service_calls import call_service_as_client
from .workflow_description import WorkflowExecutionDescription, description_of

if TYPE_CHECKING:
    from .client import Client

ReturnType = TypeVar("ReturnType", covariant=True)


class WorkflowHandle(Generic[SelfType, ReturnType]):
    """A workflow, by id and perhaps run id. Made by ``Client.start_workflow`` and ``Client.get_workflow_handle``."""

    def __init__(
        self,
        client: Client,
        id: str,
        *,
        run_id: str | None = None,
        result_run_id: str | None = None,
        first_execution_run_id: str | None = None,
        result_type: type | None = None,
    ) -> None:
        self._client = client
        self._id = id
        self._run_id = run_id
        self._result_run_id = result_run_id
        self._first_execution_run_id = first_execution_run_id
        self._result_type = result_type

    @property
    def id(self) -> str:
        """The workflow id."""
        return self._id

    @property
    def run_id(self) -> str | None:
        """The run that signals, queries, ... are for; ``None`` is the current run."""
        return self._run_id

    @property
    def result_run_id(self) -> str | None:
        """The run whose result is waited for; ``None`` is the current run."""
        return self._result_run_id

    @property
    def first_execution_run_id(self) -> str | None:
        """The first run of the chain, where the handle came from a start."""
        return self._first_execution_run_id

    def _execution(self, run_id: str | None) -> rq.Execution:
        return rq.Execution(self._id, run_id or "", self._client.namespace)

    async def result(
        self,
        *,
        follow_runs: bool = True,
        rpc_metadata: Mapping[str, str | bytes] = {},
        rpc_timeout: timedelta | None = None,
    ) -> ReturnType:
        """Wait for the workflow to close, and give its result.

        Raises:
            WorkflowFailureError: It failed, was cancelled or terminated, or timed out: see its ``cause``.
            WorkflowContinuedAsNewError: It continued as new, and ``follow_runs`` is false.
            RPCError: It is not known, or the service could not be reached.
        """
        run_id = self._result_run_id
        while True:
            request = rq.GetWorkflowExecutionHistory(
                self._execution(run_id), wait_new_event=True, close_event_only=True
            )
            response = await call_service_as_client(request, rpc_timeout, long_poll=True)
            event = response.events[-1]
            next_run_id = getattr(event, "new_execution_run_id", "")
            if next_run_id and follow_runs:
                run_id = next_run_id
                continue
            outcome: ReturnType = self._outcome(event)
            return outcome

    def _outcome(self, event: ev.HistoryEvent) -> Any:
        converter = self._client.data_converter.payload_converter
        if isinstance(event, ev.WorkflowExecutionCompleted):
            if not event.result:
                return None
            hints = None if self._result_type is None else [self._result_type]
            return converter.from_payloads(event.result, hints)[0]
        cause: BaseException
        if isinstance(event, ev.WorkflowExecutionFailed):
            assert event.failure is not None
            cause = self._client.data_converter.from_failure(event.failure)
        elif isinstance(event, ev.WorkflowExecutionCanceled):
            cause = CancelledError("Workflow cancelled", *converter.from_payloads(event.details))
        elif isinstance(event, ev.WorkflowExecutionTerminated):
            details = converter.from_payloads(event.details)
            cause = TerminatedError(event.reason or "Workflow terminated", *details)
        elif isinstance(event, ev.WorkflowExecutionTimedOut):
            cause = TimeoutError("Workflow timed out", type=TimeoutType.START_TO_CLOSE, last_heartbeat_details=[])
        else:
            raise WorkflowContinuedAsNewError(getattr(event, "new_execution_run_id", ""))
        raise WorkflowFailureError(cause=cause)

    @overload
    async def query(
        self,
        query: MethodSyncOrAsyncNoParam[SelfType, LocalReturnType],
        *,
        reject_condition: QueryRejectCondition | None = None,
        rpc_metadata: Mapping[str, str | bytes] = {},
        rpc_timeout: timedelta | None = None,
    ) -> LocalReturnType: ...

    @overload
    async def query(
        self,
        query: MethodSyncOrAsyncSingleParam[SelfType, ParamType, LocalReturnType],
        arg: ParamType,
        *,
        reject_condition: QueryRejectCondition | None = None,
        rpc_metadata: Mapping[str, str | bytes] = {},
        rpc_timeout: timedelta | None = None,
    ) -> LocalReturnType: ...

    @overload
    async def query(
        self,
        query: Callable[Concatenate[SelfType, MultiParamSpec], Awaitable[LocalReturnType] | LocalReturnType],
        *,
        args: Sequence[Any],
        reject_condition: QueryRejectCondition | None = None,
        rpc_metadata: Mapping[str, str | bytes] = {},
        rpc_timeout: timedelta | None = None,
    ) -> LocalReturnType: ...

    @overload
    async def query(
        self,
        query: str,
        arg: Any = UNSET,
        *,
        args: Sequence[Any] = [],
        result_type: type | None = None,
        reject_condition: QueryRejectCondition | None = None,
        rpc_metadata: Mapping[str, str | bytes] = {},
        rpc_timeout: timedelta | None = None,
    ) -> Any: ...

    async def query(
        self,
        query: str | Callable[..., Any],
        arg: Any = UNSET,
        *,
        args: Sequence[Any] = [],
        result_type: type | None = None,
        reject_condition: QueryRejectCondition | None = None,
        rpc_metadata: Mapping[str, str | bytes] = {},
        rpc_timeout: timedelta | None = None,
    ) -> Any:
        """Ask a query handler of the workflow.

        Raises:
            WorkflowQueryFailedError: The handler raised, or there is none.
            WorkflowQueryRejectedError: ``reject_condition`` held.
            RPCError: The service or a worker could not be reached.
        """
        name, hint = _handler(query, "query")
        converter = self._client.data_converter.payload_converter
        condition = reject_condition or self._client.default_workflow_query_reject_condition
        request = rq.QueryWorkflow(
            self._execution(self._run_id),
            name,
            converter.to_payloads(arguments_of(arg, args)),
            query_reject_condition=enums.QueryRejectCondition(condition or QueryRejectCondition.NONE),
            timeout_us=timedelta_to_us(rpc_timeout) or CALL_TIMEOUT_US,
        )
        try:
            response = await call_service_as_client(request, rpc_timeout)
        except RPCError as error:
            if error.status == RPCStatusCode.INVALID_ARGUMENT:
                raise WorkflowQueryFailedError(error.message) from None
            raise
        if response.rejected_status is not None:
            raise WorkflowQueryRejectedError(response.rejected_status)
        if not response.query_result:
            return None
        wanted = result_type or hint
        return converter.from_payloads(response.query_result, None if wanted is None else [wanted])[0]

    @overload
    async def signal(
        self,
        signal: MethodSyncOrAsyncNoParam[SelfType, None],
        *,
        rpc_metadata: Mapping[str, str | bytes] = {},
        rpc_timeout: timedelta | None = None,
    ) -> None: ...

    @overload
    async def signal(
        self,
        signal: MethodSyncOrAsyncSingleParam[SelfType, ParamType, None],
        arg: ParamType,
        *,
        rpc_metadata: Mapping[str, str | bytes] = {},
        rpc_timeout: timedelta | None = None,
    ) -> None: ...

    @overload
    async def signal(
        self,
        signal: Callable[Concatenate[SelfType, MultiParamSpec], Awaitable[None] | None],
        *,
        args: Sequence[Any],
        rpc_metadata: Mapping[str, str | bytes] = {},
        rpc_timeout: timedelta | None = None,
    ) -> None: ...

    @overload
    async def signal(
        self,
        signal: str,
        arg: Any = UNSET,
        *,
        args: Sequence[Any] = [],
        rpc_metadata: Mapping[str, str | bytes] = {},
        rpc_timeout: timedelta | None = None,
    ) -> None: ...

    async def signal(
        self,
        signal: str | Callable[..., Any],
        arg: Any = UNSET,
        *,
        args: Sequence[Any] = [],
        rpc_metadata: Mapping[str, str | bytes] = {},
        rpc_timeout: timedelta | None = None,
    ) -> None:
        """Send a signal. It is accepted when this returns, and handled some time later.

        Raises:
            RPCError: The workflow is not known or closed, or the service could not be reached.
        """
        name, _ = _handler(signal, "signal")
        request = rq.SignalWorkflowExecution(
            self._execution(self._run_id),
            name,
            self._client.data_converter.payload_converter.to_payloads(arguments_of(arg, args)),
            request_id=world().current_host().new_id("client.request_id"),
            identity=self._client.identity,
        )
        await call_service_as_client(request, rpc_timeout)

    async def cancel(
        self,
        *,
        reason: str = "",
        rpc_metadata: Mapping[str, str | bytes] = {},
        rpc_timeout: timedelta | None = None,
    ) -> None:
        """Ask the workflow to cancel itself. It may refuse, and may clean up first."""
        request = rq.RequestCancelWorkflowExecution(
            self._execution(self._run_id),
            request_id=world().current_host().new_id("client.request_id"),
            identity=self._client.identity,
            reason=reason,
            first_execution_run_id=self._first_execution_run_id or "",
        )
        await call_service_as_client(request, rpc_timeout)

    async def terminate(
        self,
        *args: Any,
        reason: str | None = None,
        rpc_metadata: Mapping[str, str | bytes] = {},
        rpc_timeout: timedelta | None = None,
    ) -> None:
        """Close the workflow at once, without running its code."""
        request = rq.TerminateWorkflowExecution(
            self._execution(self._run_id),
            reason=reason or "",
            details=self._client.data_converter.payload_converter.to_payloads(list(args)),
            identity=self._client.identity,
            first_execution_run_id=self._first_execution_run_id or "",
        )
        await call_service_as_client(request, rpc_timeout)

    async def describe(
        self,
        *,
        rpc_metadata: Mapping[str, str | bytes] = {},
        rpc_timeout: timedelta | None = None,
    ) -> WorkflowExecutionDescription:
        """The workflow's status, and what is pending."""
        found = await call_service_as_client(rq.DescribeWorkflowExecution(self._execution(self._run_id)), rpc_timeout)
        return description_of(found, self._client.data_converter)

    async def fetch_history(
        self,
        *,
        rpc_metadata: Mapping[str, str | bytes] = {},
        rpc_timeout: timedelta | None = None,
    ) -> WorkflowHistory:
        """The events of the workflow so far."""
        found = await call_service_as_client(rq.GetWorkflowExecutionHistory(self._execution(self._run_id)), rpc_timeout)
        return WorkflowHistory(self._id, found.events)


def _handler(handler: str | Callable[..., Any], kind: str) -> tuple[str, Any]:
    """The name of a signal or query handler, and the type of its result where that is known.

    Raises:
        RuntimeError: It is not decorated, or dynamic.
    """
    if isinstance(handler, str):
        return handler, None
    definition = getattr(handler, QUERY_ATTRIBUTE if kind == "query" else SIGNAL_ATTRIBUTE, None)
    if definition is None:
        name = getattr(handler, "__qualname__", repr(handler))
        raise RuntimeError(
            f"{kind.capitalize()} definition not found on {name}, is it decorated with @workflow.{kind}?"
        )
    if not definition.name:
        raise RuntimeError(f"Cannot invoke dynamic {kind} definition")
    return definition.name, getattr(definition, "ret_type", None)
