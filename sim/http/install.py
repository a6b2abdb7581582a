"""Installing and removing what makes HTTP libraries and sockets work on the simulated network.

Counted: the outermost install installs. ``httpx`` and ``requests`` are optional and take long to import, so they are
patched if they are loaded, or when they will be: a finder at the head of ``sys.meta_path`` waits for them. Code outside
any simulated process gets what it always got, installed or not.
"""

from __future__ import annotations

import importlib.machinery
import importlib.util
import sys
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from importlib.abc import Loader, MetaPathFinder
from types import ModuleType
from typing import Any

from . import httpx_transport, requests_adapter, sockets

Undo = Callable[[], None]

LIBRARIES: dict[str, Callable[[Any], Undo]] = {
    "httpx": httpx_transport.patch,
    "requests.adapters": requests_adapter.patch,
}


class _Waiting(MetaPathFinder):
    """Finds nothing itself: lets the others find a library, and patches it when it has been loaded."""

    def __init__(self, installation: _Installation) -> None:
        self._installation = installation
        self._busy = False

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname not in LIBRARIES or self._busy:
            return None
        self._busy = True
        try:
            spec = importlib.util.find_spec(fullname)
        finally:
            self._busy = False
        if spec is not None and spec.loader is not None:
            spec.loader = _PatchingLoader(spec.loader, self._installation)
        return spec


class _PatchingLoader(Loader):
    """A library's own loader, and then the patch."""

    def __init__(self, loader: Any, installation: _Installation) -> None:
        self._loader = loader
        self._installation = installation

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType | None:
        module: ModuleType | None = self._loader.create_module(spec)
        return module

    def exec_module(self, module: ModuleType) -> None:
        # Nobody is to see that we were here (``importlib.resources`` asks a module's loader).
        module.__loader__ = self._loader
        if module.__spec__ is not None:
            module.__spec__.loader = self._loader
        self._loader.exec_module(module)
        self._installation.loaded(module.__name__)


class _Installation:
    """What is installed now."""

    def __init__(self) -> None:
        self._holders = 0
        self._undo: dict[str, Undo] = {}
        self._finder = _Waiting(self)

    def hold(self) -> None:
        self._holders += 1
        if self._holders > 1:
            return
        self._undo["socket"] = sockets.patch()
        missing = False
        for name in LIBRARIES:
            if name in sys.modules:
                self.loaded(name)
            else:
                missing = True
        if missing:
            sys.meta_path.insert(0, self._finder)

    def loaded(self, name: str) -> None:
        """A library is there."""
        if self._holders and name not in self._undo:
            self._undo[name] = LIBRARIES[name](sys.modules[name])

    def release(self) -> None:
        assert self._holders > 0, "uninstall_http() without install_http()"
        self._holders -= 1
        if self._holders:
            return
        for undo in reversed(list(self._undo.values())):
            undo()
        self._undo.clear()
        if self._finder in sys.meta_path:
            sys.meta_path.remove(self._finder)


_installation = _Installation()


def install_http() -> None:
    """From now on the HTTP libraries work on the simulated network in simulated processes, and sockets are refused."""
    _installation.hold()


def uninstall_http() -> None:
    """Undo one ``install_http()``; the last one restores everything."""
    _installation.release()


@contextmanager
def installed_http() -> Generator[None, None, None]:
    """Both, around a block."""
    install_http()
    try:
        yield
    finally:
        uninstall_http()


__all__ = ["install_http", "installed_http", "uninstall_http"]
