"""Loads one module twice: as it is, for the real SDK, and with its imports swapped, for ours.

A workflow whose module imports ``temporalio`` moves over by replacing that word. That is what this does.
"""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

OURS = "stormproof.engine"


def load(path: Path, package: str) -> ModuleType:
    """Execute a module's source with ``temporalio`` replaced by ``package``."""
    name = f"both_{path.stem}_{package.replace('.', '_')}"
    if name in sys.modules:
        return sys.modules[name]
    source = path.read_text(encoding="utf-8").replace("temporalio", package)
    module = ModuleType(name)
    module.__file__ = str(path)
    sys.modules[name] = module
    exec(compile(source, str(path), "exec"), module.__dict__)
    return module


def load_both(path: Path) -> tuple[ModuleType, ModuleType]:
    """The module for the real SDK, and the one for ours."""
    return load(path, "temporalio"), load(path, OURS)
