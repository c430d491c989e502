"""Private training by jax-privacy. Most of it runs under KERAS_BACKEND=jax with the extra dp."""

import importlib.util

import keras
import numpy as np
import pytest
from scipy import stats

import kerasburst as kb
from kerasburst.encoders.rate import RateEncoder
from kerasburst.privacy.epsilon import one_run_bound
from kerasburst.training import private
from kerasburst.validation import InputError

on_jax = pytest.mark.skipif(
    keras.backend.backend() != "jax" or importlib.util.find_spec("jax_privacy") is None,
    reason="needs KERAS_BACKEND=jax and the extra dp",
)
DELTA = 1e-5
pytestmark = pytest.mark.filterwarnings("ignore:optax.global_norm is deprecated")  # in jax-privacy 2.0


# What is refused ----------------------------------------------------------------------------------


def test_the_missing_extra_is_named_with_its_pip_command(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"^private training needs jax-privacy: pip install 'kerasburst\[dp\]'$"):
        kb.make_private(keras.Sequential(), epsilon=1.0, batch_size=1, train_size=1, epochs=1)


def test_another_backend_is_refused(monkeypatch, tmp_path):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name)
    monkeypatch.setattr(private.backend, "name", "torch")
    with pytest.raises(InputError, match="^private training needs KERAS_BACKEND=jax before .* received torch$"):
        kb.train(kb.TrainConfig(dataset="iris", epsilon=1.0), tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"epsilon": 0}, "epsilon must be .*above 0"),
        ({"epsilon": float("nan")}, "epsilon must be"),
        ({"epsilon": 8, "delta": 0}, "delta must be .*above 0"),
        ({"delta": 1}, "delta must be .*below 1"),
        ({"clipping_norm": 0}, "clipping_norm must be .*above 0"),
        ({"encodings_per_example": 2}, "encodings_per_example needs epsilon"),
        ({"epsilon": 8, "precision": "mixed_float16"}, "precision with epsilon must be"),
    ],
)
def test_a_config_checks_its_own_values(fields, message):
    with pytest.raises(InputError, match=message):
        kb.TrainConfig(**fields)


def compiled(*layers, loss="mse", **kwargs):
    model = keras.Sequential([keras.Input((4,)), *layers, keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(0.1), loss, **kwargs)
    return model


GOOD = {"epsilon": 8.0, "batch_size": 10, "train_size": 100, "epochs": 2}


class OwnBatchNorm(keras.layers.Layer):
    pass


@on_jax
@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ([keras.layers.BatchNormalization(name="bn")], "layer bn must not mix the examples of a batch"),
        ([keras.Sequential([keras.layers.BatchNormalization(name="deep")])], "layer deep must not mix"),
        (
            [keras.layers.Reshape((2, 2)), kb.TimeBatchNormalization(name="over_time"), keras.layers.Flatten()],
            "layer over_time must not mix the examples of a batch, as TimeBatchNormalization does",
        ),
        ([OwnBatchNorm(name="own")], "layer own must not mix the examples of a batch, as OwnBatchNorm does"),
    ],
)
def test_layers_that_mix_examples_are_refused_by_name(layers, message):
    with pytest.raises(InputError, match=message):
        kb.make_private(compiled(*layers), **GOOD)


@on_jax
def test_stateful_neurons_are_refused_by_name():
    model = keras.Sequential([keras.Input((3, 4), batch_size=10), kb.LIF(stateful=True, name="keeps")])
    model.compile("sgd", "mse")
    with pytest.raises(InputError, match="layer keeps must not be stateful"):
        kb.make_private(model, **GOOD)


@on_jax
@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"epsilon": -1.0}, "epsilon must be .*above 0"),
        ({"delta": 0.01}, "delta must be .*below 0.01"),
        ({"batch_size": 101}, "batch_size must be .*100"),
        ({"clipping_norm": 0.0}, "clipping_norm must be .*above 0"),
        ({"epochs": 0}, "epochs must be"),
        ({"seed": -1}, "seed must be"),
    ],
)
def test_bad_arguments_are_refused(changed, message):
    with pytest.raises(InputError, match=message):
        kb.make_private(compiled(), **{**GOOD, **changed})


