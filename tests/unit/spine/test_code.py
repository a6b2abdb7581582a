"""The user's code as processes have it: fresh modules for each incarnation, versions side by side."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from stormproof.engine.core.errors import MisuseError
from stormproof.sim.code import CodeLoader, CodeVersion
from stormproof.sim.scenario import WorkerGroup

from stormproof.client import Client

STATE = "calls = 0\n"

WORKER = """
from __future__ import annotations
import asyncio
from dataclasses import dataclass
from datetime import timedelta
from stormproof import activity, workflow
from stormproof.worker import Worker
from {package}.state import VERSION
from {package} import state

@dataclass
class Line:
    name: str

@dataclass
class Order:
    lines: list[Line]

@activity.defn
async def call(order: Order) -> str:
    state.calls += 1
    return f"{{VERSION}} call {{state.calls}} {{order.lines[0].name}} {{type(order).__name__}}"

@workflow.defn
class Calls:
    @workflow.run
    async def run(self, order: Order) -> list[str]:
        found = []
        for _ in range(3):
            found.append(await workflow.execute_activity(call, order, start_to_close_timeout=timedelta(seconds=9)))
            await asyncio.sleep(10)
        return found

def make(client):
    return Worker(client, task_queue=VERSION, workflows=[Calls], activities=[call])

broken = 7
"""


def write(folder: Path, package: str, version: str) -> None:
    (folder / package).mkdir(parents=True, exist_ok=True)
    (folder / package / "__init__.py").write_text("")
    (folder / package / "state.py").write_text(f"VERSION = {version!r}\n{STATE}")
    (folder / package / "work.py").write_text(WORKER.format(package=package))


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A package on the import path, and a second version of it in another folder."""
    write(tmp_path / "now", "spineshop", "now")
    write(tmp_path / "old", "spineshop", "old")
    monkeypatch.syspath_prepend(str(tmp_path / "now"))
    yield tmp_path
    for name in [name for name in sys.modules if name.startswith("spineshop")]:
        del sys.modules[name]


def asking(*queues: str) -> Any:
    async def main(client: Client) -> None:
        for queue in queues:
            order = {"lines": [{"name": "x"}]}
            await client.execute_workflow("Calls", order, id=f"on-{queue}", task_queue=queue)

    return main


def results(record: Any) -> dict[str, list[str]]:
    return {one["workflow_id"]: one["result"] for one in record.outcomes}


NAMED = WorkerGroup("spineshop.work:make", modules=("spineshop.state",))


def test_module_state_dies_with_its_process(play: Any, shop: Path, script: Any) -> None:
    record = play(asking("now"), NAMED, script=script.at(15, script.crash("worker")))
    found = [line.split()[2] for line in results(record)["on-now"]]
    assert found == ["1", "2", "1"]


def test_a_module_that_is_not_named_is_shared_by_all_processes(play: Any, shop: Path, script: Any) -> None:
    record = play(asking("now"), WorkerGroup("spineshop.work:make"), script=script.at(15, script.crash("worker")))
    assert [line.split()[2] for line in results(record)["on-now"]] == ["1", "2", "3"]


def test_two_versions_live_side_by_side(play: Any, shop: Path) -> None:
    old = WorkerGroup("spineshop.work:make", name="old", code=CodeVersion("old", folder=str(shop / "old")))
    found = results(play(asking("now", "old"), WorkerGroup("spineshop.work:make", name="now"), old))
    assert found["on-now"][0] == "now call 1 x Order"
    assert found["on-old"][2] == "old call 3 x Order"


def test_what_is_loaded_leaves_no_trace(shop: Path) -> None:
    import spineshop.state as ordinary  # type: ignore[import-not-found]

    before = dict(sys.modules)
    path, finders = list(sys.path), list(sys.meta_path)
    version = CodeVersion("old", folder=str(shop / "old"))
    loaded = CodeLoader().load(["spineshop.work"], version)["spineshop.work"]
    assert (loaded.VERSION, ordinary.VERSION) == ("old", "now")
    assert {name: module for name, module in sys.modules.items() if name.startswith("spineshop")} == {
        name: module for name, module in before.items() if name.startswith("spineshop")
    }
    assert (sys.path, sys.meta_path) == (path, finders)
    assert sys.modules["spineshop"].state is ordinary
    assert not hasattr(sys.modules["spineshop"], "work")


