"""The way through convolutions and poolings when only what leaves the last pooling is wanted: fast, and nothing else.

What `kerasburst.models.course.walk` does part by part is here done a stage at a time, a stage being a convolution, LIF
neurons or none, and a pooling: the bias after the maximum, the spikes in bytes, a few examples after the others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import keras
import tensorflow as tf

from kerasburst.models.fast.chunks import over_batch
from kerasburst.models.fast.convolution import convolve, convolve_and_pool
from kerasburst.models.fast.pooling import Pool, SpikePool, merge, part
from kerasburst.neurons.functional import run
from kerasburst.neurons.lif import LIF

# Bytes of the first map that are worked on at a time. Neurons go over it again and again: they want it in the cache.
# Without them smaller parts gain nothing; larger ones are what a long sequence's memory would grow by.
_FIRING, _PASSING = 8 * 2**20, 128 * 2**20


@dataclass(frozen=True)
class Stage:
    """A convolution, what fires on its map, and the pooling of that.

    Args:
        conv: of stride 1 with padding "same".
        lif: None for no neurons.
        pool: after them.
    """

    conv: keras.layers.Conv2D
    lif: LIF | None
    pool: Pool

    def weights(self, dtype: tf.DType) -> dict[str, tf.Tensor]:
        """Give all that gradients flow to."""
        trained = {} if self.lif is None else self.lif.neuron_parameters()
        return {
            "kernel": tf.cast(self.conv.kernel, dtype),
            "bias": tf.cast(self.conv.bias, dtype),
            **{name: value for name, value in trained.items() if tf.is_tensor(value)},
        }

    def run(self, x: tf.Tensor, training: bool, kernel: tf.Tensor, bias: tf.Tensor, **trained: tf.Tensor) -> tf.Tensor:
        """Send `(batch, num_steps, height, width, channels)` through, with these weights."""
        images = merge(x)
        if self.lif is None:
            return part(convolve_and_pool(images, kernel, bias, self.pool.relu, training), x)
        spikes, _, _ = run(
            part(convolve(images, kernel, bias, training), x),
            **{"beta": self.lif.beta, "threshold": self.lif.threshold} | trained,
            reset_mechanism=self.lif.reset_mechanism,
            surrogate=self.lif.surrogate,
            initial_mem=None,
            return_mem=False,
            use=SpikePool(x.dtype),
        )
        return spikes


def split_stages(course: Sequence, firing: bool) -> tuple[list[Stage], list]:
    """Split a course after the stages that it begins with.

    Args:
        course: as for `kerasburst.models.course.walk`.
        firing: whether stages may have neurons; their spikes are then nowhere to be seen.

    Example:
        >>> course = [keras.layers.Conv2D(2, 3), LIF(), Pool(), keras.layers.Dense(3)]
        >>> [[len(found) for found in split_stages(course, firing)] for firing in (True, False)]
        [[1, 1], [0, 4]]
    """
    stages, rest = [], list(course)
    while True:
        match rest:
            case [keras.layers.Conv2D() as conv, Pool() as pool, *others]:
                stages.append(Stage(conv, None, pool))
            case [keras.layers.Conv2D() as conv, LIF() as lif, Pool(relu=False) as pool, *others] if firing:
                stages.append(Stage(conv, lif, pool))
            case _:
                return stages, rest
        rest = others


def run_stages(stages: Sequence[Stage], spikes: tf.Tensor, recompute: bool, training: bool = False) -> tf.Tensor:
    """Send `(batch, num_steps, height, width, channels)` through stages; on a CPU a few examples after the others.

    Args:
        stages: at least one.
        spikes: in the layers' compute dtype.
        recompute: keep nothing but the outcome for the way back.
        training: as for `kerasburst.models.fast.convolution.convolve`.
    """
    weights = [stage.weights(spikes.dtype) for stage in stages]

    def function(x, *tensors):
        for stage, own in zip(stages, tf.nest.pack_sequence_as(weights, tensors), strict=True):
            x = stage.run(x, training, **own)
        return x

    tensors = tuple(tf.nest.flatten(weights))
    _, steps, height, width, _ = spikes.shape
    if steps is None or tf.config.list_logical_devices("GPU"):
        return (tf.recompute_grad(function) if recompute else function)(spikes, *tensors)
    most = _FIRING if any(stage.lif for stage in stages) else _PASSING
    examples = max(1, most // (steps * height * width * stages[0].conv.filters * spikes.dtype.size))
    outputs = (steps, height >> len(stages), width >> len(stages), stages[-1].conv.filters)
    return over_batch(function, spikes, tensors, outputs=outputs, examples=examples, recompute=recompute)
