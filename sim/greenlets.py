"""Simulated threads: greenlets that block in virtual time.

The kernel's callbacks run in the *hub*, the greenlet that called ``Kernel.run``. User code that may block runs on a
``Thread``, a pooled greenlet with the job of the moment: a synchronous activity, a job of ``run_in_executor``, or the
ready callbacks of a process's asyncio loop. When it blocks, it parks: control goes back to the hub, and a kernel entry
resumes it later. Threads start and resume from kernel callbacks only, never from each other.

While a thread is parked in a coroutine (``time.sleep`` in ``async def``), its loop stands still, as it would in
reality: no loop is running and no task is current elsewhere, and both are put back when it goes on.

A new greenlet costs 8 to 10 us and one from the pool 0.7 us, so the pool belongs to the operating-system thread and
serves all worlds. A thread whose process crashed never returns to it: its stack holds user code (``graveyard.py``).
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextvars import Context, copy_context
from typing import TYPE_CHECKING, Any, cast

from greenlet import getcurrent, greenlet

from ..engine.core.errors import InternalError, MisuseError
from .detached import resume_asyncio, suspend_asyncio
from .kernel import Kernel, SpinError
from .process import NodeDead, Process, current_process, require_alive

if TYPE_CHECKING:
    from .graveyard import Graveyard
    from .loop import VirtualLoop


class _Pool(threading.local):
    """Idle threads of one operating-system thread."""

    def __init__(self) -> None:
        self.idle: list[Thread] = []


_pool = _Pool()


class Thread(greenlet):
    """A simulated thread. Made and pooled by ``Greenlets``."""

    threads: Greenlets | None = None
    process: Process | None = None
    lane: int = 0
    label: str = ""
    job: Callable[[], None] | None = None
    hub: greenlet | None = None
    escaped: BaseException | None = None
    parked: bool = False
    ticket: int = 0
    doomed: bool = False
    spawned: ThreadJob | None = None
    event_loop: Any = None
    """What ``asyncio.set_event_loop`` was given in this thread."""

    def __init__(self) -> None:
        super().__init__(self._main)

    def __str__(self) -> str:
        return f"thread of {self.process.name if self.process else 'nobody'}"

    def _main(self) -> None:
        while True:
            job, self.job = self.job, None
            assert job is not None
            try:
                job()
            except NodeDead:
                pass
            except BaseException as error:  # whatever it is (Ctrl-C ...), it is raised in the hub
                self.escaped = error
            del job
            if self.doomed:
                return
            self.threads = self.process = self.event_loop = None
            _pool.idle.append(self)
            assert self.hub is not None
            self.hub.switch()

    def next_ticket(self) -> int:
        """Name the wait that is about to begin, so that whatever ends an earlier one does not end it."""
        self.ticket += 1
        return self.ticket

    def park(self) -> None:
        """Stand still until resumed. Call it in this thread, after ``next_ticket``.

        Raises:
            NodeDead: The process died meanwhile (this happens only when the world buries its dead).
            BaseException: What ``ThreadJob.throw_soon`` was given.
        """
        assert self.threads is not None
        self.parked = True
        self.threads.parked[self] = None
        self.leave()
        require_alive(self.process)
        if self.spawned is not None:
            self.spawned.raise_thrown()

    def leave(self) -> None:
        """Go to the hub; returns when the hub enters this thread again. Its loop and task are suspended meanwhile."""
        assert self.hub is not None
        assert self.threads is not None
        state = suspend_asyncio()
        self.threads.kernel.draining = None
        try:
            self.hub.switch()
        finally:
            resume_asyncio(state)
            if state is not None:
                cast("VirtualLoop", state[0]).thread_resumed()

    def resume(self, ticket: int) -> None:
        """End the wait of that ticket, in the hub; returns when the thread parks again or ends.

        Does nothing if that wait is over, or the thread's process is dead.
        """
        if self.parked and ticket == self.ticket and self.threads is not None and not self.doomed:
            self.parked = False
            del self.threads.parked[self]
            self.enter()

    def enter(self) -> None:
        """Switch to it from the hub."""
        hub = getcurrent()
        if isinstance(hub, Thread):
            raise InternalError("a simulated thread can only be entered from a kernel callback")
        self.hub = hub
        assert self.threads is not None
        self.threads.kernel.busy_with = self.label
        self.switch()
        if self.escaped is not None:
            error, self.escaped = self.escaped, None
            raise error

    def bury(self) -> bool:
        """Throw ``NodeDead`` into it; whether it ended."""
        if self.dead:
            return True
        self.parent = self.hub = getcurrent()
        self.throw(NodeDead("buried"))
        self.escaped = None
        return self.dead


class ThreadJob:
    """A blocking function that was handed to a simulated thread."""

    __slots__ = ("_error",)

    def __init__(self) -> None:
        self._error: BaseException | None = None

    def throw_soon(self, error: BaseException) -> None:
        """Raise ``error`` in the function when the wait that it is in, or its next one, ends.

        That is what an asynchronous exception of CPython does, which no system call is interrupted by. If the function
        waits no more, nothing happens.
        """
        self._error = error

    def raise_thrown(self) -> None:
        """For the thread itself, at the end of a wait."""
        error, self._error = self._error, None
        if error is not None:
            raise error


class Greenlets:
    """The simulated threads of one world."""

    def __init__(self, kernel: Kernel, graveyard: Graveyard) -> None:
        self.kernel = kernel
        self.graveyard = graveyard
        self.parked: dict[Thread, None] = {}
        self.loops: dict[VirtualLoop, None] = {}

    def start(self, process: Process, job: Callable[[], None], lane: int = 0, label: str = "") -> None:
        """Run a job on a thread now. Call it in the hub; returns when the job parks or ends."""
        thread = _pool.idle.pop() if _pool.idle else Thread()
        thread.threads = self
        thread.process = process
        thread.lane = lane
        thread.label = label
        thread.job = job
        thread.enter()

    def spawn(
        self,
        process: Process,
        function: Callable[[], Any],
        on_done: Callable[[Any, BaseException | None], None],
        *,
        context: Context | None = None,
        name: str = "",
    ) -> ThreadJob:
        """Run a blocking function in a simulated thread of a process.

        It starts with a kernel entry of this moment, in a copy of the caller's context (or in ``context``), in which
        ``current_process`` is the process. ``on_done(result, error)`` is called by a kernel entry when it is over; the
        order in which threads that are ready together start and complete is drawn. If the process dies, it is never
        called. ``name`` is for the watchdog's report.
        """
        require_alive(process)
        context = copy_context() if context is None else context
        context.run(current_process.set, process)
        kernel = self.kernel
        handle = ThreadJob()

        def job() -> None:
            thread = cast("Thread", getcurrent())
            thread.spawned = handle
            result, error = None, None
            try:
                result = context.run(function)
            except NodeDead:
                raise
            except (KeyboardInterrupt, SpinError):
                raise
            except BaseException as caught:
                error = caught
            finally:
                thread.spawned = None
            if process.alive:
                kernel.schedule(0, _complete, process, on_done, result, error)
            error = None  # its traceback holds this frame, and this frame would hold it

        kernel.schedule(0, self._begin, process, job, name or process.name)
        return handle

    def _begin(self, process: Process, job: Callable[[], None], label: str) -> None:
        if process.alive:
            self.start(process, job, 0, label)

    def kill(self, process: Process) -> None:
        """A process dies, here and now: not a line of its code runs any more.

        Its ready callbacks, tasks and threads go to the graveyard. The caller may be one of its own threads: when the
        bookkeeping of the crash is done, call ``leave_if_dead``.
        """
        process.alive = False
        for thread in [thread for thread in self.parked if thread.process is process]:
            del self.parked[thread]
            thread.doomed = True
            self.graveyard.add_thread(thread)
        for loop in [loop for loop in self.loops if loop.process is process]:
            del self.loops[loop]
            loop.lay_down()

    def close(self) -> list[str]:
        """The world is over: end whatever is left, of dead and of living processes, and bury it.

        Returns:
            Leaks: code that would not end.
        """
        for process in [*[loop.process for loop in self.loops], *[thread.process for thread in self.parked]]:
            if process is not None and process.alive:
                self.kill(process)
        return self.graveyard.bury()

    def leave_if_dead(self) -> None:
        """Never return if this runs in a thread of a process that is dead.

        A crash that a thread brings about itself (by reaching a named point, say) ends with this call: the thread
        stands still where it is, without running a line more, and kernel time goes on.
        """
        thread = getcurrent()
        if not isinstance(thread, Thread) or thread.process is None or thread.process.alive:
            return
        if not thread.doomed:
            thread.doomed = True
            self.graveyard.add_thread(thread)
            thread.leave()
        raise NodeDead(thread.process.name)


class Waiter:
    """One wait of the calling thread: ``wake(value)`` from anywhere ends it, once, at the same instant."""

    __slots__ = ("_parked", "_thread", "_ticket", "done", "value")

    def __init__(self) -> None:
        self._thread = blocking_thread("wait")
        self._ticket = 0
        self._parked = False
        self.done = False
        self.value: Any = None

    @property
    def alive(self) -> bool:
        """Whether the process of the thread that waits lives."""
        process = self._thread.process
        return process is not None and process.alive

    def wake(self, value: Any = None) -> None:
        """End the wait with a value; later calls do nothing."""
        if self.done:
            return
        self.done = True
        self.value = value
        if self._parked:
            threads = self._thread.threads
            assert threads is not None
            threads.kernel.schedule(0, self._thread.resume, self._ticket, lane=self._thread.lane)

    def wait(self, timeout_us: int | None = None) -> bool:
        """Block until woken; whether it was, within ``timeout_us`` microseconds of the process's clock."""
        if self.done:
            return True
        thread = self._thread
        assert thread.threads is not None
        assert thread.process is not None
        self._ticket = thread.next_ticket()
        deadline = None
        if timeout_us is not None:
            delay_us = thread.process.true_delay_us(timeout_us)
            deadline = thread.threads.kernel.schedule(delay_us, thread.resume, self._ticket, lane=thread.lane)
        self._parked = True
        try:
            thread.park()
        finally:
            self._parked = False
            if deadline is not None:
                deadline.cancel()
        return self.done


