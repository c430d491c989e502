"""Energy of the processor packages by RAPL, where this process may read it."""

from __future__ import annotations

import itertools
from pathlib import Path

from kerasburst.profiling.metrics import Metric, Reader, Unknown, too_short

FOLDER = Path("/sys/class/powercap")


class PackageEnergy(Metric):
    """The energy counters of all packages, read so often that none wraps around twice between readings.

    Args:
        minimum_window_s: seconds that a region must last to have an energy.
        folder: of the counters.
    """

    FIELDS = ("cpu_package_power_w", "cpu_package_energy_j", "cpu_package_idle_power_w")

    def __init__(self, minimum_window_s: float, folder: Path | None = None):
        self._minimum_window_s = minimum_window_s
        found = _packages(FOLDER if folder is None else folder)
        self._missing = found if isinstance(found, Unknown) else None
        packages = [] if isinstance(found, Unknown) else found
        self._count = len(packages)
        self._read = Reader(lambda: sum(each.microjoules() for each in packages) / 1e6, (OSError, ValueError))
        self._idle: list[tuple[float, float]] = []  # seconds, joules
        self._region: list[tuple[float, float]] = []

    @property
    def readable(self) -> bool:
        """Whether there are counters that this process may read."""
        return self._missing is None

    def rest(self, seconds: float) -> None:
        """Read the counters at rest."""
        self._read.note(self._idle, seconds)

    def sample(self, seconds: float) -> None:
        """Read the counters."""
        self._read.note(self._region, seconds)

    def figures(self, wall_s: float) -> dict[str, float | Unknown]:
        """Return power and energy of the region, and power at rest."""
        missing = self._missing or (Unknown(self._read.failure) if self._read.failure is not None else None)
        power = missing or too_short(wall_s, self._minimum_window_s) or _power(self._region)
        energy = power if isinstance(power, Unknown) else power * wall_s
        return dict(zip(self.FIELDS, (power, energy, missing or _power(self._idle)), strict=True))

    def methods(self) -> dict[str, str]:
        """Return what is counted."""
        how = f"RAPL counters of {self._count} processor package(s), with all that runs on them; no memory modules"
        return {"cpu_package_energy_j": how, "cpu_package_idle_power_w": f"{how}; before the region"}

    def power_trace(self) -> tuple[tuple[float, float], ...]:
        """Return the mean power between readings, at the later one's time."""
        if self._missing or self._read.failure is not None:
            return ()
        pairs = itertools.pairwise(self._region)
        return tuple((t1, (e1 - e0) / (t1 - t0)) for (t0, e0), (t1, e1) in pairs if t1 > t0)


def _power(readings: list[tuple[float, float]]) -> float | Unknown:
    if len(readings) < 2 or readings[-1][0] <= readings[0][0]:
        return Unknown("RAPL was not read twice")
    (t0, e0), (t1, e1) = readings[0], readings[-1]
    return (e1 - e0) / (t1 - t0) if e1 > e0 else Unknown("the RAPL counters did not advance")


class _Package:
    """One package's counter, corrected where it wraps around."""

    def __init__(self, folder: Path):
        self._path = folder / "energy_uj"
        self._range = int((folder / "max_energy_range_uj").read_text())
        self._last = int(self._path.read_text())
        self._total = 0

    def microjoules(self) -> int:
        """Return the energy since the first reading."""
        now = int(self._path.read_text())
        self._total += now - self._last if now >= self._last else now + self._range - self._last
        self._last = now
        return self._total


def _packages(folder: Path) -> list[_Package] | Unknown:
    """Open the packages' counters, without their parts and other domains."""
    try:
        domains = [path for path in sorted(folder.glob("*-rapl:*")) if path.name.count(":") == 1]
        packages = [path for path in domains if (path / "name").read_text().startswith("package")]
        if not packages:
            return Unknown(f"this machine shows no RAPL counters in {folder}")
        return [_Package(path) for path in packages]
    except PermissionError:
        return Unknown(f"the RAPL counters in {folder} may not be read by this user")
    except (OSError, ValueError) as error:
        return Unknown(f"the RAPL counters in {folder} cannot be read: {error}")
