"""The public names, pinned: whoever adds, renames or removes one sees it here and in the changelog.

After a change that is wanted: `python tests/unit/test_exports.py --update`, with the package installed.
"""

from __future__ import annotations

import importlib
import pkgutil
import sys
from pathlib import Path

LIST = Path(__file__).with_name("exports.txt")
# The face: modules directly in the package. The rooms behind it are private, and `__main__` runs on import.
NOT_FACE = {"engine", "sim", "faults", "properties", "reports", "examples", "__main__"}


def public_names() -> list[str]:
    """`stormproof.<name>` and `stormproof.<module>.<name>` for everything in an `__all__` of the face."""
    import stormproof

    modules = ["stormproof"]
    modules += [f"stormproof.{found.name}" for found in pkgutil.iter_modules(stormproof.__path__)]
    names = []
    for module_name in modules:
        if module_name.rpartition(".")[2] in NOT_FACE:
            continue
        module = importlib.import_module(module_name)
        assert hasattr(module, "__all__"), f"{module_name} says in no __all__ what is public"
        for name in module.__all__:
            assert hasattr(module, name), f"{module_name}.__all__ names {name}, which is not there"
            names.append(f"{module_name}.{name}")
    return sorted(names)


def test_public_names_are_the_pinned_ones() -> None:
    pinned = LIST.read_text(encoding="utf-8").split()
    found = public_names()
    assert len(found) == len(set(found))
    added, removed = sorted(set(found) - set(pinned)), sorted(set(pinned) - set(found))
    assert not added, f"new public names; if they are wanted: {__doc__}"
    assert not removed, f"public names that are gone; if that is wanted: {__doc__}"
    assert pinned == found, "not in order: update the list"


if __name__ == "__main__":
    if sys.argv[1:] != ["--update"]:
        raise SystemExit(__doc__)
    LIST.write_text("\n".join(public_names()) + "\n", encoding="utf-8")
