"""The real clocks, captured when this module is imported.

While a simulation is installed, ``time`` and ``datetime`` answer simulated processes with virtual time
(``patches.py``). Our own code that wants the host's clock (budgets, watchdog, progress) takes it from here, and from
nowhere else. ``clocks.py`` uses the same names to answer callers outside any simulated process.
"""

from __future__ import annotations

import datetime as dt
import time as _time

real_date = dt.date
real_datetime = dt.datetime

real_sleep = _time.sleep
real_time = _time.time
real_time_ns = _time.time_ns
real_monotonic = _time.monotonic
real_monotonic_ns = _time.monotonic_ns
real_perf_counter = _time.perf_counter
real_perf_counter_ns = _time.perf_counter_ns
real_localtime = _time.localtime
real_gmtime = _time.gmtime
real_strftime = _time.strftime
real_ctime = _time.ctime
real_asctime = _time.asctime
