"""Users' own Keras models with our layers inside."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import kerasburst as kb
from kerasburst.export import savedmodel
from kerasburst.models.snn_fc_net import SNNFCNet
from kerasburst.neurons.lif import LIF, LIFCell
from kerasburst.validation import InputError
from tests.eager import eagerly

from .common import composed
from .test_saved_model import seeded, steps


def after_encoder(model):
    """Return the model after its encoder, by Keras' own graph."""
    (encoder,) = (layer for layer in model.layers if isinstance(layer, kb.Encoder))
    return keras.Model(encoder.output, model.output)


def draw(shape, seed=0):
    return np.random.default_rng(seed).integers(0, 2, shape).astype("float32")


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """The README's model, its manifest, what loads, and its weights and answers before it was exported."""
    model, folder = composed(), tmp_path_factory.mktemp("composed") / "served"
    before = model.get_weights(), after_encoder(model)(draw((4, 8, 8, 8, 1)))
    manifest = savedmodel(model, folder)
    return model, manifest, tf.saved_model.load(str(folder)), before


@pytest.mark.thorough
def test_parity_whole_and_step_by_step(served):
    model, manifest, loaded, _ = served
    assert set(manifest["signatures"]) == {"serving_default", "seeded", "encoded", "step", "trace"}
    states = list(manifest["signatures"]["step"]["inputs"])[1:]
    assert states == ["conv_lif", "cells", "out_lif", "pool_sum", "pool_steps"]
    assert list(manifest["neurons"]) == ["conv_lif", "cells", "out_lif"]
    x = draw((4, 8, 8, 8, 1))
    want = after_encoder(model)(x)
    got = loaded.signatures["encoded"](spikes=tf.constant(x))["logits"]
    np.testing.assert_allclose(got, want, atol=1e-4)
    np.testing.assert_allclose(steps(loaded, x, manifest)[0], got, atol=1e-5)
    trace = loaded.signatures["trace"](spikes=tf.constant(x))["mem"].numpy()
    assert trace.shape == (4, 8, 3)
    np.testing.assert_allclose(trace.mean(1), want, atol=1e-4)


@pytest.mark.thorough
def test_served_images(served):
    model, _, loaded, _ = served
    x = np.random.default_rng(0).uniform(size=(2, 8, 8, 1)).astype("float32")
    run = tf.function(model)
    many = np.stack([run(x).numpy() for _ in range(200)])
    mean = seeded(loaded, x, 1, 200)["logits"]
    np.testing.assert_array_less(np.abs(mean - many.mean(0)), 5 * many.std(0) * np.sqrt(2 / 200) + 1e-6)
    a, b = (loaded.signatures["serving_default"](images=tf.constant(x))["logits"].numpy() for _ in range(2))
    assert (a != b).any()


@pytest.mark.thorough
def test_the_models_own_layers_and_weights_are_left_as_they_are(served, tmp_path):
    model, _, _, (before, want) = served
    x = draw((4, 8, 8, 8, 1))
    np.testing.assert_array_equal(after_encoder(model)(x), want)
    for a, b in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    model.save(tmp_path / "model.keras")
    again = kb.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(after_encoder(again)(x), want)
    again.compile("adam", "mse")
    with eagerly():
        again.fit(np.full((4, 8, 8, 1), 0.5), np.zeros((4, 3)), verbose=0)
    assert any((a != b).any() for a, b in zip(before, again.get_weights(), strict=True))


@pytest.mark.thorough
def test_sequential_with_a_layer_before_the_encoder(tmp_path):
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input((5,)),
            keras.layers.Rescaling(1 / 255),
            kb.RateEncoder(6, mode="regular"),
            keras.layers.Dense(8),
            LIF(threshold=0.2),
            keras.layers.Dense(3),
            LIF(return_sequences=False, return_mem=False, threshold=0.2),
        ]
    )
    manifest = savedmodel(model, tmp_path / "served")
    assert manifest["layers_before_encoder"]
    loaded = tf.saved_model.load(str(tmp_path / "served"))
    x = np.random.default_rng(0).uniform(0, 255, (4, 5)).astype("float32")
    np.testing.assert_allclose(loaded.signatures["serving_default"](images=tf.constant(x))["logits"], model(x))


