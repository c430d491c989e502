"""The AUC's arithmetic against double loops."""

import numpy as np
import pytest

from kerasburst.privacy import auc


def kernel(members, non_members):
    return np.array([[1.0 if a > b else 0.5 if a == b else 0.0 for b in non_members] for a in members])


@pytest.mark.parametrize("decimals", [0, 1, 8])  # many ties, few, none
def test_placements_and_covariance(decimals):
    rng = np.random.default_rng(1)
    base = rng.normal(size=(2, 1, 20))
    members = (base[0, :, :17] + rng.normal(0.7, 1, (3, 17))).round(decimals)
    non_members = (base[1] + rng.normal(0, 1, (3, 20))).round(decimals)
    kernels = np.array([kernel(*pair) for pair in zip(members, non_members, strict=True)])
    for psi, a, b in zip(kernels, members, non_members, strict=True):
        above, below = auc.placements(a, b)
        np.testing.assert_allclose(above, psi.mean(axis=1), atol=1e-14)
        np.testing.assert_allclose(below, psi.mean(axis=0), atol=1e-14)
        assert auc.auc_value(a, b) == pytest.approx(psi.mean(), abs=1e-14)
    expected = np.empty((3, 3))
    for i in range(3):
        for j in range(3):
            v = [kernels[s].mean(axis=1) - kernels[s].mean() for s in (i, j)]
            w = [kernels[s].mean(axis=0) - kernels[s].mean() for s in (i, j)]
            expected[i, j] = (v[0] * v[1]).sum() / 16 / 17 + (w[0] * w[1]).sum() / 19 / 20
    np.testing.assert_allclose(auc.delong_covariance(members, non_members), expected, atol=1e-15)


def test_infinite_scores_have_an_order():
    assert auc.auc_value(np.array([np.inf, -np.inf]), np.array([-np.inf, 0.0])) == (1 + 1 + 0.5 + 0) / 4


def test_bootstrap_is_of_resamples_that_all_columns_share(monkeypatch):
    rng = np.random.default_rng(2)
    members, non_members = rng.integers(0, 6, (2, 7)) + 1.0, rng.integers(0, 6, (2, 9)) + 0.0
    got = auc.bootstrap_aucs(members, non_members, 5, seed=4)
    draws = np.random.default_rng(4)
    rows, columns = draws.integers(7, size=(5, 7)), draws.integers(9, size=(5, 9))
    for b in range(5):
        for j in range(2):
            assert got[b, j] == pytest.approx(kernel(members[j, rows[b]], non_members[j, columns[b]]).mean(), abs=1e-14)
    monkeypatch.setattr(auc, "_CHUNK", 40)  # 2 resamples at once
    chunked, draws = auc.bootstrap_aucs(members, non_members, 5, seed=4), np.random.default_rng(4)
    for start, size in ((0, 2), (2, 2), (4, 1)):
        rows, columns = draws.integers(7, size=(size, 7)), draws.integers(9, size=(size, 9))
        for b in range(size):
            expected = [kernel(members[j, rows[b]], non_members[j, columns[b]]).mean() for j in range(2)]
            np.testing.assert_allclose(chunked[start + b], expected, atol=1e-14)