@on_jax
def test_a_frozen_normalisation_and_groups_are_no_mixing():
    frozen = keras.layers.BatchNormalization(trainable=False)
    private_model = kb.make_private(compiled(frozen, keras.layers.GroupNormalization(2)), **GOOD)
    with pytest.raises(InputError, match="BatchNormalization"):  # which is refused where it is trained
        kb.make_private(compiled(keras.layers.BatchNormalization()), **GOOD)
    assert frozen in private_model.layers


@on_jax
@pytest.mark.parametrize(("fields", "message"), [({"batch_size": 128}, "batch_size"), ({"delta": 0.01}, "delta")])
def test_what_the_data_is_too_small_for_is_refused_before_anything_is_written(fields, message, tmp_path):
    with pytest.raises(InputError, match=f"^{message} must be"):
        kb.train(kb.TrainConfig(**{"dataset": "iris", "epsilon": 8.0, "batch_size": 32, **fields}), tmp_path / "run")
    assert not (tmp_path / "run").exists()


# The account --------------------------------------------------------------------------------------


@on_jax
def test_epsilon_is_that_of_dp_accounting():
    import dp_accounting
    from dp_accounting import pld, rdp

    event = dp_accounting.SelfComposedDpEvent(
        dp_accounting.PoissonSampledDpEvent(0.1, dp_accounting.GaussianDpEvent(1.1)), 50
    )
    ours = private.account_epsilon(1.1, DELTA, 0.1, 50)
    finer = pld.PLDAccountant(value_discretization_interval=1e-4).compose(event).get_epsilon(DELTA)
    assert finer <= ours < 1.01 * finer
    assert ours < rdp.RdpAccountant().compose(event).get_epsilon(DELTA) < 1.3 * ours  # looser, by another theory


@on_jax
def test_the_noise_is_the_least_that_will_do():
    noise = private.find_noise(2.0, DELTA, 0.1, 20)
    assert private.account_epsilon(noise, DELTA, 0.1, 20) <= 2.0
    assert private.account_epsilon(noise / 1.002, DELTA, 0.1, 20) > 2.0


# What a step does ---------------------------------------------------------------------------------

N, B, K, T, STEP_EPOCHS = 24, 8, 3, 4, 2
X = np.random.default_rng(0).uniform(size=(N, 5)).astype("float32")
Y = np.arange(N) % 2


def spiking(noise, clipping_norm):
    """Return a private spiking network under SGD with learning rate 1, and its batches."""
    config = kb.TrainConfig(
        epsilon=8.0,
        clipping_norm=clipping_norm,
        encodings_per_example=K,
        batch_size=B,
        epochs=STEP_EPOCHS,
        num_steps=T,
        model="SNNFCNet",
        network={"hidden_units": 60},
    )
    network = config.make_network(2)
    network.build((None, T, 5))
    network.compile(keras.optimizers.SGD(1.0), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    private.attach(network, config, N)
    network._dp_noise_multiplier = noise

    class data:
        x_train, y_train = X, Y

    return network, private.private_batches(network, RateEncoder(T), config, data)


def weights_by_step(network, batches, steps):
    seen = [[w.copy() for w in network.get_weights()[2:]]]
    after = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: seen.append(network.get_weights()[2:]))
    # As `train` calls it: Keras else shuffles the batches, by the process's own random numbers.
    keras.Model.fit(network, batches, steps_per_epoch=1, epochs=steps, shuffle=False, verbose=0, callbacks=[after])
    return seen


