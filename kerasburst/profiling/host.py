"""This machine, and the memory and processor time of this process and those that it started."""

from __future__ import annotations

import contextlib
import os
import platform
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil

from kerasburst.profiling.metrics import Metric, Unknown

try:
    import resource
except ImportError:  # not POSIX
    resource = None  # type: ignore[assignment]

# The instruction sets that decide how fast matrices are multiplied.
_TELLING_FLAGS = ("avx2", "fma", "avx512f", "avx512_vnni", "avx512_bf16", "amx_tile", "amx_bf16", "asimd", "bf16")
_CGROUP = Path("/sys/fs/cgroup")
_BFLOAT16_FLAGS = ("avx512_bf16", "amx_bf16", "bf16")


def machine_facts() -> dict:
    """Return the machine's facts as JSON values; unknown ones are None.

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
        "memory_mb": psutil.virtual_memory().total // 10**6,
        "platform": platform.platform(),
        "python": platform.python_version(),
    }


def available_cores() -> int:
    """Return how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def free_memory() -> int:
    """Return how many bytes of memory this process can still take, within the limit of its container.

    Example:
        >>> free_memory() > 1_000_000
        True
    """
    free = psutil.virtual_memory().available
    with contextlib.suppress(OSError, ValueError, KeyError):  # no container, or one without a limit: "max"
        limit, used, counts = ((_CGROUP / f"memory.{name}").read_text() for name in ("max", "current", "stat"))
        cached = dict(line.split() for line in counts.splitlines())["inactive_file"]
        free = min(free, int(limit) - int(used) + int(cached))
    return max(0, free)


def load_average() -> float | None:
    """Return how many processes wanted to run in the last minute, on average; None where the system does not count."""
    try:
        return round(os.getloadavg()[0], 2)
    except (AttributeError, OSError):
        return None


def _cpu_information() -> dict[str, str]:
    """Return the first processor's part of /proc/cpuinfo; empty where there is none."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return {}
    pairs = (line.partition(":") for line in text.split("\n\n")[0].splitlines())
    return {name.strip(): value.strip() for name, _, value in pairs}


def peak_rss_mb() -> float | None:
    """Return this process's peak resident memory in MB (10^6 bytes); None where the system does not tell.

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
    if resource is None:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak * (1 if sys.platform == "darwin" else 1024) / 1e6, 1)


def reset_peak_rss() -> bool:
    """Reset Linux' peak to the memory that this process has now; return whether that was possible.

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


_LOOK_S = 0.5  # how often to look for new children, which costs a reading of every process of the machine


class HostMemory(Metric):
    """Peak resident memory of the process tree.

    The sum over the processes is sampled. The kernel's own peak of this process counts where it is larger: for a
    process without children it is exact.
    """

    FIELDS = ("peak_rss_mb", "rss_before_mb")

    def __init__(self):
        self._process = psutil.Process()
        self._children: list[psutil.Process] = []
        self._looked: float | None = None
        self._samples = self._most_children = 0
        self._before = self._sampled = 0
        self._kernel_before: float | None = None
        self._kernel: float | None = None

    def start(self) -> None:
        """Reset the kernel's peak of this process to its present size, where the kernel allows it."""
        reset_peak_rss()
        self._kernel_before = peak_rss_mb()
        self._before = self._tree(0.0)

    def sample(self, seconds: float) -> None:
        """Sample the sum over the processes."""
        self._sampled = max(self._sampled, self._tree(seconds))

    def stop(self) -> None:
        """Read the kernel's peak; one that has not risen is from before the region."""
        peak = peak_rss_mb()
        if peak is not None and self._kernel_before is not None and peak > self._kernel_before:
            self._kernel = peak

    def _tree(self, seconds: float) -> int:
        if self._looked is None or seconds - self._looked >= _LOOK_S:
            self._looked = seconds
            self._children = list(_children(self._process))
        self._samples += 1
        self._most_children = max(self._most_children, len(self._children))
        total = self._process.memory_info().rss
        for child in self._children:
            with contextlib.suppress(psutil.Error):  # it has ended
                total += child.memory_info().rss
        return total

    def figures(self, wall_s: float) -> dict[str, float | Unknown]:
        """Return the peak and the memory at the beginning, MB (10^6 bytes)."""
        peak = max(self._sampled, self._before) / 1e6
        return {"peak_rss_mb": max(peak, self._kernel or 0.0), "rss_before_mb": self._before / 1e6}

    def methods(self) -> dict[str, str]:
        """Return which of the two peaks it is."""
        sampled = f"largest of {self._samples} samples of the resident memory of the process and its children"
        if self._most_children:
            sampled += f" (at most {self._most_children}; memory that they share counts for each)"
        kernel = self._kernel is not None and self._kernel > self._sampled / 1e6
        return {"peak_rss_mb": "the kernel's peak of the process over the region" if kernel else sampled}


class HostTime(Metric):
    """Processor time of the process tree, user and system, without the profiler's own thread.

    A child that has ended and was waited for counts with its parent. Descendants that outlived their
    parent are not counted.
    """

    def __init__(self):
        self._process = psutil.Process()
        self._begun = self._ended = 0.0
        self.own_s = 0.0  # set by the profiler: what its thread took

    def start(self) -> None:
        """Read the times."""
        self._begun = self._tree()

    def stop(self) -> None:
        """Read the times."""
        self._ended = self._tree()

    def _tree(self) -> float:
        total = _cpu_s(self._process)
        for child in _children(self._process):
            with contextlib.suppress(psutil.Error):
                total += _cpu_s(child)
        return total

    def figures(self, wall_s: float) -> dict[str, float | Unknown]:
        """Return the seconds of all cores together."""
        return {"cpu_time_s": max(0.0, self._ended - self._begun - self.own_s)}

    def methods(self) -> dict[str, str]:
        """Return what is counted."""
        tick = f", in ticks of {1 / os.sysconf('SC_CLK_TCK'):g} s" if hasattr(os, "sysconf") else ""
        return {"cpu_time_s": f"user and system time of the process and its children{tick}"}


def _cpu_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return times.user + times.system + getattr(times, "children_user", 0.0) + getattr(times, "children_system", 0.0)


def _children(process: psutil.Process) -> Iterator[psutil.Process]:
    try:
        yield from process.children(recursive=True)
    except psutil.Error:
        return
