"""``workflow.logger`` and ``workflow.unsafe``."""

from __future__ import annotations

import logging
from collections.abc import Generator, Mapping, MutableMapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from .core.runtime_context import current_instance, current_instance_or_none


class unsafe:  # noqa: N801 (its name in temporalio)
    """What workflow code should hardly ever ask for."""

    def __init__(self) -> None:
        raise TypeError("workflow.unsafe has static methods only")

    @staticmethod
    def in_sandbox() -> bool:
        """Always false: there is no sandbox."""
        return False

    @staticmethod
    def is_replaying() -> bool:
        """Whether this code runs again what it did before; true in queries too."""
        return current_instance().is_replaying

    @staticmethod
    def is_replaying_history_events() -> bool:
        """Whether this code runs again what it did before; false in queries."""
        instance = current_instance()
        return instance.is_replaying and not instance.is_in_query

    @staticmethod
    def is_read_only() -> bool:
        """Whether this code may only read, as in queries."""
        return current_instance().loop.read_only

    @staticmethod
    def is_sandbox_unrestricted() -> bool:
        """Always true: there is no sandbox."""
        return True

    @staticmethod
    @contextmanager
    def sandbox_unrestricted() -> Generator[None, None, None]:
        """Does nothing: there is no sandbox."""
        yield

    @staticmethod
    @contextmanager
    def imports_passed_through() -> Generator[None, None, None]:
        """Does nothing: there is no sandbox."""
        yield


if TYPE_CHECKING:
    _Adapter = logging.LoggerAdapter[logging.Logger]
else:
    _Adapter = logging.LoggerAdapter


class LoggerAdapter(_Adapter):
    """A logger that says which workflow logs, and is silent while the workflow does again what it did before.

    Attributes:
        workflow_info_on_message: Add what is known of the workflow to each message. Default True.
        workflow_info_on_extra: Add it to the record as ``temporal_workflow``. Default True.
        full_workflow_info_on_extra: Add ``workflow.info()`` to the record as ``workflow_info``. Default False.
        log_during_replay: Log then too. Default False.
    """

    def __init__(self, logger: logging.Logger, extra: Mapping[str, Any] | None) -> None:
        super().__init__(logger, extra or {})
        self.workflow_info_on_message = True
        self.workflow_info_on_extra = True
        self.full_workflow_info_on_extra = False
        self.log_during_replay = False

    def process(self, msg: Any, kwargs: MutableMapping[str, Any]) -> tuple[Any, MutableMapping[str, Any]]:
        """Add what is known of the workflow."""
        instance = current_instance_or_none()
        if instance is None:
            return msg, kwargs
        info = instance.info()
        extra: dict[str, Any] = {}
        details = dict(info._logger_details())  # noqa: SLF001 (its name in temporalio)
        if self.workflow_info_on_message:
            msg = f"{msg} ({details})"
        if self.workflow_info_on_extra:
            extra["temporal_workflow"] = details
        if self.full_workflow_info_on_extra:
            extra["workflow_info"] = info
        kwargs["extra"] = {**extra, **(kwargs.get("extra") or {})}
        return msg, kwargs

    def isEnabledFor(self, level: int) -> bool:  # noqa: N802 (overridden)
        """Whether anything is logged now."""
        instance = current_instance_or_none()
        if instance is not None and not self.log_during_replay and instance.is_replaying and not instance.is_in_query:
            return False
        return super().isEnabledFor(level)

    @property
    def base_logger(self) -> logging.Logger:
        """The logger behind this one."""
        return self.logger


logger = LoggerAdapter(logging.getLogger("stormproof.workflow"), None)
"""Says which workflow logs, and is silent during replay."""
