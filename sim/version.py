"""The version of this package, as it is written into records and reports."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version


def _version() -> str:
    try:
        return version("stormproof")
    except PackageNotFoundError:
        return "unknown"


VERSION = _version()
