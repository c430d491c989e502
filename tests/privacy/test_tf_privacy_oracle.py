"""LiRA against tensorflow-privacy's own, where the extra `tf-privacy` is installed."""

import importlib.metadata

import numpy as np
import pytest

from kerasburst.privacy import tf_privacy
from kerasburst.privacy.attacks import lira

# Where it is installed it must work: no test is skipped since its import fails.
pytestmark = pytest.mark.skipif(
    not any(importlib.metadata.distributions(name="tensorflow-empirical-privacy")), reason="needs the extra tf-privacy"
)


@pytest.mark.parametrize("fixed_variance", [True, False])
@pytest.mark.parametrize("num_shadows", [4, 7, 16])
def test_online_lira_is_theirs_with_the_sign_turned(fixed_variance, num_shadows):
    compute_score_lira = tf_privacy.load("membership_inference_attack.advanced_mia").compute_score_lira
    rng = np.random.default_rng(num_shadows)
    membership = rng.random((num_shadows, 40)) < 0.5
    membership[:2], membership[2:4] = True, False
    shadows, target = rng.normal(membership * 1.5, 1.0 + membership), rng.normal(0.5, 1.5, 40)
    sides = [[shadows[membership[:, i] == side, i][:, None] for i in range(40)] for side in (True, False)]
    theirs = compute_score_lira(target[:, None], *sides, option="both", fix_variance=fixed_variance)
    np.testing.assert_allclose(lira(target, shadows, membership, fixed_variance=fixed_variance), -theirs, rtol=1e-9)
