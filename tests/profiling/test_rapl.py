import pytest

from kerasburst.profiling.metrics import Unknown
from kerasburst.profiling.rapl import PackageEnergy


@pytest.fixture
def counters(tmp_path):
    """A folder as the kernel shows it; `set` changes a counter, in microjoules."""

    class Counters:
        folder = tmp_path

        def add(self, domain, name, energy=0, largest=262_143_328_850):
            path = tmp_path / domain
            path.mkdir()
            for file, value in (("name", name), ("energy_uj", energy), ("max_energy_range_uj", largest)):
                (path / file).write_text(f"{value}\n")

        def set(self, domain, energy):
            (tmp_path / domain / "energy_uj").write_text(f"{energy}\n")

    return Counters()


def test_packages_add_up_and_nothing_else_does(counters):
    counters.add("intel-rapl:0", "package-0", 1_000_000)
    counters.add("intel-rapl:1", "package-1", 5_000_000)
    counters.add("intel-rapl:0:0", "core", 1)
    counters.add("intel-rapl:2", "psys", 1)
    metric = PackageEnergy(1.0, counters.folder)
    assert metric.readable
    metric.rest(0.0)
    counters.set("intel-rapl:0", 3_000_000)  # 2 J in 1 s of rest
    metric.rest(1.0)
    metric.sample(0.0)
    counters.set("intel-rapl:0", 13_000_000)
    metric.sample(1.0)
    counters.set("intel-rapl:1", 25_000_000)
    for domain in ("intel-rapl:0:0", "intel-rapl:2"):
        counters.set(domain, 999_000_000)
    metric.sample(2.0)
    assert metric.figures(2.0) == {
        "cpu_package_power_w": 15.0,
        "cpu_package_energy_j": 30.0,
        "cpu_package_idle_power_w": 2.0,
    }
    assert metric.power_trace() == ((1.0, 10.0), (2.0, 20.0))
    assert "2 processor package" in metric.methods()["cpu_package_energy_j"]


def test_a_counter_that_wraps_around(counters):
    counters.add("intel-rapl:0", "package-0", 90_000_000, largest=100_000_000)
    metric = PackageEnergy(1.0, counters.folder)
    metric.sample(0.0)
    for seconds, energy in enumerate((20_000_000, 80_000_000, 10_000_000), 1):  # 30 J, 60 J, 30 J
        counters.set("intel-rapl:0", energy)
        metric.sample(float(seconds))
    assert metric.figures(3.0)["cpu_package_energy_j"] == pytest.approx(120.0)


def test_a_counter_that_stands_still(counters):
    counters.add("intel-rapl:0", "package-0", 0)
    metric = PackageEnergy(1.0, counters.folder)
    metric.sample(0.0)
    metric.sample(2.0)
    assert metric.figures(2.0)["cpu_package_energy_j"] == Unknown("the RAPL counters did not advance")


def test_too_short_a_region(counters):
    counters.add("intel-rapl:0", "package-0", 0)
    metric = PackageEnergy(1.0, counters.folder)
    metric.sample(0.0)
    counters.set("intel-rapl:0", 9_000_000)
    metric.sample(0.1)
    assert "minimum window of 1 s" in metric.figures(0.1)["cpu_package_power_w"].reason


@pytest.mark.parametrize("present", [True, False])
def test_no_counters(counters, present):
    folder = counters.folder if present else counters.folder / "absent"
    metric = PackageEnergy(1.0, folder)
    metric.rest(0.0)
    metric.sample(0.0)
    assert not metric.readable and metric.power_trace() == ()
    assert set(metric.figures(2.0).values()) == {Unknown(f"this machine shows no RAPL counters in {folder}")}


def test_counters_of_root_alone(counters, monkeypatch):
    counters.add("intel-rapl:0", "package-0", 0)
    read = type(counters.folder).read_text

    def denied(path, *arguments, **options):
        if path.name == "energy_uj":
            raise PermissionError(13, "Permission denied")
        return read(path, *arguments, **options)

    monkeypatch.setattr(type(counters.folder), "read_text", denied)
    metric = PackageEnergy(1.0, counters.folder)
    assert not metric.readable
    assert "may not be read by this user" in metric.figures(2.0)["cpu_package_energy_j"].reason


def test_a_counter_that_fails_midway(counters):
    counters.add("intel-rapl:0", "package-0", 0)
    metric = PackageEnergy(1.0, counters.folder)
    metric.sample(0.0)
    (counters.folder / "intel-rapl:0" / "energy_uj").unlink()
    metric.sample(1.0)
    assert "after 1 reading" in metric.figures(2.0)["cpu_package_energy_j"].reason
    assert metric.power_trace() == ()
