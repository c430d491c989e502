"""Tables by hand, the same literals on every backend."""

import numpy as np
import pytest
from keras import ops

import kerasburst as kb

from .common import arrays, gradients

X = np.float32([[[2.0], [4.0], [-1.0]]])
MEM = [2.0, 5.0, 1.5]  # 2; 1 + 4; 2.5 - 1


def test_its_output_is_the_membrane():
    assert arrays(kb.LeakyIntegrator(0.5)(X))[0].ravel().tolist() == MEM
    assert arrays(kb.LeakyIntegrator(0.5, return_sequences=False)(X))[0].ravel().tolist() == MEM[-1:]
    spk, mem, last = arrays(kb.LeakyIntegrator(0.5, return_mem=True, return_state=True)(X))
    assert not spk.any() and mem.ravel().tolist() == MEM and last.ravel().tolist() == MEM[-1:]


@pytest.mark.parametrize("t", range(3))
def test_gradients_by_hand(t):
    layer = kb.LeakyIntegrator(0.5)
    got = gradients(lambda x: ops.sum(layer(x)[:, t]), X)[0].ravel().tolist()
    assert got == [0.5 ** (t - s) if s <= t else 0.0 for s in range(3)]


def test_the_gradient_of_beta_by_hand():
    layer = kb.LeakyIntegrator(0.5, trainable_beta=True)
    layer.build(X.shape)

    def last(beta):
        return ops.sum(layer.stateless_call([beta], [], X)[0][:, -1])

    # mem[2] = 2 beta^2 + 4 beta - 1
    assert gradients(last, np.float32(0.5))[0] == 6.0
