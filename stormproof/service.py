"""Errors of calls to the service: what ``temporalio.service`` has."""

from __future__ import annotations

from .engine.client_errors import RPCError, RPCStatusCode

__all__ = ["RPCError", "RPCStatusCode"]
