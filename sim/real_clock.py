"""The real clocks, as they were before anything replaced them.

While a simulation is installed, ``time`` and ``datetime`` answer simulated processes with virtual time
(``patches.py``). Our own code that wants the host's clock (budgets, watchdog, progress) takes it from here, and from
nowhere else. They come from freezegun where it keeps them, so that they are real even if this package is first imported
inside somebody's ``freeze_time``.
"""

from __future__ import annotations

import time

from freezegun.api import (
    real_date,
    real_datetime,
    real_monotonic,
    real_monotonic_ns,
    real_perf_counter,
    real_perf_counter_ns,
    real_time,
    real_time_ns,
)

real_sleep = time.sleep

__all__ = [
    "real_date",
    "real_datetime",
    "real_monotonic",
    "real_monotonic_ns",
    "real_perf_counter",
    "real_perf_counter_ns",
    "real_sleep",
    "real_time",
    "real_time_ns",
]
