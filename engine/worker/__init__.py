"""The worker: the API that users know, and the machine that polls, runs and reports."""

from .api import Worker

__all__ = ["Worker"]
