"""Simulation processes: each slot is a pool of one process, bound to the hash seed of the group it is working on.

``concurrent.futures`` breaks as a whole when one process dies; pebble says which job died, and replaces the process. A
pool of one process each costs a few idle threads, and buys that a death can never reach another slot's channel.

Processes are always spawned (never forked: a fork copies threads' locks, and is absent on Windows). Three things are
done to the start of each, under one lock since they are global to this process:

* ``PYTHONHASHSEED`` is set in the environment, which a spawned process inherits.
* ``__main__`` is hidden. A spawned process would import it again, which runs a user's script a second time and, at the
  shell, imports the command line and all that it draws.
* The user's folders leave ``sys.path``, which a spawned process gets too; it puts them back when it loads the scenario.
"""

from __future__ import annotations

import faulthandler
import gc
import multiprocessing
import os
import signal
import sys
import threading
import time
from concurrent.futures import CancelledError
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.context import SpawnContext, SpawnProcess
from pathlib import Path
from types import ModuleType
from typing import Any

from pebble import ProcessExpired, ProcessFuture, ProcessPool

from ..loading import users_folders
from .hash_seeds import VARIABLE, hash_seed_of_group
from .job import Job, run_job

OUTPUT_SHOWN_MAX = 2000  # characters of a dead process's output that are worth showing

# A process that is about to be killed writes down where it is, even when it is stuck in C. Not on Windows.
_STACK_SIGNAL: int = getattr(signal, "SIGUSR1", 0)
STACK_WAIT_S = 0.1

_start_lock = threading.Lock()
_in_simulation_process = False


def in_simulation_process() -> bool:
    """Whether this process was started by a campaign."""
    return _in_simulation_process


class _Process(SpawnProcess):
    """A spawned process with a hash seed of its own and without the parent's ``__main__``."""

    python_hash_seed = ""

    def start(self) -> None:
        with _start_lock:
            before = os.environ.get(VARIABLE)
            main = sys.modules["__main__"]
            path = list(sys.path)
            sys.path[:] = [entry for entry in path if entry not in users_folders]
            os.environ[VARIABLE] = self.python_hash_seed
            sys.modules["__main__"] = ModuleType("__main__")
            try:
                super().start()
            finally:
                sys.modules["__main__"] = main
                sys.path[:] = path
                if before is None:
                    del os.environ[VARIABLE]
                else:
                    os.environ[VARIABLE] = before


class _Context(SpawnContext):
    """The spawn context, whose processes start under one hash seed."""

    def __init__(self, python_hash_seed: str) -> None:
        super().__init__()
        self._python_hash_seed = python_hash_seed

    def Process(self, *args: Any, **kwargs: Any) -> _Process:  # type: ignore[override]  # noqa: N802
        process = _Process(*args, **kwargs)
        process.python_hash_seed = self._python_hash_seed
        return process


def _begin(output: str) -> None:
    """What a simulation process does first: send its output to a file, and end when its parent is gone."""
    global _in_simulation_process  # noqa: PLW0603
    _in_simulation_process = True
    file = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o600)
    os.dup2(file, 1)
    os.dup2(file, 2)
    os.close(file)
    faulthandler.enable(all_threads=False)
    if _STACK_SIGNAL:
        faulthandler.register(_STACK_SIGNAL, all_threads=False)
    threading.Thread(target=_end_with_parent, daemon=True, name="stormproof-parent-watch").start()
    gc.collect()
    gc.freeze()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _work(job: Job, output: str) -> None:
    os.truncate(output, 0)
    run_job(job)


