"""Layers that do not do what a plain Dense or LIF does: each export is right, or refused in one line."""

import keras
import numpy as np
import pytest

import kerasburst as kb
from kerasburst.export import export
from kerasburst.export.formats import read_manifest
from kerasburst.registry import FORMATS
from kerasburst.validation import InputError
from tests.models.common import enliven

from .common import CLASSES, spikes

for module in ("onnxruntime", "tf2onnx", "ai_edge_litert", "nir"):
    pytest.importorskip(module)


class Halved(kb.LIF):
    """A call of its own, which does half of what LIF does."""

    def call(self, *args, **kwargs):
        """Halve the membrane."""
        spk, mem = super().call(*args, **kwargs)
        return spk, mem / 2


class Summing(kb.LIF):
    """A call of its own that has nothing of LIF's."""

    def call(self, inputs, initial_state=None, mask=None):
        """Add up the current."""
        mem = keras.ops.cumsum(inputs, axis=1)
        return keras.ops.cast(mem > 1.0, "float32"), mem


class Leakier(kb.LIF):
    """A step of its own: beta / 2."""

    def step(self, current, state):
        """Advance one step."""
        return super().step(current, {"mem": state["mem"] / 2})

    def run(self, current, state, *mask):
        """Run by steps."""
        return kb.NeuronLayer.run(self, current, state, *mask)


class Steep(keras.layers.Dense):
    """A Dense layer with a call of its own."""

    def call(self, inputs, training=None):
        """Multiply the output by 1.5."""
        return super().call(inputs) * 1.5


class WithNeuron(kb.SNNFCNet):
    """A network with other output neurons."""

    output_neuron = kb.LIF

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.output_lif = self.output_neuron(**self._neuron, return_mem=True, name="output_lif")


class Halving(WithNeuron):
    """One whose neurons have a call of their own."""

    output_neuron = Halved


class AddingUp(WithNeuron):
    """One whose neurons are none of ours."""

    output_neuron = Summing


class Leaking(WithNeuron):
    """One whose neurons have a step of their own."""

    output_neuron = Leakier


class WithSteep(kb.SNNFCNet):
    """A network with subclassed dense layers."""

    def _dense(self, units, name):
        return Steep(units, name=name)


class WithReLU(kb.SNNFCNet):
    """A network with an activation between Dense and LIF."""

    def _dense(self, units, name):
        return keras.layers.Dense(units, activation="relu", name=name)


class OwnCall(kb.SNNFCNet):
    """A network with a call of its own."""

    def call(self, inputs):
        """Add one to the logits."""
        return super().call(inputs) + 1.0


def built(cls=kb.SNNFCNet):
    network = cls(CLASSES, hidden_units=12)
    network.build((None, 6, 5))
    return enliven(network)


def quantized():
    network = built()
    with pytest.warns(UserWarning, match="quantize"):  # Keras names each layer that it leaves as it is
        network.quantize("int8")
    return network


def with_lora():
    network = built()
    layer, rng = network.hidden_dense, np.random.default_rng(0)
    layer.enable_lora(2)
    for weight in (layer.lora_kernel_a, layer.lora_kernel_b):
        weight.assign(rng.normal(size=weight.shape))
    return network


KINDS = {
    "quantized": quantized,
    "LoRA": with_lora,
    "a subclassed Dense": lambda: built(WithSteep),
    "an activation": lambda: built(WithReLU),
    "a neuron's own call": lambda: built(Halving),
    "a neuron's own call alone": lambda: built(AddingUp),
    "a neuron's own step": lambda: built(Leaking),
    "a network's own call": lambda: built(OwnCall),
}
REFUSED = {
    ("quantized", "litert"): "operations that LiteRT has built in",
    ("quantized", "nir"): "hidden_dense must not be quantized",
    ("a subclassed Dense", "nir"): "hidden_dense is a Steep",
    ("an activation", "nir"): "hidden_dense must have no activation",
    ("a neuron's own call", "nir"): "output_lif is a Halved",
    ("a neuron's own call alone", "litert"): "mixes the steps",
    ("a neuron's own call alone", "nir"): "output_lif is a Summing",
    ("a neuron's own step", "nir"): "output_lif is a Leakier",
    ("a network's own call", "nir"): "the logits must be",
}


@pytest.mark.sampled(11)
@pytest.mark.parametrize(("kind", "format"), [(kind, format) for format in reversed(list(FORMATS)) for kind in KINDS])
def test_right_or_refused(kind, format, tmp_path):
    network, out = KINDS[kind](), tmp_path / "out"
    if message := REFUSED.get((kind, format)):
        with pytest.raises(InputError, match=message) as error:
            export(network, out, format)
        assert "\n" not in str(error.value) and list(tmp_path.iterdir()) == []
        return
    export(network, out, format)
    x = spikes()
    np.testing.assert_allclose(FORMATS[format]().run(out, read_manifest(out))(x), network(x), atol=1e-4)
