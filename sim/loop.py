"""One process's asyncio event loop, in virtual time.

``VirtualLoop`` is an ``asyncio`` loop whose clock and timers are the kernel's. Ready callbacks run first in, first out,
as asyncio promises; the first one to become ready schedules one kernel entry, and that drains them all, with those that
they make ready, inside one simulated thread. So ``time.sleep`` in a coroutine blocks this process and nobody else.

**Integer time.** asyncio compares floats with a clock resolution, and after about a virtual year a timer that is due
compares as not due: the loop hangs. Here a timer is a kernel entry in integer microseconds; when that is processed the
timer is due, and no clock is read. ``time()`` gives the monotonic clock as a float, exact to the microsecond for 285
years.

**Busy waiting takes time.** A callback takes no virtual time, but after ``HANDLES_PER_DRAIN`` of them the loop pauses
for as many microseconds, so that code which polls a clock (``while time() < end: await sleep(0)``) comes to its end as
it does in reality, and an endless one meets the kernel's budgets.

**Order of sets.** A task's hash is its number in its loop, not its address: ``asyncio.wait``, ``TaskGroup`` and
``as_completed`` put tasks into sets, whose order would differ from run to run.

**Death.** ``kill`` marks the process dead and moves what it was doing to the graveyard; not one line of it runs. From
then on every door of the loop raises ``NodeDead``; while the dead are buried, callbacks are ignored.
"""

# ruff: noqa: SLF001  # asyncio keeps what a loop needs, such as `_set_running_loop`, under private names
from __future__ import annotations

import asyncio
import sys
import weakref
from collections import deque
from collections.abc import AsyncGenerator, Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextvars import Context, copy_context
from functools import partial
from typing import Any, TypeVar

from ..engine.core.errors import MisuseError
from .executors import submit_in
from .greenlets import Greenlets, Thread, current_thread
from .handles import Handle, TimerHandle, VirtualFuture, VirtualTask
from .kernel import Kernel, SpinError
from .process import NodeDead, Process, current_process, require_alive
from .refusals import ClosedToTheOutside

T = TypeVar("T")

HANDLES_PER_DRAIN = 1000
_TASKS_UNSWEPT = 64