def current_thread() -> Thread | None:
    """The simulated thread that the calling code runs in."""
    thread = getcurrent()
    return thread if isinstance(thread, Thread) else None


def blocking_thread(what: str) -> Thread:
    """The current thread, which is about to block.

    Raises:
        MisuseError: There is none: the caller is a kernel callback, whose blocking would stop the world.
        NodeDead: Its process is dead.
    """
    thread = getcurrent()
    require_alive(current_process.get())
    if not isinstance(thread, Thread):
        raise MisuseError(
            f"{what}: this code runs outside any simulated thread, where blocking would stop the whole simulation; "
            f"block in an activity, a coroutine or a job of run_in_executor"
        )
    require_alive(thread.process)
    return thread


def block_us(delay_us: int, what: str = "time.sleep()") -> None:
    """Block the calling thread for ``delay_us`` microseconds of its process's clock.

    Raises:
        MisuseError: The caller runs outside any simulated thread.
        NodeDead: Its process is dead.
    """
    thread = blocking_thread(what)
    assert thread.threads is not None
    assert thread.process is not None
    delay_us = thread.process.true_delay_us(delay_us)
    thread.threads.kernel.schedule(delay_us, thread.resume, thread.next_ticket(), lane=thread.lane)
    thread.park()


def block_until(begin: Callable[[Callable[[Any], None]], object]) -> Any:
    """Block the calling thread until a value comes.

    Args:
        begin: Called at once with ``wake``; it sees to it that ``wake(value)`` is called some time.

    Returns:
        The value.
    """
    waiter = Waiter()
    begin(waiter.wake)
    waiter.wait()
    return waiter.value


def _complete(
    process: Process, on_done: Callable[[Any, BaseException | None], None], result: Any, error: BaseException | None
) -> None:
    if process.alive:
        on_done(result, error)
