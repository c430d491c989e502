"""What holds for every neuron: cells are the oracle of layers, masks, streaming, saving. Runs on every backend."""

import keras
import numpy as np
import pytest
from keras import ops

import kerasburst as kb
from kerasburst.neurons.scan import scan
from kerasburst.validation import InputError

from .common import NEURONS, array, arrays, draw, gradients, weighted

pytestmark = pytest.mark.usefixtures("eagerly")

EVERY = pytest.mark.parametrize("name", NEURONS)
SOME = pytest.mark.sampled(4)
X = draw(3, 8, 4)
MASK = np.array([[1] * 8, [1, 1, 1, 1, 1, 0, 0, 0], [0, 0, 1, 1, 0, 1, 1, 0]], bool)


@pytest.fixture(scope="module")
def layers():
    """One layer of each for the module, since each is compiled once, and its cell in an RNN with the same weights."""
    made = {}
    for name, (layer, cell, settings, _) in NEURONS.items():
        ours = layer(**settings, return_mem=True, return_state=True)
        ours.build(X.shape)
        theirs = keras.layers.RNN(
            cell(4, **settings), return_sequences=True, return_state=True, zero_output_for_mask=layer.fires
        )
        theirs.build(X.shape)
        theirs.set_weights(ours.get_weights())
        made[name] = ours, theirs
    return made


def assert_close(got, want, **tolerance):
    for a, b in zip(got, want, strict=True):
        np.testing.assert_allclose(a, b, **{"rtol": 1e-4, "atol": 1e-4} | tolerance)


@pytest.mark.compiled
@pytest.mark.sampled(2)
@EVERY
@pytest.mark.parametrize("mask", [None, MASK], ids=["whole", "masked"])
def test_the_cell_in_an_rnn_is_the_oracle(name, mask, layers):
    ours, theirs = layers[name]
    spk, mem, *state = arrays(ours(X, mask=mask))
    out, *last = arrays(theirs(X, mask=mask))
    assert spk.shape == mem.shape == X.shape and len(state) == len(NEURONS[name][3])
    assert set(np.unique(spk)) <= {0.0, 1.0} and (0.05 < spk.mean() < 0.9 or name == "LeakyIntegrator")
    assert_close([spk if ours.fires else mem, *state], [out, *last])
    if mask is not None:
        assert not spk[~mask].any()
        assert (mem[1, 5:] == mem[1, 4]).all()  # held


@pytest.mark.compiled
@EVERY
def test_padding_never_changes_a_sequence(name, layers):
    ours, _ = layers[name]
    whole = arrays(ours(X[:, :5]))
    for before in (0, 3):
        mask = np.zeros((3, 8), bool)
        mask[:, before : before + 5] = True
        padded = np.full_like(X, 7.0)  # what stands in the padding does not matter
        padded[mask] = X[:, :5].reshape(-1, 4)
        spk, mem, *state = arrays(ours(padded, mask=mask))
        np.testing.assert_array_equal(spk[:, before : before + 5], whole[0])
        assert_close([mem[:, before : before + 5], *state], whole[1:])


@pytest.mark.compiled
@pytest.mark.sampled(7)
@EVERY
def test_the_gradient_of_a_padded_sequence_is_that_of_the_sequence(name):
    layer, _, settings, _ = NEURONS[name]
    weights = [np.random.default_rng(1).normal(size=(3, 4)).astype("float32")]
    mask = np.arange(8) < 5
    ours = layer(**settings, return_sequences=False)
    loss, trained = weighted(ours, X, weights)
    masked, _ = weighted(ours, X, weights, mask=np.tile(mask, (3, 1)))
    want, got = gradients(loss, X[:, :5], *trained), gradients(masked, X, *trained)
    assert not got[0][:, 5:].any() and np.abs(want[0]).max() > 1e-3
    assert_close([got[0][:, :5], *got[1:]], want, rtol=1e-3, atol=1e-4 * np.abs(want[0]).max())