@pytest.mark.thorough
def test_softmax_at_the_end_gives_probabilities_once(tmp_path):
    keras.utils.set_random_seed(0)
    inputs = keras.Input((6, 5))
    _, mem = LIF(return_mem=True)(keras.layers.Dense(3)(inputs))
    model = keras.Model(inputs, keras.layers.Softmax()(keras.layers.GlobalAveragePooling1D()(mem)))
    savedmodel(model, tmp_path / "served")
    x = draw((4, 6, 5))
    out = tf.saved_model.load(str(tmp_path / "served")).signatures["encoded"](spikes=tf.constant(x))
    np.testing.assert_allclose(out["probabilities"], model(x), atol=1e-5)
    np.testing.assert_allclose(out["logits"], np.log(model(x)), atol=1e-4)


@pytest.mark.thorough
def test_a_model_of_spikes_without_an_encoder(tmp_path):
    keras.utils.set_random_seed(0)
    inputs = keras.Input((None, 5))
    _, mem = LIF(return_mem=True, name="out")(keras.layers.Dense(3)(inputs))
    model = keras.Model(inputs, mem[:, -1])
    manifest = savedmodel(model, tmp_path / "served")
    assert set(manifest["signatures"]) == {"serving_default", "encoded", "step", "trace"}
    loaded = tf.saved_model.load(str(tmp_path / "served"))
    for n in (3, 12):
        x = draw((2, n, 5))
        got = loaded.signatures["serving_default"](spikes=tf.constant(x))["logits"]
        np.testing.assert_allclose(got, model(x), atol=1e-5)
        np.testing.assert_allclose(steps(loaded, x, manifest)[0], got, atol=1e-5)


ZERO = {"reset_mechanism": "zero", "trainable_beta": True, "trainable_threshold": True, "per_neuron": True}
NONE = {"reset_mechanism": "none", "surrogate": "triangular", "beta": 0.4, "threshold": 0.3}


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("layer", "flags"), [("lif", ZERO | {"return_state": True, "return_mem": True}), ("cell", ZERO), ("cell", NONE)]
)
def test_layers_with_every_parameter_varied(layer, flags, tmp_path):
    keras.utils.set_random_seed(1)
    inputs = keras.Input((6, 5))
    current = keras.layers.Dense(4)(inputs)
    if layer == "lif":
        out = LIF(**flags)(current)
        spk = out[0] if isinstance(out, (list, tuple)) else out
    else:
        spk = keras.layers.RNN(LIFCell(4, **flags), return_sequences=True)(current)
    model = keras.Model(inputs, LIF(return_mem=True)(keras.layers.Dense(3)(spk))[1][:, -1])
    rng = np.random.default_rng(0)
    model.set_weights([rng.uniform(0.2, 0.9, w.shape) for w in model.get_weights()])
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    x = draw((4, 6, 5))
    np.testing.assert_array_equal(again(x), model(x))
    manifest = savedmodel(again, tmp_path / "served")
    loaded = tf.saved_model.load(str(tmp_path / "served"))
    np.testing.assert_allclose(loaded.signatures["encoded"](spikes=tf.constant(x))["logits"], model(x), atol=1e-4)
    np.testing.assert_allclose(steps(loaded, x, manifest)[0], model(x), atol=1e-4)


@pytest.mark.thorough
def test_a_layer_that_is_called_twice_and_names_that_are_taken(tmp_path):
    keras.utils.set_random_seed(0)
    inputs, twice = keras.Input((6, 4)), LIF(name="spikes", threshold=0.3, beta=0.5)
    x = twice(keras.layers.Dense(4)(twice(keras.layers.Dense(4)(inputs))))
    _, mem = LIF(return_mem=True, name="the.last-one")(keras.layers.Dense(3)(x))
    model = keras.Model(inputs, mem[:, -1])
    manifest = savedmodel(model, tmp_path / "served")
    states = ["spikes_again", "spikes_again_again", "the_last_one"]
    assert list(manifest["signatures"]["step"]["inputs"]) == ["spikes", *states]
    loaded = tf.saved_model.load(str(tmp_path / "served"))
    x = draw((4, 6, 4))
    np.testing.assert_allclose(steps(loaded, x, manifest)[0], model(x), atol=1e-5)


