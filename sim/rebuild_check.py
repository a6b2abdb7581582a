"""Watches a world's commits: what a server keeps in memory must be what another one would make of the store.

At every commit the state kept equals the state rebuilt from history and record, the outbox is the one that the state
implies (``engine/core/invariants.py``), and at the next one the server's timers are those of the outbox. It costs a
replay of the history for each commit: for tests, not for campaigns.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..engine.core.errors import InternalError
from ..engine.core.invariants import check_commit
from ..engine.core.requests import Execution, TimerTask
from .node import ENGINE
from .programs import EngineProgram

if TYPE_CHECKING:
    from .world import World


class RebuildCheck:
    """A commit observer: ``run_scenario(..., watch=RebuildCheck().watch)``.

    Attributes:
        commits: How many commits were checked.
    """

    def __init__(self) -> None:
        self.commits = 0
        self._world: World | None = None
        self._last: Execution | None = None

    def watch(self, world: World) -> None:
        """Check every commit in this world from now on."""
        self._world = world
        self._last = None
        world.commit_observers.append(self)

    def __call__(self, run: Any, transition: Any) -> None:
        """A transition of a run was committed.

        Raises:
            InternalError: Memory and store differ.
        """
        assert self._world is not None
        stored = self._world.store.load(run.execution)
        if stored is None:
            raise InternalError(f"run {run.execution} was committed and is not in the store")
        if stored.version != run.version:
            raise InternalError(f"run {run.execution} has version {stored.version}, its server thinks {run.version}")
        if stored.events != run.events:
            raise InternalError(f"the server's events of run {run.execution} are not the stored ones")
        check_commit(run.state, stored.events, stored.record, stored.outbox)
        if run.version == 1 or transition.also is not None:
            self._last = None  # two runs may have been written at once, and no timer is set yet
        else:
            self._check_timers(self._world, run.execution)
            self._last = run.execution
        self.commits += 1

    def _check_timers(self, world: World, committed: Execution) -> None:
        """Timers are set after the commit that asks for them, so the run of the commit before is looked at."""
        node = world.nodes[ENGINE]
        program = None if node.incarnation is None else node.incarnation.program
        if self._last is None or self._last == committed or not isinstance(program, EngineProgram):
            return
        stored = world.store.load(self._last)
        assert stored is not None
        wanted = sorted(key for key, task in stored.outbox.items() if isinstance(task, TimerTask))
        found = sorted(program.server.dispatcher.timers.keys(self._last))
        if wanted != found:
            raise InternalError(f"timers of run {self._last}: the outbox has {wanted}, the server {found}")


__all__ = ["RebuildCheck"]
