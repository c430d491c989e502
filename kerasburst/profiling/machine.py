"""What machine a figure was measured on."""

from __future__ import annotations

import os
import platform
from pathlib import Path

# The instruction sets that decide how fast matrices are multiplied.
_TELLING_FLAGS = ("avx2", "fma", "avx512f", "avx512_vnni", "avx512_bf16", "amx_tile", "amx_bf16", "asimd", "bf16")
_BFLOAT16_FLAGS = ("avx512_bf16", "amx_bf16", "bf16")


def machine_facts() -> dict:
    """Give the machine's facts as JSON values; what cannot be found out is None.

    Example:
        >>> sorted(machine_facts())[:4]
        ['bfloat16_instructions', 'cores', 'cpu', 'cpu_flags']
    """
    information = _cpu_information()
    flags = information.get("flags", information.get("Features", "")).split()
    return {
        "cpu": information.get("model name") or platform.processor() or None,
        "cpu_flags": [flag for flag in _TELLING_FLAGS if flag in flags] if flags else None,
        "bfloat16_instructions": any(flag in flags for flag in _BFLOAT16_FLAGS) if flags else None,
        "cores": available_cores(),
        "memory_mb": _memory_mb(),
        "platform": platform.platform(),
        "python": platform.python_version(),
    }


def available_cores() -> int:
    """Give how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def load_average() -> float | None:
    """Give how many processes wanted to run in the last minute, on average; None where nobody counts."""
    try:
        return round(os.getloadavg()[0], 2)
    except (AttributeError, OSError):
        return None


def available_memory_mb() -> float | None:
    """Give how much memory could be had now without swapping; None where the system does not tell."""
    try:
        for line in Path("/proc/meminfo").read_text(encoding="ascii", errors="replace").splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024 / 1e6
    except OSError:
        pass
    return None


def _cpu_information() -> dict[str, str]:
    """Read the first processor of /proc/cpuinfo; empty where there is none."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return {}
    pairs = (line.partition(":") for line in text.split("\n\n")[0].splitlines())
    return {name.strip(): value.strip() for name, _, value in pairs}


def _memory_mb() -> int | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 10**6
    except (AttributeError, OSError, ValueError):
        return None
