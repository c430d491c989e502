import pytest

from kerasburst import files, records
from kerasburst.data.datasets import load_source


def measure_nothing(config, out, resume):
    """Profiles have tests of their own, and take their time."""
    costs = {"gpu_power_w": None, "reasons": dict.fromkeys(("gpu_power_w", "peak_rss_mb"), "measured elsewhere")}
    out.mkdir(parents=True, exist_ok=True)
    files.write_json(
        out / "profile.json",
        {
            "encodings": dict.fromkeys(config.encodings, costs),
            "config": records.to_json(config),
            "data": {"name": "iris", "fingerprint": load_source(config.train.dataset).fingerprint},
            "versions": {"kerasburst": "of a test"},
        },
    )


@pytest.fixture(scope="session", autouse=True)
def no_profiles():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("kerasburst.paper.study.profile", measure_nothing)
        yield