def test_a_module_may_be_taken_from_another_name(shop: Path) -> None:
    (shop / "now" / "spineshop" / "state_v2.py").write_text("VERSION = 'v2'\ncalls = 5\n")
    version = CodeVersion("v2", rename=(("spineshop.state", "spineshop.state_v2"),))
    loaded = CodeLoader().load(["spineshop.work"], version)["spineshop.work"]
    assert (loaded.VERSION, loaded.state.__name__) == ("v2", "spineshop.state")


def test_a_revision_of_a_repository(shop: Path) -> None:
    folder = shop / "now"
    git = ["git", "-C", str(folder), "-c", "user.name=x", "-c", "user.email=x@example.org"]
    for arguments in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "one"], ["tag", "v1"]):
        subprocess.run([*git, *arguments], check=True)
    (folder / "spineshop" / "state.py").write_text("VERSION = 'changed'\ncalls = 0\n")
    loader = CodeLoader()
    old = loader.load(["spineshop.work"], CodeVersion("v1", folder=str(folder), git_revision="v1"))
    now = loader.load(["spineshop.work"], CodeVersion("now", folder=str(folder)))
    assert (old["spineshop.work"].VERSION, now["spineshop.work"].VERSION) == ("now", "changed")
    with pytest.raises(MisuseError, match=r"git revision 'v9' of .* can't be read: .*v9"):
        loader.load(["spineshop.work"], CodeVersion("v9", folder=str(folder), git_revision="v9"))


def test_a_changed_file_is_read_again(shop: Path) -> None:
    loader = CodeLoader()
    version = CodeVersion("old", folder=str(shop / "old"))
    assert loader.load(["spineshop.state"], version)["spineshop.state"].VERSION == "old"
    (shop / "old" / "spineshop" / "state.py").write_text("VERSION = 'edited'\n")
    assert loader.load(["spineshop.state"], version)["spineshop.state"].VERSION == "edited"


def test_a_folder_of_data_shadows_no_package(shop: Path) -> None:
    (shop / "old" / "simpy").mkdir()
    (shop / "old" / "simpy" / "notes.txt").write_text("x")
    (shop / "old" / "json.py").write_text("raise RuntimeError('not the standard library')")
    (shop / "old" / "spineshop" / "uses.py").write_text("import json, simpy\nfound = json.dumps, simpy.Environment\n")
    loaded = CodeLoader().load(["spineshop.uses"], CodeVersion("old", folder=str(shop / "old")))
    assert len(loaded["spineshop.uses"].found) == 2


@pytest.mark.parametrize(
    ("factory", "options", "message"),
    [
        ("spineshop.work", {}, "is not of the form 'module:function'"),
        ("spineshop.work:nothing", {}, "module spineshop.work has no function 'nothing'"),
        ("spineshop.work:broken", {}, "module spineshop.work has no function 'broken'"),
        ("spineshop.missing:make", {}, "module spineshop.missing can't be found on the import path"),
        ("nowhere.work:make", {}, "module nowhere.work can't be found: ModuleNotFoundError"),
        ("spineshop.raises:make", {}, "module spineshop.raises can't be loaded: ZeroDivisionError"),
        ("spineshop.typo:make", {}, "module spineshop.typo can't be loaded: SyntaxError"),
        ("spineshop.work:make", {"code": CodeVersion("x", folder="/nowhere")}, "'x': there is no folder '/nowhere'"),
        ("other.work:make", {"code": "old"}, "there is no module other.work in .*old"),
        (lambda client: None, {"modules": ("spineshop.state",)}, "its factory is a function of this process"),
    ],
)
def test_mistakes_are_told(shop: Path, factory: Any, options: dict[str, Any], message: str) -> None:
    (shop / "now" / "spineshop" / "raises.py").write_text("1 / 0\n")
    (shop / "now" / "spineshop" / "typo.py").write_text("def\n")
    if options.get("code") == "old":
        options = {"code": CodeVersion("old", folder=str(shop / "old"))}
    with pytest.raises(MisuseError, match=message):
        CodeLoader().factory(WorkerGroup(factory, **options))
