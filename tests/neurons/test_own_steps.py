"""Neurons of one's own whose step is wrong, and inputs that no neurons take: one line on every backend."""

import keras
import numpy as np
import pytest
from keras import ops

import kerasburst as kb
from kerasburst.validation import InputError

from .common import NEURONS

pytestmark = pytest.mark.usefixtures("eagerly")

X = np.ones((2, 3, 4), "float32")


def own(step, base, names=("mem",)):
    return type("Own", (type("_Own", (kb.Neuron,), {"step": step, "state_names": names}), base), {})


STEPS = {
    "spikes alone": (lambda self, c, s: c, "step must return the spikes and a dict of the state, with mem"),
    "no state": (lambda self, c, s: (c, {}), "step must return the spikes and a dict of the state, with mem"),
    "another state": (
        lambda self, c, s: (c, {"mem": c, "v": c}),
        "step must return the spikes and a dict of the state",
    ),
    "a list": (lambda self, c, s: (c, [c]), "step must return the spikes and a dict of the state, with mem"),
    "one spike": (lambda self, c, s: (c[:, :1], {"mem": c}), r"spikes of step must be of the current's shape"),
    "one membrane": (lambda self, c, s: (c, {"mem": c[:, :1]}), r"mem of step must be of the current's shape"),
    "a number": (lambda self, c, s: (c, {"mem": 0.0}), r"mem of step must be of the current's shape"),
}


@pytest.mark.parametrize("case", STEPS)
def test_a_step_returns_spikes_and_states_of_the_current_s_shape(case):
    step, message = STEPS[case]
    with pytest.raises(InputError, match=f"^{message}"):
        own(step, kb.NeuronLayer)()(X)
    with pytest.raises(InputError, match=message):
        keras.layers.RNN(own(step, kb.NeuronCell)(4), return_sequences=True)(X)


@pytest.mark.parametrize("names", [(), "mem", None])
def test_state_names(names):
    with pytest.raises(InputError, match="Own.state_names must be a tuple of one or more names"):
        own(lambda self, c, s: (c, s), kb.NeuronLayer, names)()


@pytest.mark.parametrize("name", NEURONS)
def test_inputs_and_masks_that_do_not_fit(name):
    layer = NEURONS[name][0](**NEURONS[name][2])
    with pytest.raises(InputError, match=r"^inputs must be numbers of at least one time step, received [^\n]*$"):
        layer(X[:, :0])
    for mask in (np.ones((2, 4), bool), np.ones((2, 3, 4), bool), np.ones(3, bool)):
        with pytest.raises(InputError, match=r"^mask must be of shape \(2, 3\), \(batch, time\), received [^\n]*$"):
            NEURONS[name][0](**NEURONS[name][2])(X, mask=mask)
    silent = ops.convert_to_numpy(NEURONS[name][0](**NEURONS[name][2])(X, mask=np.zeros((2, 3), int)))
    assert not silent.any()  # a mask of integers is one, too
