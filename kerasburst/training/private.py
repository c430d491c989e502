"""Training with differential privacy (DP-SGD) by jax-privacy, with the checks that its guarantee needs.

A step draws its batch by Poisson sampling, clips each example's gradient to a norm, sums, adds Gaussian noise, and
divides by the expected batch size. The accountant turns noise, sampling rate and number of steps into epsilon.
"""

from __future__ import annotations

import dataclasses
import functools
import importlib.metadata
import importlib.util
import math
import re
import secrets
import types
from collections.abc import Callable

import keras
import numpy as np
from keras import ops

from kerasburst import backend
from kerasburst.config import TrainConfig
from kerasburst.data.dataset import Dataset
from kerasburst.data.pipeline import count_batches
from kerasburst.encoders.base import Encoder
from kerasburst.models.base import SpikingNetwork
from kerasburst.seeding import derive_seed
from kerasburst.training.poisson import PoissonBatches
from kerasburst.training.result import Privacy
from kerasburst.validation import LARGEST, InputError, check_float, check_int, fail

_MICROBATCH = 16  # gradients of single examples at once, on an accelerator
_INTERVAL = 1e-3  # of the accountant's grid of privacy losses; jax-privacy's own for Keras


def make_private(
    model: keras.Model,
    *,
    epsilon: float,
    batch_size: int,
    train_size: int,
    epochs: int,
    delta: float = 1e-5,
    clipping_norm: float = 1.0,
    steps_per_epoch: int | None = None,
    microbatch_size: int | None = None,
    seed: int | None = None,
) -> keras.Model:
    """Make `fit` of a Keras model train with (epsilon, delta)-differential privacy; needs Keras on JAX.

        g = (sum over the batch of clip(g_i, C) / C + N(0, sigma^2)) / B
        P(example i in the batch) = B / n, independently for every example and step

    sigma is the least noise for which the accountant finds at most epsilon after all epochs. The guarantee is that of
    the weights, for adding or removing one example. It does not cover losses and metrics of the training data.

    Args:
        model: compiled; it is changed in place. Its layers may not mix the examples of a batch or keep state between
            batches. A layer that draws at random, such as a dropout, draws once a step, alike for all examples.
        epsilon: above 0, up to 1000.
        batch_size: B, the expected number of examples in a batch, from 1 to `train_size`.
        train_size: n, the number of training examples.
        epochs: number of epochs of all calls of `fit` together, at least 1.
        delta: above 0 and below 1 / n.
        clipping_norm: C, norm to which the gradient of each example is clipped, above 0.
        steps_per_epoch: None for n // B, as many as `fit` takes.
        microbatch_size: gradients of single examples that are in memory at once; None for 1 on a CPU, whose products
            and convolutions are slower with a weight for each example, and for up to 16 elsewhere.
        seed: of noise and batches; None for one from the operating system. The guarantee does not hold against those
            who know it, since they can compute the noise.

    Returns:
        `model`. Its `fit` takes arrays, draws the batches from them, and refuses steps beyond `epochs`. Only
        this object counts its steps: a copy that is loaded from a file is an ordinary model.

    Raises:
        InputError: for bad arguments, another backend, such a layer, or where jax-privacy is not installed.

    Example:
        >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
        >>> model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
        >>> _ = make_private(model, epsilon=8.0, batch_size=64, train_size=1000, epochs=2)  # doctest: +SKIP
        >>> _ = model.fit(x, y, batch_size=64, epochs=2)  # doctest: +SKIP

    References:
        Abadi et al., Deep Learning with Differential Privacy, 2016.
    """
    check_available()
    from jax_privacy import keras_api

    if not isinstance(model, keras.Model):
        raise fail("model", "a Keras model", model)
    if getattr(model, "optimizer", None) is None:
        raise InputError("model must be compiled before it is made private")
    if hasattr(model, "_dp_params"):
        raise InputError("model must not be private yet: it has an account already")
    _check_model(model)
    train_size = check_int("train_size", train_size, low=1, high=LARGEST)
    batch_size, delta = check_account(batch_size, delta, train_size)
    epochs = check_int("epochs", epochs, low=1, high=LARGEST)
    epsilon = check_float("epsilon", epsilon, above=0.0, high=1000.0)
    clipping_norm = check_float("clipping_norm", clipping_norm, above=0.0)
    if steps_per_epoch is None:
        steps_per_epoch = train_size // batch_size
    steps = epochs * check_int("steps_per_epoch", steps_per_epoch, low=1, high=LARGEST)
    if microbatch_size is None:
        microbatch_size = _default_microbatch(batch_size)
    microbatch_size = check_int("microbatch_size", microbatch_size, low=1, high=batch_size)
    seed = secrets.randbits(64) if seed is None else check_int("seed", seed, low=0, high=2**64 - 1)
    params = keras_api.DPKerasConfig(
        epsilon=epsilon,
        delta=delta,
        clipping_norm=clipping_norm,
        batch_size=batch_size,
        gradient_accumulation_steps=1,
        train_steps=steps,
        train_size=train_size,
        poisson_sampling_in_fit=True,
        microbatch_size=microbatch_size,
        seed=0,  # the key below has all its bits, and `_fit` gives each call batches of its own
    )
    noise = find_noise(epsilon, delta, batch_size / train_size, steps)
    locked, model._tracker.locked = model._tracker.locked, False  # a model that is built takes no more variables
    keras_api.make_private(model, params)
    model._tracker.locked = locked
    model._dp_noise_multiplier = noise
    key, counter = model.non_trainable_variables[:2]
    if (key.name, counter.name) != ("_rng", "_optimizer_steps"):  # jax-privacy takes them by their places
        raise InputError(f"model must have no variables besides those of its layers, received {key.path}")
    key.assign(np.array([seed >> 32, seed & 0xFFFFFFFF], np.uint32))
    model.train_step = types.MethodType(_train_step(model.train_step, microbatch_size), model)
    padding = _padding(batch_size, train_size, microbatch_size)
    model.fit = types.MethodType(_fit(model.fit, seed, padding), model)
    model.train_on_batch = types.MethodType(_train_on_batch, model)
    model.save_own_variables = types.MethodType(_save_nothing, model)
    return model


