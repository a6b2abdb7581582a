"""What the real SDK makes of histories: its verdict, and each activation that its core has made, with the answer.

A ``WorkflowRunner`` of our own, handed to the real ``Replayer``, sees every activation. Activations and answers are
told as plain data, real ones and ours alike, so that they can be compared.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from stormproof.engine.core import activation as act
from stormproof.engine.core.failures import Failure
from stormproof.engine.core.siphash import randomness_seed
from temporalio.bridge.proto.workflow_activation import WorkflowActivation
from temporalio.bridge.proto.workflow_completion import WorkflowActivationCompletion
from temporalio.client import WorkflowHistory
from temporalio.worker import (
    Replayer,
    UnsandboxedWorkflowRunner,
    WorkflowInstance,
    WorkflowInstanceDetails,
    WorkflowRunner,
)
from temporalio.workflow import NondeterminismError

Plain = dict[str, Any]


@dataclass
class Seen:
    """What became of one history."""

    verdict: str = "accepted"
    """"accepted", "nondeterminism" or "failed"."""
    message: str = ""
    activations: list[Plain] = field(default_factory=list)
    answers: list[Plain] = field(default_factory=list)


# --- the real SDK ---------------------------------------------------------------------------------------------------


class WatchingRunner(WorkflowRunner):
    """Runs workflows as the real SDK does without sandbox, and keeps what goes in and out."""

    def __init__(self) -> None:
        self.seen = Seen()

    def prepare_workflow(self, defn: Any) -> None:
        """There is nothing to prepare."""

    def create_instance(self, det: WorkflowInstanceDetails) -> WorkflowInstance:
        """Wrap the real instance."""
        instance = UnsandboxedWorkflowRunner().create_instance(det)
        activate = instance.activate

        def watched(activation: WorkflowActivation) -> WorkflowActivationCompletion:
            is_eviction = any(job.HasField("remove_from_cache") for job in activation.jobs)
            if not is_eviction:
                self.seen.activations.append(real_activation(activation))
            completion = activate(activation)
            if not is_eviction:
                self.seen.answers.append(real_answer(completion))
            return completion

        instance.activate = watched  # type: ignore[method-assign]
        return instance


def replay_real(histories: Sequence[tuple[str, Plain]], classes: Sequence[type]) -> list[Seen]:
    """The real Replayer's verdicts on histories in Temporal's JSON, each with its workflow's id."""
    return asyncio.run(_replay_real(histories, classes))


async def _replay_real(histories: Sequence[tuple[str, Plain]], classes: Sequence[type]) -> list[Seen]:
    runner = WatchingRunner()
    found: list[Seen] = []

    async def each() -> AsyncIterator[WorkflowHistory]:
        for workflow_id, history in histories:
            yield WorkflowHistory.from_json(workflow_id, json.dumps(history))

    replayer = Replayer(workflows=list(classes), workflow_runner=runner)
    async with replayer.workflow_replay_iterator(each()) as results:
        async for result in results:
            seen, runner.seen = runner.seen, Seen()
            if result.replay_failure is not None:
                is_nondeterminism = isinstance(result.replay_failure, NondeterminismError)
                seen.verdict = "nondeterminism" if is_nondeterminism else "failed"
                seen.message = str(result.replay_failure)
            found.append(seen)
    return found


