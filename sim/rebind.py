"""Names imported before: ``from time import sleep`` keeps the real function when ``time.sleep`` is replaced.

So every module is searched for the objects that are replaced, and its names are bound to the replacements, and back
again. Looking through all modules takes about 8 ms where some 1,400 are loaded (freezegun's way 14 ms), a simulation
less than one. So a module of a library is searched once and what was found is remembered; modules of the user are
searched each time (a notebook's ``__main__`` changes between two cells), as are modules that are new.
"""

from __future__ import annotations

import sys
import sysconfig
from collections.abc import Mapping
from types import ModuleType
from typing import Any

_OURS = ("stormproof.engine", "stormproof.faults", "stormproof.properties", "stormproof.reports", "stormproof.sim")
_LEFT_ALONE = frozenset(
    (
        # They keep the host's time for good reasons: they time real threads, real tests, real processes.
        *(
            "_pytest",
            "pytest",
            "pluggy",
            "xdist",
            "execnet",
            "hypothesis",
            "rich",
            "pebble",
            "freezegun",
            "greenlet",
            "simpy",
        ),
        *("multiprocessing", "concurrent", "subprocess", "selectors", "socketserver", "asyncio"),
        *("time", "datetime", "_datetime", "_pydatetime", "_strptime"),
    )
)
_LIBRARY_FOLDERS = tuple(
    {sysconfig.get_paths()[name]: None for name in ("stdlib", "platstdlib", "purelib", "platlib")}.keys()
)


class Places:
    """Where replaced objects are bound, in all modules."""

    def __init__(self) -> None:
        self._library: dict[str, ModuleType] = {}
        self._user: dict[str, ModuleType] = {}
        self._found: list[tuple[dict[str, Any], str, Any]] = []
        self._count = 0
        self._targets: frozenset[int] = frozenset()

    def forget(self) -> None:
        """Search all modules anew next time."""
        self._library.clear()
        self._user.clear()
        self._found.clear()
        self._count = 0

    def bind(self, replacements: Mapping[int, tuple[Any, Any]]) -> list[tuple[dict[str, Any], str, Any]]:
        """Bind every name of a replaced object to its replacement.

        Args:
            replacements: ``id`` of an object -> the object and its replacement.

        Returns:
            What to give to ``restore``.
        """
        if replacements.keys() != self._targets:
            self.forget()  # other objects than last time: nothing known is of use
            self._targets = frozenset(replacements)
        self._search_new(replacements)
        places = list(self._found)
        for name, module in self._user.items():
            if sys.modules.get(name) is module:
                places += _search(module, replacements)
        changed = []
        for namespace, name, original in places:
            if namespace.get(name) is original:
                namespace[name] = replacements[id(original)][1]
                changed.append((namespace, name, original))
        return changed

    def restore(
        self, changed: list[tuple[dict[str, Any], str, Any]], replacements: Mapping[int, tuple[Any, Any]]
    ) -> None:
        """Undo ``bind``, also in modules that were imported since and got the replacements."""
        for namespace, name, original in changed:
            if namespace.get(name) is replacements[id(original)][1]:
                namespace[name] = original
        backwards = {id(replacement): (replacement, original) for original, replacement in replacements.values()}
        for name, module in [*self._new_modules(), *self._user.items()]:
            if not _is_left_alone(name):
                for namespace, attribute, replacement in _search(module, backwards):
                    namespace[attribute] = backwards[id(replacement)][1]

    def _new_modules(self) -> list[tuple[str, ModuleType]]:
        if len(sys.modules) == self._count:
            return []
        known, user = self._library, self._user
        return [
            (name, module)
            for name, module in list(sys.modules.items())
            if module is not known.get(name) and module is not user.get(name) and isinstance(module, ModuleType)
        ]

    def _search_new(self, replacements: Mapping[int, tuple[Any, Any]]) -> None:
        for name, module in self._new_modules():
            if _is_left_alone(name):
                self._library[name] = module
            elif _is_library(module):
                self._library[name] = module
                self._found += _search(module, replacements)
            else:
                self._user[name] = module
        self._count = len(sys.modules)


def _search(module: ModuleType, replacements: Mapping[int, tuple[Any, Any]]) -> list[tuple[dict[str, Any], str, Any]]:
    namespace = vars(module)
    if replacements.keys().isdisjoint(map(id, namespace.values())):
        return []
    return [(namespace, name, value) for name, value in list(namespace.items()) if id(value) in replacements]


def _is_left_alone(name: str) -> bool:
    return name.partition(".")[0] in _LEFT_ALONE or name.startswith(_OURS)


def _is_library(module: ModuleType) -> bool:
    if module.__name__ == "__main__":
        return False
    path = getattr(module, "__file__", None)
    return path is None or str(path).startswith(_LIBRARY_FOLDERS)


def is_user_module(module: ModuleType) -> bool:
    """Whether a module is neither of a library nor ours (our examples count as the user's)."""
    name = module.__name__
    return name.startswith("stormproof.examples") or not (_is_left_alone(name) or _is_library(module))
