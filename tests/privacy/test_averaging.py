"""The averaging model: exact curves give exact fits, draws give fits within their noise."""

import json
import re

import numpy as np
import pytest
from scipy import stats

from kerasburst import records
from kerasburst.privacy import averaging
from kerasburst.privacy.averaging import AveragingFit, fit_averaging, fit_averaging_attack
from kerasburst.privacy.metrics import MembershipScores
from kerasburst.validation import InputError


def curve(k, delta_mu, model_variance, encoding_variance):
    return stats.norm.cdf(delta_mu / np.sqrt(2 * (model_variance + encoding_variance / np.asarray(k, float))))


def drawn(rng, delta_mu, model_variance, encoding_variance, n, queries=64):
    model = rng.normal(0, np.sqrt(model_variance), (2, n, 1))
    phi = model + rng.normal(0, np.sqrt(encoding_variance), (2, n, queries))
    return phi[0] + delta_mu, phi[1]


KS = (1, 4, 16, 64)
MODELS = [(1.0, 1.0, 4.0), (0.3, 1.0, 0.0), (2.0, 0.5, 10.0), (0.2, 1.0, 30.0), (1.0, 0.0, 9.0)]


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("ks", [KS, (1, 8)])
def test_exact_curve_gives_the_exact_fit(model, ks):
    fit = fit_averaging(ks, curve(ks, *model))
    # The grid of r has steps of 2 %: the curve is met within half of one.
    np.testing.assert_allclose([fit.auc(k) for k in (1, 2, 16, 256)], curve((1, 2, 16, 256), *model), atol=2e-3)
    assert fit.limit == pytest.approx(1.0 if model[1] == 0 else curve(np.inf, *model), abs=3e-3)
    assert fit.encoding_variance == pytest.approx(model[2] / (model[1] + model[2]), abs=5e-3)
    assert fit.model_variance + fit.encoding_variance == pytest.approx(1.0) and fit.reason is None


def averaged(members, non_members, ks):
    """Return the scores of phi `(n, K)` averaged over the first k queries, for each k."""
    return [MembershipScores(members[:, :k].mean(axis=1), non_members[:, :k].mean(axis=1)) for k in ks]


def fit_phi(members, non_members, ks, **options):
    return fit_averaging_attack(ks, averaged(members, non_members, ks), **options)


def test_method_is_weighted_least_squares_of_probits():
    # Against a slow search over both parameters.
    from scipy.optimize import minimize

    aucs, variances = np.array([0.60, 0.68, 0.69, 0.75]), np.array([1e-3, 9e-4, 2e-3, 8e-4])
    z = stats.norm.ppf(aucs)
    weights = stats.norm.pdf(z) ** 2 / variances

    def error(p):
        a, b = np.exp(p)
        return (weights * (z - 1 / np.sqrt(a + b / np.array(KS))) ** 2).sum()

    best = minimize(error, [0.0, 0.0], method="Nelder-Mead", options={"xatol": 1e-9, "fatol": 1e-12})
    fit = fit_averaging(KS, aucs, variances)
    found = 2 * fit.model_variance / fit.delta_mu**2, 2 * fit.encoding_variance / fit.delta_mu**2
    np.testing.assert_allclose(found, np.exp(best.x), rtol=0.02)
    assert error(np.log(found)) < best.fun * 1.001


def test_points_that_are_sure_count_more():
    aucs = curve(KS, 1.0, 1.0, 4.0) + [0.05, 0, 0, 0]
    trusting, doubting = (fit_averaging(KS, aucs, [v, 1e-4, 1e-4, 1e-4]) for v in (1e-6, 1.0))
    assert abs(trusting.auc(1) - aucs[0]) < 0.01
    assert doubting.limit == pytest.approx(curve(np.inf, 1.0, 1.0, 4.0), abs=5e-3)


@pytest.mark.parametrize("model", [(1.0, 1.0, 4.0), (0.5, 1.0, 1.0)])
def test_draws_give_the_curve_and_the_limit(model):
    phi = drawn(np.random.default_rng(0), *model, n=3000)
    fit = fit_phi(*phi, KS, num_bootstrap=300, confidence=0.99)
    np.testing.assert_allclose(fit.aucs, curve(KS, *model), atol=0.03)
    np.testing.assert_allclose([fit.auc(k) for k in KS], curve(KS, *model), atol=0.025)
    truth, (low, high) = curve(np.inf, *model), fit.limit_interval
    assert low <= truth <= high and high - low < 0.08 and fit.limit == pytest.approx(truth, abs=0.03)


@pytest.mark.parametrize("model", [(1.0, 1.0, 4.0), (0.6, 1.0, 1.0)])
def test_interval_of_the_limit_covers(model):
    rng = np.random.default_rng(1)
    covered = []
    for i in range(100):
        fit = fit_phi(*drawn(rng, *model, n=150, queries=16), (1, 4, 16), seed=i, num_bootstrap=100)
        covered.append(fit.limit_interval[0] <= curve(np.inf, *model) <= fit.limit_interval[1])
    assert np.mean(covered) >= 0.88  # 95 % less three standard errors of 100 trials


