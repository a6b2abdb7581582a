"""The fakes can be imported by name, here and in simulation processes; what a test imports is forgotten after it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from stormproof.sim import loading

FAKES = str(Path(__file__).parent)
if FAKES not in sys.path:
    sys.path.append(FAKES)


@pytest.fixture(autouse=True)
def _own_imports(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(sys, "path", list(sys.path))
    folders = list(loading.users_folders)
    modules = set(sys.modules)
    yield
    loading.users_folders[:] = folders
    for name in sorted(set(sys.modules) - modules):
        if not name.startswith("stormproof."):
            module = sys.modules[name]
            file = getattr(module, "__file__", None) or ""
            if "pytest-" in file:
                del sys.modules[name]