@SOME
@EVERY
def test_the_last_step_is_the_last_that_is_not_masked(name):
    layer, _, settings, _ = NEURONS[name]
    last = layer(**settings, return_sequences=False)
    every = layer(**settings, return_mem=True)
    every.build(X.shape)
    last.build(X.shape)
    last.set_weights(every.get_weights())
    got = array(last(X, mask=MASK))
    for row, end in enumerate((8, 5, 7)):
        spk, mem = arrays(every(X[row : row + 1], mask=MASK[row : row + 1]))
        np.testing.assert_allclose(got[row], (spk if last.fires else mem)[0, end - 1], rtol=1e-4, atol=1e-4)
    assert not array(last(X, mask=np.zeros((3, 8), bool))).any() or name == "LeakyIntegrator"


@pytest.mark.compiled
@EVERY
def test_streaming_goes_on_from_the_state(name, layers):
    ours, _ = layers[name]
    spk, mem, *state = arrays(ours(X))
    first = arrays(ours(X[:, :3]))
    second = arrays(ours(X[:, 3:], initial_state=first[2:]))
    np.testing.assert_array_equal(np.concatenate([first[0], second[0]], 1), spk)
    assert_close([np.concatenate([first[1], second[1]], 1), *second[2:]], [mem, *state])


@pytest.mark.compiled
@SOME
@EVERY
def test_stateful_in_a_model(name):
    layer, _, settings, _ = NEURONS[name]
    model = keras.Sequential([keras.Input(batch_shape=(3, 4, 4)), layer(**settings, stateful=True)])
    whole = keras.Sequential([keras.Input((8, 4)), layer(**settings)])
    whole.set_weights(model.get_weights())
    want = whole.predict(X, verbose=0)
    got = [model.predict(X[:, :4], verbose=0, batch_size=3), model.predict(X[:, 4:], verbose=0, batch_size=3)]
    assert_close([np.concatenate(got, 1)], [want])
    model.layers[0].reset_state()
    assert_close([model.predict(X[:, :4], verbose=0, batch_size=3)], [want[:, :4]])


@pytest.mark.compiled
@SOME
@EVERY
def test_long_sequences_run_in_a_loop_and_give_what_short_ones_give(name, layers):
    ours, _ = layers[name]
    x = draw(2, 70, 4, seed=5)
    spk, _, *state = arrays(ours(x))
    parts, last = [], None
    for start in (0, 35):
        part, _, *last = arrays(ours(x[:, start : start + 35], initial_state=last))
        parts.append(part)
    assert (np.concatenate(parts, 1) != spk).mean() < 0.01  # a spike on the edge may differ by rounding
    plain, _ = scan(ours, ops.convert_to_tensor(x[:, :8]))
    np.testing.assert_array_equal(array(plain), spk[:, :8])


@SOME
@EVERY
def test_backwards_and_in_both_directions(name):
    layer, _, settings, _ = NEURONS[name]
    both = keras.layers.Bidirectional(layer(**settings))
    got = array(both(X, mask=MASK))
    ahead, back = both.forward_layer, both.backward_layer
    assert back.go_backwards and not ahead.go_backwards
    want = array(ahead(X[:, ::-1], mask=MASK[:, ::-1])) if not back.weights else None
    assert got.shape == (3, 8, 8)
    np.testing.assert_array_equal(got[..., :4], array(ahead(X, mask=MASK)))
    if want is not None:
        np.testing.assert_array_equal(got[..., 4:], want[:, ::-1])


@SOME
@EVERY
def test_saved_cloned_and_reloaded(name, tmp_path):
    layer, cell, settings, _ = NEURONS[name]
    inputs = keras.Input((8, 4))
    x = layer(**settings, name="layer")(inputs)
    x = keras.layers.RNN(cell(4, **settings), return_sequences=True, name="cell")(x)
    model = keras.Model(inputs, x)
    want = array(model(X))
    model.save_weights(tmp_path / "net.weights.h5")
    copies = [keras.models.clone_model(model)]
    copies[0].load_weights(tmp_path / "net.weights.h5")
    for file in ("net.keras", "net.h5"):
        model.save(tmp_path / file)
        copies.append(keras.saving.load_model(tmp_path / file))
    for copy in copies:
        assert copy.get_layer("layer").get_config() == model.get_layer("layer").get_config()
        assert copy.get_layer("cell").cell.get_config() == model.get_layer("cell").cell.get_config()
        np.testing.assert_array_equal(array(copy(X)), want)


