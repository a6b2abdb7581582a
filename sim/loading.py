"""From the reference that a user writes (``path/to/file.py:name``, ``package.module:name``) to the object.

A file is imported as ``python file.py`` would find it: its folder (for a file of a package, the folder above the
package) is put in front of ``sys.path``, and it is imported under its own name, so that a sibling that imports it gets
the same module. Where that name is taken by another (``queue.py``) it is imported as ``stormproof_target_<name>``.

Whatever a user can get wrong ends in one ``MisuseError`` that says what, where, and what to do.
"""

from __future__ import annotations

import difflib
import hashlib
import importlib
import importlib.machinery
import importlib.util
import inspect
import sys
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from ..engine.core.errors import MisuseError

# What was put in front of ``sys.path``. A process that is spawned must find this package before it looks there: in a
# clone of our own repository, say, the root holds a folder of the same name that is only a part of it.
users_folders: list[str] = []

ARGUMENTS_MAX = 2  # a workload may take a client, and seeded choices


@dataclass(slots=True)
class Target:
    """Something that can be run: a ``Scenario``, or an async function without arguments.

    Attributes:
        reference: Where it is, as the user wrote it, with its name; empty where nothing can import it.
        name: Its name in the module.
        value: The object.
    """

    reference: str
    name: str
    value: Any


def load_targets(reference: str) -> list[Target]:
    """What a reference names: one object, or, without ``:name``, all scenarios of the module (else its ``main``).

    Raises:
        MisuseError: The file is missing, fails to import, has nothing to run, or the name is wrong.
    """
    where, name = split_reference(reference)
    module = load_module(where)
    if is_file_reference(where):
        where = Path(where).as_posix()
    if name:
        return [Target(f"{where}:{name}", name, _checked(_attribute(module, name, where), name, where))]
    found = [Target(f"{where}:{key}", key, value) for key, value in _scenarios(module)]
    if found:
        return found
    main = getattr(module, "main", None)
    if inspect.iscoroutinefunction(main):
        return [Target(f"{where}:main", "main", _checked(main, "main", where))]
    raise MisuseError(_nothing_found(module, where))


def load_target(reference: str) -> Target:
    """Like ``load_targets`` for a reference that must name exactly one object.

    Raises:
        MisuseError: As ``load_targets``, and where the module holds several scenarios and none was named.
    """
    targets = load_targets(reference)
    if len(targets) > 1:
        names = ", ".join(target.reference for target in targets)
        raise MisuseError(f"{reference} holds {len(targets)} scenarios: name one of {names}")
    return targets[0]


def split_reference(reference: str) -> tuple[str, str]:
    """``(file or module, name)``; the name is empty where none is given. A drive letter is no name."""
    where, colon, name = reference.rpartition(":")
    if not colon or (len(where) == 1 and where.isalpha()) or "/" in name or "\\" in name:
        where, name = reference, ""
    if not where:
        raise MisuseError(f"{reference!r} names nothing: give path/to/file.py:name or package.module:name")
    return where, name


def is_file_reference(where: str) -> bool:
    """Whether the part before the colon is a file, not a module name."""
    return where.endswith(".py") or "/" in where or "\\" in where


def load_module(where: str) -> ModuleType:
    """Import a file or a module by name, once.

    Raises:
        MisuseError: It is missing or fails to import.
    """
    if is_file_reference(where):
        return _load_file(where)
    if not all(part.isidentifier() for part in where.split(".")) and not Path(where).is_file():
        raise MisuseError(
            f"{where} is no file and no module name: give path/to/file.py[:name] or package.module[:name]"
        )
    if Path(where).is_file() or Path(f"{where}.py").is_file():
        path = where if Path(where).is_file() else f"{where}.py"
        if path != where:
            return _load_file(path)
        raise MisuseError(f"{where} is no Python file: give a file that ends with .py, or a module name")
    if "" not in sys.path and where.partition(".")[0] not in sys.modules:
        _make_importable(Path.cwd())
    return _import(where, where)


def find_reference(value: object) -> str:
    """The reference under which another process can import this object; empty where there is none.

    A function is looked up under its own module and name; another object in every module of the user's that is loaded.
    """
    if inspect.isfunction(value):
        module = sys.modules.get(value.__module__)
        holders = [] if module is None or "<locals>" in value.__qualname__ else [(module, value.__qualname__)]
    else:
        holders = list(_holders(value))
    for module, name in holders:
        if _resolve(module, name) is value:
            where = _module_reference(module)
            if where:
                return f"{where}:{name}"
    return ""


