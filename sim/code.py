"""The user's code as processes have it: modules loaded once per incarnation, in one of several versions.

A process that starts loads its code, and what the code keeps in module variables dies with the process. A worker group
whose factory is given as ``"package.module:function"`` gets this: its module (and those named in ``modules``) is
executed anew for each incarnation, in a private view of ``sys.modules``, so that two versions live side by side. The
compiled code is cached, so a start costs the module's own top level and no parsing. A factory that is given as a
function shares its module with the whole process.
"""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import CodeType, ModuleType
from typing import TYPE_CHECKING, Any

from ..engine.core.errors import MisuseError

if TYPE_CHECKING:
    from .scenario import WorkerGroup


@dataclass(frozen=True)
class CodeVersion:
    """Where the code of a version is.

    Args:
        name: For reports: ``"v1"``.
        folder: The folder that the modules are found in; the ordinary import path by default.
        git_revision: A revision of the git repository at ``folder`` (default: the working directory), as ``"v1.2.0"``.
        rename: Modules that this version takes from another name: ``{"shop.workflows": "shop.workflows_v2"}``.
    """

    name: str
    folder: str = ""
    git_revision: str = ""
    rename: tuple[tuple[str, str], ...] = ()

    def root(self) -> Path | None:
        """The folder to search first, a checkout where a revision is named; ``None`` for the ordinary path.

        Raises:
            MisuseError: There is no such folder or revision.
        """
        if self.git_revision:
            return _checkout(self.folder or ".", self.git_revision)
        if not self.folder:
            return None
        path = Path(self.folder).resolve()
        if not path.is_dir():
            raise MisuseError(f"code version {self.name!r}: there is no folder {self.folder!r}")
        return path


class CodeLoader:
    """Finds a worker group's factory, loading its modules anew where it is given by name."""

    def factory(self, group: WorkerGroup) -> Callable[..., Any]:
        """The factory of a group, for one incarnation.

        Raises:
            MisuseError: The name is no ``module:function``, or there is no such module or function.
        """
        if not isinstance(group.factory, str):
            if group.code is not None or group.modules:
                raise MisuseError(
                    f"worker group {group.name!r} names code or modules, but its factory is a function of this "
                    "process: "
                    "give the factory as 'package.module:function'"
                )
            return group.factory
        module_name, colon, attribute = group.factory.partition(":")
        if not colon or not attribute:
            raise MisuseError(f"the factory {group.factory!r} of {group.name!r} is not of the form 'module:function'")
        module = self.load([*group.modules, module_name], group.code)[module_name]
        found = getattr(module, attribute, None)
        if not callable(found):
            raise MisuseError(f"module {module_name} has no function {attribute!r} (worker group {group.name!r})")
        factory: Callable[..., Any] = found
        return factory

    def load(self, names: Sequence[str], version: CodeVersion | None) -> dict[str, ModuleType]:
        """Execute modules anew, in the order of ``names``; imports among them find one another."""
        root = None if version is None else version.root()
        renamed = {} if version is None else dict(version.rename)
        fresh: dict[str, ModuleType] = {}
        with _private_modules(names):
            for name in names:
                if name not in fresh:
                    fresh[name] = _execute(name, renamed.get(name, name), root)
        return fresh


@contextmanager
def _private_modules(names: Sequence[str]) -> Iterator[None]:
    """While modules are executed anew, ``sys.modules`` shows the new ones; afterwards the old ones are back."""
    before = {name: sys.modules.pop(name) for name in names if name in sys.modules}
    try:
        yield
    finally:
        for name in names:
            sys.modules.pop(name, None)
        sys.modules.update(before)


def _execute(name: str, source_name: str, root: Path | None) -> ModuleType:
    path, code = _compiled(source_name, None if root is None else str(root))
    module = ModuleType(name)
    module.__file__ = path
    module.__package__ = name if path.endswith("__init__.py") else name.rpartition(".")[0]
    sys.modules[name] = module
    exec(code, module.__dict__)  # the user's own module, as an import would run it
    return module


@lru_cache(maxsize=256)
def _compiled(name: str, root: str | None) -> tuple[str, CodeType]:
    path = _find_in(name, Path(root)) if root is not None else _find(name)
    source = path.read_bytes()
    return str(path), compile(source, str(path), "exec", dont_inherit=True)


def _find_in(name: str, root: Path) -> Path:
    base = root.joinpath(*name.split("."))
    for path in (base.with_suffix(".py"), base / "__init__.py"):
        if path.is_file():
            return path
    raise MisuseError(f"there is no module {name} in {root}")


def _find(name: str) -> Path:
    try:
        spec = importlib.util.find_spec(name)
    except ImportError as error:
        raise MisuseError(f"module {name} can't be found: {error}") from None
    if spec is None or spec.origin is None:
        raise MisuseError(f"module {name} can't be found on the import path")
    return Path(spec.origin)


@lru_cache(maxsize=64)
def _checkout(folder: str, revision: str) -> Path:
    """A copy of a revision of a repository, made once for each process."""
    target = Path(tempfile.mkdtemp(prefix="stormproof-code-"))
    archive = subprocess.run(
        ["git", "-C", folder, "archive", "--format=tar", revision], capture_output=True, check=False
    )
    if archive.returncode:
        message = archive.stderr.decode(errors="replace").strip()
        raise MisuseError(f"git revision {revision!r} of {folder!r} can't be read: {message}")
    subprocess.run(["tar", "-x", "-C", str(target)], input=archive.stdout, check=True)
    return target
