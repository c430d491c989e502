"""What Keras users do with a model, done with our networks: each is right, or refused in one line.

The oracle of a changed layer is the same change in a model that Keras composes from the same layers.
"""

import contextlib

import keras
import numpy as np
import pytest
from keras import ops

from kerasburst.encoders.rate import RateEncoder
from kerasburst.models.snn_conv_net import SNNConvNet
from kerasburst.models.snn_fc_net import SNNFCNet
from kerasburst.neurons.lif import LIF, LIFCell
from kerasburst.validation import InputError
from tests.eager import eagerly

from .common import enliven
from .twins import (
    DENSE,
    IMAGES,
    LABELS,
    SPIKES,
    Doubled,
    Silenced,
    check_all_agree,
    check_same,
    composed,
    fc,
    pair,
    saved_and_loaded,
)

# Keras says of layers without weights that they are not quantised.
pytestmark = pytest.mark.filterwarnings("ignore:Layer .* does not have a `quantize` method")


# What changes a layer -----------------------------------------------------------------------------------


@pytest.mark.sampled(3)
@pytest.mark.parametrize("mode", ["int8", "int4", "float8"])
def test_quantised(mode, tmp_path):
    network, twin = pair()
    before = ops.convert_to_numpy(network(SPIKES))
    network.quantize(mode)
    twin.quantize(mode)
    check_all_agree(network, twin)
    after = ops.convert_to_numpy(network(SPIKES))
    if mode != "float8":  # which is first calibrated in a training
        assert 0 < np.median(np.abs(after - before)) < 0.2 * np.abs(before).max()
    copy = saved_and_loaded(network, tmp_path)
    assert copy.hidden_dense.quantization_mode == mode
    np.testing.assert_array_equal(ops.convert_to_numpy(copy(SPIKES)), after)


@pytest.mark.thorough
def test_quantised_convolutions_are_left_to_keras(tmp_path):
    """Keras quantises Dense alone; the convolutions keep their weights."""
    network = SNNConvNet(3, filters=(3, 4), hidden_units=7, seed=0)
    network.build((None, *IMAGES.shape[1:]))
    enliven(network)
    network.quantize("int8")
    assert network.hidden_dense.quantization_mode == "int8"
    assert network.conv1.kernel.dtype == "float32"
    check_same(network.membrane_trace(IMAGES)[:, -1], ops.convert_to_numpy(network(IMAGES)))
    copy = saved_and_loaded(network, tmp_path)
    np.testing.assert_array_equal(ops.convert_to_numpy(copy(IMAGES)), ops.convert_to_numpy(network(IMAGES)))


@pytest.mark.thorough
def test_lora(tmp_path):
    network, twin = pair()
    rng = np.random.default_rng(1)
    for name in DENSE:
        for layer in (own := getattr(network, name)), twin.get_layer(name):
            layer.enable_lora(2)
        for own_weight, weight in zip(own.trainable_weights, twin.get_layer(name).trainable_weights, strict=True):
            value = rng.normal(size=own_weight.shape)
            own_weight.assign(value)
            weight.assign(value)
    check_all_agree(network, twin)
    frozen = ops.convert_to_numpy(network.hidden_dense._kernel).copy()
    train(network)
    np.testing.assert_array_equal(ops.convert_to_numpy(network.hidden_dense._kernel), frozen)
    copy = saved_and_loaded(network, tmp_path)
    np.testing.assert_allclose(
        ops.convert_to_numpy(copy(SPIKES)), ops.convert_to_numpy(network(SPIKES)), rtol=1e-5, atol=1e-5
    )


