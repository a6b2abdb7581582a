"""Fail when a committed file of a package folder is missing from a wheel, or when the wheel holds anything else.

Usage: check_wheel.py CLONE WHEEL
"""

from __future__ import annotations

import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path


def files_expected(clone: Path) -> set[str]:
    """The wheel's names of all files that git tracks in the folders of pyproject.toml's package-dir table."""
    rooms = tomllib.loads((clone / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]["package-dir"]
    expected = set()
    for package, folder in rooms.items():
        tracked = subprocess.run(
            ["git", "-C", str(clone), "ls-files", "-z", "--", folder], check=True, capture_output=True, text=True
        ).stdout
        for name in tracked.rstrip("\0").split("\0"):
            expected.add(package.replace(".", "/") + name.removeprefix(folder))
    return expected


def main(clone: Path, wheel: Path) -> int:
    """Print what differs; returns 1 when anything does."""
    with zipfile.ZipFile(wheel) as archive:
        found = {name for name in archive.namelist() if ".dist-info/" not in name}
    expected = files_expected(clone)
    for name in sorted(expected - found):
        print(f"missing from the wheel: {name} (list its folder under tool.setuptools.packages in pyproject.toml)")
    for name in sorted(found - expected):
        print(f"in the wheel, but not committed in a package folder: {name}")
    print(f"{len(found & expected)} of {len(expected)} committed files are in {wheel.name}")
    return int(found != expected)


if __name__ == "__main__":
    raise SystemExit(main(Path(sys.argv[1]), Path(sys.argv[2])))
