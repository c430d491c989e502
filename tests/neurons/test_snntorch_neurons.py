"""snnTorch 1.0's Synaptic and RLeaky as oracles, step for step, with gradients; on every backend."""

import numpy as np
import pytest
from keras import ops

import kerasburst as kb

from .common import BACKEND, arrays, gradients

torch = pytest.importorskip("torch")
snntorch = pytest.importorskip("snntorch")

# A build of torch for GPUs says so where there is none.
pytestmark = pytest.mark.filterwarnings("ignore:CUDA initialization")
RESETS = ("subtract", "zero", "none")
SHAPE = (3, 12, 4)
ALPHA, BETA, THRESHOLD = 0.6, 0.8, 0.9


def draw(shape, seed, low=-0.3, high=1.2):
    """Multiples of 1/1024, so that float32 and float64 begin alike."""
    return np.round(np.random.default_rng(seed).uniform(low, high, shape) * 1024) / 1024


def ours(layer, x, trained, states, w_spk, w_mem):
    """Spikes, membranes, and the gradients of sum(w_spk spk + w_mem mem) of inputs, initial states and weights."""
    layer.build(x.shape)
    kind = layer.compute_dtype

    def outputs(x, *others):
        state, weights = list(others[: len(states)]), list(others[len(states) :])
        return layer.stateless_call(weights, [], x, initial_state=state)[0]

    def loss(*inputs):
        spk, mem = outputs(*inputs)
        return ops.sum(ops.cast(w_spk, kind) * spk) + ops.sum(ops.cast(w_mem, kind) * mem)

    inputs = [np.asarray(v, kind) for v in (x, *states, *trained)]
    return arrays(outputs(*map(ops.convert_to_tensor, inputs))) + gradients(loss, *inputs)


def theirs(neuron, x, states, w_spk, w_mem, recurrent=False, dtype=torch.float64):
    x = torch.tensor(x, dtype=dtype, requires_grad=True)
    starts = [torch.tensor(s, dtype=dtype, requires_grad=True) for s in states]
    carried, spks, mems = starts, [], []
    for t in range(x.shape[1]):
        spk, *carried = neuron(x[:, t], *carried)
        if recurrent:
            carried = [spk, *carried]
        spks.append(spk)
        mems.append(carried[-1])
    spk, mem = torch.stack(spks, 1), torch.stack(mems, 1)
    (torch.tensor(w_spk) * spk + torch.tensor(w_mem) * mem).sum().backward()
    return [v.detach().numpy() for v in (spk, mem)], x.grad.numpy(), [s.grad for s in starts]


TOLERANCE = {"rtol": 2e-3, "atol": 2e-3} if BACKEND == "jax" else {"rtol": 1e-5, "atol": 1e-5}
DTYPE = "float32" if BACKEND == "jax" else "float64"


@pytest.mark.parametrize("reset", RESETS)
def test_synaptic(reset):
    x, syn, mem = draw(SHAPE, 0, -0.3, 0.7), draw((3, 4), 1), draw((3, 4), 2, -0.5, 2.0)
    weights = draw(SHAPE, 3, -1, 1), draw(SHAPE, 4, -1, 1)
    one = {name: torch.tensor([v], dtype=torch.float64) for name, v in (("a", ALPHA), ("b", BETA), ("t", THRESHOLD))}
    neuron = snntorch.Synaptic(
        one["a"], one["b"], threshold=one["t"], learn_alpha=True, learn_beta=True, learn_threshold=True,
        reset_mechanism=reset,
    ).double()  # fmt: skip
    neuron.alpha.data, neuron.beta.data, neuron.threshold.data = one.values()  # the constructor rounds them to float32
    (want_spk, want_mem), d_x, (d_syn, d_mem) = theirs(neuron, x, (syn, mem), *weights)
    layer = kb.Synaptic(
        ALPHA,
        BETA,
        threshold=THRESHOLD,
        reset_mechanism=reset,
        trainable_alpha=True,
        trainable_beta=True,
        trainable_threshold=True,
        return_mem=True,
        dtype=DTYPE,
    )
    spk, got_mem, *got = ours(layer, x, (ALPHA, BETA, THRESHOLD), (mem, syn), *weights)
    assert 0.1 < want_spk.mean() < 0.95
    np.testing.assert_array_equal(spk, want_spk)
    want = [d_x, d_mem, d_syn, neuron.alpha.grad, neuron.beta.grad, neuron.threshold.grad]
    for a, b in zip([got_mem, *got], [want_mem, *want], strict=True):
        np.testing.assert_allclose(a, np.reshape(np.asarray(b), np.shape(a)), **TOLERANCE)


@pytest.mark.parametrize("reset", RESETS)
def test_recurrent_lif(reset):
    x, mem = draw(SHAPE, 0), draw((3, 4), 2, -0.5, 2.0)
    weights = draw(SHAPE, 3, -1, 1), draw(SHAPE, 4, -1, 1)
    kernel, bias = draw((4, 4), 5, -0.4, 0.4), draw((4,), 6, -0.2, 0.2)
    neuron = snntorch.RLeaky(  # in float32, as its spikes are whatever its weights are
        BETA, all_to_all=True, linear_features=4, threshold=THRESHOLD, learn_beta=True, learn_threshold=True,
        reset_mechanism=reset,
    )  # fmt: skip
    neuron.recurrent.weight.data = torch.tensor(kernel.T.astype("float32"))
    neuron.recurrent.bias.data = torch.tensor(bias.astype("float32"))
    start = (mem > THRESHOLD).astype("float64")  # what ours follow from the membrane
    (want_spk, want_mem), d_x, (d_spk, d_mem) = theirs(
        neuron, x, (start, mem), *weights, recurrent=True, dtype=torch.float32
    )
    layer = kb.RecurrentLIF(
        BETA,
        threshold=THRESHOLD,
        reset_mechanism=reset,
        use_bias=True,
        trainable_beta=True,
        trainable_threshold=True,
        return_mem=True,
    )
    spk, got_mem, *got = ours(layer, x, (BETA, THRESHOLD, kernel, bias), (mem,), *weights)
    assert 0.1 < want_spk.mean() < 0.95
    np.testing.assert_array_equal(spk, want_spk)
    # Their first spikes are an input of its own; ours pass their gradient on to the membrane and the threshold.
    passed = d_spk.numpy() / (1 + (np.pi * (mem - THRESHOLD)) ** 2)
    recurrent = neuron.recurrent
    want = [
        d_x,
        d_mem.numpy() + passed,
        neuron.beta.grad,
        neuron.threshold.grad.numpy() - passed.sum(),
        recurrent.weight.grad.numpy().T,
        recurrent.bias.grad,
    ]
    for a, b in zip([got_mem, *got], [want_mem, *want], strict=True):
        np.testing.assert_allclose(a, np.reshape(np.asarray(b), np.shape(a)), rtol=1e-3, atol=1e-3)
