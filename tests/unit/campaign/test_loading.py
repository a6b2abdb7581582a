"""From the reference that a user writes to the object, and one clear message for whatever is wrong with it."""

from __future__ import annotations

import sys
from pathlib import Path
from textwrap import dedent

import pytest
from stormproof.engine.core.errors import MisuseError
from stormproof.sim import loading
from stormproof.sim.loading import find_reference, load_target, load_targets, split_reference


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(dedent(text), encoding="utf-8")


def refused(reference: str) -> str:
    with pytest.raises(MisuseError) as caught:
        load_targets(reference)
    return str(caught.value)


@pytest.mark.parametrize(
    ("reference", "parts"),
    [
        ("a/b.py:main", ("a/b.py", "main")),
        ("a/b.py", ("a/b.py", "")),
        ("shop.flows:Order.main", ("shop.flows", "Order.main")),
        ("C:\\shop\\flows.py", ("C:\\shop\\flows.py", "")),
        ("C:\\shop\\flows.py:main", ("C:\\shop\\flows.py", "main")),
        ("C:flows.py", ("C:flows.py", "")),
    ],
)
def test_a_reference_is_split(reference: str, parts: tuple[str, str]) -> None:
    assert split_reference(reference) == parts


def test_a_file_finds_its_siblings_and_they_find_it(folder: Path) -> None:
    write(folder / "shop/flow_a.py", "import flow_b\nasync def main():\n    return flow_b.back().NAME\nNAME = __name__")
    write(folder / "shop/flow_b.py", "def back():\n    import flow_a\n    return flow_a")
    target = load_target("shop/flow_a.py:main")
    assert target.reference == "shop/flow_a.py:main"
    assert sys.modules["flow_a"].main is target.value


def test_a_file_of_a_package_may_import_relatively(folder: Path) -> None:
    write(folder / "shoppe/__init__.py", "")
    write(folder / "shoppe/names.py", "NAME = 'it'")
    write(folder / "shoppe/flow.py", "from .names import NAME\nasync def main(): ...")
    assert load_target("shoppe/flow.py").value.__module__ == "shoppe.flow"


def test_a_file_is_imported_once_however_it_is_named(folder: Path) -> None:
    write(folder / "once_flow.py", "async def main(): ...")
    first = load_target("once_flow.py:main").value
    assert load_target("./once_flow.py:main").reference == "once_flow.py:main"
    assert load_target(str(folder / "once_flow.py")).value is first
    assert load_target("once_flow:main").value is first


def test_a_file_that_is_named_like_another_module_does_not_hide_it(folder: Path) -> None:
    write(folder / "queue.py", "async def main(): ...")
    target = load_target("queue.py:main")
    assert target.value.__module__ == "stormproof_target_queue"
    import queue

    assert hasattr(queue, "Queue")


def test_two_files_of_one_name_are_two_modules(folder: Path) -> None:
    for number in ("1", "2", "3"):
        write(folder / number / "same_flow.py", f"async def main():\n    return {number}")
    values = [load_target(f"{number}/same_flow.py:main").value for number in ("1", "2", "3")]
    assert len({value.__module__ for value in values}) == 3
    assert load_target("3/same_flow.py:main").value is values[2]


def test_without_a_name_it_is_main(folder: Path) -> None:
    write(folder / "flow_m.py", "async def main(client): ...\nasync def other(): ...")
    (target,) = load_targets("flow_m.py")
    assert target.reference == "flow_m.py:main"


def test_without_a_name_it_is_every_scenario(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scenarios = type(sys)("stormproof.sim.scenario")
    scenarios.Scenario = type("Scenario", (), {})  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "stormproof.sim.scenario", scenarios)
    write(
        folder / "flow_s.py",
        """
        from stormproof.sim.scenario import Scenario
        naive = Scenario()
        correct = Scenario()
        also = correct
        _private = Scenario()
        async def main(): ...
        """,
    )
    assert [target.name for target in load_targets("flow_s.py")] == ["naive", "correct"]
    with pytest.raises(MisuseError, match=r"holds 2 scenarios: name one of flow_s\.py:naive, flow_s\.py:correct"):
        load_target("flow_s.py")
    assert "did you mean naive" in refused("flow_s.py:naiv")


@pytest.mark.parametrize(
    ("text", "reference", "told"),
    [
        (None, "flow_x.py", "there is no file flow_x.py"),
        (None, "nowhere/flow_x.py", "the folder nowhere does not exist"),
        (None, "flow_x", "there is no module flow_x"),
        (None, "flow_x.json/", "there is no file flow_x.json/"),
        ("def f(:\n", "flow_x.py", "line 1: def f(:"),
        ("import no_such_module_at_all", "flow_x.py", "line 1: import no_such_module_at_all"),
        ("x = 1\ny = x.nothing", "flow_x.py", "AttributeError: 'int' object has no attribute 'nothing'"),
        ("import sys\nsys.exit(3)", "flow_x.py", "guard that by `if __name__ == '__main__':`"),
        ("x = 1", "flow_x.py", "define `scenario = Scenario(...)`"),
        ("class Flow: ...", "flow_x.py", "found Flow"),
        ("async def a(): ...\nasync def b(): ...", "flow_x.py", "(flow_x.py:a, flow_x.py:b)"),
        ("async def main(): ...", "flow_x.py:mian", "has no 'mian': did you mean main?"),
        ("def main(): ...", "flow_x.py:main", "is a plain function: expected a Scenario or an async function"),
        ("main = 3", "flow_x.py:main", "is a int"),
        ("async def main(a, b, c): ...", "flow_x.py", "needs the arguments a, b, c"),
        ("async def main(): ...", "flow_x.pyy", "there is no module flow_x.pyy"),
        ("async def main(): ...", ".", "is no"),
    ],
)
def test_one_clear_message_for_each_mistake(folder: Path, text: str | None, reference: str, told: str) -> None:
    if text is not None:
        write(folder / "flow_x.py", text)
    said = refused(reference)
    assert told in said
    assert "Traceback" not in said
    assert loading.__file__ not in said


def test_a_near_file_is_suggested(folder: Path) -> None:
    write(folder / "my_module.py", "")
    assert "did you mean my_module.py?" in refused("my_modul.py")


def test_a_failed_import_can_be_tried_again(folder: Path) -> None:
    write(folder / "flow_t.py", "1 / 0")
    assert "ZeroDivisionError" in refused("flow_t.py")
    write(folder / "flow_t.py", "async def main(): ...\n# longer than before")
    assert load_target("flow_t.py").name == "main"


async def top_level() -> None: ...


def test_a_function_at_the_top_of_a_module_can_be_named() -> None:
    reference = find_reference(top_level)
    assert reference.endswith("test_loading.py:top_level")


def test_a_local_function_cannot() -> None:
    async def local() -> None: ...

    assert find_reference(local) == ""


def test_an_object_is_found_where_a_module_holds_it(folder: Path) -> None:
    write(folder / "flow_o.py", "async def main(): ...\nthing = object()")
    load_target("flow_o.py")
    assert find_reference(sys.modules["flow_o"].thing) == "flow_o:thing"


def test_a_function_of_a_script_is_named_as_a_user_would(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(folder / "shop/script.py", "async def main(): ...")
    script = type(sys)("__main__")
    script.__file__ = str(folder / "shop" / "script.py")
    monkeypatch.setitem(sys.modules, "__main__", script)
    exec("async def main(): ...", vars(script))
    assert find_reference(script.main) == "shop/script.py:main"