def _us(value: Any) -> int:
    return int(value.seconds * 1_000_000 + value.nanos // 1000)


def real_activation(activation: WorkflowActivation) -> Plain:
    """A real activation as plain data."""
    return {
        "timestamp_us": _us(activation.timestamp),
        "is_replaying": activation.is_replaying,
        "history_length": activation.history_length,
        "history_size_bytes": activation.history_size_bytes,
        "continue_as_new_suggested": activation.continue_as_new_suggested,
        "flags": sorted(activation.available_internal_flags),
        "jobs": [_real_job(job) for job in activation.jobs],
    }


def _real_job(job: Any) -> Plain:
    kind = job.WhichOneof("variant")
    value = getattr(job, kind)
    if kind == "initialize_workflow":
        return {
            "kind": kind,
            "workflow_id": value.workflow_id,
            "workflow_type": value.workflow_type,
            "arguments": [payload.data for payload in value.arguments],
            "headers": {key: payload.data for key, payload in value.headers.items()},
            "identity": value.identity,
            "randomness_seed": value.randomness_seed,
            "attempt": value.attempt,
            "start_time_us": _us(value.start_time),
        }
    if kind == "resolve_activity":
        status = value.result.WhichOneof("status")
        outcome = getattr(value.result, status)
        plain: Plain = {"kind": kind, "seq": value.seq, "status": status, "result": None, "failure": None}
        if status == "completed":
            plain["result"] = outcome.result.data if outcome.HasField("result") else None
        else:
            plain["failure"] = _real_failure(outcome.failure)
        return plain
    if kind == "signal_workflow":
        data = [payload.data for payload in value.input]
        return {"kind": kind, "name": value.signal_name, "input": data, "identity": value.identity}
    if kind == "fire_timer":
        return {"kind": kind, "seq": value.seq}
    if kind == "cancel_workflow":
        return {"kind": kind, "reason": value.reason}
    if kind == "notify_has_patch":
        return {"kind": kind, "patch_id": value.patch_id}
    if kind == "update_random_seed":
        return {"kind": kind, "randomness_seed": value.randomness_seed}
    raise AssertionError(f"unexpected job {kind}")


def _real_failure(failure: Any) -> Plain:
    kind = failure.WhichOneof("failure_info") or ""
    info = getattr(failure, kind) if kind else None
    return {
        "message": failure.message,
        "kind": kind,
        "info": _told(info, _INFO_FIELDS.get(kind, ())),
        "cause": _real_failure(failure.cause) if failure.HasField("cause") else None,
    }


def real_answer(completion: WorkflowActivationCompletion) -> Plain:
    """A real completion as plain data."""
    if completion.HasField("failed"):
        return {"failure": _real_failure(completion.failed.failure)}
    return {
        "commands": [_real_command(command) for command in completion.successful.commands],
        "flags": sorted(set(completion.successful.used_internal_flags)),
    }


def _real_command(command: Any) -> Plain:
    kind = command.WhichOneof("variant")
    value = getattr(command, kind)
    summary = command.user_metadata.summary.data if command.HasField("user_metadata") else None
    if kind == "start_timer":
        return {"kind": kind, "seq": value.seq, "delay_us": _us(value.start_to_fire_timeout), "summary": summary}
    if kind in ("cancel_timer", "request_cancel_activity"):
        return {"kind": kind, "seq": value.seq}
    if kind == "schedule_activity":
        return {
            "kind": kind,
            "seq": value.seq,
            "activity_id": value.activity_id,
            "activity_type": value.activity_type,
            "arguments": [payload.data for payload in value.arguments],
            "timeouts_us": [
                _us(value.schedule_to_close_timeout),
                _us(value.schedule_to_start_timeout),
                _us(value.start_to_close_timeout),
                _us(value.heartbeat_timeout),
            ],
            "attempts_max": value.retry_policy.maximum_attempts if value.HasField("retry_policy") else None,
            "cancellation_type": value.cancellation_type,
            "summary": summary,
        }
    if kind == "complete_workflow_execution":
        return {"kind": kind, "result": value.result.data}
    if kind == "fail_workflow_execution":
        return {"kind": kind, "failure": _real_failure(value.failure)}
    if kind == "set_patch_marker":
        return {"kind": kind, "patch_id": value.patch_id, "deprecated": value.deprecated}
    assert kind == "cancel_workflow_execution", kind
    return {"kind": kind}


_INFO_FIELDS: dict[str, tuple[str, ...]] = {
    "application_failure_info": ("type", "non_retryable"),
    "timeout_failure_info": ("timeout_type",),
    "canceled_failure_info": (),
    "activity_failure_info": (
        *("scheduled_event_id", "started_event_id", "identity", "activity_type", "activity_id", "retry_state"),
    ),
}


def _told(info: Any, names: Sequence[str]) -> Plain:
    told: Plain = {}
    for name in names:
        value = getattr(info, name)
        told[name] = (
            int(value) if isinstance(value, int) and not isinstance(value, bool) else getattr(value, "name", value)
        )
    return told


# --- ours -----------------------------------------------------------------------------------------------------------


def our_activation(activation: act.Activation) -> Plain:
    """One of our activations as plain data."""
    return {
        "timestamp_us": activation.timestamp_us,
        "is_replaying": activation.is_replaying,
        "history_length": activation.history_length,
        "history_size_bytes": activation.history_size_bytes,
        "continue_as_new_suggested": activation.continue_as_new_suggested,
        "flags": sorted(activation.available_internal_flags),
        "jobs": [_our_job(job) for job in activation.jobs],
    }


def _our_job(job: act.Job) -> Plain:
    if isinstance(job, act.InitializeWorkflow):
        return {
            "kind": "initialize_workflow",
            "workflow_id": job.workflow_id,
            "workflow_type": job.workflow_type,
            "arguments": [payload.data for payload in job.arguments],
            "headers": {key: payload.data for key, payload in job.headers.items()},
            "identity": job.identity,
            "randomness_seed": randomness_seed(job.started.original_execution_run_id),
            "attempt": job.started.attempt,
            "start_time_us": job.started.time_us,
        }
    if isinstance(job, act.ResolveActivity):
        return {
            "kind": "resolve_activity",
            "seq": job.seq,
            "status": job.status,
            "result": None if job.result is None else job.result.data,
            "failure": None if job.failure is None else _our_failure(job.failure),
        }
    if isinstance(job, act.SignalWorkflow):
        data = [payload.data for payload in job.input]
        return {"kind": "signal_workflow", "name": job.signal_name, "input": data, "identity": job.identity}
    if isinstance(job, act.FireTimer):
        return {"kind": "fire_timer", "seq": job.seq}
    if isinstance(job, act.CancelWorkflow):
        return {"kind": "cancel_workflow", "reason": job.reason}
    if isinstance(job, act.NotifyHasPatch):
        return {"kind": "notify_has_patch", "patch_id": job.patch_id}
    assert isinstance(job, act.UpdateRandomSeed), job
    return {"kind": "update_random_seed", "randomness_seed": randomness_seed(job.run_id)}


def _our_failure(failure: Failure) -> Plain:
    info = failure.info
    kind = "" if info is None else _snake(type(info).__name__)
    return {
        "message": failure.message,
        "kind": kind,
        "info": _told(info, _INFO_FIELDS.get(kind, ())),
        "cause": None if failure.cause is None else _our_failure(failure.cause),
    }


def _snake(name: str) -> str:
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name).lstrip("_")


