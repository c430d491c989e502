"""The encoders as Keras layers: dtypes, seeds, graphs, models, files, errors."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras.src.testing import TestCase

from kerasburst import backend
from kerasburst.encoders.base import Encoder
from kerasburst.encoders.delayed_burst import DelayedBurstEncoder
from kerasburst.encoders.latency import LatencyEncoder
from kerasburst.encoders.poisson_burst import PoissonBurstEncoder
from kerasburst.encoders.rate import RateEncoder


@keras.saving.register_keras_serializable("kerasburst_tests")
def half(x):
    return 0.5 * x


# Every parameter away from its default, so that one that is lost on the way shows.
LAYERS = {
    "rate": (RateEncoder, dict(num_steps=9, gain=0.75, seed=3)),
    "regular": (RateEncoder, dict(num_steps=9, mode="regular", gain=0.75, seed=3)),
    "poisson-power": (
        PoissonBurstEncoder,
        dict(
            num_steps=9,
            burst_interval=4,
            mean_burst_size=5.5,
            intensity_map="power",
            gamma=1.5,
            overflow="spill",
            seed=3,
        ),
    ),
    "poisson-callable": (
        PoissonBurstEncoder,
        dict(num_steps=9, burst_interval=4, mean_burst_size=1.5, intensity_map=half, gamma=3.0, seed=3),
    ),
    "delayed": (
        DelayedBurstEncoder,
        dict(num_steps=9, mean_burst_size=2.5, margin=3.5, overflow="clip", silence=0.2, seed=3),
    ),
    "latency": (LatencyEncoder, dict(num_steps=9, mode="linear", tau=3.0, silence=0.2, seed=3)),
    "latency-log": (LatencyEncoder, dict(num_steps=9, mode="logarithmic", tau=3.0, silence=None, seed=3)),
    "delayed-literal": (DelayedBurstEncoder, dict(num_steps=9, mean_burst_size=2.5, margin=3, silence=None, seed=3)),
}
every_layer = pytest.mark.parametrize("kind, arguments", LAYERS.values(), ids=LAYERS)
RANDOM = {name: (kind, arguments) for name, (kind, arguments) in LAYERS.items() if kind(**arguments).random}
random_layer = pytest.mark.parametrize("kind, arguments", RANDOM.values(), ids=RANDOM)
X = np.random.default_rng(0).random((6, 5, 4)).astype("float32")


graphs = pytest.mark.skipif(backend.name != "tensorflow", reason="graphs, and layers inside tf.data, are TensorFlow's")


@pytest.fixture
def set_policy():
    before = keras.config.dtype_policy()
    yield keras.config.set_dtype_policy
    keras.config.set_dtype_policy(before)


# Output -----------------------------------------------------------------------------------------


@every_layer
@pytest.mark.parametrize("dtype", ["float32", "float64", "mixed_bfloat16", "mixed_float16", "bfloat16"])
def test_output_is_zero_or_one_in_the_compute_dtype(kind, arguments, dtype):
    layer = kind(**arguments, dtype=dtype)
    with backend.float64():
        spikes = layer(X)
        assert keras.backend.standardize_dtype(spikes.dtype) == layer.compute_dtype == dtype.removeprefix("mixed_")
        assert set(np.unique(np.asarray(spikes, "float64"))) == {0.0, 1.0}
    assert keras.backend.standardize_dtype(layer.spike_probability(X).dtype) == "float32"
    np.testing.assert_array_equal(np.asarray(spikes, "float32"), kind(**arguments)(X))  # the same draws


@pytest.mark.sampled(3)
@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
@pytest.mark.parametrize("how", ["direct", "sequential", "functional", "nested", "autocast off"])
def test_intensities_are_not_rounded_to_16_bits(set_policy, policy, how):
    set_policy(policy)
    # Regular coding with T = 4096 counts an intensity out: 4096 x = 2064 + 1. Rounded to 16 bits: 2064 or 2066.
    x = np.full((2, 1), 0.50390625 + 2.0**-12, "float32")
    encoder = RateEncoder(4096, mode="regular")

    class Subclass(keras.Model):
        def __init__(self):
            super().__init__(autocast=False)
            self.encoder = encoder

        def call(self, inputs):
            return self.encoder(inputs)

    inputs = keras.Input((1,))
    model = {
        "direct": lambda: encoder,
        "sequential": lambda: keras.Sequential([inputs, encoder]),
        "functional": lambda: keras.Model(inputs, encoder(inputs)),
        "nested": lambda: keras.Sequential([inputs, keras.Sequential([keras.Input((1,)), encoder])]),
        "autocast off": Subclass,
    }[how]()
    outputs = [model(x)] if how == "direct" else [model(x), model.predict(x, verbose=0)]
    for spikes in outputs:
        assert np.asarray(spikes, "float32").sum(axis=1).tolist() == [[2065.0], [2065.0]]


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_models_that_cast_their_inputs_are_refused_not_rounded(set_policy, policy):
    """Keras casts the inputs of a Sequential without `keras.Input`, and of a subclass that does not forbid it."""
    set_policy(policy)

    class Subclass(keras.Model):
        def __init__(self):
            super().__init__()
            self.encoder = RateEncoder(4)

        def call(self, inputs):
            return self.encoder(inputs)

    for model in (keras.Sequential([RateEncoder(4)]), Subclass()):
        with pytest.raises(ValueError, match="at least 32 bits wide"):
            model(X)


# Seeds ------------------------------------------------------------------------------------------


def sequence(layer, calls=3):
    return np.stack([np.asarray(layer(X)) for _ in range(calls)])


@pytest.mark.sampled(4)
@every_layer
def test_a_list_is_encoded_as_its_array(kind, arguments):
    np.testing.assert_array_equal(kind(**arguments)(X.tolist()), kind(**arguments)(X))


@random_layer
def test_encode_is_stateless(kind, arguments):
    layer = kind(**arguments)
    x = tf.constant(X)
    once = layer.encode(x, 8)
    layer(X)
    np.testing.assert_array_equal(layer.encode(x, 8), once)
    fresh = kind(**arguments)
    fresh.encode(x, 8)
    fresh.spike_probability(X)
    np.testing.assert_array_equal(sequence(fresh), sequence(kind(**arguments)))  # encode drew nothing from the layer


@graphs
@pytest.mark.sampled(4)
@every_layer
def test_graphs_give_the_same_sequence(kind, arguments):
    expected = sequence(kind(**arguments), calls=2)
    for jit_compile in (False, True):
        layer = kind(**arguments)
        graph = tf.function(
            lambda x, layer=layer: layer(x),
            input_signature=[tf.TensorSpec((None, 5, 4))],
            jit_compile=jit_compile,
            autograph=False,
        )
        np.testing.assert_array_equal(np.stack([graph(X), graph(X)]), expected)


@pytest.mark.sampled(8)
@graphs
@every_layer
def test_inside_dataset_map(kind, arguments):
    layer = kind(**arguments)
    batches = tf.data.Dataset.from_tensor_slices(np.stack([X] * 3)).map(layer)
    np.testing.assert_array_equal(np.stack(list(batches.as_numpy_iterator())), sequence(kind(**arguments)))


# Configs and files ------------------------------------------------------------------------------


@every_layer
def test_config_holds_every_argument_and_round_trips(kind, arguments):
    layer = kind(**arguments, name="encoder")
    config = layer.get_config()
    named = {k: v for k, v in arguments.items() if not callable(v)}
    assert {k: config[k] for k in named} == named and config["name"] == "encoder"
    again = kind.from_config(config)
    assert again.get_config() == config
    np.testing.assert_array_equal(again(X), layer(X))
    np.testing.assert_array_equal(again.spike_probability(X), layer.spike_probability(X))
    thrice = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer))
    assert type(thrice) is kind and thrice.get_config() == config


@pytest.mark.sampled(5)
@every_layer
@pytest.mark.parametrize("how", ["functional", "sequential"])
def test_saved_models_reload(kind, arguments, how, tmp_path):
    inputs = keras.Input((5, 4))
    if how == "functional":
        encoded = kind(**arguments, name="encoder")(inputs)
        model = keras.Model(inputs, keras.layers.Dense(2)(keras.layers.Flatten()(encoded)))
    else:
        layers = [kind(**arguments, name="encoder"), keras.layers.Flatten(), keras.layers.Dense(2)]
        model = keras.Sequential([inputs, *layers])
    path = str(tmp_path / "model.keras")
    model.save(path)
    loaded = keras.saving.load_model(path)
    before, after = model.get_layer("encoder"), loaded.get_layer("encoder")
    assert type(after) is kind and after.get_config() == before.get_config()
    assert {k: getattr(after, k) for k in arguments} == arguments
    np.testing.assert_array_equal(after.spike_probability(X), before.spike_probability(X))
    np.testing.assert_array_equal(loaded(X), model(X))  # the same weights, and the first draw of the same seed


# Training ---------------------------------------------------------------------------------------


@pytest.mark.sampled(2)
@pytest.mark.parametrize("name, jit_compile", [("regular", False), ("poisson-power", True)])
def test_fit_and_predict(name, jit_compile):
    if jit_compile and backend.name == "torch":
        pytest.skip("torch.compile warns of its own parts' age")
    kind, arguments = LAYERS[name]
    keras.utils.set_random_seed(0)
    x = np.tile(np.float32([[0.1, 0.9], [0.9, 0.1]]).repeat(8, axis=1), (32, 1))
    y = np.tile([0, 1], 32)
    model = keras.Sequential([keras.Input((16,)), kind(**arguments), keras.layers.Flatten(), keras.layers.Dense(2)])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(0.03), loss, jit_compile=jit_compile)
    model.fit(x, y, batch_size=16, epochs=4, verbose=0)
    logits = [model.predict(x, verbose=0, batch_size=16) for _ in range(2)]
    assert (logits[0].argmax(axis=1) == y).mean() > 0.9
    assert logits[0].shape == (64, 2)
    assert np.array_equal(*logits) is not model.layers[0].random


@pytest.mark.thorough
class TestRunLayerTest(TestCase):
    # Of the training step that run_layer_test itself sets up: a generator, and a model of the layer alone.
    @pytest.mark.filterwarnings("ignore:`shuffle=True` was passed, but will be ignored:UserWarning")
    @pytest.mark.filterwarnings("ignore:The model does not have any trainable weights:UserWarning")
    def test_every_layer(self):
        for name, (kind, arguments) in LAYERS.items():
            with self.subTest(name):
                self.run_layer_test(
                    kind,
                    init_kwargs=arguments,
                    input_data=X,
                    expected_output_shape=(6, 9, 5, 4),
                    expected_output_dtype="float32",
                    expected_num_trainable_weights=0,
                    expected_num_non_trainable_weights=0,
                    expected_num_seed_generators=1,
                    expected_num_losses=0,
                    custom_objects={"half": half},
                )


# Errors -----------------------------------------------------------------------------------------

OUTSIDE = (1.5, -0.5, np.nan, np.inf)


@every_layer
def test_inputs_outside_the_range(kind, arguments):
    layer = kind(**arguments)
    graph = tf.function(lambda x: (layer(x), layer.spike_probability(x)), autograph=False)
    for value in OUTSIDE:
        x = X.copy()
        x[2, 1, 0] = value
        for method in (layer, layer.spike_probability):
            with pytest.raises(ValueError, match="inputs must be in the range 0 to 1, received"):
                method(x)
        if backend.name != "tensorflow":
            continue
        graph(X)
        with pytest.raises(tf.errors.InvalidArgumentError, match="inputs must be in the range 0 to 1, received"):
            graph(x)


@graphs
def test_inputs_outside_the_range_in_a_model_and_a_pipeline():
    model = keras.Sequential([keras.Input((2,)), RateEncoder(4)])
    model.compile(jit_compile=False)
    for value in OUTSIDE:
        x = np.float32([[0.5, value]])
        with pytest.raises(tf.errors.InvalidArgumentError, match="inputs must be in the range 0 to 1"):
            model.predict(x, verbose=0)
        with pytest.raises(tf.errors.InvalidArgumentError, match="inputs must be in the range 0 to 1"):
            list(tf.data.Dataset.from_tensors(x).map(RateEncoder(4)))


class Own(RateEncoder):
    """A user's: XLA may not know all of its operations."""


