"""Tables by hand, the same literals on every backend."""

import numpy as np
from keras import ops

import kerasburst as kb

from .common import arrays, gradients

# beta 1/2, threshold 1, rho 1/2, kappa 2: a[t] = a[t-1] / 2 + spk[t-1]; all numbers are short in binary.
CURRENT = [1.5, 1.0, 1.75, 3.0, 0.5, 2.5]
TABLES = {
    # t: a | mem                                  | threshold + a | spk
    # 0: 0 | 1.5                                  | 1             | 1
    # 1: 1 | 0.75 + 1 - 1 = 0.75                  | 2             | 0
    # 2: 0.5 | 0.375 + 1.75 = 2.125               | 1.5           | 1
    # 3: 1.25 | 1.0625 + 3 - 1.5 = 2.5625         | 2.25          | 1
    # 4: 1.625 | 1.28125 + 0.5 - 2.25 = -0.46875  | 2.625         | 0
    # 5: 0.8125 | -0.234375 + 2.5 = 2.265625      | 1.8125        | 1
    "subtract": ([1.5, 0.75, 2.125, 2.5625, -0.46875, 2.265625], [1, 0, 1, 1, 0, 1], 0.8125),
    # 1: 0 + 1; 2: 0.5 + 1.75 = 2.25 > 1.5; 3: 0 + 3 > 2.25; 4: 0 + 0.5; 5: 0.25 + 2.5 = 2.75 > 1.8125
    "zero": ([1.5, 1.0, 2.25, 3.0, 0.5, 2.75], [1, 0, 1, 1, 0, 1], 0.8125),
    # 1: 1.75 < 2; 2: 0.875 + 1.75 = 2.625; 3: 1.3125 + 3 = 4.3125; 4: 2.65625 > 2.625, so a = 1.8125 at 5:
    # 1.328125 + 2.5 = 3.828125 > 2.8125
    "none": ([1.5, 1.75, 2.625, 4.3125, 2.65625, 3.828125], [1, 0, 1, 1, 1, 1], 1.8125),
}


def run(reset="subtract", **settings):
    layer = kb.AdaptiveLIF(0.5, 2.0, 0.5, reset_mechanism=reset, return_mem=True, return_state=True, **settings)
    return layer


def test_tables():
    for reset, (mem, spk, adaptation) in TABLES.items():
        got = arrays(run(reset)(np.float32(CURRENT)[None, :, None]))
        assert got[1].ravel().tolist() == mem, reset
        assert got[0].ravel().tolist() == spk, reset
        assert got[2].ravel().tolist() == mem[-1:] and got[3].ravel().tolist() == [adaptation]


def test_lasting_activity_settles_at_kappa():
    layer = kb.AdaptiveLIF(rho=0.5, kappa=3.0, beta=0.0, reset_mechanism="none", return_state=True)
    spk, _, adaptation = arrays(layer(np.full((1, 60, 1), 100.0, "float32")))
    assert spk.all()
    np.testing.assert_allclose(adaptation, 3.0, rtol=1e-6)


def test_the_gradient_by_hand():
    """Two steps, straight-through, subtract; currents 1.5 and 3: a[1] = spk[0], mem[1] = mem[0] / 2 + 3 - 1."""
    layer = kb.AdaptiveLIF(0.5, 2.0, 0.5, surrogate="straight_through", return_mem=True)

    def value(which):
        return lambda x: ops.sum(layer(x)[which][:, 1])

    x = np.float32([[[1.5], [3.0]]])
    # d mem[1] / d current[0] = beta: the reset's spike is detached, and a[0] is 0 whatever the current is
    assert gradients(value(1), x)[0].ravel().tolist() == [0.5, 1.0]
    # spk[1] is of mem[1] - 1 - a[1], and a[1] = (1 - rho) kappa spk[0] = spk[0]: 0.5 - 1
    assert gradients(value(0), x)[0].ravel().tolist() == [-0.5, 1.0]
