"""LiRA against tensorflow-privacy's own, where that is installed: `pip install tensorflow-privacy`."""

import importlib
import warnings

import numpy as np
import pytest

from kerasburst.privacy.attacks import lira

# tensorflow-privacy up to 0.9 has the attacks; tensorflow-empirical-privacy installs them at the same place.
MODULE = "tensorflow_privacy.privacy.privacy_tests.membership_inference_attack.advanced_mia"


@pytest.fixture(scope="module")
def compute_score_lira():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            module = importlib.import_module(MODULE)
        except ImportError:
            pytest.skip(f"{MODULE} is not installed")
    return module.compute_score_lira


@pytest.mark.parametrize("fixed_variance", [True, False])
@pytest.mark.parametrize("num_shadows", [4, 7, 16])
def test_online_lira_is_theirs_with_the_sign_turned(compute_score_lira, fixed_variance, num_shadows):
    rng = np.random.default_rng(num_shadows)
    membership = rng.random((num_shadows, 40)) < 0.5
    membership[:2], membership[2:4] = True, False
    shadows, target = rng.normal(membership * 1.5, 1.0 + membership), rng.normal(0.5, 1.5, 40)
    sides = [[shadows[membership[:, i] == side, i][:, None] for i in range(40)] for side in (True, False)]
    theirs = compute_score_lira(target[:, None], *sides, option="both", fix_variance=fixed_variance)
    np.testing.assert_allclose(lira(target, shadows, membership, fixed_variance=fixed_variance), -theirs, rtol=1e-9)