@pytest.mark.sampled(2)
@EVERY
def test_membranes_stay_float32_under_mixed_precision(name):
    layer, _, settings, _ = NEURONS[name]
    ours = layer(**settings, return_mem=True, return_state=True, dtype="mixed_bfloat16")
    spk, *others = ours(ops.cast(X, "bfloat16"))
    symbolic = ours.compute_output_spec(keras.KerasTensor(X.shape, dtype="bfloat16"))
    kinds = [keras.backend.standardize_dtype(x.dtype) for x in (spk, *others)]
    assert kinds == ["bfloat16"] + ["float32"] * len(others) == [x.dtype for x in symbolic]


@pytest.mark.compiled
@pytest.mark.sampled(7)
@EVERY
def test_a_model_trains(name):
    layer, _, settings, _ = NEURONS[name]
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [keras.Input((8, 4)), keras.layers.Dense(4), layer(**settings), keras.layers.GlobalAveragePooling1D()]
    )
    before = [array(w) for w in model.layers[0].weights]
    model.compile(keras.optimizers.SGD(0.1), "mse")
    model.fit(X, np.ones((3, 4)), verbose=0)
    assert all(np.isfinite(array(w)).all() for w in model.weights)
    assert any((array(w) != b).any() for w, b in zip(model.layers[0].weights, before, strict=True))


# Masks in models ----------------------------------------------------------------------------------


def test_masking_before_a_layer_gives_what_unpadded_input_gives():
    model = keras.Sequential([keras.Input((None, 4)), keras.layers.Masking(), kb.LIF(), kb.LIF(return_sequences=False)])
    padded = np.concatenate([X[:, :5], np.zeros((3, 3, 4), "float32")], axis=1)
    np.testing.assert_array_equal(array(model(padded)), array(model(X[:, :5])))


def test_the_mask_goes_on_to_the_next_layer():
    layer = kb.Synaptic(return_mem=True, return_state=True)
    mask = ops.convert_to_tensor(MASK)
    assert [m is None for m in layer.compute_mask(X, mask)] == [False, False, True, True]
    assert kb.LIF(return_sequences=False).compute_mask(X, mask) is None
    np.testing.assert_array_equal(array(kb.LIF(go_backwards=True).compute_mask(X, mask)), MASK[:, ::-1])
    assert kb.LIF().compute_mask(X, None) is None
    pooled = keras.Sequential([keras.layers.Masking(), kb.LIF(threshold=0.1), keras.layers.GlobalAveragePooling1D()])
    padded = np.concatenate([X[:, :5], np.zeros((3, 3, 4), "float32")], axis=1)
    np.testing.assert_allclose(array(pooled(padded)), array(pooled(X[:, :5])), rtol=1e-6)  # a mean over 5 steps


@pytest.mark.compiled
def test_feature_maps_with_a_mask():
    x, mask = draw(2, 6, 3, 2), np.array([[1] * 6, [1, 1, 1, 0, 0, 0]], bool)
    layer = kb.LIF(beta=0.8)
    whole = array(layer(x[1:, :3]))
    got = array(layer(x, mask=mask))
    np.testing.assert_array_equal(got[1, :3], whole[0])
    assert not got[1, 3:].any()


# Keras' wrappers -------------------------------------------------------------------------------------


def test_stacked_cells_and_time_distributed():
    cells = [kb.LIFCell(4, beta=0.5), kb.SynapticCell(4, 0.5, 0.9)]
    stacked = keras.layers.RNN(keras.layers.StackedRNNCells(cells), return_sequences=True)
    want = array(kb.Synaptic(0.5, 0.9)(kb.LIF(beta=0.5)(X)))
    np.testing.assert_array_equal(array(stacked(X)), want)
    many = np.stack([X, X[::-1]], axis=1)  # (batch, 2, time, features)
    got = array(keras.layers.TimeDistributed(kb.LIF(beta=0.5))(many))
    np.testing.assert_array_equal(got[:, 0], array(kb.LIF(beta=0.5)(X)))


