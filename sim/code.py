"""The user's code as processes have it: modules loaded once per incarnation, in one of several versions.

A process that starts loads its code, and what the code keeps in module variables dies with the process. A worker
group whose factory is given as ``"package.module:function"`` gets this: its module and those named in ``modules`` are
executed anew for each incarnation. With a ``CodeVersion`` that has a folder or a git revision, so is every module that
is found there, whoever imports it: nothing of that version is mixed with the code as it is. A factory that is given as
a function shares its module with the whole process.

This happens in a private view: while modules are executed, ``sys.modules`` and their packages show the new ones, and
afterwards what was there before. So an import inside a function, which is executed later, finds the code as it is. The
compiled code is cached, so a start costs the modules' own top level and no parsing.
"""

from __future__ import annotations

import atexit
import importlib
import importlib.util
import io
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import CodeType, ModuleType
from typing import TYPE_CHECKING, Any

from ..engine.core.errors import MisuseError

if TYPE_CHECKING:
    from .scenario import WorkerGroup

OURS = __name__.partition(".")[0]
"""The one package that is never loaded anew."""


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
        if not self.folder and not self.git_revision:
            return None
        path = Path(self.folder).resolve()
        if not path.is_dir():
            raise MisuseError(f"code version {self.name!r}: there is no folder {self.folder!r}")
        return _checkout(str(path), self.git_revision) if self.git_revision else path


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
                    "process: give the factory as 'package.module:function'"
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
        """Execute modules anew, in the order of ``names``; imports among them find one another.

        Raises:
            MisuseError: A module can't be found, or raises when it is executed.
        """
        root = None if version is None else version.root()
        finder = _Finder(names, {} if version is None else dict(version.rename), root)
        with _private_view(finder):
            return {name: _import(name, finder) for name in names}


def _import(name: str, finder: _Finder) -> ModuleType:
    if finder.find_spec(name, None) is None:
        raise MisuseError(f"there is no module {name} in {finder.root}")
    try:
        return importlib.import_module(name)
    except MisuseError:
        raise
    except Exception as error:
        raise MisuseError(f"module {name} can't be loaded: {type(error).__name__}: {error}") from error


class _Finder(MetaPathFinder):
    """Finds the modules that are to be executed anew: those that are named, and all that ``root`` has."""

    def __init__(self, names: Sequence[str], renamed: Mapping[str, str], root: Path | None) -> None:
        self.root = root
        self._names = dict.fromkeys([*names, *renamed])
        self._renamed = renamed

    def concerns(self, name: str) -> bool:
        """Is this module executed anew?"""
        top = name.partition(".")[0]
        return top != OURS and (name in self._names or (self.root is not None and _has(self.root, top)))

    def find_spec(self, fullname: str, path: object, target: object = None) -> ModuleSpec | None:
        """See ``MetaPathFinder``."""
        if not self.concerns(fullname):
            return None
        name = self._renamed.get(fullname, fullname)
        place = _find(name) if self.root is None else _find_in(name, self.root)
        if place is None:
            return None
        folder = place.parent if place.name == "__init__.py" else place
        if place.is_dir():
            spec = ModuleSpec(fullname, None, is_package=True)
            spec.submodule_search_locations = [str(folder)]
            return spec
        where = [str(folder)] if folder is not place else None
        return importlib.util.spec_from_file_location(
            fullname, place, loader=_CachedLoader(place), submodule_search_locations=where
        )


class _CachedLoader(Loader):
    """Executes a file whose compiled code is kept."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def exec_module(self, module: ModuleType) -> None:
        """See ``Loader``."""
        found = self._path.stat()
        code = _compiled(str(self._path), found.st_mtime_ns, found.st_size)
        exec(code, module.__dict__)  # the user's own module, as an import would run it


_ABSENT: Any = object()


@contextmanager
def _private_view(finder: _Finder) -> Generator[None, None, None]:
    """While modules are executed anew, nothing of the old ones can be found; afterwards they are back."""
    before = {name: module for name, module in sys.modules.items() if finder.concerns(name)}
    attributes = [(parent, name, _take_attribute(parent, name)) for parent, name in _attributes(before)]
    for name in before:
        del sys.modules[name]
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)
        fresh = [name for name in sys.modules if finder.concerns(name)]
        for parent, name in _attributes(fresh):
            _take_attribute(parent, name)
        for name in fresh:
            del sys.modules[name]
        sys.modules.update(before)
        for parent, name, value in attributes:
            if value is not _ABSENT:
                setattr(parent, name, value)


def _attributes(names: Sequence[str] | Mapping[str, ModuleType]) -> Iterator[tuple[ModuleType, str]]:
    """The packages that have these modules as attributes, where the packages are not among them."""
    for name in names:
        package, _, attribute = name.rpartition(".")
        if package and package not in names and package in sys.modules:
            yield sys.modules[package], attribute


def _take_attribute(parent: ModuleType, name: str) -> Any:
    return vars(parent).pop(name, _ABSENT)


@lru_cache(maxsize=256)
def _compiled(path: str, changed_ns: int, size: int) -> CodeType:
    """The code of a file, as it is at that moment."""
    return compile(Path(path).read_bytes(), path, "exec", dont_inherit=True)


@lru_cache(maxsize=4096)
def _has(root: Path, top: str) -> bool:
    """Does a folder have code of this name? A folder without any is data, and shadows nobody's package."""
    if top in sys.stdlib_module_names or not top.isidentifier():
        return False
    return (root / f"{top}.py").is_file() or any((root / top).glob("*.py"))


def _find_in(name: str, root: Path) -> Path | None:
    """The file of a module, or the folder of a package without ``__init__.py``."""
    base = root.joinpath(*name.split("."))
    for path in (base / "__init__.py", base.with_name(f"{base.name}.py")):
        if path.is_file():
            return path
    return base if base.is_dir() else None


def _find(name: str) -> Path:
    """The file of a module on the ordinary import path.

    Raises:
        MisuseError: There is none.
    """
    package = name.rpartition(".")[0]
    try:
        path = list(importlib.import_module(package).__path__) if package else None
    except Exception as error:
        raise MisuseError(f"module {name} can't be found: {type(error).__name__}: {error}") from error
    for finder in sys.meta_path:
        spec = None if isinstance(finder, _Finder) else finder.find_spec(name, path)
        if spec is not None and spec.has_location and spec.origin is not None:
            return Path(spec.origin)
    raise MisuseError(f"module {name} can't be found on the import path")


@lru_cache(maxsize=64)
def _checkout(folder: str, revision: str) -> Path:
    """A copy of a revision of a folder in a repository, made once for each process."""
    try:
        archive = subprocess.run(
            ["git", "-C", folder, "archive", "--format=tar", revision], capture_output=True, check=False
        )
    except FileNotFoundError:
        raise MisuseError(f"git revision {revision!r} of {folder!r} can't be read: git is not installed") from None
    if archive.returncode:
        message = archive.stderr.decode(errors="replace").strip()
        raise MisuseError(f"git revision {revision!r} of {folder!r} can't be read: {message}")
    target = Path(tempfile.mkdtemp(prefix="stormproof-code-"))
    atexit.register(shutil.rmtree, target, ignore_errors=True)
    with tarfile.open(fileobj=io.BytesIO(archive.stdout)) as tar:
        tar.extractall(target, filter="data")
    return target
