"""Payloads, headers and memos: user data as it is kept on the wire and in a history.

Shapes are those of Temporal's ``temporal.api.common.v1`` messages. Metadata values and data are bytes, so that
what a real server recorded can be written again without loss.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(slots=True)
class Payload:
    """One value: ``metadata`` says how ``data`` is encoded (``encoding`` is ``json/plain`` by default)."""

    metadata: dict[str, bytes] = field(default_factory=dict)
    data: bytes = b""


Payloads = list[Payload]
"""Arguments or results in order; an empty list means that there is nothing."""

PayloadMap = dict[str, Payload]
"""Header fields, memo fields or search attributes by name."""
