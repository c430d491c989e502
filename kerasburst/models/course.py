"""The course of spikes through a network: a list of layers, walked over all steps at once."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import keras
import tensorflow as tf

from kerasburst.models.chunks import over_time
from kerasburst.models.pooling import Pool, max_pool
from kerasburst.models.synapses import convolve, project
from kerasburst.neurons.lif import LIF

Part = keras.layers.Layer | Pool

# So many steps of maps at a time: shorter sequences are not cut, longer ones lose about a tenth of their speed to it.
STRETCH = 10


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
        convolve: as `kerasburst.models.synapses.convolve`.
        project: as `kerasburst.models.synapses.project`.
        pool: as `kerasburst.models.pooling.max_pool`.
    """

    convolve: Callable[..., tf.Tensor] = convolve
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
    x, folded, mem, bias = spikes, False, None, None  # folded: batch and time are one axis
    for part, following in itertools.zip_longest(course, course[1:]):
        image = isinstance(part, (keras.layers.Conv2D, Pool))
        if image and not folded:
            x = tf.reshape(x, [-1, *x.shape[2:]])
        elif folded and not image:
            x = tf.reshape(x, [*lead, *x.shape[1:]])
        folded = image
        if isinstance(part, LIF):
            x, mem = fire(part, x)
        elif isinstance(part, Pool):
            x, bias = ways.pool(x, part.relu, bias), None
        elif isinstance(part, keras.layers.Conv2D):
            # The bias after the maximum: the same values, from a quarter of the work.
            later = isinstance(following, Pool)
            x, bias = ways.convolve(part, x, bias=not later), tf.cast(part.bias, x.dtype) if later else None
        else:
            x = ways.project(part, tf.reshape(x, [*lead, part.kernel.shape[0]]))
    return tf.reshape(x, [*lead, *x.shape[1:]]) if folded else x, mem


def split_maps(course: Sequence[Part]) -> tuple[list[Part], list[Part]]:
    """Split a course after the parts that need no other step: convolutions and pooling up to the last pooling.

    Example:
        >>> conv, pool, lif = keras.layers.Conv2D(2, 3), Pool(), LIF()
        >>> [len(part) for part in split_maps([conv, pool, lif])], [len(part) for part in split_maps([conv, lif, pool])]
        ([2, 1], [0, 3])
    """
    maps = list(itertools.takewhile(lambda part: isinstance(part, (keras.layers.Conv2D, Pool)), course))
    while maps and not isinstance(maps[-1], Pool):
        maps.pop()
    return maps, list(course[len(maps) :])


def run_maps(maps: Sequence[Part], spikes: tf.Tensor, recompute: bool) -> tf.Tensor:
    """Send `(batch, num_steps, height, width, channels)` through convolutions and pooling, in stretches of time.

    Args:
        maps: the first part of `split_maps`.
        spikes: in the layers' compute dtype.
        recompute: keep nothing but the outcome for the way back.
    """
    convolutions = [part for part in maps if isinstance(part, keras.layers.Conv2D)]
    weights = tuple(tf.cast(v, spikes.dtype) for layer in convolutions for v in (layer.kernel, layer.bias))

    def function(x, *weights):
        left, bias = list(weights), None
        for part, following in itertools.zip_longest(maps, maps[1:]):
            if isinstance(part, Pool):
                x, bias = max_pool(x, part.relu, bias), None
                continue
            kernel, bias = left.pop(0), left.pop(0)
            x = part.convolution_op(x, kernel)
            if not isinstance(following, Pool):
                x, bias = tf.nn.bias_add(x, bias), None
        return x

    return over_time(function, spikes, weights, steps=STRETCH, recompute=recompute)


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
