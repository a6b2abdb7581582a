"""What the face offers has the names and signatures of ``temporalio``; deviations stand in one table with reasons.

Compared: the public names of each module; parameters by name, kind and default; the members of classes and of
enumerations. Options that are declared as one ``TypedDict`` count as the keyword parameters that they stand for.
"""

from __future__ import annotations

import dataclasses
import enum
import importlib
import inspect
import re
import typing
from typing import Any

import pytest

pytest.importorskip("temporalio")

MODULES = ("activity", "client", "common", "converter", "exceptions", "service", "worker", "workflow")

# Pattern of places (module.name, module.name(parameter), module.class.member) -> why ours is different.
LATER = "not a feature of this engine yet; whoever uses it gets a TypeError or AttributeError that names it"
NETWORK = "there is no network connection to configure: a simulation is"
PROTOBUF = "there are no protocol buffers here; our dataclasses take their place"
SANDBOX = "there is no sandbox to configure"

DEVIATIONS = {
    r"activity\.Info(\.|\()(priority|activity_run_id)\)?": LATER,
    r"activity\.defn\(dynamic\)": LATER,
    r"client\.Client(\.connect)?\((header_codec_behavior|interceptors|plugins)\)": LATER,
    r"client\.Client\.connect\((api_key|connect_timeout|dns_load_balancing_config|grpc_compression|"
    r"http_connect_proxy_config|keep_alive_config|payload_limits|retry_config|rpc_metadata|runtime|tls)\)": NETWORK,
    r"client\.Client(\(service_client\)|\.(service_client|api_key|rpc_metadata|config))": NETWORK,
    r"client\.Client\.(operator|test|workflow)_service": NETWORK,
    r"client\.Client\(identity\)": "takes the place of the service client's",
    r"client\.Client\.default_workflow_query_reject_condition": "kept here; the real one keeps it in its config",
    r"client\.Client\.(count|list)_\w+": LATER,
    r"client\.Client\.\w+_(activity|activity_class|activity_method|activity_handle)": LATER,
    r"client\.Client\.\w*(nexus|schedule|update|worker)\w*": LATER,
    r"client\.Client\.(execute|start)_workflow\((cron_schedule|priority|request_eager_start|search_attributes|"
    r"start_signal|start_signal_args|stack_level|versioning_override)\)": LATER,
    r"(client|service)\.RPCError(\(raw_grpc_status\)|\.grpc_status)": PROTOBUF,
    r"client\.WorkflowExecutionDescription.*": "an answer that users read and don't make; its other fields come later",
    r"client\.WorkflowExecutionStatus": "the engine's own enumeration, which has Temporal's UNSPECIFIED as well",
    r"client\.WorkflowHandle\(start_workflow_response\)": PROTOBUF,
    r"client\.WorkflowHandle\.\w*update\w*": LATER,
    r"client\.WorkflowHandle\.fetch_history(_events|\(event_filter_type\)|\(skip_archival\))": LATER,
    r"common\.RetryPolicy\.(apply_to_proto|from_proto)": PROTOBUF,
    r"common\.RetryPolicy\.(to_data|from_data)": PROTOBUF,
    r"converter\.\w+(\.payload_converter_class)?\.(get_converters_)?with_context": LATER,
    r"converter\.DataConverter(\(|\.)(external_storage|payload_codec)\)?": LATER,
    r"converter\.DataConverter\.(en|de)code_wrapper": PROTOBUF,
    r"converter\.DataConverter\.(from|to)_failure": PROTOBUF,
    r"converter\.(Failure|Payload)": PROTOBUF,
    r"worker\.Replayer(\(|\.)(build_id|header_codec_behavior|interceptors|plugins|config)\)?": LATER,
    r"worker\.Replayer\((debug_mode|disable_safe_workflow_eviction|identity|runtime|workflow_task_executor)\)": (
        "replays in the calling thread"
    ),
    r"worker\.(Replayer|Worker)\((unsandboxed_)?workflow_runner\)": SANDBOX,
    r"worker\.Replayer\.replay": "one history, without a coroutine around it",
    r"worker\.WorkflowReplayResults\(replay_failures\)": "starts empty",
    r"worker\.Worker\((\w+_poller_behavior|max_\w+|nonsticky_to_sticky_poll_ratio|no_remote_activities|"
    r"disable_\w+|deployment_config|build_id|use_worker_versioning|interceptors|plugins|plugin_shutdown_timeout|"
    r"nexus_\w+|on_fatal_error|patch_activation_callback|shared_state_manager|tuner|workflow_task_executor)\)": LATER,
    r"worker\.Worker\.config": LATER,
    r"worker\.Worker\.settings": "for the machine that runs the worker",
    r"workflow\.ActivityConfig\.(event_groups|priority|versioning_intent)": LATER,
    r"workflow\.ActivityHandle.*": "made by the runtime only; both are an asyncio.Task",
    r"workflow\.Info(\(|\.)(parent|priority|root|search_attributes|typed_search_attributes)\)?": LATER,
    r"workflow\.Info\.(get_current_build_id|get_current_deployment_version|"
    r"is_target_worker_deployment_version_changed)": LATER,
    r"workflow\.LoggerAdapter\.(disable_sandbox|log|unsafe_disable_sandbox)": SANDBOX,
    r"workflow\.defn\(versioning_behavior\)": LATER,
    r"workflow\.\w+\((event_groups|priority|versioning_intent)\)": LATER,
    r"workflow\.unsafe\.(current_import_notification_policy_override|is_imports_passed_through|"
    r"sandbox_import_notification_policy)": SANDBOX,
}


