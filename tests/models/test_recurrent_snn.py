import numpy as np
import pytest
from keras import ops

import kerasburst as kb
from kerasburst.validation import InputError

from .common import dense, draw_spikes, enliven

pytestmark = pytest.mark.usefixtures("eagerly")


def recurrent(current, kernel, beta):
    """Return the spikes of `RecurrentLIF`, float64."""
    mem = np.zeros_like(current[:, 0])
    found = []
    for t in range(current.shape[1]):
        before = (mem > 1.0).astype("float64")
        mem = beta * mem + current[:, t] + before @ kernel - before
        found.append((mem > 1.0).astype("float64"))
    return np.stack(found, 1)


def test_forward_pass_and_operations_by_hand():
    network, x = kb.RecurrentSNN(3, hidden_units=(4, 5), beta=0.8, seed=0), draw_spikes(3, 6, 7)
    network.build((None, *x.shape[1:]))
    enliven(network)
    y, operations = x.astype("float64"), []
    for i, units in enumerate((4, 5)):
        layer, lif = (getattr(network, f"hidden{i + 1}_{kind}") for kind in ("dense", "lif"))
        operations.append(y.sum() * units)
        y = recurrent(dense(y, layer), lif.get_weights()[0].astype("float64"), 0.8)
        operations.append(y[:, :-1].sum() * units)  # the last step's spikes reach no later one
    assert 0 < y.mean() < 1
    mem = np.zeros((3, 3))
    trace = []
    for current in dense(y, network.output_dense).swapaxes(0, 1):
        mem = 0.8 * mem + current - (mem > 1.0)
        trace.append(mem)
    np.testing.assert_allclose(network.membrane_trace(x), np.stack(trace, 1), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(ops.convert_to_numpy(network(x)), np.mean(trace, 0), rtol=1e-4, atol=1e-5)
    cost = {layer.name: layer.effective_acs for layer in kb.network_cost(network, x).layers}
    want = dict(zip(("hidden1_dense", "hidden1_lif/recurrent_kernel"), operations[:2], strict=True))
    want |= dict(zip(("hidden2_dense", "hidden2_lif/recurrent_kernel"), operations[2:], strict=True))
    assert cost == want | {"output_dense": 3 * y.sum()}


def test_recordings_of_different_lengths_share_a_batch():
    network = kb.RecurrentSNN(3, hidden_units=6, seed=0)
    network.build((None, None, 5))
    x = draw_spikes(3, 7, 5, p=0.6).astype("int8")
    alone = ops.convert_to_numpy(network(x[1:2, :2].astype("float32")))[0]
    x[1, 2:] = x[2, 5:] = -1
    np.testing.assert_allclose(ops.convert_to_numpy(network(x))[1], alone, rtol=1e-5, atol=1e-6)
    rates = network.firing_rates(x)
    assert rates["input"] == pytest.approx((x == 1).sum() / (5 * 14), rel=1e-5)  # 14 of 21 steps are no padding
    counted = kb.network_cost(network, x).layers[0].effective_acs
    assert counted == 6 * (x == 1).sum()


@pytest.mark.parametrize("bad", [(), (0,), "12", None])
def test_bad_hidden_units(bad):
    with pytest.raises(InputError, match="hidden_units must be"):
        kb.RecurrentSNN(3, hidden_units=bad)


def test_other_neurons():
    network = kb.RecurrentSNN(3, hidden_units=4, neuron="adaptive_lif", neuron_options={"rho": 0.5})
    assert type(network.hidden1_lif) is kb.AdaptiveLIF and network.hidden1_lif.rho == 0.5
