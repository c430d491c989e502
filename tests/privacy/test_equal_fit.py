"""Every model a target, on audits whose models are made up: what leaks by a known amount."""

import dataclasses

import numpy as np
import pytest

from kerasburst import files
from kerasburst.intervals import hierarchical_interval
from kerasburst.privacy import controls, equal_fit, lessons
from kerasburst.privacy.audit import audit
from kerasburst.privacy.epsilon import guesses_bound, rates_bound
from kerasburst.privacy.equal_fit import ArmCurve, ArmModels, PoolModels, interval_over_units, match
from kerasburst.privacy.matching import verdict
from kerasburst.privacy.shadow import train_and_ask
from kerasburst.privacy.splits import complementary_halves
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


def test_the_strongest_attack_of_a_pair_is_chosen_on_the_others():
    units = np.array([(0, pair) for pair in (0, 0, 1, 1, 2, 2)])
    aucs = {"a": np.array([[0.9, 0.9, 0.6, 0.6, 0.6, 0.6]]), "b": np.array([[0.5, 0.5, 0.7, 0.7, 0.7, 0.7]])}
    without = {"a": np.array([[0.61, 0.71, 0.72]]), "b": np.array([[0.69, 0.62, 0.63]])}
    made = ArmCurve(np.array([3]), units, np.full((1, 6), 0.5), np.full((1, 6), 0.6), aucs, {}, without, 1)
    # Without pair 0, b is stronger (0.7 to 0.6); without pair 1 or 2, a is (0.75 to 0.6).
    assert made.choices.tolist() == [[1, 0, 0]]
    point = made.points()[0]
    assert point.auc["strongest"] == pytest.approx((0.5 + 0.6 + 0.6) / 3) and point.strongest == "a"
    assert made.snapshots("strongest").without.tolist() == [[0.69], [0.71], [0.72]]


def test_more_references_make_lira_stronger(pretended):
    result, _ = pretended
    points = result.encodings["rate"].by_references
    assert [point.references for point in points] == [2, 4]
    assert list(points[0].auc) == ["lira_online", "lira_shrunk", "rmia"]
    assert points[-1].auc["lira_online"] > points[0].auc["lira_online"] + 0.02
    low, high = points[0].auc_interval["rmia"]
    assert low < points[0].auc["rmia"] < high


def test_canaries_are_found_in_targets_and_references(pretended):
    result, _ = pretended
    found = result.encodings["rate"].canaries
    assert found.canaries == 8 and found.known_by_members > found.known_by_others and found.auc["lira_online"] > 0.6


def test_no_reference_is_the_targets_partner(pretended):
    _, out = pretended
    models = ArmModels.load(out / "rate", lessons.load_pools(out)).pools[0]
    assert models.pairs.tolist() == [-1, 0, 0, 1, 1, 2, 2]
    for target, evidence in enumerate(models.evidence(0)):
        assert len(evidence.shadows) == (6 if target == 0 else 5)
        assert not any(np.array_equal(mask, ~models.membership[target]) for mask in evidence.membership)


def test_intervals_have_the_pair_as_their_unit():
    # Pairs (1, 3), (2, 4), (6, 8) have the means 2, 3, 7: mean 4, standard error sqrt(7 / 3), t_2 = 4.3027.
    units = np.array([(0, pair) for pair in (0, 0, 1, 1, 2, 2)])
    values = np.array([1.0, 3.0, 2.0, 4.0, 6.0, 8.0])
    found = interval_over_units(values, units, ends=(-np.inf, np.inf))
    assert found == pytest.approx((4 - 4.3027 * np.sqrt(7 / 3), 4 + 4.3027 * np.sqrt(7 / 3)), abs=1e-3)
    assert interval_over_units(values[:2], units[:2]) is None
    # A share ends at 1: 0.9, 1, 1 have the mean 0.967 and the standard error 0.033.
    low, high = interval_over_units(np.array([0.9, 0.9, 1.0, 1.0, 1.0, 1.0]), units)
    assert (low, high) == (pytest.approx(29 / 30 - 4.3027 / 30, abs=1e-4), 1.0)


