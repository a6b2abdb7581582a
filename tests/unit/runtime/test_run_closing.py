"""A run in a worker's cache: how it is let go of."""

from __future__ import annotations

import gc

import pytest
import sample_workflows as wf
from stormproof.engine.core.activation import RequestCancelActivityCommand
from stormproof.engine.core.requests import WorkflowQuery
from written_history import Worker, Written


@pytest.fixture(autouse=True)
def _empty_log() -> None:
    # Runs of other tests that were never closed.
    gc.collect()
    wf.LOG.clear()


# --- closing --------------------------------------------------------------------------------------------------------


def test_eviction_runs_finally_blocks_and_asks_for_nothing() -> None:
    history = Written(wf.Waits)
    worker = Worker(history)
    history.task()
    worker.work()
    worker.run.close()
    assert wf.LOG == ["finally"]


class Buried:
    def __init__(self) -> None:
        self.tasks: list[object] = []
        self.things: list[object] = []

    def add_task(self, task: object, _context: object) -> None:
        self.tasks.append(task)

    def keep(self, thing: object) -> None:
        self.things.append(thing)


def test_a_crash_runs_nothing() -> None:
    history = Written(wf.Waits)
    worker = Worker(history)
    history.task()
    worker.work()
    graveyard = Buried()
    worker.run.close(run_user_code=False, graveyard=graveyard)
    assert wf.LOG == []
    assert (len(graveyard.tasks), len(graveyard.things)) == (1, 1)
    del worker
    gc.collect()
    assert wf.LOG == []
    graveyard.tasks.clear()
    gc.collect()
    assert wf.LOG == ["finally"]


def test_a_workflow_that_ignores_its_eviction_is_let_go_of() -> None:
    history = Written(wf.Ignores)
    worker = Worker(history)
    history.task()
    worker.work()
    graveyard = Buried()
    worker.run.close(graveyard=graveyard)
    assert "ignored" in wf.LOG


def test_a_closed_run_leaves_no_garbage() -> None:
    def one(workflow: type, *arguments: object) -> None:
        history = Written(workflow, *arguments)
        worker = Worker(history)
        history.task()
        worker.work({"q": WorkflowQuery("look", [])})
        if workflow is wf.Steps:
            history.completed()
            history.signal("note", 1)
            history.activity_failed(history.scheduled("1"))
            history.task()
            worker.work()
        worker.run.close()

    for workflow, arguments in ((wf.Steps, (1,)), (wf.Waits, ()), (wf.Cancelled, ()), (wf.Fails, ())):
        one(workflow, *arguments)
        gc.collect()
        gc.disable()
        try:
            one(workflow, *arguments)
            assert gc.collect() == 0, workflow.__name__
        finally:
            gc.enable()


def test_a_task_group_cancels_in_the_order_in_which_its_tasks_were_made() -> None:
    history = Written(wf.Groups)
    worker = Worker(history)
    history.task()
    worker.work()
    history.completed()
    timer_first = history.timer("1")
    for number in range(1, 31):
        history.scheduled(str(number))
    history.fired("1", timer_first)
    history.task()
    worker.work()
    asked = [
        command.seq
        for _, completion in worker.activations
        for command in completion.commands
        if isinstance(command, RequestCancelActivityCommand)
    ]
    assert asked == list(range(1, 31))
