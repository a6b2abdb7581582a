"""What every store must do. A new kind of store joins by a line in `STORES`."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from stormproof.engine.core.errors import ConditionFailed, InternalError, OwnershipLost
from stormproof.engine.core.events import TimerFired, WorkflowExecutionSignaled
from stormproof.engine.core.requests import ActivityTaskReady, Execution, TimerTask
from stormproof.engine.core.state import MutableState
from stormproof.engine.core.transition_work import Transition
from stormproof.engine.store import Commit, MemoryStore, Store, StoredExecution

STORES: dict[str, Callable[[], Store]] = {"memory": MemoryStore}
FIRST = Execution("workflow", "run-1")
SECOND = Execution("workflow", "run-2")


@pytest.fixture(params=list(STORES))
def store(request: pytest.FixtureRequest) -> Store:
    return STORES[request.param]()


def change(name: str = "signal", event_id: int = 1) -> Transition:
    return Transition(
        events=[WorkflowExecutionSignaled(event_id, 0, name)],
        record_put={f"request/{name}": name},
        outbox_add={f"timer/{event_id}": TimerTask(event_id, "user_timer", event_id)},
    )


def snapshot(store: Store) -> object:
    loaded = [store.load(execution) for execution in store.executions()]
    return loaded, list(store.outbox()), store.current_run_id("default", "workflow")


def test_a_store_starts_empty(store: Store) -> None:
    assert store.load(FIRST) is None
    assert store.current_run_id("default", "workflow") is None
    assert list(store.outbox()) == []
    assert list(store.executions()) == []


def test_what_was_committed_is_loaded(store: Store) -> None:
    epoch = store.acquire()
    one = change()
    assert store.commit(Commit(FIRST, 0, epoch, one, make_current=True)) == 1
    assert store.load(FIRST) == StoredExecution(1, one.events, one.record_put, one.outbox_add)
    assert store.current_run_id("default", "workflow") == "run-1"
    assert list(store.executions()) == [FIRST]


def test_commits_append_events_and_change_record_and_outbox(store: Store) -> None:
    epoch = store.acquire()
    store.commit(Commit(FIRST, 0, epoch, change("a", 1), make_current=True))
    two = change("b", 2)
    two.record_delete = ["request/a", "request/unknown"]
    two.outbox_delete = ["timer/1", "timer/unknown"]
    assert store.commit(Commit(FIRST, 1, epoch, two)) == 2
    stored = store.load(FIRST)
    assert stored is not None
    assert [event.event_id for event in stored.events] == [1, 2]
    assert stored.record == {"request/b": "b"}
    assert list(stored.outbox) == ["timer/2"]


def test_deletes_come_before_puts(store: Store) -> None:
    epoch = store.acquire()
    one = change()
    one.record_delete = ["request/signal"]
    one.outbox_delete = ["timer/1"]
    store.commit(Commit(FIRST, 0, epoch, one))
    stored = store.load(FIRST)
    assert stored is not None
    assert (list(stored.record), list(stored.outbox)) == (["request/signal"], ["timer/1"])


@pytest.mark.parametrize("version", [0, 2])
def test_a_write_with_another_version_is_refused_whole(store: Store, version: int) -> None:
    epoch = store.acquire()
    store.commit(Commit(FIRST, 0, epoch, change(), make_current=True))
    before = snapshot(store)
    with pytest.raises(ConditionFailed):
        store.commit(Commit(FIRST, version, epoch, change("late", 2)))
    assert snapshot(store) == before


def test_a_run_that_is_not_there_has_no_version(store: Store) -> None:
    with pytest.raises(ConditionFailed):
        store.commit(Commit(FIRST, 1, store.acquire(), change()))
    assert store.load(FIRST) is None


def test_a_fenced_owner_writes_nothing(store: Store) -> None:
    old = store.acquire()
    store.commit(Commit(FIRST, 0, old, change(), make_current=True))
    new = store.acquire()
    assert new > old
    before = snapshot(store)
    with pytest.raises(OwnershipLost):
        store.commit(Commit(FIRST, 1, old, change("late", 2)))
    assert snapshot(store) == before
    assert store.commit(Commit(FIRST, 1, new, change("good", 2))) == 2


@pytest.mark.parametrize("expected", [None, "run-0"])
def test_a_start_beside_another_current_run_is_refused_whole(store: Store, expected: str | None) -> None:
    epoch = store.acquire()
    store.commit(Commit(FIRST, 0, epoch, change(), make_current=True))
    before = snapshot(store)
    with pytest.raises(ConditionFailed):
        store.commit(Commit(SECOND, 0, epoch, change(), make_current=True, expected_current_run_id=expected))
    assert snapshot(store) == before
    store.commit(Commit(SECOND, 0, epoch, change(), make_current=True, expected_current_run_id="run-1"))
    assert store.current_run_id("default", "workflow") == "run-2"


def test_namespaces_and_workflow_ids_are_apart(store: Store) -> None:
    epoch = store.acquire()
    for execution in (FIRST, Execution("other", "run-1"), Execution("workflow", "run-1", "elsewhere")):
        assert store.commit(Commit(execution, 0, epoch, change(), make_current=True)) == 1
    assert store.current_run_id("elsewhere", "workflow") == "run-1"


def both(epoch: int, *, second_version: int = 0) -> Commit:
    """The first run ends and the second one starts."""
    ending = change("end", 2)
    starting = change("start", 1)
    ending.also = (MutableState(SECOND), starting)
    also = Commit(SECOND, second_version, epoch, starting, make_current=True, expected_current_run_id="run-1")
    return Commit(FIRST, 1, epoch, ending, also=also)


def test_two_runs_are_written_together(store: Store) -> None:
    epoch = store.acquire()
    store.commit(Commit(FIRST, 0, epoch, change(), make_current=True))
    assert store.commit(both(epoch)) == 2
    assert store.current_run_id("default", "workflow") == "run-2"
    stored = store.load(SECOND)
    assert stored is not None
    assert stored.version == 1


def test_two_runs_are_written_together_or_not_at_all(store: Store) -> None:
    epoch = store.acquire()
    store.commit(Commit(FIRST, 0, epoch, change(), make_current=True))
    before = snapshot(store)
    with pytest.raises(ConditionFailed):
        store.commit(both(epoch, second_version=3))
    stale = both(epoch)
    stale.expected_version = 7
    with pytest.raises(ConditionFailed):
        store.commit(stale)
    assert snapshot(store) == before


def test_the_other_run_of_a_transition_can_not_be_forgotten(store: Store) -> None:
    epoch = store.acquire()
    store.commit(Commit(FIRST, 0, epoch, change(), make_current=True))
    forgetful = both(epoch)
    forgetful.also = None
    with pytest.raises(InternalError):
        store.commit(forgetful)


def test_a_gap_in_a_history_is_our_mistake(store: Store) -> None:
    with pytest.raises(InternalError):
        store.commit(Commit(FIRST, 0, store.acquire(), change(event_id=2)))


def test_the_outbox_is_in_the_order_of_commits(store: Store) -> None:
    epoch = store.acquire()
    store.commit(Commit(FIRST, 0, epoch, change("a", 1), make_current=True))
    store.commit(Commit(Execution("other", "run-9"), 0, epoch, change("b", 1), make_current=True))
    store.commit(Commit(FIRST, 1, epoch, change("c", 2)))
    again = Transition(outbox_add={"timer/1": ActivityTaskReady(1, 1, "queue")})
    store.commit(Commit(FIRST, 2, epoch, again))
    assert [(execution.run_id, key) for execution, key, _ in store.outbox()] == [
        ("run-9", "timer/1"),
        ("run-1", "timer/2"),
        ("run-1", "timer/1"),  # replaced, so it is as new as what replaced it
    ]


def test_readers_can_not_change_what_is_stored(store: Store) -> None:
    epoch = store.acquire()
    store.commit(Commit(FIRST, 0, epoch, change(), make_current=True))
    stored = store.load(FIRST)
    assert stored is not None
    stored.events.append(TimerFired(2, 0))
    stored.record.clear()
    stored.outbox.clear()
    assert store.load(FIRST) != stored


def test_writers_can_not_change_what_they_wrote(store: Store) -> None:
    one = change()
    store.commit(Commit(FIRST, 0, store.acquire(), one))
    one.events.clear()
    one.record_put.clear()
    one.outbox_add.clear()
    stored = store.load(FIRST)
    assert stored is not None
    assert (len(stored.events), len(stored.record), len(stored.outbox)) == (1, 1, 1)