def parameters(function: Any) -> dict[str, tuple[str, str]]:
    """Kind and default of each parameter, as texts."""
    found: dict[str, tuple[str, str]] = {}
    signature = inspect.signature(function)
    for name, parameter in signature.parameters.items():
        if name in ("self", "cls"):
            continue
        if parameter.kind is parameter.VAR_KEYWORD and "Unpack" in str(parameter.annotation):
            hints = typing.get_type_hints(inspect.unwrap(function))
            [options] = typing.get_args(hints[name])
            found.update(dict.fromkeys(options.__annotations__, ("KEYWORD_ONLY", "?")))
        else:
            found[name] = (parameter.kind.name, plain(parameter.default))
    return found


def plain(default: Any) -> str:
    if default is inspect.Parameter.empty:
        return "required"
    if isinstance(default, enum.Enum):
        return f"{type(default).__name__}.{default.name}"
    if type(default) is object:
        return "unset"
    if isinstance(default, (list, tuple)) and not default:
        return "empty"
    if isinstance(default, type):
        return default.__name__
    if dataclasses.is_dataclass(default):
        return type(default).__name__
    return repr(default)


def same(real: tuple[str, str], ours: tuple[str, str]) -> bool:
    return real[0] == ours[0] and ("?" in (real[1], ours[1]) or real[1] == ours[1])


def compare_functions(where: str, real: Any, ours: Any) -> dict[str, str]:
    """Deviations by place."""
    expected, found = parameters(real), parameters(ours)
    deviations = {f"{where}({name})": "absent" for name in expected if name not in found}
    deviations |= {f"{where}({name})": "added" for name in found if name not in expected}
    common = [name for name in expected if name in found]
    for name in common:
        if not same(expected[name], found[name]):
            deviations[f"{where}({name})"] = f"{expected[name]} became {found[name]}"
    by_position = [name for name in common if expected[name][0].startswith("POSITIONAL")]
    if by_position != [name for name in found if name in by_position]:
        deviations[f"{where}()"] = "other order"
    if inspect.iscoroutinefunction(real) != inspect.iscoroutinefunction(ours):
        deviations[f"{where}()"] = "async or not"
    return deviations


