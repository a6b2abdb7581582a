"""Conformance tests share helpers (``real_core``, ``both``, ``toy_server``), which they import by name."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
