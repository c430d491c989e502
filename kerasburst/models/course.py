"""The course of spikes through a network: a list of layers, walked over all steps at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import keras
import tensorflow as tf

from kerasburst.models.fast.convolution import convolve
from kerasburst.models.fast.pooling import Pool, max_pool, merge
from kerasburst.models.fast.synapses import project
from kerasburst.neurons.lif import LIF

Part = keras.layers.Layer | Pool


@dataclass(frozen=True)
class Synapse:
    """A layer with weights, and what reaches it.

    Args:
        layer: a `Dense`, or a `Conv2D` of stride 1 with padding "same".
        input_shape: shape of its input at one step, `(*features)`.
        source: the LIF layer whose spikes it gets, "input" for the network's, or None: its input is no spikes.
        pooled: whether the spikes go through a max-pooling by 2 first.
    """

    layer: keras.layers.Layer
    input_shape: tuple[int, ...]
    source: str | None
    pooled: bool = False


@dataclass(frozen=True)
class Ways:
    """How the parts of a course are computed; the default is made for training.

    Args:
        convolve: gives what a `Conv2D` gives for `(batch * num_steps, height, width, channels)`.
        project: as `kerasburst.models.fast.synapses.project`.
        pool: as `kerasburst.models.fast.pooling.max_pool`.
    """

    convolve: Callable[[keras.layers.Conv2D, tf.Tensor], tf.Tensor] = lambda layer, x: convolve(
        x, tf.cast(layer.kernel, x.dtype), tf.cast(layer.bias, x.dtype)
    )
    project: Callable[..., tf.Tensor] = project
    pool: Callable[..., tf.Tensor] = max_pool


Fire = Callable[[LIF, tf.Tensor], tuple[tf.Tensor, tf.Tensor | None]]


def walk(course: Sequence[Part], spikes: tf.Tensor, fire: Fire, ways: Ways) -> tuple[tf.Tensor, tf.Tensor | None]:
    """Send spikes through a course. Synaptic layers see all steps at once; only LIF layers run over time.

    Args:
        course: convolutions, pooling, dense and LIF layers.
        spikes: `(batch, num_steps, *features)`, in the layers' compute dtype.
        fire: gives spikes and membrane, each `(batch, num_steps, *features)`, of a LIF layer for its current.
        ways: how the others are computed.

    Returns:
        What comes out of the last part, `(batch, num_steps, ...)`, and the membrane that `fire` gave last.
    """
    shape = tf.shape(spikes)
    lead = [known or shape[axis] for axis, known in enumerate(spikes.shape[:2])]
    x, folded, mem = spikes, False, None  # folded: batch and time are one axis
    for part in course:
        image = isinstance(part, (keras.layers.Conv2D, Pool))
        if image and not folded:
            x = merge(x)
        elif folded and not image:
            x = tf.reshape(x, [*lead, *x.shape[1:]])
        folded = image
        if isinstance(part, LIF):
            x, mem = fire(part, x)
        elif isinstance(part, Pool):
            x = ways.pool(x, part.relu)
        elif isinstance(part, keras.layers.Conv2D):
            x = ways.convolve(part, x)
        else:
            x = ways.project(part, tf.reshape(x, [*lead, part.kernel.shape[0]]))
    return tf.reshape(x, [*lead, *x.shape[1:]]) if folded else x, mem


def synapses_of(course: Sequence[Part], features: tuple[int, ...]) -> tuple[Synapse, ...]:
    """Give a course's layers with weights, and what reaches each.

    Args:
        course: as for `walk`.
        features: shape of the network's spikes at one step.
    """
    found, source, pooled = [], "input", False
    for part in course:
        if isinstance(part, LIF):
            source, pooled = part.name, False
        elif isinstance(part, Pool):
            features, pooled = (features[0] // 2, features[1] // 2, features[2]), source is not None
        else:
            found.append(Synapse(part, features, source, pooled))
            image = isinstance(part, keras.layers.Conv2D)
            features, source, pooled = (*features[:2], part.filters) if image else (part.units,), None, False
    return tuple(found)