@pytest.mark.thorough
def test_own_layers_by_assignment(tmp_path):
    network, twin = fc(), composed(hidden_dense=Doubled(9), hidden_lif=Silenced(name="hidden_lif"))
    network.hidden_dense, network.hidden_lif = Doubled(9), Silenced(name="hidden_lif")
    network.build((None, 6, 12))
    assert len(network.layers) == 4 and len(network.weights) == 4
    enliven(network)
    for mine, its in zip(twin.layers[1:], network.course(), strict=True):
        mine.set_weights(its.get_weights())
    check_all_agree(network, twin)
    assert network.firing_rates(SPIKES)["hidden_lif"] > 0
    train(network)
    copy = saved_and_loaded(network, tmp_path)
    assert type(copy.hidden_dense) is Doubled and type(copy.hidden_lif) is Silenced
    np.testing.assert_array_equal(ops.convert_to_numpy(copy(SPIKES)), ops.convert_to_numpy(network(SPIKES)))


def test_a_layer_cannot_be_replaced_once_built():
    network, _ = pair()
    with pytest.raises(ValueError, match="cannot add new elements of state"):
        network.hidden_dense = Doubled(9)


def test_a_call_of_the_instance_s_own():
    network, twin = fc(), composed()
    network.build((None, 6, 12))
    enliven(network)
    for name in DENSE:
        twin.get_layer(name).set_weights(getattr(network, name).get_weights())
    for layer in (network.hidden_dense, twin.get_layer("hidden_dense")):
        layer.call = lambda x, training=None, call=layer.call: 3 * call(x)
    logits = ops.convert_to_numpy(network(SPIKES))
    np.testing.assert_allclose(logits, ops.convert_to_numpy(twin(SPIKES.astype("float32"))), rtol=1e-5, atol=1e-5)
    check_same(network.membrane_trace(SPIKES)[:, -1], logits)


def test_activity_regularisers_see_what_the_layers_give():
    network = fc()
    for layer in (network.hidden_dense, network.hidden_lif):
        layer.activity_regularizer = keras.regularizers.L1(0.5)
    network.build((None, 6, 12))
    enliven(network)
    network(SPIKES)
    current = ops.convert_to_numpy(network.hidden_dense(SPIKES.astype("float32")))
    spikes = network.firing_rates(SPIKES)["hidden_lif"] * SPIKES.shape[0] * 6 * 9
    network(SPIKES)
    want = [0.5 * np.abs(current).sum() / 16, 0.5 * spikes / 16]  # Keras divides by the batch
    assert sorted(float(ops.convert_to_numpy(loss)) for loss in network.losses) == pytest.approx(sorted(want), rel=1e-5)


def test_kernel_regularisers_and_constraints_train():
    network = fc()
    network.hidden_dense.kernel_regularizer = keras.regularizers.L2(0.1)
    network.output_dense.kernel_constraint = keras.constraints.NonNeg()
    network.build((None, 6, 12))
    kernel = ops.convert_to_numpy(network.hidden_dense.kernel)
    assert [float(ops.convert_to_numpy(loss)) for loss in network.losses] == pytest.approx(
        [0.1 * float((kernel**2).sum())], rel=1e-5
    )
    train(network)
    assert ops.convert_to_numpy(network.output_dense.kernel).min() >= 0


@pytest.mark.sampled(2)
@pytest.mark.parametrize("name", ["hidden_dense", "conv1"])
def test_frozen_layers_stay_and_are_saved_as_frozen(name, tmp_path):
    network = fc() if name in DENSE else SNNConvNet(3, filters=(3, 4), hidden_units=7, conv_activation="lif", seed=0)
    x = SPIKES if name in DENSE else IMAGES
    network.build((None, *x.shape[1:]))
    getattr(network, name).trainable = False
    before = {weight.path: ops.convert_to_numpy(weight).copy() for weight in network.weights}
    train(network, x)
    moved = {weight.path for weight in network.weights if (ops.convert_to_numpy(weight) != before[weight.path]).any()}
    assert moved and not any(f"/{name}/" in path for path in moved)
    copy = saved_and_loaded(network, tmp_path)
    assert not getattr(copy, name).trainable and copy.output_dense.trainable


