"""Memory and processor time of this process and those that it started."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

import psutil

from kerasburst.profiling.memory import peak_rss_mb, reset_peak_rss
from kerasburst.profiling.metric import Metric, Unknown

_LOOK_S = 0.5  # how often to look for new children, which costs a reading of every process of the machine


class HostMemory(Metric):
    """Peak resident memory of the process tree.

    The sum over the processes is sampled. Where this process's own peak is larger, as the kernel notes it at every
    allocation, that one counts: for a process without children it is exact.
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
        """Set the kernel's peak of this process back to its present size, where it may."""
        reset_peak_rss()
        self._kernel_before = peak_rss_mb()
        self._before = self._tree(0.0)

    def sample(self, seconds: float) -> None:
        """Add up the processes."""
        self._sampled = max(self._sampled, self._tree(seconds))

    def stop(self) -> None:
        """Read the kernel's peak; one that has not risen is from before the region, and no more than it began with."""
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
        """Give the peak and what there was at the beginning, MB (10^6 bytes)."""
        peak = max(self._sampled, self._before) / 1e6
        return {"peak_rss_mb": max(peak, self._kernel or 0.0), "rss_before_mb": self._before / 1e6}

    def methods(self) -> dict[str, str]:
        """Say which of the two it is."""
        sampled = f"largest of {self._samples} samples of the resident memory of the process and its children"
        if self._most_children:
            sampled += f" (at most {self._most_children}; memory that they share counts for each)"
        kernel = self._kernel is not None and self._kernel > self._sampled / 1e6
        return {"peak_rss_mb": "the kernel's peak of the process over the region" if kernel else sampled}


class HostTime(Metric):
    """Processor time of the process tree, user and system, without the profiler's own thread.

    A child that has ended and was waited for counts with its parent. What started a session of its own and outlived
    its parent is not counted.
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
        """Give the seconds of all cores together."""
        return {"cpu_time_s": max(0.0, self._ended - self._begun - self.own_s)}

    def methods(self) -> dict[str, str]:
        """Say what is counted."""
        tick = 1 / os.sysconf("SC_CLK_TCK")
        return {"cpu_time_s": f"user and system time of the process and its children, in ticks of {tick:g} s"}


def _cpu_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return times.user + times.system + getattr(times, "children_user", 0.0) + getattr(times, "children_system", 0.0)


def _children(process: psutil.Process) -> Iterator[psutil.Process]:
    try:
        yield from process.children(recursive=True)
    except psutil.Error:
        return