# --- importing ------------------------------------------------------------------------------------------------------


def _load_file(where: str) -> ModuleType:
    path = Path(where)
    if not path.exists():
        raise MisuseError(f"there is no file {where}{_near_files(path)}")
    if path.is_dir():
        raise MisuseError(f"{where} is a folder: give a Python file in it{_python_files(path)}")
    if path.suffix != ".py":
        raise MisuseError(f"{where} is no Python file: its name must end with .py")
    path = path.resolve()
    root, name = _root_and_name(path)
    _make_importable(root)
    loaded = _loaded(name, path)
    if loaded is not None:
        return loaded
    if name not in sys.modules and name not in sys.stdlib_module_names and _found_at(name) == path:
        return _import(name, where)
    return _import_as(_free_name(path), path, where)


def _make_importable(folder: Path) -> None:
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))
        users_folders.append(str(folder))


def _root_and_name(path: Path) -> tuple[Path, str]:
    """The folder that must be importable, and the dotted name of the file below it."""
    parts = [path.stem]
    folder = path.parent
    while (folder / "__init__.py").is_file() and folder.name.isidentifier():
        parts.insert(0, folder.name)
        folder = folder.parent
    if len(parts) > 1 and parts[-1] == "__init__":
        parts.pop()
    return folder, ".".join(parts)


def _loaded(name: str, path: Path) -> ModuleType | None:
    for candidate in (name, _free_name(path)):
        module = sys.modules.get(candidate)
        if module is not None and _file_of(module) == path:
            return module
    return None


def _free_name(path: Path) -> str:
    name = f"stormproof_target_{path.stem}"
    module = sys.modules.get(name)
    if module is not None and _file_of(module) != path:
        name += "_" + hashlib.blake2b(str(path).encode(), digest_size=4).hexdigest()
    return name


def _file_of(module: ModuleType) -> Path | None:
    file = getattr(module, "__file__", None)
    return Path(file).resolve() if isinstance(file, str) else None


def _found_at(name: str) -> Path | None:
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, AttributeError, ValueError):
        return None
    return Path(spec.origin).resolve() if spec is not None and spec.origin else None


def _import(name: str, where: str) -> ModuleType:
    before = set(sys.modules)
    try:
        return importlib.import_module(name)
    except KeyboardInterrupt:
        raise
    except ModuleNotFoundError as error:
        if error.name is not None and (name == error.name or name.startswith(error.name + ".")):
            raise MisuseError(
                f"there is no module {name}: give a file that ends with .py, or a module that can be imported from here"
            ) from None
        _forget(before, name)
        raise MisuseError(_import_failure(where, error)) from error
    except BaseException as error:
        _forget(before, name)
        raise MisuseError(_import_failure(where, error)) from error


def _import_as(name: str, path: Path, where: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        sys.modules.pop(name, None)
        raise MisuseError(_import_failure(where, error)) from error
    return module


def _forget(before: set[str], name: str) -> None:
    if name not in before:
        sys.modules.pop(name, None)


def _import_failure(where: str, error: BaseException) -> str:
    """What went wrong and on which line of the user's; no traceback of ours."""
    said = "".join(traceback.format_exception_only(error)).strip().splitlines()[-1]
    if isinstance(error, SyntaxError):
        line = (error.text or "").strip()
        return f"{where} cannot be imported: {said}\n  {error.filename}, line {error.lineno}: {line}"
    if isinstance(error, SystemExit):
        said = f"it calls sys.exit({error.code!r}) while it is imported: guard that by `if __name__ == '__main__':`"
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if _is_users(frame.filename)]
    if not frames:
        return f"{where} cannot be imported: {said}"
    frame = frames[-1]
    return f"{where} cannot be imported: {said}\n  {frame.filename}, line {frame.lineno}: {frame.line or ''}"


def _is_users(filename: str) -> bool:
    return not filename.startswith("<frozen") and filename not in (__file__, importlib.__file__)


# --- looking into a module ------------------------------------------------------------------------------------------


def is_scenario(value: object) -> bool:
    """Whether it is a ``Scenario``. Where their module was never imported, nothing is one."""
    module = sys.modules.get(f"{__package__}.scenario")
    return module is not None and isinstance(value, module.Scenario)


def _scenarios(module: ModuleType) -> Iterator[tuple[str, Any]]:
    seen: list[Any] = []
    for name, value in vars(module).items():
        if is_scenario(value) and not name.startswith("_") and all(value is not other for other in seen):
            seen.append(value)
            yield name, value