def test_a_layer_that_cannot_be_saved_as_it_is_says_so():
    class Listed(SNNFCNet):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            self.hidden = [self.hidden_dense]
            del self.hidden_dense

        def build_synapses(self, input_shape):
            self.hidden[0].build(input_shape)
            for layer in (self.hidden_lif, self.output_dense, self.output_lif):
                layer.build((None, 6, 9))

        def course(self):
            return [*self.hidden, self.hidden_lif, self.output_dense, self.output_lif]

    network = Listed(3, hidden_units=9)
    assert "layers" not in network.get_config()
    network.hidden[0].trainable = False
    with pytest.raises(InputError, match="layer hidden_dense must be an attribute of the network to be saved"):
        network.get_config()


# Training -------------------------------------------------------------------------------------------------


def train(network, x=SPIKES, **options):
    with contextlib.nullcontext() if options else eagerly():
        network.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True), **options)
        return network.fit(x, LABELS[: len(x)], epochs=2, batch_size=8, shuffle=False, verbose=0).history["loss"]


@pytest.mark.thorough
@pytest.mark.parametrize("options", [{"jit_compile": True}, {"run_eagerly": True}, {"steps_per_execution": 2}])
def test_compiled_otherwise_the_training_is_the_same(options):
    want, got = train(fc()), train(fc(), **options)
    assert got == pytest.approx(want, rel=1e-4)


@pytest.mark.thorough
def test_train_on_batch():
    network = fc()
    network.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    losses = [float(network.train_on_batch(SPIKES, LABELS)) for _ in range(20)]
    assert losses[-1] < losses[0]
    assert float(network.test_on_batch(SPIKES, LABELS)) == pytest.approx(
        float(network.evaluate(SPIKES, LABELS, verbose=0))
    )


def per_example(network):
    """Return the cross-entropy of each example by its formula."""
    z = network.predict(SPIKES, verbose=0).astype("float64")
    return np.log(np.exp(z).sum(-1)) - z[np.arange(16), LABELS]


@pytest.mark.usefixtures("eagerly")
def test_class_weights_and_sample_weights():
    network, _ = pair()
    network.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    losses = per_example(network)
    by_class = {0: 1.0, 1: 0.0, 2: 3.0}
    weights = np.array([by_class[label] for label in LABELS])
    want = pytest.approx((weights * losses).mean(), rel=1e-5)
    assert network.evaluate(SPIKES, LABELS, sample_weight=weights, batch_size=16, verbose=0) == want
    network.optimizer.learning_rate = 0.0
    for options in ({"class_weight": by_class}, {"sample_weight": weights}):
        assert network.fit(SPIKES, LABELS, batch_size=16, verbose=0, **options).history["loss"] == [want]


@pytest.mark.thorough
@pytest.mark.parametrize("dtype", ["mixed_bfloat16", "mixed_float16"])
def test_mixed_precision_trains_and_agrees_with_itself(dtype):
    network = fc(dtype=dtype)
    losses = train(network)
    assert np.isfinite(losses).all()
    logits = ops.convert_to_numpy(network(SPIKES))
    assert logits.dtype == "float32"
    np.testing.assert_allclose(network.membrane_trace(SPIKES)[:, -1], logits, atol=0.01)  # a graph rounds otherwise


def test_a_float32_layer_in_a_16_bit_network():
    network = fc(dtype="mixed_bfloat16")
    network.output_dense = keras.layers.Dense(3, dtype="float32", name="output_dense")
    network.build((None, 6, 12))
    enliven(network)
    logits = ops.convert_to_numpy(network(SPIKES))
    spikes = network.hidden_lif(network.hidden_dense(ops.cast(SPIKES, "bfloat16")))
    want = network.output_lif(network.output_dense(ops.cast(spikes, "float32")))[1][:, -1]
    np.testing.assert_allclose(logits, ops.convert_to_numpy(want), rtol=1e-5, atol=1e-6)