@pytest.mark.thorough
def test_models_inside_the_model_and_rnns_of_keras(tmp_path):
    """A network of ours behind an LSTM: the states of both go in and out of a step."""
    keras.utils.set_random_seed(0)
    inner = SNNFCNet(3, hidden_units=4, readout="mean", threshold=0.2)
    inputs = keras.Input((6, 5))
    model = keras.Model(inputs, inner(keras.layers.LSTM(4, return_sequences=True, name="lstm")(inputs)))
    manifest = savedmodel(model, tmp_path / "served")
    states = ["lstm_0", "lstm_1", "hidden_lif", "output_lif", "readout_sum", "readout_steps"]
    assert list(manifest["signatures"]["step"]["inputs"]) == ["spikes", *states]
    loaded, x = tf.saved_model.load(str(tmp_path / "served")), draw((4, 6, 5))
    np.testing.assert_allclose(loaded.signatures["encoded"](spikes=tf.constant(x))["logits"], model(x), atol=1e-5)
    np.testing.assert_allclose(steps(loaded, x, manifest)[0], model(x), atol=1e-5)


# Refusals -----------------------------------------------------------------------------------------


def test_names_of_layers_that_tensorflow_cannot_take(tmp_path):
    """Keras itself cannot predict with such a model, and the scope that it opens would stay open for later models."""
    inputs = keras.Input((6, 4))
    model = keras.Model(inputs, LIF(name="the last one", return_sequences=False)(keras.layers.Dense(3)(inputs)))
    with pytest.raises(InputError, match="names of layers must .*, received 'the last one'"):
        savedmodel(model, tmp_path / "served")
    assert keras.layers.Dense(2, name="later").name == "later" and not (tmp_path / "served").exists()
    later = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2, name="later")], name="m")
    assert [weight.path for weight in later.weights] == ["m/later/kernel", "m/later/bias"]


def chain(*layers, inputs=(6, 5)):
    x = start = keras.Input(inputs)
    for layer in layers:
        x = layer(x)
    return keras.Model(start, x)


@pytest.mark.thorough
def test_a_layer_that_mixes_steps_has_no_step(tmp_path):
    keras.utils.set_random_seed(0)
    model = chain(
        keras.layers.Conv1D(4, 3, padding="same"),
        LIF(threshold=50.0),  # silent: the spikes alone would not show it
        keras.layers.Dense(3),
        LIF(return_sequences=False),
    )
    manifest = savedmodel(model, tmp_path / "served")
    assert "step" not in manifest["signatures"] and "mixes the steps" in manifest["left_out"]["step"]
    flat = chain(LIF(), keras.layers.Reshape((30,)), keras.layers.Dense(3))
    manifest = savedmodel(flat, tmp_path / "flat")
    assert "refuses a sequence of one step" in manifest["left_out"]["step"]


def refused():
    encoder = lambda: kb.RateEncoder(6)  # noqa: E731
    images = keras.Input((5,))
    around = keras.layers.Dense(3)(images)
    spk = LIF(return_sequences=False)(keras.layers.Dense(3)(encoder()(images)))
    spikes = keras.Input((6, 5))
    stateful = keras.Input(batch_shape=(2, 6, 5))
    yield keras.Model(images, spk + around), "through rate_encoder.* alone, received one with a way around it"
    yield chain(keras.layers.Flatten(), keras.layers.Dense(3)), "must have a LIF layer or an RNN of LIFCell"
    yield chain(LIF()), r"must give logits \(batch, C\), received"
    yield keras.Model(stateful, LIF(stateful=True, return_sequences=False)(stateful)), "must not be stateful"
    yield keras.Model([images, spikes], spk + LIF(return_sequences=False)(keras.layers.Dense(3)(spikes))), "one input"
    yield keras.Sequential([keras.layers.Dense(3)]), "functional or sequential Keras model that is built"


@pytest.mark.parametrize("i", range(6))
def test_models_that_cannot_be_taken_apart(i, tmp_path):
    model, message = list(refused())[i]
    with pytest.raises(InputError, match=message):
        savedmodel(model, tmp_path / "served")
    assert not list(tmp_path.iterdir())