@on_jax
@pytest.mark.parametrize(("clipping_norm", "microbatch"), [(0.05, 1), (0.05, 8), (100.0, 1), (100.0, 8)])
def test_gradients_of_a_spiking_network_are_those_of_one_example_at_a_time(clipping_norm, microbatch, monkeypatch):
    import jax

    monkeypatch.setattr(private, "_default_microbatch", lambda batch_size: microbatch)
    network, batches = spiking(0.0, clipping_norm)
    before, after = weights_by_step(network, batches, 1)
    spikes, _, _ = batches[0]
    plain = network.with_encoder(None)
    plain.set_weights(before)
    fixed = [v.value for v in plain.non_trainable_variables]

    def loss(weights, x, label):
        logits, _ = plain.stateless_call(weights, fixed, x)
        return -jax.nn.log_softmax(logits)[:, label].mean()

    total, norms = [np.zeros_like(w) for w in before], []
    for x, index in zip(spikes, batches.members(0), strict=False):  # what fills the batch up comes last
        gradient = [np.asarray(g) for g in jax.grad(loss)([v.value for v in plain.trainable_variables], x, Y[index])]
        norms.append(float(np.sqrt(sum((g**2).sum() for g in gradient))))
        share = min(1.0, clipping_norm / norms[-1]) / clipping_norm
        total = [t + share * g for t, g in zip(total, gradient, strict=True)]
    assert min(norms) > 0.05 if clipping_norm < 1 else max(norms) < 100  # all are clipped, or none
    for t, w0, w1 in zip(total, before, after, strict=True):
        np.testing.assert_allclose((w0 - w1) * B, t, rtol=1e-3, atol=1e-6)  # the weights are float32


@on_jax
def test_the_noise_has_its_variance_and_is_drawn_anew_in_each_step():
    sigma = 1000.0  # the gradients, of norm 1 each, vanish in it
    network, batches = spiking(sigma, 1.0)
    assert len(batches) == 6
    seen = weights_by_step(network, batches, 3)
    noise = np.array(
        [
            np.concatenate([(w1 - w0).ravel() for w0, w1 in zip(one, other, strict=True)]) * B / sigma
            for one, other in zip(seen[:-1], seen[1:], strict=True)
        ]
    )
    assert noise.shape[1] > 400
    for step in noise:
        assert stats.kstest(step, "norm").pvalue > 1e-4
        low, high = stats.chi2.ppf([5e-5, 1 - 5e-5], len(step))
        assert low < (step**2).sum() < high
    correlations = np.corrcoef(noise)[np.triu_indices(3, 1)]
    assert np.abs(correlations).max() < 4 / noise.shape[1] ** 0.5
    assert private.performed_steps(network) == 3


# A user's own model -------------------------------------------------------------------------------


@on_jax
@pytest.mark.parametrize("microbatch", [None, 16, 100])
def test_steps_are_compiled_for_two_sizes_at_most(microbatch):
    sizes = set()
    model = compiled(keras.layers.Dense(1))
    private.make_private(model, epsilon=8.0, batch_size=100, train_size=400, epochs=10, microbatch_size=microbatch)
    step = model.train_step
    model.train_step = lambda state, data: (sizes.add(len(data[0])), step(state, data))[1]
    model.fit(np.zeros((400, 4)), np.zeros((400, 1)), batch_size=100, epochs=10, verbose=0)
    assert private.performed_steps(model) == 40 and len(sizes) <= 2, sizes


@on_jax
def test_a_users_model_trains_draws_anew_and_is_saved_as_an_ordinary_one(tmp_path):
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(100, 4)).astype("float32"), rng.normal(size=(100, 1)).astype("float32")
    model = kb.make_private(compiled(keras.layers.Dropout(0.5)), **GOOD, seed=7)
    dropout = model.layers[0].seed_generator.state
    seeds = [np.asarray(dropout.value)]
    streams = []
    with pytest.raises(InputError, match="y must be an array of labels, and x one of inputs: fit draws the batches"):
        model.fit([(x, y)], batch_size=10, verbose=0)
    for _ in range(2):
        model.fit(x, y, batch_size=10, verbose=0)
        seeds.append(np.asarray(dropout.value))
        streams.append(model._dp_params.seed)
    assert len({tuple(seed) for seed in seeds}) == 3  # the dropout's draws differ from step to step
    assert streams[0] != streams[1]  # and the second epoch has batches of its own
    with pytest.raises(RuntimeError, match="out of privacy budget"):
        model.fit(x, y, batch_size=10, verbose=0)
    with pytest.raises(InputError, match="train_on_batch must not be used"):
        model.train_on_batch(x[:10], y[:10])
    with pytest.raises(InputError, match="it has an account already"):
        kb.make_private(model, **GOOD)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(loaded.predict(x, verbose=0), model.predict(x, verbose=0), rtol=1e-5)


