"""snnTorch 1.0's Leaky as the oracle: we are equal to it step for step, gradients too.

Needs torch and snntorch, which kerasburst does not: without them these tests are skipped. snnTorch's
`triangular` is left out: its gradient is +1 below the threshold and -1 above, which is no triangle.
"""

import numpy as np
import pytest
from keras import ops

from kerasburst import backend
from kerasburst.neurons.functional import lif_sequence
from kerasburst.neurons.lif import LIF
from kerasburst.neurons.surrogate import ATan, FastSigmoid, Sigmoid, StraightThrough

from .common import array, gradients, tensor, weighted
from .reference import RESETS

torch = pytest.importorskip("torch")
snntorch = pytest.importorskip("snntorch")
from snntorch import surrogate as theirs  # noqa: E402

# A build of torch for GPUs says so where there is none.
pytestmark = pytest.mark.filterwarnings("ignore:CUDA initialization")

SURROGATES = {
    "default": (None, "atan"),
    "atan": (theirs.atan(alpha=2.0), "atan"),
    "atan_5": (theirs.atan(alpha=5.0), ATan(5.0)),
    "fast_sigmoid": (theirs.fast_sigmoid(slope=25), "fast_sigmoid"),
    "fast_sigmoid_3": (theirs.fast_sigmoid(slope=3), FastSigmoid(3.0)),
    "sigmoid": (theirs.sigmoid(slope=25), "sigmoid"),
    "sigmoid_2": (theirs.sigmoid(slope=2), Sigmoid(2.0)),
    "straight_through": (theirs.straight_through_estimator(), StraightThrough()),
}
SHAPE = (4, 20, 6)


@pytest.fixture(autouse=True)
def float64():
    """JAX computes in float32 unless it is told otherwise."""
    with backend.float64():
        yield


def draw(shape, seed, low=-0.3, high=1.2):
    """Multiples of 1/1024 as float64.

    snnTorch's spikes are float32 whatever the membrane is, and so are the gradients with respect to
    them and their product with a slope: short numbers keep these exact.
    """
    return np.round(np.random.default_rng(seed).uniform(low, high, shape) * 1024) / 1024


def leaky(current, beta, threshold, reset, spike_grad, mem, w_spk, w_mem):
    """Spikes, membranes, and the gradients of sum(w_spk spk + w_mem mem), by snnTorch in float64."""
    # Of one axis at least: a float32 spike times a float64 scalar is float32 in torch.
    tensors = [torch.tensor(np.atleast_1d(v), dtype=torch.float64) for v in (beta, threshold)]
    neuron = snntorch.Leaky(
        tensors[0],
        threshold=tensors[1],
        spike_grad=spike_grad,
        learn_beta=True,
        learn_threshold=True,
        reset_mechanism=reset,
    ).double()
    neuron.beta.data, neuron.threshold.data = tensors  # the constructor rounds them to float32
    x = torch.tensor(current, requires_grad=True)
    start = torch.tensor(mem, requires_grad=True)
    state, spks, mems = start, [], []
    for t in range(current.shape[1]):
        spk, state = neuron(x[:, t], state)
        spks.append(spk)
        mems.append(state)
    spk, mem = torch.stack(spks, 1), torch.stack(mems, 1)
    (torch.tensor(w_spk) * spk + torch.tensor(w_mem) * mem).sum().backward()
    gradients = [x.grad, neuron.beta.grad, neuron.threshold.grad, start.grad]
    gradients[1:3] = [g.reshape(np.shape(v)) for g, v in zip(gradients[1:3], (beta, threshold), strict=True)]
    return [v.detach().numpy() for v in (spk, mem, *gradients)]


def ours(current, beta, threshold, reset, surrogate, mem, w_spk, w_mem):
    inputs = [tensor(v, "float64") for v in (current, beta, threshold, mem)]

    def loss(*inputs):
        spk, mems = lif_sequence(*inputs[:3], reset, surrogate, inputs[3])
        return ops.sum(tensor(w_spk) * spk + tensor(w_mem) * mems)

    outputs = lif_sequence(*inputs[:3], reset, surrogate, inputs[3])
    return [*map(array, outputs), *gradients(loss, *inputs)]


@pytest.mark.parametrize("name", SURROGATES)
@pytest.mark.parametrize("reset", RESETS)
@pytest.mark.parametrize("per_neuron", [False, True], ids=["shared", "per_neuron"])
def test_equal_step_for_step_with_gradients(reset, name, per_neuron):
    current, mem = draw(SHAPE, 0), draw((4, 6), 1, -1, 3)
    beta = draw(6, 2, 0.3, 1.0) if per_neuron else 0.9
    threshold = draw(6, 3, 0.5, 1.5) if per_neuron else 0.8
    weights = draw(SHAPE, 4, -1, 1), draw(SHAPE, 5, -1, 1)
    torch_grad, surrogate = SURROGATES[name]
    want = leaky(current, beta, threshold, reset, torch_grad, mem, *weights)
    got = ours(current, beta, threshold, reset, surrogate, mem, *weights)
    assert 0.1 < want[0].mean() < 0.97 and (mem > threshold).any()
    np.testing.assert_array_equal(got[0], want[0])
    for a, b in zip(got[1:], want[1:], strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("reset", RESETS)
def test_ties_and_the_default_state(reset):
    """Currents of quarters, beta 1: ties with the threshold, exact, at many steps."""
    current = np.random.default_rng(0).integers(-2, 4, SHAPE) / 4
    neuron = snntorch.Leaky(1.0, reset_mechanism=reset).double()
    state = neuron.reset_mem()
    spks, mems = [], []
    for t in range(SHAPE[1]):
        spk, state = neuron(torch.tensor(current[:, t]), state)
        spks.append(spk.numpy())
        mems.append(state.numpy())
    mems = np.stack(mems, 1)
    assert (mems == 1.0).sum() > 10
    spk, mem = lif_sequence(tensor(current), 1.0, reset_mechanism=reset)
    np.testing.assert_array_equal(array(mem), mems)
    np.testing.assert_array_equal(array(spk), np.stack(spks, 1))


@pytest.mark.parametrize("value", [-0.5, 0.0, 0.4, 1.0, 1.3])
def test_trained_beta_is_clipped_as_theirs(value):
    current, w_spk, w_mem = draw(SHAPE, 0), draw(SHAPE, 4, -1, 1), np.zeros(SHAPE)
    want_spk, _, want_current, want_beta, want_threshold, _ = leaky(
        current, value, 1.0, "subtract", None, np.zeros((4, 6)), w_spk, w_mem
    )
    layer = LIF(trainable_beta=True, trainable_threshold=True, dtype="float64")
    layer.build(SHAPE)
    layer.set_weights([np.float64(value), np.float64(1.0)])
    loss, trained = weighted(layer, current, [w_spk])
    got = gradients(loss, current, *trained)
    np.testing.assert_array_equal(array(layer(tensor(current))), want_spk)
    for a, b in zip(got, (want_current, want_beta, want_threshold), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-9)
    assert (want_beta == 0) == (not 0 <= value <= 1)
