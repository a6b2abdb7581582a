"""The client: starts workflows and gives handles of them (``temporalio.client.Client``).

It is thin: it turns its arguments into requests of ``engine/core/requests.py`` and sends them from the process that the
calling code runs in.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any, Concatenate, TypedDict, Unpack, overload

from .callable_types import (
    UNSET,
    MethodAsyncNoParam,
    MethodAsyncSingleParam,
    MultiParamSpec,
    ParamType,
    ReturnType,
    SelfType,
    arguments_of,
)
from .client_errors import rpc_error
from .common import QueryRejectCondition, RetryPolicy, WorkflowIDConflictPolicy, WorkflowIDReusePolicy, timedelta_to_us
from .converter import DataConverter
from .core import requests as rq
from .core.definition import WorkflowDefinition
from .core.enums import WorkflowIdConflictPolicy, WorkflowIdReusePolicy
from .core.errors import ServiceError
from .core.events import UserMetadata
from .exceptions import WorkflowAlreadyStartedError
from .host import world
from .service_calls import call_service
from .workflow_handle import WorkflowHandle


class StartOptions(TypedDict, total=False):
    """Keyword options of ``start_workflow`` and ``execute_workflow`` that do not bear on types."""

    execution_timeout: timedelta | None
    run_timeout: timedelta | None
    task_timeout: timedelta | None
    id_reuse_policy: WorkflowIDReusePolicy
    id_conflict_policy: WorkflowIDConflictPolicy
    retry_policy: RetryPolicy | None
    memo: Mapping[str, Any] | None
    static_summary: str | None
    static_details: str | None
    start_delay: timedelta | None
    rpc_metadata: Mapping[str, str | bytes]
    rpc_timeout: timedelta | None


class Client:
    """A connection to the engine of the simulation that the calling code runs in.

    Args:
        namespace: Temporal's namespace.
        data_converter: How values become payloads.
        identity: Who this client says it is; the name of its process by default.
    """

    def __init__(
        self,
        *,
        namespace: str = "default",
        data_converter: DataConverter = DataConverter.default,
        default_workflow_query_reject_condition: QueryRejectCondition | None = None,
        identity: str | None = None,
    ) -> None:
        self.namespace = namespace
        self.data_converter = data_converter
        self.default_workflow_query_reject_condition = default_workflow_query_reject_condition
        self.identity = identity or world().current_host().identity

    @staticmethod
    async def connect(
        target_host: str,
        *,
        namespace: str = "default",
        data_converter: DataConverter = DataConverter.default,
        default_workflow_query_reject_condition: QueryRejectCondition | None = None,
        identity: str | None = None,
        lazy: bool = False,
    ) -> Client:
        """The client of the running simulation, whatever ``target_host`` says.

        Raises:
            MisuseError: No simulation is running here.
        """
        return Client(
            namespace=namespace,
            data_converter=data_converter,
            default_workflow_query_reject_condition=default_workflow_query_reject_condition,
            identity=identity,
        )

    # --- start_workflow ---------------------------------------------------------------------------------------------

    @overload
    async def start_workflow(
        self,
        workflow: MethodAsyncNoParam[SelfType, ReturnType],
        *,
        id: str,
        task_queue: str,
        **options: Unpack[StartOptions],
    ) -> WorkflowHandle[SelfType, ReturnType]: ...

    @overload
    async def start_workflow(
        self,
        workflow: MethodAsyncSingleParam[SelfType, ParamType, ReturnType],
        arg: ParamType,
        *,
        id: str,
        task_queue: str,
        **options: Unpack[StartOptions],
    ) -> WorkflowHandle[SelfType, ReturnType]: ...

    @overload
    async def start_workflow(
        self,
        workflow: Callable[Concatenate[SelfType, MultiParamSpec], Awaitable[ReturnType]],
        *,
        args: Sequence[Any],
        id: str,
        task_queue: str,
        **options: Unpack[StartOptions],
    ) -> WorkflowHandle[SelfType, ReturnType]: ...

    @overload
    async def start_workflow(
        self,
        workflow: str,
        arg: Any = UNSET,
        *,
        args: Sequence[Any] = [],
        id: str,
        task_queue: str,
        result_type: type | None = None,
        **options: Unpack[StartOptions],
    ) -> WorkflowHandle[Any, Any]: ...

    async def start_workflow(
        self,
        workflow: str | Callable[..., Awaitable[Any]],
        arg: Any = UNSET,
        *,
        args: Sequence[Any] = [],
        id: str,
        task_queue: str,
        result_type: type | None = None,
        **options: Unpack[StartOptions],
    ) -> WorkflowHandle[Any, Any]:
        """Start a workflow. The answer comes when it has started, not when it is done.

        Raises:
            WorkflowAlreadyStartedError: A run of that id is open, or the reuse policy refuses the id.
            RPCError: The service refused or could not be reached.
        """
        name, hint = WorkflowDefinition.name_and_result_type(workflow)
        request = self._start_request(name, arguments_of(arg, args), id=id, task_queue=task_queue, **options)
        try:
            response = await call_service(request, rpc_timeout=options.get("rpc_timeout"))
        except ServiceError as error:
            if error.detail == "WorkflowExecutionAlreadyStartedFailure":
                raise WorkflowAlreadyStartedError(id, name, run_id=error.run_id or None) from None
            raise rpc_error(error) from None
        return WorkflowHandle(
            self,
            id,
            result_run_id=response.run_id,
            first_execution_run_id=response.run_id,
            result_type=result_type or hint,
        )

    def _start_request(
        self, name: str, arguments: Sequence[Any], *, id: str, task_queue: str, **options: Unpack[StartOptions]
    ) -> rq.StartWorkflowExecution:
        converter = self.data_converter.payload_converter
        retry_policy = options.get("retry_policy")
        conflict = options.get("id_conflict_policy") or WorkflowIdConflictPolicy.FAIL
        return rq.StartWorkflowExecution(
            rq.Execution(id, "", self.namespace),
            name,
            task_queue,
            converter.to_payloads(arguments),
            request_id=world().current_host().new_id("client.request_id"),
            identity=self.identity,
            workflow_execution_timeout_us=timedelta_to_us(options.get("execution_timeout")),
            workflow_run_timeout_us=timedelta_to_us(options.get("run_timeout")),
            workflow_task_timeout_us=timedelta_to_us(options.get("task_timeout")),
            retry_policy=None if retry_policy is None else retry_policy.to_data(),
            workflow_id_reuse_policy=WorkflowIdReusePolicy(
                options.get("id_reuse_policy", WorkflowIDReusePolicy.ALLOW_DUPLICATE)
            ),
            workflow_id_conflict_policy=WorkflowIdConflictPolicy(conflict),
            workflow_start_delay_us=timedelta_to_us(options.get("start_delay")),
            memo={key: converter.to_payload(value) for key, value in (options.get("memo") or {}).items()},
            user_metadata=self._metadata(options.get("static_summary"), options.get("static_details")),
        )

    def _metadata(self, summary: str | None, details: str | None) -> UserMetadata | None:
        if summary is None and details is None:
            return None
        converter = self.data_converter.payload_converter
        return UserMetadata(
            None if summary is None else converter.to_payload(summary),
            None if details is None else converter.to_payload(details),
        )

    # --- execute_workflow -------------------------------------------------------------------------------------------

    @overload
    async def execute_workflow(
        self,
        workflow: MethodAsyncNoParam[SelfType, ReturnType],
        *,
        id: str,
        task_queue: str,
        **options: Unpack[StartOptions],
    ) -> ReturnType: ...

    @overload
    async def execute_workflow(
        self,
        workflow: MethodAsyncSingleParam[SelfType, ParamType, ReturnType],
        arg: ParamType,
        *,
        id: str,
        task_queue: str,
        **options: Unpack[StartOptions],
    ) -> ReturnType: ...

    @overload
    async def execute_workflow(
        self,
        workflow: Callable[Concatenate[SelfType, MultiParamSpec], Awaitable[ReturnType]],
        *,
        args: Sequence[Any],
        id: str,
        task_queue: str,
        **options: Unpack[StartOptions],
    ) -> ReturnType: ...

    @overload
    async def execute_workflow(
        self,
        workflow: str,
        arg: Any = UNSET,
        *,
        args: Sequence[Any] = [],
        id: str,
        task_queue: str,
        result_type: type | None = None,
        **options: Unpack[StartOptions],
    ) -> Any: ...

    async def execute_workflow(
        self,
        workflow: str | Callable[..., Awaitable[Any]],
        arg: Any = UNSET,
        *,
        args: Sequence[Any] = [],
        id: str,
        task_queue: str,
        result_type: type | None = None,
        **options: Unpack[StartOptions],
    ) -> Any:
        """Start a workflow and wait for its result: ``start_workflow``, then ``WorkflowHandle.result``."""
        handle: WorkflowHandle[Any, Any] = await self.start_workflow(
            workflow,  # type: ignore[arg-type]
            arg,
            args=args,
            id=id,
            task_queue=task_queue,
            result_type=result_type,
            **options,
        )
        return await handle.result()

    # --- handles ----------------------------------------------------------------------------------------------------

    def get_workflow_handle(
        self,
        workflow_id: str,
        *,
        run_id: str | None = None,
        first_execution_run_id: str | None = None,
        result_type: type | None = None,
    ) -> WorkflowHandle[Any, Any]:
        """A handle by id; nothing is sent, and nothing is known of the workflow."""
        return WorkflowHandle(
            self,
            workflow_id,
            run_id=run_id,
            result_run_id=run_id,
            first_execution_run_id=first_execution_run_id,
            result_type=result_type,
        )

    def get_workflow_handle_for(
        self,
        workflow: MethodAsyncNoParam[SelfType, ReturnType] | MethodAsyncSingleParam[SelfType, Any, ReturnType],
        workflow_id: str,
        *,
        run_id: str | None = None,
        first_execution_run_id: str | None = None,
    ) -> WorkflowHandle[SelfType, ReturnType]:
        """Like ``get_workflow_handle``, typed by the workflow's run method."""
        _, hint = WorkflowDefinition.name_and_result_type(workflow)
        return WorkflowHandle(
            self,
            workflow_id,
            run_id=run_id,
            result_run_id=run_id,
            first_execution_run_id=first_execution_run_id,
            result_type=hint,
        )
