"""Runs a command and reports what it took: the small parent that every measured process gets.

Linux begins a process's peak memory with that of the process it was started from, so that a parent with
Polars loaded would give every child 200 MiB; this one has 9. Usage: launch.py REPORT COMMAND...
"""

import json
import os
import sys
import time

begin = time.perf_counter()
child = os.posix_spawn(sys.argv[2], sys.argv[2:], os.environ)
_, status, usage = os.wait4(child, 0)
report = {
    "seconds": time.perf_counter() - begin,
    "cpu_seconds": usage.ru_utime + usage.ru_stime,
    "peak_rss_bytes": usage.ru_maxrss << 10,
    "status": os.waitstatus_to_exitcode(status),
}
with open(sys.argv[1], "w", encoding="ascii") as file:  # noqa: PTH123  # pathlib would double its memory
    json.dump(report, file)
