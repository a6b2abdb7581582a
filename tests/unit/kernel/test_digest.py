from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from stormproof.sim.digest import Digest, first_divergence, name_divergence


def filled(count: int, odd_one: int | None = None, keep: tuple[int, int] | None = None) -> Digest:
    digest = Digest(keep=keep)
    digest.names[1] = "step"
    for number in range(count):
        digest.update_event(number, 1, 0, 7 if number == odd_one else 3)
        digest.note(f"note {number}")
    return digest


def test_equal_events_give_equal_digests() -> None:
    assert filled(3000).hexdigest() == filled(3000).hexdigest()
    assert filled(3000).hexdigest() != filled(3001).hexdigest()


@given(st.lists(st.integers(0, 2**62), max_size=40), st.lists(st.integers(1, 700), max_size=5))
def test_the_digest_does_not_depend_on_when_it_is_looked_at(values: list[int], looks: list[int]) -> None:
    plain, looked_at = Digest(), Digest()
    for index in range(1200):
        for digest in (plain, looked_at):
            digest.update_event(index, 1, values[index % len(values)] if values else 0, 0)
            if index % 97 == 0:
                digest.update_bytes(b"x" * (index % 13), 2)
        if index in looks:
            looked_at.flush()
            looked_at.hexdigest()
    assert plain.checkpoints == looked_at.checkpoints


def test_a_digest_is_never_changed_by_keeping_text() -> None:
    assert filled(5000).checkpoints == filled(5000, keep=(100, 4000)).checkpoints


def test_bytes_and_their_borders_count() -> None:
    digests = []
    for parts in ((b"ab", b"c"), (b"a", b"bc"), (b"abc",), (b"abd",)):
        digest = Digest()
        for part in parts:
            digest.update_bytes(part)
        digests.append(digest.hexdigest())
    assert len(set(digests)) == 4


def test_checkpoints_narrow_a_divergence_and_the_window_names_it() -> None:
    a, b = filled(5000), filled(5000, odd_one=2500)
    window = first_divergence(a.checkpoints, b.checkpoints)
    assert window == (2048, 3072)
    again = filled(5000, keep=window), filled(5000, odd_one=2500, keep=window)
    assert name_divergence(again[0].kept(), again[1].kept()) == (
        "2500: step at 2500 us: 0, 3: note 2500",
        "2500: step at 2500 us: 0, 7: note 2500",
    )


def test_a_run_that_ends_early_diverges_where_it_ends() -> None:
    a, b = filled(2000), filled(1500)
    window = first_divergence(a.checkpoints, b.checkpoints)
    assert window == (1024, 2000)
    named = name_divergence(filled(2000, keep=window).kept(), filled(1500, keep=window).kept())
    assert named == ("1500: step at 1500 us: 0, 3: note 1500", "the run ended here")


def test_equal_runs_do_not_diverge() -> None:
    a, b = filled(2000, keep=(0, 2000)), filled(2000, keep=(0, 2000))
    assert first_divergence(a.checkpoints, b.checkpoints) is None
    assert name_divergence(a.kept(), b.kept()) is None
    assert len(a.kept()) == 2000
    assert a.kept() == a.kept(), "looking does not change it"


def test_the_window_is_kept_exactly() -> None:
    assert [line.partition(":")[0] for line in filled(700, keep=(250, 260)).kept()] == [
        str(number) for number in range(250, 260)
    ]