class Slot:
    """One process that runs jobs, one after another; a new one takes its place when it dies.

    Args:
        number: To tell slots apart.
        folder: Where the process's output is kept.
    """

    def __init__(self, number: int, folder: Path) -> None:
        self._output = folder / f"process-{number}.out"
        self._pool: ProcessPool | None = None
        self._future: ProcessFuture[None] | None = None
        self.group: int | None = None

    @property
    def busy(self) -> bool:
        """Whether a job is running or about to."""
        return self._future is not None and not self._future.done()

    def bind(self, group: int) -> None:
        """Work on the seeds of this group from now on; its process starts at once."""
        if self.group == group and self._pool is not None:
            return
        self.stop()
        self.group = group
        self._pool = ProcessPool(
            max_workers=1,
            context=_Context(hash_seed_of_group(group)),
            initializer=_begin,
            initargs=(str(self._output),),
        )

    def submit(self, job: Job, wake: threading.Event) -> None:
        """Start a job; ``wake`` is set when it is over."""
        assert not self.busy
        assert self._pool is not None
        try:
            self._future = self._pool.schedule(_work, args=(job, str(self._output)))
        except RuntimeError:
            # The pool broke while it was idle: its process was killed, say. A new one takes its place.
            self.restart()
            assert self._pool is not None
            self._future = self._pool.schedule(_work, args=(job, str(self._output)))
        self._future.add_done_callback(lambda _: wake.set())

    def outcome(self) -> BaseException | None:
        """What became of the job that is over: ``None`` where it ended by itself, else why it did not."""
        assert self._future is not None
        assert self._future.done()
        try:
            self._future.result()
        except CancelledError as error:
            return error
        except BaseException as error:
            if isinstance(error, BrokenProcessPool):
                self.restart()
            return error
        return None

    def kill(self, pid: int | None) -> None:
        """Kill the process that runs the job; ``pid`` is ``None`` where it has not even begun.

        The signal goes to the process itself, not through pebble, which would ask kindly first: code stuck in C does
        not listen, and the future of a cancelled job is done before its process is.
        """
        if pid is not None:
            try:
                if _STACK_SIGNAL:
                    os.kill(pid, _STACK_SIGNAL)
                    time.sleep(STACK_WAIT_S)
                os.kill(pid, getattr(signal, "SIGKILL", signal.SIGTERM))
            except OSError:
                return
        else:
            self.restart()

    def restart(self) -> None:
        """Put a new process in the place of this one."""
        group = self.group
        assert group is not None
        self.stop()
        self.bind(group)

    def output(self) -> str:
        """The end of what the process has printed during this job."""
        try:
            text = self._output.read_bytes().decode("utf-8", "replace")
        except OSError:
            return ""
        return _without_our_frames(text)[-OUTPUT_SHOWN_MAX:].strip()

    def request_stop(self) -> None:
        """Tell the process to end, without waiting for it."""
        if self._pool is not None:
            self._pool.stop()  # type: ignore[no-untyped-call]

    def stop(self) -> None:
        """End the process, whatever it is doing."""
        if self._pool is not None:
            self._pool.stop()  # type: ignore[no-untyped-call]
            self._pool.join()
        if self._future is not None:
            # A pool that is stopped leaves its futures as they are.
            self._future.cancel()  # type: ignore[no-untyped-call]
        self._pool = None
        self.group = None


def stop_all(slots: list[Slot]) -> None:
    """End all processes; first tell each, then wait for each."""
    for slot in slots:
        slot.request_stop()
    for slot in slots:
        slot.stop()


def _without_our_frames(text: str) -> str:
    """What faulthandler wrote, without the frames from ours downwards: they are the same for every run."""
    lines = text.splitlines()
    for number, told in enumerate(lines):
        if told.startswith("  File ") and f'"{run_job.__code__.co_filename}"' in told:
            return "\n".join(lines[:number])
    return text


def is_death(error: BaseException) -> bool:
    """Whether a job ended because its process did."""
    return isinstance(error, ProcessExpired | BrokenProcessPool | CancelledError)


def death_of(error: BaseException) -> str:
    """In plain words how a process ended."""
    if not isinstance(error, ProcessExpired):
        return f"its process could not go on: {type(error).__name__}: {error}"
    code = int(error.exitcode or 0)
    if code < 0:
        return f"its process was ended by signal {-code}{_signal_name(-code)}"
    return f"its process ended with exit code {code} (os._exit, or a crash in native code)"


def _signal_name(number: int) -> str:
    try:
        return f" ({signal.Signals(number).name})"
    except ValueError:
        return ""