class VirtualLoop(ClosedToTheOutside):
    """An asyncio event loop of one process.

    Args:
        kernel: Its time.
        process: Whose loop it is.
        greenlets: The simulated threads of the world.
        context: What callbacks that come from outside the process run in; a copy of the current one by default.
        on_unhandled: Gets what asyncio hands to exception handlers (``message``, ``exception``, ...) and no handler of
            the user took. By default it is collected in ``unhandled``.
        in_thread: A further loop of the process, made in one of its threads, which will call ``run_forever``.
    """

    def __init__(
        self,
        kernel: Kernel,
        process: Process,
        greenlets: Greenlets,
        *,
        context: Context | None = None,
        on_unhandled: Callable[[dict[str, Any]], None] | None = None,
        in_thread: bool = False,
    ) -> None:
        self.process = process
        self.greenlets = greenlets
        self.unhandled: list[dict[str, Any]] = []
        self.signal_handlers: dict[int, tuple[Callable[..., object], tuple[Any, ...]]] = {}
        """What ``add_signal_handler`` was given; see ``deliver_signal``."""
        self._kernel = kernel
        self._context = (context if context is not None else copy_context()).copy()
        self._context.run(current_process.set, process)
        self._on_unhandled = on_unhandled if on_unhandled is not None else self.unhandled.append
        self._lane = process.lane
        self._ready: deque[Handle] = deque()
        self._awake = False
        self._running = False
        self._closed = False
        self._stopping = False
        self._in_thread = in_thread
        self._runner: Thread | None = None
        self._runner_ticket = 0
        self._tasks: list[tuple[asyncio.Task[Any], Context]] = []
        self._tasks_swept_at = _TASKS_UNSWEPT
        self._number = 0
        self._asyncgens: list[weakref.ref[AsyncGenerator[Any, Any]]] = []
        self._task_factory: Any = None
        self._exception_handler: Any = None
        greenlets.loops[self] = None

    def __repr__(self) -> str:
        return f"<VirtualLoop of {self.process.name}>"

    # --- clock and callbacks

    def time(self) -> float:
        """The process's monotonic clock, in seconds."""
        return self.process.monotonic_us() / 1_000_000

    def call_soon(  # type: ignore[override]  # like uvloop, we have handles of our own
        self, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> Handle:
        """As ``asyncio``. Callable from kernel callbacks too.

        Raises:
            NodeDead: The process is dead.
        """
        if not self.process.alive or self._closed:
            return self._refuse()
        handle = Handle(callback, args, self._inherited() if context is None else context)
        self._ready.append(handle)
        if not self._awake:
            self._awake = True
            self._kernel.schedule(0, self._wake, lane=self._lane)
        return handle

    call_soon_threadsafe = call_soon  # type: ignore[assignment]

    def call_later(  # type: ignore[override]
        self, delay: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> TimerHandle:
        """As ``asyncio``: ``delay`` in seconds, rounded to a microsecond."""
        return self._call_in(round(delay * 1_000_000), callback, args, context)

    def call_at(  # type: ignore[override]
        self, when: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> TimerHandle:
        """As ``asyncio``: ``when`` in seconds of ``time()``."""
        return self._call_in(round(when * 1_000_000) - self.process.monotonic_us(), callback, args, context)

    def _call_in(
        self, delay_us: int, callback: Callable[..., object], args: tuple[Any, ...], context: Context | None
    ) -> TimerHandle:
        if not self.process.alive or self._closed:
            return self._refuse()
        delay_us = max(delay_us, 0)
        handle = TimerHandle(callback, args, self._inherited() if context is None else context)
        handle.when_s = (self.process.monotonic_us() + delay_us) / 1_000_000
        handle.entry = self._kernel.schedule(self.process.true_delay_us(delay_us), self._due, handle, lane=self._lane)
        return handle

    def _inherited(self) -> Context:
        """A copy of the caller's context, or of the process's own if the caller is outside the process."""
        return copy_context() if current_process.get() is self.process else self._context.copy()

    def _refuse(self) -> TimerHandle:
        """A door of a dead process or a closed loop. While the dead are buried, what they call is ignored."""
        if not self.greenlets.graveyard.burying:
            require_alive(self.process)
            raise RuntimeError("Event loop is closed")
        handle = TimerHandle(_nothing, (), self._context)
        handle.cancel()
        return handle

    # --- running what is ready

    def _due(self, handle: Handle) -> None:
        """A timer's moment has come (a kernel entry)."""
        handle.entry = None
        if not self.process.alive:
            self.greenlets.graveyard.keep(handle)
        elif not self._closed:
            self._ready.append(handle)
            if not self._awake:
                self._awake = True
                self._wake()

    def _wake(self) -> None:
        """Run what is ready: on the thread that called ``run_forever``, or else on one of the pool."""
        if not self.process.alive:
            return
        if self._runner is not None:
            self._runner.resume(self._runner_ticket)
        elif not self._in_thread:
            self.greenlets.start(self.process, self._drain, self._lane, self.process.name)

    def _drain(self) -> None:
        """Run ready callbacks, on a simulated thread, until none is left or it is time for a pause."""
        ready = self._ready
        popleft = ready.popleft
        asyncio._set_running_loop(self)
        self._kernel.draining = self
        sys.set_asyncgen_hooks(self._asyncgen_begins, self._asyncgen_forgotten)
        self._running = True
        try:
            for _ in range(HANDLES_PER_DRAIN):
                if not ready or self._stopping:
                    break
                handle = popleft()
                callback = handle.callback
                if callback is not None:
                    try:
                        handle.context.run(callback, *handle.args)
                    except (KeyboardInterrupt, NodeDead, SpinError):
                        raise
                    except BaseException as error:
                        self._failed(error, callback)
        finally:
            # From Python 3.12 on the traceback of a task's exception holds this frame, which would hold the task.
            handle = callback = None  # type: ignore[assignment]
            self._running = False
            asyncio._set_running_loop(None)
            self._kernel.draining = None
            if not self.process.alive or (not ready and not self._stopping):
                self._awake = False
            elif not self._stopping:
                self._kernel.schedule(HANDLES_PER_DRAIN, self._wake, lane=self._lane)

    def thread_resumed(self) -> None:
        """The thread that drains this loop goes on after it was parked."""
        self._kernel.draining = self
        sys.set_asyncgen_hooks(self._asyncgen_begins, self._asyncgen_forgotten)

    def run_forever(self) -> None:
        """Run this loop in the calling simulated thread until ``stop()``, as ``asyncio.run`` in a thread does.

        Raises:
            MisuseError: The caller is in no simulated thread, or this is the loop that its process runs on.
        """
        self._runner = thread = self._require_runnable()
        try:
            while True:
                self._awake = True
                self._drain()
                if self._stopping:
                    return
                self._runner_ticket = thread.next_ticket()
                thread.park()
        finally:
            self._runner = None
            self._stopping = self._awake = False

    def _require_runnable(self) -> Thread:
        thread = current_thread()
        if thread is None or not self._in_thread:
            raise MisuseError(f"{self!r} is run by the simulation: only a loop made in a simulated thread can be run")
        if self._runner is not None or asyncio._get_running_loop() is not None:
            raise RuntimeError("This event loop is already running")
        return thread

    def run_until_complete(self, future: Any) -> Any:
        """As ``asyncio``; see ``run_forever``."""
        self._require_runnable()
        created = not asyncio.isfuture(future)
        future = asyncio.ensure_future(future, loop=self)
        future.add_done_callback(self._stop_after)
        try:
            self.run_forever()
        except BaseException:
            if created and future.done() and not future.cancelled():
                future.exception()  # it is raised from here: not "never retrieved"
            raise
        finally:
            future.remove_done_callback(self._stop_after)
        if not future.done():
            raise RuntimeError("Event loop stopped before Future completed.")
        return future.result()

    def _stop_after(self, _: object) -> None:
        self.stop()

    def stop(self) -> None:
        """End ``run_forever``."""
        self._stopping = True
        if not self._awake and self._runner is not None:
            self._awake = True
            self._kernel.schedule(0, self._wake, lane=self._lane)

    def is_running(self) -> bool:
        """Whether its callbacks are being run."""
        return self._running or self._runner is not None

    def is_closed(self) -> bool:
        """Whether it was closed, or its process died."""
        return self._closed or not self.process.alive

    def close(self) -> None:
        """Close it: nothing can be scheduled any more."""
        if self.is_running():
            raise RuntimeError("Cannot close a running event loop")
        self._closed = True
        self._ready.clear()
        self.greenlets.loops.pop(self, None)

    # --- tasks and futures

    def create_future(self) -> asyncio.Future[Any]:
        """As ``asyncio``."""
        return asyncio.Future(loop=self)

    def create_task(  # type: ignore[override]  # later versions of Python add options
        self, coro: Coroutine[Any, Any, T], *, name: str | None = None, context: Context | None = None, **options: Any
    ) -> asyncio.Task[T]:
        """As ``asyncio``. Callable from kernel callbacks too: the task then runs in the process's context.

        Raises:
            NodeDead: The process is dead.
        """
        if not self.process.alive or self._closed:
            coro.close()
            require_alive(self.process)
            raise RuntimeError("Event loop is closed")
        context = self._inherited() if context is None else context
        self._number += 1
        if name is None:
            name = f"Task-{self._number}"
        if self._task_factory is not None:
            made: Any = self._task_factory(self, coro, context=context, name=name, **options)
        else:
            made = VirtualTask.__new__(VirtualTask)
            made.number = self._number  # before the constructor, which puts the task into a set
            made.__init__(coro, loop=self, name=name, context=context, **options)
        task: asyncio.Task[T] = made
        self._tasks.append((task, context))
        if len(self._tasks) > self._tasks_swept_at:
            self._sweep_tasks()
        return task

    def _sweep_tasks(self) -> None:
        """Forget finished tasks: each time their number may have doubled, so that a task costs the same on average."""
        self._tasks = [item for item in self._tasks if not item[0].done()]
        self._tasks_swept_at = 2 * len(self._tasks) + _TASKS_UNSWEPT

    def set_task_factory(self, factory: Any) -> None:
        """As ``asyncio``."""
        self._task_factory = factory

    def get_task_factory(self) -> Any:
        """As ``asyncio``."""
        return self._task_factory

    # --- threads

    def run_in_executor(  # type: ignore[override]
        self, executor: Any, func: Callable[..., T], *args: Any
    ) -> asyncio.Future[T]:
        """Run a blocking function in a simulated thread, without the caller's context.

        A ``ThreadPoolExecutor`` keeps its limit; any other executor is as good as none.
        """
        require_alive(self.process)
        if isinstance(executor, ThreadPoolExecutor):
            shared = submit_in(self.greenlets, self.process, executor, partial(func, *args))
            return asyncio.wrap_future(shared, loop=self)
        self._number += 1
        future: VirtualFuture[T] = VirtualFuture(loop=self)
        future.number = self._number
        job, context = partial(func, *args), self._context.copy()
        self.greenlets.spawn(self.process, job, partial(_fulfil, future), context=context)
        return future

    def set_default_executor(self, executor: Any) -> None:
        """Accepted and ignored: executors are simulated threads."""

    async def shutdown_default_executor(self, timeout: float | None = None) -> None:  # noqa: ASYNC109  # asyncio's signature
        """Does nothing: simulated threads need no shutdown."""

    # --- asynchronous generators

    def _asyncgen_begins(self, generator: AsyncGenerator[Any, Any]) -> None:
        self._asyncgens = [reference for reference in self._asyncgens if reference() is not None]
        self._asyncgens.append(weakref.ref(generator))

    def _asyncgen_forgotten(self, generator: AsyncGenerator[Any, Any]) -> None:
        if self.process.alive and not self._closed:
            self.call_soon(self.create_task, generator.aclose())
        elif not self.greenlets.graveyard.burying:
            self.greenlets.graveyard.keep(generator)

    async def shutdown_asyncgens(self) -> None:
        """Close all asynchronous generators that are under way."""
        found = [generator for reference in self._asyncgens if (generator := reference()) is not None]
        self._asyncgens.clear()
        results = await asyncio.gather(*[generator.aclose() for generator in found], return_exceptions=True)
        for generator, result in zip(found, results, strict=True):
            if isinstance(result, Exception):
                message = f"an error occurred during closing of asynchronous generator {generator!r}"
                self.call_exception_handler({"message": message, "exception": result, "asyncgen": generator})

    # --- errors

    def _failed(self, error: BaseException, callback: Callable[..., object]) -> None:
        name = getattr(callback, "__qualname__", type(callback).__name__)
        self.call_exception_handler({"message": f"Exception in callback {name}", "exception": error})

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """As ``asyncio``; a dead process has nothing to say any more."""
        if not self.process.alive:
            return
        if self._exception_handler is None:
            self._on_unhandled(context)
            return
        try:
            self._exception_handler(self, context)
        except Exception as error:
            self._on_unhandled(context)
            self._on_unhandled({"message": "Unhandled error in exception handler", "exception": error})

    def default_exception_handler(self, context: dict[str, Any]) -> None:
        """Reports to the world instead of the log."""
        self._on_unhandled(context)

    def set_exception_handler(self, handler: Any) -> None:
        """As ``asyncio``."""
        self._exception_handler = handler

    def get_exception_handler(self) -> Any:
        """As ``asyncio``."""
        return self._exception_handler

    def get_debug(self) -> bool:
        """Always false: debug mode reads clocks and stacks."""
        return False

    def set_debug(self, enabled: bool) -> None:
        """Accepted and ignored."""

    # --- signals

    def add_signal_handler(  # type: ignore[override]
        self, sig: int, callback: Callable[..., object], *args: Any
    ) -> None:
        """The process's own handler: nothing is installed on the host."""
        self.signal_handlers[sig] = (callback, args)

    def remove_signal_handler(self, sig: int) -> bool:
        """As ``asyncio``."""
        return self.signal_handlers.pop(sig, None) is not None

    def deliver_signal(self, sig: int) -> bool:
        """Let the process receive a signal; whether it handles it."""
        found = self.signal_handlers.get(sig)
        if found is not None:
            self.call_soon(found[0], *found[1])
        return found is not None

    # --- death

    def kill(self) -> None:
        """The process dies; see ``Greenlets.kill``."""
        self.greenlets.kill(self.process)

    def lay_down(self) -> None:
        """Move what the dead process was doing to the graveyard; for ``Greenlets.kill``."""
        graveyard = self.greenlets.graveyard
        graveyard.keep(list(self._ready))
        self._ready.clear()
        for task, context in self._tasks:
            if task.done():
                graveyard.keep(task)
            else:
                graveyard.add_task(task, context)
        self._tasks.clear()
        graveyard.at_end(self._forget)

    def _forget(self) -> None:
        """Break the cycles that this loop is part of."""
        self._ready.clear()
        self.unhandled.clear()
        self.signal_handlers.clear()
        self._task_factory = self._exception_handler = None
        self._on_unhandled = _nothing
        self._context = Context()


def _fulfil(future: asyncio.Future[Any], result: Any, error: BaseException | None) -> None:
    if future.done():
        return
    if error is None:
        future.set_result(result)
    elif isinstance(error, StopIteration):
        future.set_exception(RuntimeError(f"a job of run_in_executor raised {error!r}"))
    else:
        future.set_exception(error)


def _nothing(*_: Any) -> None:
    pass
