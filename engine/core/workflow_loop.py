"""The event loop on which a workflow's code runs: asyncio without a clock of its own and without I/O.

Ready callbacks run first in, first out. A timer is a durable timer of the workflow: ``call_later`` asks the server for
it, and it fires when the history says so. Tasks and futures are asyncio's own, so that ``gather``, ``TaskGroup``,
``timeout``, ``shield``, ``Queue``, ``Lock`` and ``Event`` are the standard library's and behave as they do anywhere.

How many turns of the loop lie between a cause and its effect decides the order in which concurrent branches go on, and
so the order of commands. It must be the same as in the real SDK, or the real SDK would refuse our histories. Nothing
here may add a turn or leave one out.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Coroutine, Generator
from contextvars import Context, ContextVar, copy_context
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar, TypeVarTuple

from .payloads import Payload
from .runtime_context import ReadOnlyContextError, WorkflowBeingEvictedError

if TYPE_CHECKING:
    from .workflow_calls import WorkflowCalls

logger = logging.getLogger(__name__)

_T = TypeVar("_T")
_Ts = TypeVarTuple("_Ts")
_ExceptionHandler = Callable[[asyncio.AbstractEventLoop, dict[str, Any]], object]

_HASHES = 1 << 40
"""More than there are ever tasks in a run."""

timer_summary: ContextVar[Payload | None] = ContextVar("stormproof_timer_summary", default=None)
"""The summary of timers that are started in this context."""


class ReadyHandle(list[Any]):
    """A callback in the ready queue: the callback, its arguments, its context.

    It stands in for an ``asyncio.Handle``, of which callers use no more than these two methods. It is a list because
    that is made without running any Python code, and several are made for each thing that happens in a workflow.
    """

    __slots__ = ()

    def cancel(self) -> None:
        """Don't run it."""
        self[0] = _nothing
        self[1] = ()

    def cancelled(self) -> bool:
        """Whether it was cancelled."""
        return self[0] is _nothing


def _nothing() -> None:
    """What a cancelled callback does."""


class TimerHandle(asyncio.TimerHandle):
    """A durable timer: it is put into the ready queue when the history says that it fired."""

    __slots__ = ("ready", "seq")
    if TYPE_CHECKING:
        _callback: Any
        _args: Any
        _context: Context
        _loop: WorkflowLoop

    def __init__(  # noqa: PLR0917 (asyncio.TimerHandle's, after the first)
        self,
        seq: int,
        when: float,
        callback: Callable[..., Any],
        args: tuple[Any, ...],
        loop: WorkflowLoop,
        context: Context | None,
    ) -> None:
        super().__init__(when, callback, args, loop, context)
        self.seq = seq
        self.ready = ReadyHandle((callback, args, self._context))

    def cancel(self) -> None:
        """Don't run it, and tell the server that the timer is not wanted any more."""
        if not self._cancelled:
            self._loop.timer_cancelled(self)
            self._cancelled = True
            self._callback = None
            self._args = None
            self.ready.cancel()


class WorkflowTask(asyncio.Task[_T]):
    """A task whose place in a set is the same in every process.

    ``asyncio.TaskGroup`` keeps its tasks in a set, and cancels them in its order; ``asyncio.wait`` returns sets. The
    order of a set is that of hashes, and the hash of an object is its address unless it has another one. In a real
    process it can be any order, and code that depends on it doesn't replay: ``WorkflowLoop.reverses_sets`` shows it.
    """

    __slots__ = ("_number",)

    def __init__(self, coro: Any, *, loop: WorkflowLoop, name: str, **options: Any) -> None:
        loop.task_count += 1
        self._number = _HASHES - loop.task_count if loop.reverses_sets else loop.task_count
        super().__init__(coro, loop=loop, name=name, **options)
        # A workflow that is let go of may leave tasks behind: that is no mistake of anybody's.
        self._log_destroy_pending = False

    def __hash__(self) -> int:
        return self._number


