"""What Keras users do with a model, done with networks of other neurons than LIF."""

import keras
import numpy as np
import pytest
from keras import ops

import kerasburst as kb

from .twins import LABELS, SPIKES

# Keras says of layers without weights that they are not quantised.
pytestmark = pytest.mark.filterwarnings("ignore:Layer .* does not have a `quantize` method")


class _Leaky(kb.Neuron):
    """A user's own step."""

    def step(self, current, state):
        mem = 0.7 * state["mem"] * ops.cast(state["mem"] <= 0.4, current.dtype) + current
        return kb.spike(mem - 0.4, kb.ATan()), {"mem": mem}


@keras.saving.register_keras_serializable("kerasburst_tests")
class Leaky(_Leaky, kb.NeuronLayer):
    pass


@keras.saving.register_keras_serializable("kerasburst_tests")
class LeakyCell(_Leaky, kb.NeuronCell):
    pass


ADAPTIVE = {"rho": 0.7, "kappa": 0.5, "threshold": 0.4}
OTHERS = {
    "AdaptiveLIF": (lambda **k: kb.AdaptiveLIF(**ADAPTIVE, **k), lambda: kb.AdaptiveLIFCell(9, **ADAPTIVE)),
    "own": (Leaky, lambda: LeakyCell(9)),
}


def with_neurons(name):
    parts = [
        keras.layers.Dense(9, kernel_initializer=keras.initializers.RandomNormal(0.1, 0.4, seed=1), name="first"),
        OTHERS[name][0](name="neurons"),
        keras.layers.Dense(3, kernel_initializer=keras.initializers.RandomNormal(0.2, 0.4, seed=2), name="second"),
        kb.LeakyIntegrator(return_sequences=False, name="out"),
    ]
    return keras.Sequential([keras.Input((6, 12)), *parts])


def check_against_cells(model, name):
    """Check the model against Keras' own layers and loop over time, and what is recorded against the model."""
    x = SPIKES.astype("float32")
    spk = keras.layers.RNN(OTHERS[name][1](), return_sequences=True)(model.get_layer("first")(x))
    assert 0 < ops.convert_to_numpy(spk).mean() < 1
    want = ops.convert_to_numpy(model.get_layer("out")(model.get_layer("second")(spk)))
    np.testing.assert_allclose(model.predict(x, verbose=0), want, rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(kb.record(model, x)["neurons"]["spk"], ops.convert_to_numpy(spk))
    return want


@pytest.mark.usefixtures("eagerly")
@pytest.mark.parametrize("name", OTHERS)
def test_other_neurons_in_files_and_copies(name, tmp_path):
    model, x = with_neurons(name), SPIKES.astype("float32")
    want = check_against_cells(model, name)
    for file in ("model.keras", "model.h5"):
        model.save(tmp_path / file)
        copy = keras.models.load_model(tmp_path / file)
        assert type(copy.get_layer("neurons")) is type(model.get_layer("neurons"))
        np.testing.assert_array_equal(ops.convert_to_numpy(copy(x)), ops.convert_to_numpy(model(x)))
    clone = keras.models.clone_model(model)
    model.save_weights(tmp_path / "model.weights.h5")
    clone.load_weights(tmp_path / "model.weights.h5")
    np.testing.assert_allclose(ops.convert_to_numpy(clone(x)), want, rtol=1e-5, atol=1e-5)


@pytest.mark.sampled(3)
@pytest.mark.usefixtures("eagerly")
@pytest.mark.parametrize("name", OTHERS)
@pytest.mark.parametrize("change", ["int8", "lora"])
def test_other_neurons_behind_changed_layers(name, change):
    model = with_neurons(name)
    before = ops.convert_to_numpy(model(SPIKES.astype("float32")))
    if change == "int8":
        model.quantize("int8")
    else:
        first = model.get_layer("first")
        first.enable_lora(2)
        first.lora_kernel_b.assign(np.full(first.lora_kernel_b.shape, 0.3))
    after = check_against_cells(model, name)
    assert np.abs(after - before).max() > 0


@pytest.mark.usefixtures("eagerly")
@pytest.mark.thorough
@pytest.mark.parametrize("name", OTHERS)
def test_other_neurons_train_with_masks_weights_and_callbacks(name, tmp_path):
    """Examples of weight 0 and masked steps change no weight: the training is that of the others alone."""

    def fit(x, labels, **options):
        inputs = keras.Input((None, 12))
        outputs = keras.layers.Masking()(inputs)
        for layer in with_neurons(name).layers:
            outputs = layer(outputs)
        model = keras.Model(inputs, outputs)
        model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True, reduction="sum"))
        model.fit(x, labels, epochs=2, batch_size=16, shuffle=False, verbose=0, **options)
        return model.get_weights()

    x = SPIKES.astype("float32") + 0.01  # no step is masked by itself
    padded = np.concatenate([x, np.zeros((16, 3, 12), "float32")], axis=1)
    backup = keras.callbacks.BackupAndRestore(str(tmp_path / "backup"))
    want = fit(x[LABELS != 1], LABELS[LABELS != 1])
    for weights in ({"class_weight": {0: 1.0, 1: 0.0, 2: 1.0}}, {"sample_weight": (LABELS != 1).astype("float32")}):
        for got, weight in zip(fit(padded, LABELS, callbacks=[backup], **weights), want, strict=True):
            np.testing.assert_allclose(got, weight, rtol=1e-4, atol=1e-5)