@pytest.mark.sampled(2)
@graphs
@pytest.mark.parametrize("make, compiled", [(RateEncoder, True), (Own, False)])
def test_a_graph_on_a_gpu_compiles_the_encoding_whole(monkeypatch, make, compiled):
    x = tf.constant(np.random.default_rng(0).random((3, 5), dtype="float32"))
    want = tf.function(make(6, seed=4), autograph=False)(x)
    monkeypatch.setattr("kerasburst.backend.on_tensorflow.has_gpu", lambda: True)
    graph = tf.function(make(6, seed=4), autograph=False)
    np.testing.assert_array_equal(graph(x), want)
    calls = [op for op in graph.get_concrete_function(x).graph.get_operations() if "PartitionedCall" in op.type]
    draws = [op.type for op in graph.get_concrete_function(x).graph.get_operations() if "StatelessRandom" in op.type]
    whole = [op for op in calls if op.get_attr("_XlaMustCompile")]
    assert whole and bool(draws) is not compiled
    # The seed's variable is a GPU's; in tf.data, XLA runs on the CPU and refuses it.
    assert not any(tensor.dtype == tf.resource for op in whole for tensor in op.inputs)


def test_encoder_is_abstract():
    with pytest.raises(TypeError, match="abstract"):
        Encoder(4)