def test_a_subclassed_model():
    class Net(keras.Model):
        def __init__(self):
            super().__init__()
            self.supports_masking = True
            self.dense, self.neurons = keras.layers.Dense(3), kb.AdaptiveLIF(return_sequences=False)

        def call(self, x, mask=None):
            return self.neurons(self.dense(x), mask=mask)

    assert array(Net()(X, mask=ops.convert_to_tensor(MASK))).shape == (3, 3)


# Parameters ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("trained", [False, True])
def test_beta_as_a_number_an_array_and_an_initializer(trained, tmp_path):
    values = np.float32([0.2, 0.5, 0.9, 1.0])
    for beta in (values, values.tolist(), keras.initializers.Constant(values), "ones", 0.5):
        layer = kb.LIF(beta=beta, trainable_beta=trained)
        model = keras.Sequential([keras.Input((8, 4)), layer])
        assert len(layer.trainable_weights) == trained
        used = {"ones": 1.0, 0.5: 0.5}.get(beta if isinstance(beta, (str, float)) else None, values)
        want = array(kb.LIF(beta=0.0 + used)(X)) if isinstance(used, float) else None
        if want is None:
            want = np.concatenate([array(kb.LIF(beta=float(b))(X[..., i : i + 1])) for i, b in enumerate(values)], -1)
        np.testing.assert_array_equal(array(model(X)), want)
        model.save(tmp_path / "net.keras")
        copy = keras.saving.load_model(tmp_path / "net.keras")
        assert copy.layers[0].get_config() == layer.get_config()
        np.testing.assert_array_equal(array(copy(X)), want)


def test_a_drawn_beta_is_saved_with_the_model(tmp_path):
    model = keras.Sequential([keras.Input((8, 4)), kb.LIF(beta=keras.initializers.RandomUniform(0.1, 0.9))])
    (beta,) = (array(w) for w in model.weights)
    assert beta.shape == (4,) and len(set(beta.tolist())) == 4
    model.save(tmp_path / "net.keras")
    np.testing.assert_array_equal(array(keras.saving.load_model(tmp_path / "net.keras").weights[0]), beta)


def test_thresholds_of_feature_maps_by_channel():
    x = draw(2, 6, 3, 2)
    got = array(kb.LIF(threshold=[0.3, 0.6])(x))
    for channel, threshold in enumerate((0.3, 0.6)):
        np.testing.assert_array_equal(got[..., channel], array(kb.LIF(threshold=threshold)(x[..., channel])))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: kb.LIF(beta=[0.5, 1.5]), "beta must be a finite number from 0 to 1, received 1.5"),
        (lambda: kb.LIF(beta=[[0.5], [0.5, 0.2]]), "beta must be numbers in the shape of the neurons"),
        (
            lambda: kb.LIF(beta=[0.5, 0.2])(X),
            r"beta must be of a shape that broadcasts to the neurons' \(4,\)",
        ),
        (lambda: kb.LIF(beta="ones").build((2, 5, None)), "an initializer of beta needs features of known size"),
        (lambda: kb.LIF(beta="no_such"), "beta must be a finite number from 0 to 1, received 'no_such'"),
        (lambda: kb.LIF(beta_regularizer="l2"), "beta_regularizer must be None unless beta is trained"),
        (lambda: kb.LIF(gamma_regularizer="l2")(X), "regularizer must be of one of beta, threshold, received"),
        (lambda: kb.Synaptic(alpha=2.0), "alpha must be a finite number from 0 to 1, received 2.0"),
        (lambda: kb.AdaptiveLIF(kappa=-1.0), "kappa must be a finite number of at least 0, received -1.0"),
        (lambda: kb.AdaptiveLIF(trainable_rho=1), "trainable_rho must be true or false, received 1"),
        (lambda: kb.Izhikevich(a=float("nan")), "a must be a finite number, received nan"),
        (lambda: kb.AdEx(capacitance=0.0), "capacitance must be a finite number above 0, received 0.0"),
        (lambda: kb.AdEx(v_peak=-60.0), "v_peak must be above v_reset and v_threshold, received -60.0"),
        (lambda: kb.AdEx(sub_steps=0), "sub_steps must be an integer from 1 to 1000, received 0"),
        (lambda: kb.RecurrentLIF(use_bias=None), "use_bias must be true or false, received None"),
        (lambda: kb.RecurrentLIF().build((2, 5)), "inputs must be of shape .* with a known number of units"),
    ],
    ids=range(16),
)
def test_bad_parameters(make, message):
    with pytest.raises(InputError, match=f"^{message}"):
        make()