def compare_classes(where: str, real: Any, ours: Any) -> dict[str, str]:
    if issubclass(real, enum.Enum):
        members = {member.name: member.value for member in real}
        found = {member.name: member.value for member in ours}
        return {} if members == found else {where: f"members {members} became {found}"}
    deviations = {}
    if typing.is_typeddict(real):
        expected, keys = set(real.__annotations__), set(ours.__annotations__)
        deviations |= {f"{where}.{name}": "absent" for name in expected - keys}
        return deviations | {f"{where}.{name}": "added" for name in keys - expected}
    if real.__init__ is not object.__init__:
        deviations |= compare_functions(where, real.__init__, ours.__init__)
    for name in sorted(members_of(real) | members_of(ours)):
        place = f"{where}.{name}"
        if name not in members_of(ours):
            deviations[place] = "absent"
        elif name not in members_of(real):
            deviations[place] = "added"
        else:
            deviations |= compare(
                place, inspect.getattr_static(real, name, None), inspect.getattr_static(ours, name, None)
            )
    return deviations


def members_of(cls: type) -> set[str]:
    """Public members, those of bases included as far as they belong to the same package."""
    package = cls.__module__.split(".")[0]
    found = set()
    for base in cls.__mro__:
        if base.__module__.split(".")[0] == package:
            found |= {*vars(base), *getattr(base, "__annotations__", {})}
            if "__init__" in vars(base) and inspect.isfunction(base.__init__) and not dataclasses.is_dataclass(base):
                found |= set(re.findall(r"self\.(\w+)(?:: [^=]+)? = ", inspect.getsource(base.__init__)))
    return {name for name in found if not name.startswith("_") and name != "args"}


def compare(where: str, real: Any, ours: Any) -> dict[str, str]:
    real, ours = unwrapped(real), unwrapped(ours)
    if inspect.isclass(real) and inspect.isclass(ours):
        return compare_classes(where, real, ours)
    if inspect.isfunction(real) and inspect.isfunction(ours):
        return compare_functions(where, real, ours)
    if callable(real) != callable(ours):
        return {where: f"{type(real).__name__} became {type(ours).__name__}"}
    return {}


def unwrapped(value: Any) -> Any:
    return value.__func__ if isinstance(value, (staticmethod, classmethod)) else value


def deviations_of(name: str) -> dict[str, str]:
    real = importlib.import_module(f"temporalio.{name}")
    ours = importlib.import_module(f"stormproof.{name}")
    deviations: dict[str, str] = {}
    for found in sorted(ours.__all__):
        place = f"{name}.{found}"
        if hasattr(real, found):
            deviations |= compare(place, getattr(real, found), getattr(ours, found))
        else:
            deviations[place] = "added"
    return deviations


ALL = {name: deviations_of(name) for name in MODULES}


@pytest.mark.parametrize("name", MODULES)
def test_names_and_signatures_are_those_of_temporalio(name: str) -> None:
    unexplained = {
        place: what
        for place, what in ALL[name].items()
        if not any(re.fullmatch(pattern, place) for pattern in DEVIATIONS)
    }
    assert not unexplained


def test_the_table_has_no_deviation_that_is_none() -> None:
    places = [place for deviations in ALL.values() for place in deviations]
    stale = [pattern for pattern in DEVIATIONS if not any(re.fullmatch(pattern, place) for place in places)]
    assert not stale


def test_the_comparison_sees_what_it_is_for() -> None:
    async def real(a: int, *, b: int = 1, c: int = 2) -> None: ...

    def ours(a: int, *, b: int = 3, d: int = 2) -> None: ...

    assert compare("f", real, ours) == {
        "f(c)": "absent",
        "f(d)": "added",
        "f(b)": "('KEYWORD_ONLY', '1') became ('KEYWORD_ONLY', '3')",
        "f()": "async or not",
    }


if __name__ == "__main__":
    for deviations_here in ALL.values():
        for key, value in sorted(deviations_here.items()):
            print(f"{key:75} {value}")
