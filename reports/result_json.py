"""The machine-readable result of ``stormproof run --json``: the verdict, and each run with its seed.

Nothing in it depends on when, where or how fast it was made: same results, same bytes.
"""

from __future__ import annotations

import json
import platform
from typing import Any

from ..sim.campaign import CampaignResult, ExitCode, RunRow
from ..sim.version import VERSION

SCHEMA_VERSION = 1

_VERDICTS: dict[ExitCode, str] = {
    ExitCode.HOLDS: "holds",
    ExitCode.VIOLATED: "violated",
    ExitCode.MISUSE: "misuse",
    ExitCode.UNKNOWN: "unknown",
    ExitCode.INTERNAL_ERROR: "error",
    ExitCode.INTERRUPTED: "interrupted",
}


def result_json(results: list[CampaignResult], *, exit_code: ExitCode, campaign: bool) -> str:
    """The results as indented JSON with sorted keys.

    Args:
        results: One for each scenario that was run.
        exit_code: How the command ends.
        campaign: Whether it was a campaign, not a single run: only a campaign is unknown for want of faults.
    """
    data = {
        "schema_version": SCHEMA_VERSION,
        "stormproof_version": VERSION,
        "python_version": platform.python_version(),
        "verdict": _VERDICTS[exit_code],
        "exit_code": int(exit_code),
        "scenarios": [_scenario(result, campaign=campaign) for result in results],
    }
    return json.dumps(data, indent=2, sort_keys=True, ensure_ascii=True) + "\n"


def _scenario(result: CampaignResult, *, campaign: bool) -> dict[str, Any]:
    failure = result.first_failure
    return {
        "scenario": result.scenario,
        "name": result.name,
        "options": result.options.to_data(),
        "base_seed": result.base_seed,
        "seed_count": result.seed_count,
        "runs_finished": len(result.rows),
        "interrupted": result.interrupted,
        "resumed": result.resumed,
        "verdict": "error" if result.errors else _VERDICTS[_plain_code(result)] if campaign else result.rows[0].status,
        "unknown_reasons": result.unknown_reasons if campaign and failure is None else [],
        "properties": [
            {
                "code": count.code,
                "workflow": count.workflow,
                "result": count.result.value,
                "holds": count.holds,
                "violated": count.violated,
                "unknown": count.unknown,
            }
            for count in result.verdict_counts()
        ],
        "faults_fired": result.fault_counts(),
        "first_failure": None if failure is None else {"seed": failure.seed, "command": result.command(failure.seed)},
        "runs": [_run(row) for row in result.rows],
    }


def _plain_code(result: CampaignResult) -> ExitCode:
    """The verdict on what was finished, whether or not the campaign was stopped."""
    code = {"true": ExitCode.HOLDS, "false": ExitCode.VIOLATED, "unknown": ExitCode.UNKNOWN}
    return code[result.result.value]


def _run(row: RunRow) -> dict[str, Any]:
    return {
        "seed": row.seed,
        "status": row.status.value,
        "digest": row.digest,
        "python_hash_seed": row.python_hash_seed,
        "verdicts": [
            {"code": code, "workflow": workflow, "result": result.value, "message": message}
            for code, workflow, result, message in row.verdicts
        ],
        "faults_fired": row.faults_fired,
        "figures": row.figures,
        "stopped_by": row.stopped_by,
        "error": row.error,
    }
