"""Every model a target, on audits whose models are made up: what leaks by a known amount."""

import numpy as np
import pytest

from kerasburst.privacy import shadow
from kerasburst.privacy.audit import audit
from kerasburst.privacy.equal_fit import ArmModels, interval_over_units
from tests.privacy.common import RUN_FLEET, FleetHere, Pretend, audit_config, write_data

SNAPSHOTS = {"shadows": 6, "members": 60, "population": 30, "epochs": 8, "snapshots": (2, 4), "queries": (1,)}


@pytest.fixture(scope="module")
def pretended(tmp_path_factory):
    folder = tmp_path_factory.mktemp("equal-fit")
    config = audit_config(write_data(folder / "data.npz"), ("rate", "poisson_burst"), **SNAPSHOTS)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(RUN_FLEET, Pretend())
        return audit(config, folder / "audit"), folder / "audit"


def test_each_arm_has_a_curve_over_its_snapshots(pretended):
    result, _ = pretended
    assert list(result.curves) == ["rate", "poisson_burst"]
    for points in result.curves.values():
        assert [point.epoch for point in points] == [2, 4, 8]
        assert all(point.models == 7 and point.queries == 1 for point in points)
        assert {"loss", "lira_online", "lira_shrunk", "rmia"} <= set(points[0].auc)
        aucs = [point.auc["lira_online"] for point in points]
        assert aucs == sorted(aucs) and aucs[-1] > 0.8  # a leak that grows with the epochs
        for point in points:
            low, high = point.auc_interval["lira_online"]
            assert low < point.auc["lira_online"] < high
            assert point.tpr_at_1_fpr["lira_online"] is None  # 60 non-members allow no false positive


def test_arms_with_the_same_leak_do_not_differ_by_much(pretended):
    result, _ = pretended
    found = [m for m in result.matched if (m.attack, m.at) == ("lira_online", "test_accuracy")]
    ((first, second),) = [(m.first, m.second) for m in found]
    assert (first, second) == ("rate", "poisson_burst") and found[0].verdict != "not comparable"
    assert found[0].common == pytest.approx((0.5, 0.75))  # the arms end at 0.8 and 0.75
    low, high = found[0].interval
    assert low < found[0].difference < high
    assert {m.at for m in result.matched} == {"test_accuracy", "gap"}


def test_canaries_are_found_in_targets_and_references(pretended):
    result, _ = pretended
    found = result.encodings["rate"].canaries
    assert found.canaries == 8 and found.known_by_members > found.known_by_others and found.auc["lira_online"] > 0.6


def test_no_reference_is_the_targets_partner(pretended):
    _, out = pretended
    models = ArmModels.load(out / "rate", shadow.load_pools(out)).pools[0]
    assert models.pairs.tolist() == [-1, 0, 0, 1, 1, 2, 2]
    for target, evidence in enumerate(models.evidence(0)):
        assert len(evidence.shadows) == (6 if target == 0 else 5)
        assert not any(np.array_equal(mask, ~models.membership[target]) for mask in evidence.membership)


def test_intervals_have_the_pair_as_their_unit():
    # Pairs (1, 3), (2, 4), (6, 8) have the means 2, 3, 7: mean 4, standard error sqrt(7 / 3), t_2 = 4.3027.
    units = np.array([(0, pair) for pair in (0, 0, 1, 1, 2, 2)])
    found = interval_over_units(np.array([1.0, 3.0, 2.0, 4.0, 6.0, 8.0]), units)
    assert found == pytest.approx((4 - 4.3027 * np.sqrt(7 / 3), 4 + 4.3027 * np.sqrt(7 / 3)), abs=1e-3)
    assert interval_over_units(np.array([1.0, 3.0]), units[:2]) is None


def test_asking_on_the_way_changes_no_weight_and_pools_have_models_of_their_own(tmp_path, monkeypatch):
    monkeypatch.setattr(RUN_FLEET, FleetHere())
    monkeypatch.setattr(shadow, "_CANARY_EPOCHS", 1)
    data = write_data(tmp_path / "data.npz")
    options = {"shadows": 4, "members": 46, "population": 10, "epochs": 3, "queries": (1,)}
    audit(audit_config(data, snapshots=(1,), **options), tmp_path / "asked")
    audit(audit_config(data, snapshots=(3,), **options), tmp_path / "end")
    for path in (tmp_path / "asked/rate/models").glob("*.json"):
        assert (
            path.read_text().split('"train_seconds"')[0]
            == (tmp_path / "end/rate/models" / path.name).read_text().split('"train_seconds"')[0]
        )
    with (
        np.load(tmp_path / "asked/rate/signals/shadow-1-snapshots.npz") as asked,
        np.load(tmp_path / "asked/rate/signals/shadow-1.npz") as end,
    ):
        assert asked["epochs"].tolist() == [1, 3] and np.array_equal(asked["logits"][-1], end["logits"][:, :1])
        assert not np.array_equal(asked["logits"][0], asked["logits"][1])