# The alarm ----------------------------------------------------------------------------------------

CANARIES = 1000


def audited_bound():
    """Bound epsilon from one training at epsilon 1, half of whose canaries were left out by fair flips.

    The model has a weight for each canary, whose gradient is -100: clipped to 1 it moves that weight alone.
    """
    member = np.random.default_rng(5).random(CANARIES) < 0.5
    x = 100.0 * np.eye(CANARIES, dtype="float32")[member]
    model = keras.Sequential([keras.Input((CANARIES,)), keras.layers.Dense(1, use_bias=False)])
    model.layers[0].kernel.assign(np.zeros((CANARIES, 1)))
    model.compile(keras.optimizers.SGD(1.0), lambda y_true, y_pred: -y_pred)
    size = int(member.sum())
    kb.make_private(model, epsilon=1.0, delta=DELTA, batch_size=25, train_size=size, epochs=4, seed=1)
    model.fit(x, np.zeros((size, 1)), batch_size=25, epochs=4, verbose=0)
    scores = model.get_weights()[-1][:, 0]
    return one_run_bound(scores, member, guesses=CANARIES, delta=DELTA).epsilon


@on_jax
def test_an_intact_training_stays_below_its_epsilon():
    assert audited_bound() <= 1.0


@on_jax
def test_gradients_that_are_not_clipped_raise_the_alarm(monkeypatch):
    import jax
    from jax_privacy import clipping

    def unclipped(tree, *args, return_zero, **kwargs):
        return jax.tree.map(lambda g: g * (1 - return_zero), tree), 1.0 * jax.numpy.ones(())

    monkeypatch.setattr(clipping, "clip_pytree", unclipped)
    assert audited_bound() > 2.0


@on_jax
def test_batches_of_all_examples_raise_the_alarm(monkeypatch):
    from jax_privacy import batch_selection

    sampling = batch_selection.CyclicPoissonSampling
    monkeypatch.setattr(
        batch_selection, "CyclicPoissonSampling", lambda sampling_prob, iterations: sampling(1.0, iterations)
    )
    assert audited_bound() > 2.0


# Whole runs ---------------------------------------------------------------------------------------

CONFIG = kb.TrainConfig(
    dataset="iris",
    epochs=2,
    batch_size=32,
    network={"hidden_units": 8},
    epsilon=8.0,
    encodings_per_example=2,
    queries=1,
)


class StopAfterOneEpoch(kb.TrainingObserver):
    def epoch(self, row):
        raise KeyboardInterrupt


@on_jax
def test_a_killed_run_goes_on_with_its_account(tmp_path):
    whole = kb.train(CONFIG, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        kb.train(CONFIG, tmp_path / "killed", observer=StopAfterOneEpoch())
    resumed = kb.train(CONFIG, tmp_path / "killed", resume=True)
    assert resumed.privacy == whole.privacy
    assert resumed.weights == whole.weights  # the same batches and the same noise, each once
    privacy = whole.privacy
    assert privacy.steps == 8 and privacy.sampling_rate == 32 / 120  # 2 epochs of 120 examples
    assert 7.9 < privacy.epsilon <= 8.0 and privacy.encodings_per_example == 2
    assert privacy.noise_multiplier == private.find_noise(8.0, DELTA, 32 / 120, 8)
    assert "dp_accounting 0." in privacy.accountant
    assert kb.evaluate(tmp_path / "whole", queries=1).accuracy == whole.test_accuracy  # model.keras is an ordinary one
    with pytest.raises(InputError, match="^epochs must be what the run in .* was begun with, 2"):
        kb.train(kb.TrainConfig(**{**vars(CONFIG), "epochs": 3}), tmp_path / "whole", resume=True)