def _functions(module: ModuleType) -> list[str]:
    return [
        name
        for name, value in vars(module).items()
        if inspect.iscoroutinefunction(value) and value.__module__ == module.__name__ and not name.startswith("_")
    ]


def _nothing_found(module: ModuleType, where: str) -> str:
    functions = _functions(module)
    if functions:
        listed = ", ".join(f"{where}:{name}" for name in functions)
        return f"{where} has no Scenario and no async function `main`: name the async function to run ({listed})"
    names = [name for name, value in vars(module).items() if not name.startswith("_") and callable(value)]
    found = f"found {', '.join(names[:8])}" if names else "it defines nothing"
    return (
        f"{where} has nothing to run ({found}): define `scenario = Scenario(...)` in it, "
        "or `async def main()` that uses Client and Worker"
    )


def _resolve(module: ModuleType, name: str) -> Any:
    value: Any = module
    for part in name.split("."):
        value = getattr(value, part, None)
    return value


def _attribute(module: ModuleType, name: str, where: str) -> Any:
    value: Any = module
    for part in name.split("."):
        if not hasattr(value, part):
            candidates = [key for key in dir(value) if not key.startswith("_")]
            runnable = [key for key, _ in _scenarios(module)] + _functions(module)
            close = difflib.get_close_matches(part, candidates, n=3) or runnable
            hint = f": did you mean {' or '.join(close)}?" if close else ": nothing in it can be run"
            raise MisuseError(f"{where} has no {name!r}{hint}")
        value = getattr(value, part)
    return value


def _checked(value: Any, name: str, where: str) -> Any:
    if is_scenario(value):
        return value
    if not inspect.iscoroutinefunction(value):
        what = "a plain function" if inspect.isfunction(value) else f"a {type(value).__name__}"
        remedy = f"write `async def {name}()`" if inspect.isfunction(value) else "name a Scenario or an async function"
        raise MisuseError(f"{where}:{name} is {what}: expected a Scenario or an async function; {remedy}")
    check_arguments(value, f"{where}:{name}")
    return value


def check_arguments(function: Callable[..., Any], name: str) -> None:
    """Raise ``MisuseError`` where a function needs more than it is given: a client, and seeded choices."""
    needed = [
        parameter.name
        for parameter in inspect.signature(function).parameters.values()
        if parameter.default is parameter.empty
        and parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
    ]
    if len(needed) > ARGUMENTS_MAX:
        raise MisuseError(
            f"{name} needs the arguments {', '.join(needed)}: what is run is called without any, with a client, "
            "or with a client and seeded choices"
        )


def _holders(value: object) -> Iterator[tuple[ModuleType, str]]:
    for module in list(sys.modules.values()):
        if isinstance(module, ModuleType) and not module.__name__.startswith("stormproof.sim"):
            for name, held in list(vars(module).items()):
                if held is value:
                    yield module, name


def _module_reference(module: ModuleType) -> str:
    """How another process finds the module: by its name if that is importable, else by its file."""
    path = _file_of(module)
    if module.__name__ != "__main__" and path is not None and _found_at_without_loading(module.__name__) == path:
        return module.__name__
    if path is None or path.suffix != ".py":
        return ""
    # As a user would write it: the reference goes into records and into the command that makes a run again.
    return path.relative_to(Path.cwd()).as_posix() if path.is_relative_to(Path.cwd()) else path.as_posix()


def _found_at_without_loading(name: str) -> Path | None:
    """Where a fresh process would find the module, from the top: what is loaded here proves nothing."""
    search: list[str] | None = None
    spec = None
    parts = name.split(".")
    for count in range(1, len(parts) + 1):
        spec = importlib.machinery.PathFinder.find_spec(".".join(parts[:count]), search)
        if spec is None:
            return None
        search = list(spec.submodule_search_locations or [])
    return Path(spec.origin).resolve() if spec is not None and spec.origin else None


# --- remedies -------------------------------------------------------------------------------------------------------


def _near_files(path: Path) -> str:
    folder = path.parent
    if not folder.is_dir():
        return f": the folder {folder.as_posix()} does not exist"
    names = sorted(item.name for item in folder.glob("*.py"))
    close = difflib.get_close_matches(path.name, names, n=3)
    return f": did you mean {' or '.join((folder / name).as_posix() for name in close)}?" if close else ""


def _python_files(folder: Path) -> str:
    names = sorted(item.name for item in folder.glob("*.py") if item.name != "__init__.py")[:5]
    return f" ({', '.join(names)})" if names else ""
