"""The largest memory that this process has had."""

from __future__ import annotations

import sys
from pathlib import Path


def peak_rss_mb() -> float | None:
    """Give this process's peak resident memory in MB (10^6 bytes); None where the system does not tell.

    Linux' own count for the process is preferred to `getrusage`, whose figure starts at the size of the process
    that this one was forked from.

    Example:
        >>> peak_rss_mb() > 1
        True
    """
    try:
        for line in Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines():
            if line.startswith("VmHWM:"):
                return round(int(line.split()[1]) * 1024 / 1e6, 1)
    except OSError:
        pass
    try:
        import resource
    except ImportError:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak * (1 if sys.platform == "darwin" else 1024) / 1e6, 1)


def reset_peak_rss() -> bool:
    """Set Linux' count back to the memory that this process has now; tell whether it could be done.

    Example:
        >>> ballast = bytearray(50_000_000)
        >>> del ballast
        >>> before = peak_rss_mb()
        >>> peak_rss_mb() < before if reset_peak_rss() else True
        True
    """
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return False
    return True
