"""Many runs of the correct examples: none may raise an alarm. Writes a dated result file.

    python benchmarks/soak.py [--seeds 5000] [--jobs 2] [--output benchmarks/results]

The file holds the commit, the versions, and for each example the verdicts, the faults that fired, and one digest over
the digests of all runs, so that anybody can make the same runs again and compare. It also holds a few seeds with their
own digests for spot checks (``tests/slow/test_soak_sample.py``).
"""

from __future__ import annotations

import argparse
import datetime as dt
import hashlib
import json
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

from stormproof.sim.campaign import CampaignResult
from stormproof.sim.version import VERSION

from stormproof import run_campaign

EXAMPLES = {
    "abc": "stormproof.examples.abc.scenario:correct",
    "order": "stormproof.examples.order.scenario:correct",
    "batch": "stormproof.examples.batch.scenario:correct",
}
SPOT_CHECKS = 20


def commit() -> str:
    """The commit that is checked out, with a plus sign where files differ from it."""
    root = Path(__file__).resolve().parent.parent
    head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=root, capture_output=True, text=True, check=True)
    changed = subprocess.run(["git", "status", "--porcelain"], cwd=root, capture_output=True, text=True, check=True)
    return head.stdout.strip() + ("+" if changed.stdout.strip() else "")


def summary(result: CampaignResult) -> dict[str, Any]:
    """What one campaign found, as plain data."""
    rows = sorted(result.rows, key=lambda row: row.seed)
    every = max(1, len(rows) // SPOT_CHECKS)
    statuses: dict[str, int] = {}
    for row in rows:
        statuses[str(row.status)] = statuses.get(str(row.status), 0) + 1
    return {
        "runs": len(rows),
        "statuses": statuses,
        "faults_fired": result.fault_counts(),
        "digest": hashlib.blake2b("".join(row.digest for row in rows).encode(), digest_size=16).hexdigest(),
        "spot_checks": {str(row.seed): row.digest for row in rows[::every][:SPOT_CHECKS]},
        "alarms": [[row.seed, row.error or str(row.verdicts)] for row in rows if str(row.status) != "holds"][:20],
        "real_s": round(result.real_s),
    }


def main() -> int:
    """Run everything; 1 if there was an alarm."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5_000)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--only", choices=sorted(EXAMPLES), action="append")
    parser.add_argument("--output", type=Path, default=Path(__file__).resolve().parent / "results")
    options = parser.parse_args()
    today = dt.datetime.now(dt.UTC).date().isoformat()
    found: dict[str, Any] = {
        "date": today,
        "commit": commit(),
        "stormproof": VERSION,
        "python": platform.python_version(),
        "seeds": options.seeds,
        "examples": {},
    }
    for name in options.only or EXAMPLES:
        print(f"{name}: {options.seeds} runs", file=sys.stderr, flush=True)
        found["examples"][name] = summary(run_campaign(EXAMPLES[name], seeds=options.seeds, jobs=options.jobs))
        print(json.dumps(found["examples"][name]["statuses"]), file=sys.stderr, flush=True)
    options.output.mkdir(parents=True, exist_ok=True)
    path = options.output / f"soak-{today}.json"
    path.write_text(json.dumps(found, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    print(path)
    return int(any(example["alarms"] for example in found["examples"].values()))


if __name__ == "__main__":
    sys.exit(main())
