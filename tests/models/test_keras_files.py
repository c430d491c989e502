"""Weights, whole models and exports in the files of Keras and of others, written as Keras users write them."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import ops

import kerasburst as kb
from kerasburst.encoders.rate import RateEncoder
from kerasburst.neurons.lif import LIF
from kerasburst.profiling.cost import network_cost
from kerasburst.validation import InputError

from .common import enliven
from .twins import IMAGES, SPIKES, fc, pair, saved_and_loaded

# Keras says of layers without weights that they are not quantised.
pytestmark = pytest.mark.filterwarnings("ignore:Layer .* does not have a `quantize` method")


def test_weights_files_and_clones(tmp_path):
    network, _ = pair()
    want = ops.convert_to_numpy(network(SPIKES))
    clone = keras.models.clone_model(network)
    assert [w.shape for w in clone.weights] == [w.shape for w in network.weights]
    network.save_weights(tmp_path / "net.weights.h5")
    clone.load_weights(tmp_path / "net.weights.h5")
    np.testing.assert_array_equal(ops.convert_to_numpy(clone(SPIKES)), want)
    np.testing.assert_array_equal(ops.convert_to_numpy(saved_and_loaded(network, tmp_path)(SPIKES)), want)


@pytest.mark.usefixtures("eagerly")
def test_inside_sequential_functional_and_subclassed_models(tmp_path):
    network, _ = pair()
    want = ops.convert_to_numpy(ops.softmax(network(SPIKES)))

    @keras.saving.register_keras_serializable("kerasburst_tests")
    class Wrapped(keras.Model):
        def __init__(self, network, **kwargs):
            super().__init__(**kwargs)
            self.network = network

        def call(self, inputs):
            return ops.softmax(self.network(inputs))

        def get_config(self):
            return {"network": keras.saving.serialize_keras_object(self.network)}

        @classmethod
        def from_config(cls, config):
            return cls(keras.saving.deserialize_keras_object(config["network"]))

    inputs = keras.Input((6, 12), dtype="uint8")
    models = {
        "sequential": keras.Sequential([keras.Input((6, 12), dtype="uint8"), network, keras.layers.Softmax()]),
        "functional": keras.Model(inputs, keras.layers.Softmax()(network(inputs))),
        "subclassed": Wrapped(network),
    }
    for name, model in models.items():
        np.testing.assert_allclose(model.predict(SPIKES, verbose=0), want, rtol=1e-5, err_msg=name)
        model.save(tmp_path / f"{name}.keras")
        copy = keras.saving.load_model(tmp_path / f"{name}.keras")
        np.testing.assert_allclose(copy.predict(SPIKES, verbose=0), want, rtol=1e-5, err_msg=name)


@pytest.mark.usefixtures("eagerly")
@pytest.mark.thorough
def test_an_encoder_inside_survives_with_encoder_and_cost_of_a_quantised_network():
    network, twin = pair()
    coded = network.with_encoder(RateEncoder(6, mode="regular"))
    coded.quantize("int8")
    twin.quantize("int8")
    x = np.random.default_rng(0).uniform(size=(5, 12)).astype("float32")
    spikes = ops.cast(coded.encoder(x), "float32")
    np.testing.assert_allclose(ops.convert_to_numpy(coded(x)), ops.convert_to_numpy(twin(spikes)), rtol=1e-5, atol=1e-5)
    assert network_cost(coded, x).examples == 5


def test_h5(tmp_path):
    """In a model that Keras composes, words such as "subtract" stay words; a network that is a class is refused."""
    x = SPIKES.astype("float32")
    for reset in ("subtract", "zero"):
        layers = [keras.layers.Dense(9), LIF(threshold=0.1, reset_mechanism=reset, name="lif"), keras.layers.Dense(3)]
        model = keras.Sequential([keras.Input((6, 12)), *layers])
        model.save(tmp_path / "model.h5")
        copy = keras.models.load_model(tmp_path / "model.h5")
        assert copy.get_layer("lif").reset_mechanism == reset
        np.testing.assert_array_equal(ops.convert_to_numpy(copy(x)), ops.convert_to_numpy(model(x)))
    with pytest.raises(InputError, match=r"filepath must be a .keras file; save_weights writes .weights.h5"):
        fc().save(tmp_path / "net.h5")


@pytest.mark.thorough
@pytest.mark.filterwarnings("ignore:In the future `np:FutureWarning", "ignore::DeprecationWarning")
def test_keras_own_export_to_onnx(tmp_path):
    for module in ("tf2onnx", "onnxruntime"):
        pytest.importorskip(module)
    import onnxruntime

    network, twin = pair()
    x = SPIKES.astype("float32")
    network(x), twin(x)
    for name, model in (("network", network), ("twin", twin)):
        want = model.predict(x, verbose=0)
        model.export(tmp_path / f"{name}.onnx", format="onnx", verbose=False)
        session = onnxruntime.InferenceSession(tmp_path / f"{name}.onnx")
        got = session.run(None, {session.get_inputs()[0].name: x})[0]
        np.testing.assert_allclose(got, want, atol=1e-5)
        np.testing.assert_array_equal(model.predict(x, verbose=0), want)
    coded = network.with_encoder(RateEncoder(6, seed=1))
    y = np.random.default_rng(0).uniform(size=(5, 12)).astype("float32")
    coded.predict(y, verbose=0)
    with pytest.raises(InputError, match="must be left out of an export to ONNX or LiteRT"):
        coded.export(tmp_path / "coded.onnx", format="onnx", verbose=False)
    assert coded.predict(y, verbose=0).shape == (5, 3)


def run_by_litert(content, x):
    interpreter = pytest.importorskip("ai_edge_litert.interpreter").Interpreter(model_content=content)
    (at,), (out,) = interpreter.get_input_details(), interpreter.get_output_details()
    interpreter.resize_tensor_input(at["index"], x.shape)
    interpreter.allocate_tensors()
    interpreter.set_tensor(at["index"], x)
    interpreter.invoke()
    return interpreter.get_tensor(out["index"])


def masked():
    """Return a model whose examples end where their steps are zero."""
    inputs = keras.Input((6, 12))
    x = keras.layers.Dense(9, kernel_initializer=keras.initializers.RandomNormal(0.1, 0.4, seed=1))(
        keras.layers.Masking()(inputs)
    )
    return keras.Model(inputs, keras.layers.Dense(3)(kb.AdaptiveLIF()(x)))


LITERT = {  # the neurons' compiled passes, a plain loop, a mask, and the passes of convolutions for a CPU
    "network": lambda: pair()[0],
    "twin": lambda: pair()[1],
    "recurrent": lambda: kb.RecurrentSNN(3, hidden_units=9, seed=0),
    "masked": masked,
    "images": lambda: kb.SNNConvNet(3, filters=(3, 4), hidden_units=9, seed=0),
    "direct": lambda: pair()[0].with_encoder(kb.DirectEncoder(6)),
}


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="Keras writes LiteRT files of TensorFlow's models")
@pytest.mark.thorough
@pytest.mark.parametrize("name", LITERT)
def test_litert_files_of_keras_and_tensorflow(name, tmp_path):
    """The file computes what the model computes."""
    x = {"images": IMAGES, "direct": np.random.default_rng(0).uniform(size=(5, 12))}.get(name, SPIKES).astype("float32")
    x[2:, 4:] = x[2:, 4:] if name == "direct" else 0
    model = LITERT[name]()
    if name == "images":
        model.build((None, *x.shape[1:]))
        enliven(model)
    want = ops.convert_to_numpy(model(x))
    assert np.abs(want).max() > 0.01
    model.export(tmp_path / "model.tflite", format="litert", verbose=False)
    by_tensorflow = tf.lite.TFLiteConverter.from_keras_model(model).convert()
    for content in ((tmp_path / "model.tflite").read_bytes(), by_tensorflow):
        np.testing.assert_allclose(run_by_litert(content, x), want, rtol=0, atol=1e-5)


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="Keras writes LiteRT files of TensorFlow's models")
@pytest.mark.parametrize("encoder", [RateEncoder(6), kb.LatencyEncoder(6)], ids=lambda encoder: encoder.name)
def test_a_litert_file_has_no_encoder_that_draws_or_needs_float64(encoder, tmp_path):
    network = pair()[0].with_encoder(encoder)
    network(np.full((2, 12), 0.5, "float32"))
    with pytest.raises(InputError, match="must be left out of an export to .*LiteRT"):
        network.export(tmp_path / "model.tflite", format="litert", verbose=False)
    assert not list(tmp_path.iterdir())
