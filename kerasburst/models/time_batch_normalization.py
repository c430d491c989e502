"""Batch normalisation of currents over batch and time."""

from __future__ import annotations

import inspect

import keras
from keras import ops

from kerasburst.neurons.scan import wide
from kerasburst.neurons.surrogate import Tensor
from kerasburst.validation import InputError, check_bool, check_float, fail, fits


@keras.saving.register_keras_serializable("kerasburst")
class TimeBatchNormalization(keras.layers.BatchNormalization):
    """Batch normalisation between synapses and neurons: statistics are over batch, time and space.

        y = gamma (x - mean) / sqrt(variance + epsilon) + beta        for each channel, the last axis

    In training, mean and variance are those of the batch at all its steps that are no padding, and moving averages
    follow them. Otherwise, and where the layer is frozen (`trainable = False`), the moving averages are used: then an
    example's answer does not depend on the other examples, nor a step's on later steps.

    In training the layer mixes the examples of a batch. Private training, which bounds what one example can do,
    therefore refuses it.

    Args:
        momentum: share of the moving averages that a batch leaves, from 0 to 1. As in PyTorch, whose momentum is 1
            minus ours.
        epsilon: added to the variance, above 0.
        center: whether there is beta, which begins at 0.
        scale: whether there is gamma, which begins at 1.
        threshold: threshold of the neurons that follow, above 0: gamma begins at `alpha * threshold`, so that currents
            fit it (threshold-dependent batch normalisation, tdBN). None for 1.
        alpha: as above; above 0. Zheng et al. take 1, and 1 / sqrt(2) where the outputs of two such layers are added.
        **kwargs: as for `keras.layers.Layer`.

    Call arguments:
        inputs: current `(batch, time, *features)`.
        training: whether to use the statistics of the batch.
        mask: bool `(batch, time)`; steps where it is False are left out of the statistics.

    Returns:
        Normalised current, of the inputs' shape.

    Raises:
        InputError: for a parameter outside its range, an input without a time axis, or a mask of another shape.

    Example:
        >>> layer = TimeBatchNormalization(threshold=0.5)
        >>> y = layer(keras.ops.array([[[1.0], [3.0]], [[5.0], [7.0]]]), training=True)  # mean 4, variance 5
        >>> keras.ops.convert_to_numpy(y).ravel().round(3).tolist()
        [-0.67..., -0.22..., 0.22..., 0.67...]

    References:
        Ioffe, Szegedy 2015; Zheng et al., Going Deeper With Directly-Trained Larger Spiking Neural Networks, AAAI 2021.
    """

    def __init__(
        self,
        *,
        momentum: float = 0.9,
        epsilon: float = 1e-5,
        center: bool = True,
        scale: bool = True,
        threshold: float | None = None,
        alpha: float = 1.0,
        **kwargs,
    ):
        momentum = check_float("momentum", momentum, low=0.0, high=1.0)
        epsilon = check_float("epsilon", epsilon, above=0.0)
        center, scale = check_bool("center", center), check_bool("scale", scale)
        alpha = check_float("alpha", alpha, above=0.0)
        if threshold is not None:
            threshold = check_float("threshold", threshold, above=0.0)
            if not scale:
                raise InputError("scale must be true with a threshold, which gamma begins with")
        if taken := set(kwargs) & set(inspect.signature(keras.layers.BatchNormalization).parameters):
            raise fail("TimeBatchNormalization", "given the arguments that it lists", ", ".join(sorted(taken)))
        super().__init__(
            momentum=momentum,
            epsilon=epsilon,
            center=center,
            scale=scale,
            gamma_initializer="ones" if threshold is None else keras.initializers.Constant(alpha * threshold),
            **kwargs,
        )
        self.threshold, self.alpha = threshold, alpha

    def build(self, input_shape):
        """Create the weights, one of each for a channel."""
        if len(input_shape) < 3 or input_shape[-1] is None:
            raise fail("inputs", "of shape (batch, time, *features) with known channels", tuple(input_shape))
        super().build(tuple(input_shape))

    def call(self, inputs, training=None, mask=None):
        """Normalise `inputs`."""
        if not (training and self.trainable):
            return self.normalize(inputs, self.moving_mean, self.moving_variance)
        mean, variance = self.statistics(inputs, mask)
        self.follow(mean, variance)
        return self.normalize(inputs, mean, variance)

    def statistics(self, inputs: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return mean and variance of each channel, `(channels,)`, in float32 or wider."""
        inputs = ops.cast(inputs, wide(inputs.dtype))
        axes = tuple(range(len(inputs.shape) - 1))
        if mask is None:
            return ops.moments(inputs, axes)
        if not fits(mask.shape, inputs.shape[:2]):
            raise fail("mask", f"of shape {tuple(inputs.shape[:2])}, (batch, time)", tuple(mask.shape))
        live = ops.cast(mask, inputs.dtype)
        share = (live / ops.maximum(ops.sum(live), 1.0))[:, :, None]

        def mean_of(x):
            return ops.sum(share * (ops.mean(x, axes[2:]) if axes[2:] else x), axis=(0, 1))

        mean = mean_of(inputs)
        return mean, mean_of(ops.square(inputs - mean))

    def follow(self, mean: Tensor, variance: Tensor) -> None:
        """Let the moving averages follow the statistics of a batch."""
        for moving, now in ((self.moving_mean, mean), (self.moving_variance, variance)):
            moving.assign(moving * self.momentum + ops.cast(now, moving.dtype) * (1.0 - self.momentum))

    def normalize(self, inputs: Tensor, mean: Tensor, variance: Tensor) -> Tensor:
        """Return `inputs` normalised by these statistics, in the compute dtype."""
        dtype = wide(inputs.dtype)
        factor = ops.rsqrt(ops.cast(variance, dtype) + self.epsilon)
        factor = factor * ops.cast(self.gamma, dtype) if self.scale else factor
        shift = -ops.cast(mean, dtype) * factor
        shift = shift + ops.cast(self.beta, dtype) if self.center else shift
        return ops.cast(ops.cast(inputs, dtype) * factor + shift, self.compute_dtype)

    def get_config(self):
        """Return the constructor's arguments."""
        config = keras.layers.Layer.get_config(self)
        own = ("momentum", "epsilon", "center", "scale", "threshold", "alpha")
        return {**config, **{name: getattr(self, name) for name in own}}
