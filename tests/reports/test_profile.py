"""The pictures of a profile are drawn from its files alone."""

import json

import pytest
from matplotlib.image import imread

from kerasburst import records
from kerasburst.profiling.result import EncodingProfile
from kerasburst.reports.profile import gpu_table, headline, medians_table, power_verdicts, tables, write_report
from kerasburst.reports.view import Item
from kerasburst.validation import InputError
from tests.profiling.pretend import measurement, record


def write(folder, encodings, **known):
    found = {
        name: EncodingProfile.of_measurements(record(), [measurement(name, r, wall_s=2.0 + r, **known) for r in (0, 1)])
        for name in encodings
    }
    base = {name: found[name] for name in ("rate",) if name in found}
    profile = {
        "data": {"name": "digits"},
        "pass_is": "one epoch",
        "repeats": 2,
        "encodings": {name: records.to_json(one.against(base)) for name, one in found.items()},
    }
    (folder / "profile.json").write_text(json.dumps(profile))


@pytest.mark.sampled(2)
@pytest.mark.parametrize("encodings", [["delayed_burst"], ["rate", "rate_regular", "poisson_burst", "delayed_burst"]])
def test_figures_of_a_machine_without_power(tmp_path, encodings):
    write(tmp_path, encodings)
    assert write_report(tmp_path) == [tmp_path / "profile.png"]
    picture = imread(tmp_path / "profile.png")
    assert picture.shape[1] > 1000 and picture.std() > 0
    assert {path.name for path in tmp_path.iterdir()} == {"profile.json", "profile.png"}


def test_figures_with_power(tmp_path):
    write(tmp_path, ["rate", "poisson_burst"], gpu_power_w=80.0, gpu_energy_j=160.0, gpu_peak_mb=300.0)
    rows = [
        f"{name},{r},{d},{t},60"
        for name in ("rate", "poisson_burst")
        for r in (0, 1)
        for d in ("gpu", "cpu_package")
        for t in (0, 1)
    ]
    (tmp_path / "power_trace.csv").write_text("\n".join(["encoding,repeat,device,seconds,power_w", *rows]))
    assert write_report(tmp_path) == [tmp_path / "profile.png", tmp_path / "power.png"]
    assert imread(tmp_path / "power.png").std() > 0


def test_no_profile(tmp_path):
    with pytest.raises(InputError, match="no profile.json"):
        write_report(tmp_path)


def test_a_profile_leads_with_what_it_found(tmp_path):
    write(tmp_path, ["rate", "poisson_burst"])
    profile = json.loads((tmp_path / "profile.json").read_text())
    ratios = profile["encodings"]["poisson_burst"]["ratios"]["rate"]
    ratios |= {"wall_s": [1.8, 1.9, 2.0], "peak_rss_mb": [1.0, 1.04, 1.1]}

    def item(value):
        return Item(kind="profile", path=tmp_path, label="p", link="p", value=value, config={})

    found = item(profile)
    assert headline(found) == "against rate: poisson_burst takes 1.9 × the time and 1.0 × the memory"
    (table,) = tables([found])
    assert "wall time of a pass, s" in table.head and not [head for head in table.head if "_" in head]
    alone = item({"encodings": {"latency": profile["encodings"]["rate"]}})
    assert headline(alone) == "latency: nothing to compare"


@pytest.mark.parametrize(
    "power, verdict",
    [
        ((0.86, 0.88, 0.9), "holds here"),
        ((0.8, 0.82, 0.84), "more is saved here"),
        ((0.95, 0.97, 0.99), "less is saved here"),
        ((1.0, 1.02, 1.03), "none is saved here"),
        ((0.88, 0.95, 1.05), "undecided here"),
    ],
)
def test_the_claim_of_less_power(tmp_path, power, verdict):
    write(tmp_path, ["rate", "poisson_burst"])
    profile = json.loads((tmp_path / "profile.json").read_text())
    assert power_verdicts(profile) == []  # no GPU
    profile["encodings"]["poisson_burst"]["ratios"]["rate_regular"] = {
        "gpu_power_w": power,
        "gpu_energy_j_per_sample": [0.9, 0.9, 0.9],
    }
    (line,) = power_verdicts(profile)
    low, median, high = power
    said = f"GPU power × {median:.3f} ({low:.3f} to {high:.3f}), energy per example × 0.900"
    assert line == f"poisson_burst against rate_regular: {said}; the claim of 10 to 15 % less GPU power: {verdict}"
    profile["encodings"]["poisson_burst"]["ratios"]["rate_regular"]["gpu_energy_j_per_sample"] = [1.0, 1.2, 1.3]
    waits = ", but an example costs no less energy" * (low < 1)
    assert power_verdicts(profile)[0].endswith(f"less GPU power: {verdict}{waits}")


def test_a_profile_of_an_earlier_version(tmp_path):
    """Without figures per example, feeds and encodings in its rows."""
    write(tmp_path, ["rate", "poisson_burst"], gpu_power_w=80.0, gpu_energy_j=160.0)
    profile = json.loads((tmp_path / "profile.json").read_text())
    for one in profile["encodings"].values():
        for name in [
            name for name in one if name in ("encoding", "feed") or name.startswith("gpu_") and "per_s" in name
        ]:
            del one[name]
    (tmp_path / "profile.json").write_text(json.dumps(profile))
    write_report(tmp_path)
    (table,) = gpu_table(profile)
    assert "GPU W" in table.head and "mJ/example" not in table.head


def test_a_small_figure_does_not_read_as_none(tmp_path):
    write(tmp_path, ["rate"])
    profile = json.loads((tmp_path / "profile.json").read_text())
    texts = []
    for joules in (9.3e-10, 4.2e-6, 0.0):
        profile["encodings"]["rate"]["energy_estimate_j_per_sample"] = joules
        table = medians_table(profile)
        texts.append(table.rows[0][list(table.head).index("energy estimate, µJ")].text)
    assert texts == ["0.00093", "4.20", "0.00"]
