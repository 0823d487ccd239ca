"""What the figures were measured on."""

import os
import platform
import sys
from pathlib import Path


def describe() -> dict[str, str]:
    """Name the processor, its cores, the kernel and the Python."""
    flavour = "" if getattr(sys, "_is_gil_enabled", bool)() or sys.version_info < (3, 13) else "t"
    return {
        "processor": _processor(),
        "cores": f"{len(os.sched_getaffinity(0))} of {os.cpu_count()} may be used",
        "kernel": f"{platform.system()} {platform.release()}",
        "Python": f"{platform.python_implementation()} {platform.python_version()}{flavour}",
        "load average": " ".join(f"{value:.2f}" for value in os.getloadavg()),
    }


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            name, _, value = line.partition(":")
            if name.strip() in ("model name", "Model"):
                return value.strip()
    except OSError:
        pass  # then the architecture alone has to do
    return platform.machine()