@pytest.mark.usefixtures("eagerly")
@pytest.mark.thorough
def test_backup_and_restore_goes_on_to_the_same_weights(tmp_path):
    """Without an encoder inside nothing is drawn, so that an interrupted `fit` ends where a whole one does."""

    class Stop(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 2:
                raise KeyboardInterrupt

    def fit(network, *callbacks):
        network.build((None, 6, 12))  # as Keras asks for
        network.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
        network.fit(SPIKES, LABELS, epochs=4, shuffle=False, batch_size=8, verbose=0, callbacks=list(callbacks))
        return network.get_weights()

    want, backup = fit(fc()), str(tmp_path / "backup")
    with pytest.raises(KeyboardInterrupt):
        fit(fc(), keras.callbacks.BackupAndRestore(backup, delete_checkpoint=False), Stop())
    got = fit(fc(), keras.callbacks.BackupAndRestore(backup))
    for a, b in zip(want, got, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


@pytest.mark.usefixtures("eagerly")
def test_backup_and_restore_starts_an_encoder_s_draws_again(tmp_path):
    """As the encoder's docstring says: weights and epochs are restored, the state of the draws is not."""

    class Stop(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 1:
                raise KeyboardInterrupt

    def fit(*callbacks):
        network = fc(encoder=RateEncoder(6, seed=1))
        network.build((None, 12))
        network.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
        before = ops.convert_to_numpy(network.encoder.seed_generator.state).copy()
        try:
            done = network.fit(x, LABELS, epochs=2, shuffle=False, batch_size=8, verbose=0, callbacks=list(callbacks))
        except KeyboardInterrupt:
            return network, before
        return network, before, done

    x = np.random.default_rng(0).uniform(size=(16, 12)).astype("float32")
    backup = str(tmp_path / "backup")
    interrupted, _ = fit(keras.callbacks.BackupAndRestore(backup, delete_checkpoint=False), Stop())
    restored, before, done = fit(keras.callbacks.BackupAndRestore(backup))
    assert done.epoch == [1]
    drawn = [ops.convert_to_numpy(n.encoder.seed_generator.state) - before for n in (interrupted, restored)]
    np.testing.assert_array_equal(drawn[0], drawn[1])  # two batches each, from the same start


# Copies and files -------------------------------------------------------------------------------------------


def test_both_directions_and_stacked_cells():
    """The oracles are the layer alone on sequences turned round, and one RNN of each cell."""
    x = SPIKES.astype("float32")
    both = keras.layers.Bidirectional(LIF(beta=0.8, threshold=0.6), merge_mode="concat")(x)
    one = LIF(beta=0.8, threshold=0.6)
    turned = np.flip(ops.convert_to_numpy(one(x[:, ::-1])), axis=1)
    np.testing.assert_array_equal(ops.convert_to_numpy(both), np.concatenate([one(x), turned], axis=-1))
    cells = [LIFCell(12, beta=0.8), LIFCell(12, beta=0.5, threshold=0.7)]
    stacked = keras.layers.RNN(keras.layers.StackedRNNCells(cells), return_sequences=True)(x)
    alone = [keras.layers.RNN(cell, return_sequences=True) for cell in cells]
    np.testing.assert_array_equal(ops.convert_to_numpy(stacked), ops.convert_to_numpy(alone[1](alone[0](x))))


@pytest.mark.thorough
def test_keras_tuner(tmp_path):
    tuner_of = pytest.importorskip("keras_tuner")

    def build(parameters):
        network = SNNFCNet(3, hidden_units=parameters.Int("hidden_units", 4, 8, step=4), seed=0)
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        network.compile("adam", loss, metrics=["accuracy"])
        return network

    tuner = tuner_of.GridSearch(
        build, objective="val_accuracy", directory=tmp_path, project_name="search", overwrite=True
    )
    tuner.search(SPIKES, LABELS, validation_data=(SPIKES, LABELS), epochs=1, verbose=0)
    assert {trial.hyperparameters["hidden_units"] for trial in tuner.oracle.trials.values()} == {4, 8}
    assert tuner.get_best_models()[0](SPIKES).shape == (16, 3)