def _default_microbatch(batch_size: int) -> int:
    """Return how many gradients of single examples are taken at once."""
    import jax

    return 1 if jax.default_backend() == "cpu" else min(_MICROBATCH, batch_size)


def check_available() -> None:
    """Check that jax-privacy is installed and that Keras runs on JAX.

    Raises:
        InputError: where not.
    """
    if importlib.util.find_spec("jax_privacy") is None:
        raise InputError("private training needs jax-privacy: pip install 'kerasburst[dp]'")
    if backend.name != "jax":
        raise InputError(f"private training needs KERAS_BACKEND=jax before Keras is imported, received {backend.name}")


def check_account(batch_size: int, delta: float, train_size: int) -> tuple[int, float]:
    """Return a private training's expected batch size and delta.

    Raises:
        InputError: where they do not fit the number of examples.
    """
    batch_size = check_int("batch_size", batch_size, low=1, high=train_size)
    # With a larger delta one example may be published.
    return batch_size, check_float("delta", delta, above=0.0, below=1.0 / train_size)


_MIXING = re.compile(r"batch_?(re)?norm|^(MixUp|CutMix)$", re.IGNORECASE)


def _check_model(model: keras.Model) -> None:
    """Refuse layers for which one example at a time means something else, or whose state would be lost."""
    for layer in model._flatten_layers():
        kind = next((each.__name__ for each in type(layer).__mro__ if _MIXING.search(each.__name__)), None)
        if kind is not None and layer.trainable:
            raise InputError(f"layer {layer.name} must not mix the examples of a batch, as {kind} does")
        if getattr(layer, "stateful", False):
            raise InputError(f"layer {layer.name} must not be stateful: the state of one batch would reach the next")
    if isinstance(model.optimizer, keras.optimizers.LossScaleOptimizer):
        raise InputError("optimizer must not scale the loss, its gradients are clipped: use float32 or mixed_bfloat16")