class WorkflowLoop(asyncio.AbstractEventLoop):
    """The event loop of one workflow instance.

    Attributes:
        workflow_instance: The instance; ``None`` once it is closed.
        ready: What runs next, in order.
        read_only: Code runs that may only read: nothing can be scheduled.
        tasks: Every task that isn't done, and some that are. asyncio itself keeps weak references only, so that a task
            that nobody awaits would end whenever the garbage collector runs.
        task_count: How many tasks there have been.
        reverses_sets: Sets of tasks have the opposite order, as if their addresses were other ones.
    """

    read_only = False
    reverses_sets = False
    task_count = 0
    _tasks_kept_max = 16
    _exception_handler: _ExceptionHandler | None = None

    def __init__(self, instance: WorkflowCalls) -> None:
        self.workflow_instance: WorkflowCalls | None = instance
        self.ready: deque[ReadyHandle] = deque()
        self.tasks: list[asyncio.Task[Any]] = []

    # --- running ----------------------------------------------------------------------------------------------------

    def run_ready(self) -> None:
        """Run callbacks until none is ready.

        Raises:
            Exception: What code that may not fail (the workflow's run method, a signal handler) has raised, and
                what is no failure of the workflow: the workflow task fails.
        """
        ready = self.ready
        instance = self._instance()
        entry: ReadyHandle | None = None
        try:
            while ready:
                entry = ready.popleft()
                try:
                    entry[2].run(entry[0], *entry[1])
                except (Exception, asyncio.CancelledError, WorkflowBeingEvictedError) as error:
                    self.call_exception_handler({"message": f"Exception in callback {entry[0]!r}", "exception": error})
                if instance.task_error is not None and not instance.is_being_evicted:
                    raise instance.task_error
        finally:
            # An error that a task keeps refers to this frame: it must not refer to the task.
            entry = None

    def _instance(self) -> WorkflowCalls:
        if self.workflow_instance is None:
            raise WorkflowBeingEvictedError("the workflow is no longer running here")
        return self.workflow_instance

    def keep(self, task: asyncio.Task[Any]) -> None:
        """Hold a task while it isn't done."""
        tasks = self.tasks
        tasks.append(task)
        if len(tasks) > self._tasks_kept_max:
            self.forget_done_tasks()
            self._tasks_kept_max = 2 * len(self.tasks) + 16

    def forget_done_tasks(self) -> None:
        """Let go of the tasks that are done."""
        self.tasks = [task for task in self.tasks if not task.done()]

    # --- asyncio: scheduling ----------------------------------------------------------------------------------------

    def call_soon(
        self, callback: Callable[[*_Ts], object], *args: *_Ts, context: Context | None = None
    ) -> asyncio.Handle:
        """Run a callback in the next turn."""
        if self.read_only:
            refuse_in_read_only("schedule task")
        handle: Any = ReadyHandle((callback, args, copy_context() if context is None else context))
        self.ready.append(handle)
        return handle  # type: ignore[no-any-return]  # see ReadyHandle

    def call_later(
        self,
        delay: float,
        callback: Callable[[*_Ts], object],
        *args: *_Ts,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        """Start a durable timer of ``delay`` seconds that runs a callback."""
        return self._instance().start_timer(round(delay * 1_000_000), callback, args, context, timer_summary.get())

    def call_at(
        self, when: float, callback: Callable[[*_Ts], object], *args: *_Ts, context: Context | None = None
    ) -> asyncio.TimerHandle:
        """Start a durable timer that is due at ``when``, a time of ``time()``.

        The delay is rounded to milliseconds, as in the real SDK: ``when`` is a float made by an addition, and a float
        of today's date holds no more than a quarter of a microsecond.
        """
        return self.call_later(round(when - self.time(), 3), callback, *args, context=context)

    def timer_cancelled(self, handle: TimerHandle) -> None:
        """Called by a timer's handle."""
        if self.workflow_instance is not None:
            self.workflow_instance.cancel_timer(handle.seq)

    def time(self) -> float:
        """Workflow time: seconds since the Unix epoch."""
        return self._instance().time_us / 1_000_000

    def create_future(self) -> asyncio.Future[Any]:
        """A future of this loop."""
        return asyncio.Future(loop=self)

    def create_task(
        self,
        coro: Generator[Any, None, _T] | Coroutine[Any, Any, _T],
        *,
        name: object = None,
        context: Context | None = None,
        **options: Any,
    ) -> asyncio.Task[_T]:
        """A task of this loop. Its name doesn't depend on what else runs in the process."""
        self._instance().refuse_if_read_only("create task")
        if name is None:
            name = f"Task-{self.task_count + 1}"
        task: asyncio.Task[_T] = WorkflowTask(coro, loop=self, name=str(name), context=context, **options)
        self.keep(task)
        return task

    # --- asyncio: state and errors ----------------------------------------------------------------------------------

    def is_running(self) -> bool:
        """Always true: nobody but its own code gets hold of this loop."""
        return True

    def is_closed(self) -> bool:
        """Whether the instance is closed."""
        return self.workflow_instance is None

    def get_task_factory(self) -> None:
        """There is none."""

    def get_exception_handler(self) -> _ExceptionHandler | None:
        """The handler that was set."""
        return self._exception_handler

    def set_exception_handler(self, handler: _ExceptionHandler | None) -> None:
        """Set what is called with errors that nobody else sees."""
        self._exception_handler = handler

    def default_exception_handler(self, context: dict[str, Any]) -> None:
        """Log an error that nobody else sees."""
        error = context.get("exception")
        details = "".join(
            f"\n{key}: {context[key]!r}" for key in sorted(context) if key not in {"message", "exception"}
        )
        logger.error("%s%s", context.get("message") or "Unhandled exception in event loop", details, exc_info=error)

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """Called by asyncio with errors that nobody else sees; those of a workflow that is torn down are no news."""
        if self.workflow_instance is None or self.workflow_instance.is_being_evicted:
            return
        if self._exception_handler is None:
            self.default_exception_handler(context)
            return
        try:
            self._exception_handler(self, context)
        except Exception as error:
            details = {"message": "Unhandled error in exception handler", "exception": error, "context": context}
            self.default_exception_handler(details)


def refuse_in_read_only(action: str) -> NoReturn:
    """Refuse what only code that may change something can do.

    Raises:
        ReadOnlyContextError: Always.
    """
    raise ReadOnlyContextError(f"While in read-only function, action attempted: {action}")


def new_loop(instance: WorkflowCalls) -> WorkflowLoop:
    """A loop for an instance."""
    # To a type checker the class lacks the methods that are set below.
    return WorkflowLoop(instance)  # type: ignore[abstract]


class NotInWorkflows(NotImplementedError):
    """A method of event loops that workflow code can't use."""


def _unsupported(name: str) -> Callable[..., NoReturn]:
    def refuse(_loop: WorkflowLoop, *_args: object, **_kwargs: object) -> NoReturn:
        raise NotInWorkflows(
            f"{name}() can't be used in workflow code, which must do the same on every replay: "
            "do I/O, and run threads and processes, in an activity"
        )

    refuse.__name__ = name
    return refuse


_UNSUPPORTED = (
    *("add_reader", "remove_reader", "add_writer", "remove_writer", "add_signal_handler", "remove_signal_handler"),
    *("call_soon_threadsafe", "run_in_executor", "set_default_executor", "shutdown_default_executor"),
    *("connect_accepted_socket", "connect_read_pipe", "connect_write_pipe", "create_connection"),
    *("create_datagram_endpoint", "create_server", "create_unix_connection", "create_unix_server"),
    *("getaddrinfo", "getnameinfo", "sendfile", "start_tls", "subprocess_exec", "subprocess_shell"),
    *("sock_accept", "sock_connect", "sock_recv", "sock_recv_into", "sock_recvfrom", "sock_recvfrom_into"),
    *("sock_sendall", "sock_sendfile", "sock_sendto"),
    *("close", "run_forever", "run_until_complete", "stop", "set_debug", "set_task_factory", "shutdown_asyncgens"),
)
# Always false, and without running Python code: asyncio asks for each future.
setattr(WorkflowLoop, "get_debug", staticmethod(bool))  # noqa: B010 (a method of this kind has no declaration)
for _name in _UNSUPPORTED:
    setattr(WorkflowLoop, _name, _unsupported(_name))