def pool_of(phi, membership, pairs, epochs, test_accuracies):
    """Return a pool of models with this phi `(snapshots, models, points)`, without population and canaries."""
    labels, none = np.zeros(phi.shape[-1], int), np.empty((*phi.shape[:2], 0))
    return PoolModels(
        membership=membership,
        pairs=pairs,
        labels=(labels, labels[:0], labels[:0]),
        epochs=epochs,
        audited=np.stack([phi, np.zeros_like(phi)], axis=-1)[..., None, :],
        population=none,
        canaries=none,
        canary_members=np.zeros((len(pairs) // 2 * 2, 0), bool),
        test_accuracies=test_accuracies,
    )


@pytest.mark.parametrize("pairs", [2, 3])
def test_models_of_unlike_confidence_that_leak_nothing_pass_the_control_of_other_targets(pairs):
    # A reference that is less sure than the others lowers the score of what it was trained on.
    aucs = []
    for seed in range(15):
        rng = np.random.default_rng(seed)
        masks = np.array([rng.permutation(400) < 200, *complementary_halves(400, 2 * pairs, seed)])
        sure = 1.0 + rng.normal(0.0, 0.5, (len(masks), 1)) + 0.5 * rng.normal(size=400)
        sure += 0.3 * rng.normal(size=masks.shape)
        numbers = np.array([-1, *np.repeat(np.arange(pairs), 2)])
        pool = pool_of(sure[None], masks, numbers, np.array([1]), np.full((1, len(masks)), 0.5))
        control = controls.cross_target(ArmModels((pool,)).cross_scores(), "rate", 0.99)
        assert control.ok, control
        aucs.append(control.auc)
    assert np.ptp(aucs) > 0.002 and np.mean(aucs) == pytest.approx(0.5, abs=0.01)


class OneModel(FleetHere):
    """Train a single model, and stop."""

    def __call__(self, tasks, **_):
        self.work(next(task for task in tasks if task.name == "rate/shadow-1"))
        raise KeyboardInterrupt


@pytest.mark.thorough
def test_asking_on_the_way_changes_no_weight(tmp_path, monkeypatch):
    monkeypatch.setattr(RUN_FLEET, OneModel())
    data = write_data(tmp_path / "data.npz")
    options = {"shadows": 4, "members": 46, "population": 10, "epochs": 3, "queries": (1,)}
    weights = []
    for name, snapshots in (("asked", (1,)), ("end", (3,))):
        with pytest.raises(KeyboardInterrupt):
            audit(audit_config(data, snapshots=snapshots, **options), tmp_path / name)
        weights.append(files.read_json(tmp_path / name / "rate/models/shadow-1.json")["weights"])
    assert weights[0] == weights[1]
    signals = tmp_path / "asked/rate/signals"
    with np.load(signals / "shadow-1-snapshots.npz") as asked, np.load(signals / "shadow-1.npz") as end:
        assert asked["epochs"].tolist() == [1, 3] and np.array_equal(asked["logits"][-1], end["logits"][:, :1])
        assert not np.array_equal(asked["logits"][0], asked["logits"][1])
        first = dict(asked)
    # Only what it answered on its way is lost: it is trained again, and the same model has the same answers.
    (signals / "shadow-1-snapshots.npz").unlink()
    train_and_ask(str(tmp_path / "asked"), "rate", "shadow-1")
    assert files.read_json(tmp_path / "asked/rate/models/shadow-1.json")["weights"] == weights[0]
    with np.load(signals / "shadow-1-snapshots.npz") as again:
        assert all(np.array_equal(again[name], value) for name, value in first.items())


EPOCHS = np.array([4, 12, 36])


def world(seed, less=0.0, points=200, models=8, alike=0.9):
    """Two arms of one pool: the second learns half as fast, and leaks alike at equal accuracy, but for `less`.

        accuracy q = 0.7 - 0.2 exp(-speed epoch / 8)
        phi = hardness + model noise + (8 (q - 0.5) - less) [a member]

    The points' hardness is fixed; `alike` is the share of the models' noise that both arms have in common.
    """
    hardness, rng = np.random.default_rng(9).normal(size=points), np.random.default_rng(seed)
    membership = np.array(complementary_halves(points, models, seed))
    common = rng.normal(size=(models, points))
    arms = {}
    for name, speed, lower in (("fast", 1.0, 0.0), ("slow", 0.5, less)):
        noise = np.sqrt(alike) * common + np.sqrt(1 - alike) * rng.normal(size=(models, points))
        q = 0.7 - 0.2 * np.exp(-speed * EPOCHS / 8)
        phi = hardness + noise + (8 * (q - 0.5) - lower)[:, None, None] * membership
        accuracies = q[:, None] + rng.normal(0, 0.003, (len(EPOCHS), models))
        arms[name] = ArmModels((pool_of(phi, membership, np.arange(models) // 2, EPOCHS, accuracies),))
    return arms


@pytest.fixture
def by_lira_alone(monkeypatch):
    monkeypatch.setattr(equal_fit, "CURVE_ATTACKS", ("lira_shrunk",))
    monkeypatch.setitem(equal_fit.MAIN_ATTACK, "audit", "lira_shrunk")


def curves_of(arms):
    return {name: arm.curve() for name, arm in arms.items()}


def at_equal_epoch(curves):
    """The verdict on the arms' difference at the last epoch."""
    aucs, left = ([getattr(c, part)["lira_shrunk"][-1] for c in curves.values()] for part in ("aucs", "without"))
    pairs = curves["fast"].units[:, 1]
    found = hierarchical_interval(aucs[0] - aucs[1], pairs=pairs, without=left[0] - left[1])
    return verdict(found.low, found.high)


def test_equal_leak_at_equal_accuracy_is_equivalent_though_one_arm_learns_faster(by_lira_alone):
    curves = curves_of(world(0, points=2000, models=12))
    assert at_equal_epoch(curves) == "higher"
    at_accuracy, at_gap = match(curves)[:2]  # by the strongest of one attack
    assert (at_accuracy.at, at_accuracy.verdict) == ("test_accuracy", "equivalent")
    assert at_gap.at == "gap" and at_gap.interval[0] < 0 < at_gap.interval[1]


def test_a_real_advantage_of_3_points_is_found(by_lira_alone):
    found = match(curves_of(world(0, less=0.14, points=2000, models=12)))[0]
    assert found.verdict == "higher" and found.difference == pytest.approx(0.03, abs=0.01)
    assert found.interval[0] < found.difference < found.interval[1]


@pytest.mark.slow
@pytest.mark.parametrize("less", [0.0, 0.14])
def test_intervals_cover_the_mean_over_audits(by_lira_alone, less):
    found = [match(curves_of(world(seed, less)))[0] for seed in range(1000)]
    truth = np.mean([each.difference for each in found])
    held = np.mean([each.interval[0] <= truth <= each.interval[1] for each in found])
    assert 0.93 <= held <= 0.97, held
    assert truth == pytest.approx(0.03 if less else 0.0, abs=0.01)


def with_target(arm, phi, member):
    """Return an arm of 4 pairs whose first model is a target without a partner, with this phi."""
    (pool,) = arm.pools
    audited = pool.audited.copy()
    audited[:, 0, :, 0, 0] = phi
    masks, pairs = np.concatenate([member[None], pool.membership[1:]]), np.array([-1, 0, 1, 1, 2, 2, 3, 3])
    return ArmModels((dataclasses.replace(pool, audited=audited, membership=masks, pairs=pairs),))


def test_epsilon_is_bounded_by_the_target_with_what_the_others_chose(by_lira_alone):
    arm = world(0, points=400)["fast"]
    member, shown = np.random.default_rng(7).random(400) < 0.5, 0.0  # dealt by flips
    for leak in (0.0, 6.0):  # the target alone leaks
        models = with_target(arm, np.random.default_rng(8).normal(size=400) + leak * member, member)
        rates, run = equal_fit.epsilon_bounds(models, models.curve(), flips=True)
        assert (rates.method, run.method, run.attack, run.confidence) == (
            "clopper_pearson",
            "one_run",
            "lira_shrunk",
            0.95,
        )
        assert rates.epsilon >= shown and run.epsilon >= shown
        counts = (rates.true_positives, rates.members, rates.false_positives, rates.non_members)
        assert counts[1::2] == (member.sum(), (~member).sum())
        assert rates.epsilon == pytest.approx(rates_bound(*counts))
        assert run.epsilon == pytest.approx(guesses_bound(run.right, run.guesses, 400))
        shown = 0.5
    assert len(equal_fit.epsilon_bounds(models, models.curve(), flips=False)) == 1
    assert equal_fit.epsilon_bounds(arm, arm.curve(), flips=False) == ()  # the audit of a run: shadows alone


@pytest.mark.thorough
def test_bounds_of_epsilon_hold_without_a_leak(by_lira_alone):
    above = []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        member = rng.random(200) < 0.5
        models = with_target(world(seed, points=200)["fast"], rng.normal(size=200), member)
        above.append([b.epsilon > 0 for b in equal_fit.epsilon_bounds(models, models.curve(), flips=True)])
    assert (np.mean(above, axis=0) <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / 60)).all()