def test_regularizer_and_constraint_of_a_trained_parameter(tmp_path):
    layer = kb.LIF(
        beta=0.5,
        trainable_beta=True,
        per_neuron=True,
        beta_regularizer=keras.regularizers.L2(2.0),
        beta_constraint=keras.constraints.MaxNorm(0.1),
    )
    model = keras.Sequential([keras.Input((8, 4)), layer])
    assert float(array(layer.losses[0])) == 2.0  # 2 * 4 * 0.5^2
    model.compile("sgd", "mse")
    model.fit(X, X, verbose=0)
    assert np.linalg.norm(array(layer.weights[0])) <= 0.1 + 1e-6
    model.save(tmp_path / "net.keras")
    assert keras.saving.load_model(tmp_path / "net.keras").layers[0].get_config() == layer.get_config()


def test_an_activity_regularizer_sees_spikes_alone(tmp_path):
    layer = kb.LIF(return_mem=True, return_state=True, activity_regularizer=keras.regularizers.L1(0.5))
    spk, *_ = layer(X)
    np.testing.assert_allclose(
        float(array(layer.losses[0])), 0.5 * array(spk).sum() / 3, rtol=1e-6
    )  # a mean over examples
    assert len(layer.losses) == 1
    copy = kb.LIF.from_config(layer.get_config())
    copy(X)
    assert float(array(copy.losses[0])) == float(array(layer.losses[0]))


# What a neuron must not do --------------------------------------------------------------------------


def test_a_subclass_of_lif_runs_its_own_step():
    class Half(kb.LIF):
        def step(self, current, state):
            return super().step(current / 2, state)

    np.testing.assert_array_equal(array(Half()(X)), array(kb.LIF()(X / 2)))
    assert not Half().is_plain and kb.LIF().is_plain
    assert not kb.LIF(activity_regularizer="l2").is_plain and not kb.LIF(stateful=True).is_plain


@pytest.mark.compiled
def test_neurons_that_look_at_each_other_keep_their_axes():
    class Inhibited(kb.NeuronLayer):
        """Each map loses the mean of its row."""

        def step(self, current, state):
            mem = 0.5 * state["mem"] + current - ops.mean(current, axis=-1, keepdims=True)
            return kb.spike(mem - 0.1, kb.ATan()), {"mem": mem}

    x = draw(2, 6, 3, 4)
    got = array(Inhibited()(x))
    mem = np.zeros((2, 3, 4))
    for t in range(6):
        mem = 0.5 * mem + x[:, t] - x[:, t].mean(axis=-1, keepdims=True)
        np.testing.assert_array_equal(got[:, t], mem > 0.1)


@pytest.mark.compiled
@pytest.mark.parametrize("neuron", [kb.LIF, kb.Synaptic])
def test_a_changed_attribute_counts(neuron):
    layer = neuron(beta=0.9)
    before = array(layer(X))
    layer.reset_mechanism, layer.beta = "zero", 0.3
    after = array(layer(X))
    assert (before != after).any()
    np.testing.assert_array_equal(after, array(neuron(beta=0.3, reset_mechanism="zero")(X)))