# What jax-privacy leaves to its caller ------------------------------------------------------------


def _padding(batch_size: int, train_size: int, microbatch_size: int) -> int:
    """Return of what a batch's size, filling included, is a multiple: nearly all are one or two such.

    jax-privacy fills batches up to whole microbatches, and JAX compiles a step for each size that it meets.
    """
    largest = batch_size + 6.0 * math.sqrt(batch_size * (1.0 - batch_size / train_size))
    microbatches = math.ceil(largest / 2.0 / microbatch_size)
    return min(microbatches, batch_size // microbatch_size) * microbatch_size


def _train_step(step: Callable, microbatch_size: int) -> Callable:
    """Return a step after which random layers draw anew: jax-privacy drops what a call changes."""
    import jax

    def train_step(self, state, data):
        filled_up = self._dp_params
        self._dp_params = dataclasses.replace(filled_up, microbatch_size=microbatch_size)
        try:
            logs, (trainable, fixed, optimizer, metrics) = step(state, data)
        finally:
            self._dp_params = filled_up
        generators = [each.state for layer in self._flatten_layers() for each in layer._seed_generators]
        advanced = [
            jax.random.split(value)[0] if any(variable is each for each in generators) else value
            for variable, value in zip(self.non_trainable_variables, fixed, strict=True)
        ]
        return logs, (trainable, advanced, optimizer, metrics)

    return train_step


def _fit(library_fit: Callable, seed: int, padding: int) -> Callable:
    """Return a `fit` each call of which draws its own batches: jax-privacy draws the same ones for the same seed.

    Args:
        library_fit: jax-privacy's.
        seed: of the batches of all calls.
        padding: of what a batch's size is a multiple; jax-privacy takes it for its microbatches'.
    """

    @functools.wraps(library_fit)
    def fit(self, x=None, y=None, *args, **kwargs):
        _check_model(self)
        if y is None:
            raise fail("y", "an array of labels, and x one of inputs: fit draws the batches", type(x).__name__)
        stream = np.random.SeedSequence([seed, performed_steps(self)]).generate_state(1, np.uint64)[0]
        self._dp_params = dataclasses.replace(self._dp_params, seed=int(stream >> 1), microbatch_size=padding)
        return library_fit(x, y, *args, **kwargs)

    return fit


def _train_on_batch(self, *args, **kwargs):
    raise InputError("train_on_batch must not be used on a private model: fit draws the batches that are accounted for")


def _save_nothing(self, store) -> None:
    """Leave the key of the noise and the count of steps out of files, which an ordinary model could not load."""


def performed_steps(model: keras.Model) -> int:
    """Return how many steps a private model has taken."""
    counter = next(v for v in model.non_trainable_variables if v.name == "_optimizer_steps")
    return int(ops.convert_to_numpy(counter)[0])


# The account --------------------------------------------------------------------------------------


def account_epsilon(noise_multiplier: float, delta: float, sampling_rate: float, steps: int) -> float:
    """Return the accountant's epsilon of Poisson-sampled Gaussian noise, for adding or removing one example.

    Args:
        noise_multiplier: standard deviation of the noise, in clipping norms, above 0.
        delta: above 0.
        sampling_rate: probability of each example to be in a batch, up to 1.
        steps: at least 1.
    """
    import dp_accounting
    from jax_privacy.accounting.accountants import PldAccountantConfig

    accountant = PldAccountantConfig(value_discretization_interval=_INTERVAL).create_accountant()
    gaussian = dp_accounting.GaussianDpEvent(noise_multiplier)
    accountant.compose(dp_accounting.PoissonSampledDpEvent(sampling_rate, gaussian), steps)
    return float(accountant.get_epsilon(delta))


@functools.cache
def find_noise(epsilon: float, delta: float, sampling_rate: float, steps: int) -> float:
    """Return the least noise multiplier, to 0.1 %, for which `account_epsilon` is at most `epsilon`."""
    high = 1.0
    while account_epsilon(high, delta, sampling_rate, steps) > epsilon:
        high *= 2
    low = high / 2
    while account_epsilon(low, delta, sampling_rate, steps) <= epsilon:
        low, high = low / 2, low
    while high / low > 1.001:
        middle = (low * high) ** 0.5
        if account_epsilon(middle, delta, sampling_rate, steps) > epsilon:
            low = middle
        else:
            high = middle
    return high


def describe_privacy(network: SpikingNetwork, config: TrainConfig, train_size: int) -> Privacy:
    """Return what result.json says of a private network's training."""
    rate, noise = config.batch_size / train_size, float(network.get_noise_multiplier())
    planned = int(config.epochs) * count_batches(train_size, config.batch_size)  # a stop before it depends on the data
    version = importlib.metadata.version
    return Privacy(
        epsilon=account_epsilon(noise, config.delta, rate, planned),
        delta=config.delta,
        noise_multiplier=noise,
        clipping_norm=config.clipping_norm,
        sampling_rate=rate,
        steps=performed_steps(network),
        encodings_per_example=config.encodings_per_example,
        accountant=f"dp_accounting {version('dp-accounting')} PLDAccountant, by jax-privacy {version('jax-privacy')}",
    )


# A run's own training -----------------------------------------------------------------------------


def attach(network: SpikingNetwork, config: TrainConfig, train_size: int) -> None:
    """Make a compiled network of a training run private; `private_batches` has its batches.

    Each example is K encodings `(K, num_steps, *features)`, whose mean loss has the gradient that is clipped.
    """
    make_private(
        network,
        epsilon=float(config.epsilon),
        delta=config.delta,
        clipping_norm=config.clipping_norm,
        batch_size=config.batch_size,
        train_size=train_size,
        epochs=int(config.epochs),
        steps_per_epoch=count_batches(train_size, config.batch_size),
        seed=derive_seed(config.seed, "noise"),
    )
    network.compute_loss_and_updates = types.MethodType(_over_encodings(network.compute_loss_and_updates), network)
    spikes = np.zeros((1, *network.spikes_shape[1:]), "uint8")
    # Of one encoding: Keras would build loss and metrics with K of them.
    network._symbolic_build(data_batch=(spikes, np.zeros(1, "int64"), np.ones(1, "float32")))


def _over_encodings(compute: Callable) -> Callable:
    def compute_loss_and_updates(self, trainable, fixed, metrics, x, y, sample_weight, *args):
        k = x.shape[1]
        y, sample_weight = ops.repeat(y, k, axis=0), ops.repeat(sample_weight, k, axis=0)
        loss, (unscaled, logits, *rest) = compute(trainable, fixed, metrics, x[0], y, sample_weight, *args)
        return loss, (unscaled, ops.mean(logits, axis=0, keepdims=True), *rest)

    return compute_loss_and_updates


def private_batches(network: SpikingNetwork, encoder: Encoder, config: TrainConfig, data: Dataset) -> PoissonBatches:
    """Return the batches that are left to a private network, after the steps that it has taken."""
    steps = int(config.epochs) * count_batches(len(data.x_train), config.batch_size)
    return PoissonBatches(
        data.x_train,
        data.y_train,
        encoder,
        batch_size=config.batch_size,
        steps=range(performed_steps(network), steps),
        seed=config.seed,
        encodings_per_example=config.encodings_per_example,
        multiple=_default_microbatch(config.batch_size),
    )