def our_answer(completion: act.ActivationCompletion) -> Plain:
    """One of our completions as plain data."""
    if completion.failure is not None:
        return {"failure": _our_failure(completion.failure)}
    commands = [_our_command(command) for command in completion.commands]
    return {"commands": commands, "flags": sorted(set(completion.used_internal_flags))}


def _our_command(command: act.WorkflowCommand) -> Plain:
    if isinstance(command, act.StartTimerCommand):
        delay_us = command.start_to_fire_timeout_us
        return {"kind": "start_timer", "seq": command.seq, "delay_us": delay_us, "summary": _summary(command)}
    if isinstance(command, act.CancelTimerCommand):
        return {"kind": "cancel_timer", "seq": command.seq}
    if isinstance(command, act.RequestCancelActivityCommand):
        return {"kind": "request_cancel_activity", "seq": command.seq}
    if isinstance(command, act.ScheduleActivityCommand):
        policy = command.retry_policy
        return {
            "kind": "schedule_activity",
            "seq": command.seq,
            "activity_id": command.activity_id,
            "activity_type": command.activity_type,
            "arguments": [payload.data for payload in command.arguments],
            "timeouts_us": [
                command.schedule_to_close_timeout_us,
                command.schedule_to_start_timeout_us,
                command.start_to_close_timeout_us,
                command.heartbeat_timeout_us,
            ],
            "attempts_max": None if policy is None else policy.maximum_attempts,
            "cancellation_type": int(command.cancellation_type),
            "summary": _summary(command),
        }
    if isinstance(command, act.CompleteWorkflowCommand):
        return {
            "kind": "complete_workflow_execution",
            "result": None if command.result is None else command.result.data,
        }
    if isinstance(command, act.FailWorkflowCommand):
        return {"kind": "fail_workflow_execution", "failure": _our_failure(command.failure)}
    if isinstance(command, act.SetPatchMarkerCommand):
        return {"kind": "set_patch_marker", "patch_id": command.patch_id, "deprecated": command.deprecated}
    assert isinstance(command, act.CancelWorkflowCommand), command
    return {"kind": "cancel_workflow_execution"}


def _summary(command: act.StartTimerCommand | act.ScheduleActivityCommand) -> bytes | None:
    metadata = command.user_metadata
    return None if metadata is None or metadata.summary is None else metadata.summary.data


def replay_ours(workflow_id: str, history: Plain, definition: Any) -> Seen:
    """Our verdict on a history in Temporal's JSON, with our activations and answers."""
    from stormproof.engine.converter import DataConverter
    from stormproof.engine.history_json import events_from_json
    from stormproof.engine.replayer import replay

    seen = Seen()

    def watch(activation: act.Activation, completion: act.ActivationCompletion) -> None:
        seen.activations.append(our_activation(activation))
        seen.answers.append(our_answer(completion))

    result = replay(
        events_from_json(history), definition, DataConverter.default, workflow_id=workflow_id, on_activation=watch
    )
    if not result.ok:
        seen.verdict = "nondeterminism" if result.is_nondeterminism else "failed"
        seen.message = result.message
    return seen