def test_the_fit_is_to_the_auc_at_each_k_and_its_interval_depends_on_the_seed():
    members, non_members = drawn(np.random.default_rng(2), 1.0, 1.0, 4.0, n=50)
    scores = averaged(members, non_members, (1, 3, 64))
    fit, again, other = (fit_averaging_attack((1, 3, 64), scores, seed=i, num_bootstrap=20) for i in (5, 5, 6))
    assert fit.aucs == tuple(s.auc() for s in scores) and fit.ks == (1, 3, 64)
    assert fit == again and fit.limit_interval != other.limit_interval


def test_resamples_are_fitted_as_the_scores_themselves(monkeypatch):
    phi = drawn(np.random.default_rng(2), 1.0, 1.0, 4.0, n=50)
    aucs = fit_phi(*phi, KS, num_bootstrap=1).aucs
    monkeypatch.setattr(averaging, "bootstrap_aucs", lambda *_: np.array([aucs, aucs]))
    fit = fit_phi(*phi, KS)
    assert fit.limit_interval == (pytest.approx(fit.limit), pytest.approx(fit.limit))


def test_an_encoder_that_hides_is_seen_through():
    # At K = 1 next to nothing shows; the limit is what the model leaks.
    members, non_members = drawn(np.random.default_rng(3), 1.0, 0.5, 50.0, n=500)
    fit = fit_phi(members, non_members, KS, num_bootstrap=200)
    assert fit.aucs[0] < 0.6 and fit.limit > 0.75 and fit.limit_interval[0] > 0.7


def test_no_advantage_has_no_limit_and_says_why():
    for fit, reason in [
        (fit_averaging((1, 4), (0.5, 0.4)), "no advantage: no AUC is above 0.5"),
        (fit_averaging((1, 4), (0.3, 0.51)), "no advantage: the fitted AUC is not above 0.5"),
        (fit_averaging((4, 4), (0.6, 0.7)), "fewer than two distinct numbers of queries"),
        (fit_averaging((1,), (0.6,)), "fewer than two distinct numbers of queries"),
        (fit_phi(np.zeros((5, 2)), np.zeros((5, 2)), (1, 2)), "no advantage: no AUC is above 0.5"),
    ]:
        assert fit.reason == reason
        assert fit.limit is None and fit.auc(4) is None and fit.limit_interval is None and fit.delta_mu is None


def test_weak_leak_interval_reaches_to_half():
    # AUCs about 0.5: resamples on either side of it count, none is dropped.
    held = []
    for seed in range(12):
        phi = drawn(np.random.default_rng(seed), 0.0, 1.0, 1.0, n=200, queries=16)
        fit = fit_phi(*phi, (1, 4, 16), num_bootstrap=200)
        held.append(fit.limit_interval is None or fit.limit_interval[0] <= 0.5)
    assert sum(held) >= 10


def test_separated_scores():
    rng = np.random.default_rng(4)
    apart = [MembershipScores(100 + rng.random(30), rng.random(40)) for _ in KS]
    fit = fit_averaging_attack(KS, apart, num_bootstrap=50)
    assert fit.limit > 0.999 and fit.limit_interval[0] > 0.999 and fit_averaging(KS, [1.0] * 4).limit > 0.999


def test_to_json():
    fit = fit_phi(*drawn(np.random.default_rng(5), 1.0, 1.0, 4.0, n=50), (1, 4), num_bootstrap=20)
    report = json.loads(json.dumps(records.to_json(fit)))
    assert report["limit"] == fit.limit and report["fitted_aucs"] == [fit.auc(1), fit.auc(4)]
    assert tuple(report["limit_interval"]) == fit.limit_interval and report["reason"] is None
    assert json.loads(json.dumps(fit_averaging((1,), (0.6,)).to_json()))["limit"] is None


A = MembershipScores([1.0, 2.0], [0.0, 1.0])
B = MembershipScores([1.0, 2.0, 3.0], [0.0, 1.0])


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: fit_averaging((1, 2), (0.6,)), "aucs must be one for each of 2 ks"),
        (lambda: fit_averaging((), ()), "aucs must be one for each of 0 ks, at least one"),
        (lambda: fit_averaging((0, 2), (0.6, 0.7)), "ks must be an integer of at least 1"),
        (lambda: fit_averaging((1, 2), (0.6, 1.1)), "aucs must be a finite number from 0 to 1"),
        (lambda: fit_averaging((1, 2), (0.6, 0.7), (0.1,)), "variances must be one for each of 2 ks"),
        (lambda: fit_averaging((1, 2), (0.6, 0.7), (0.1, -1)), "variances must be a finite number of at least 0"),
        (lambda: fit_averaging_attack((1, 2), (A,)), "scores must be one for each of 2 ks"),
        (lambda: fit_averaging_attack((1, 2), (A, B)), "scores must be of the same examples at each K"),
        (lambda: fit_averaging_attack((1, 2), (A, A), num_bootstrap=0), "num_bootstrap must be"),
        (lambda: fit_averaging_attack((1, 2), (A, A), confidence=1), "confidence must be"),
        (lambda: AveragingFit(1.0, 0.5, 0.5, (1,), (0.7,)).auc(0), "queries must be a finite number of at least 1"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(InputError, match=re.escape(message)):
        call()
