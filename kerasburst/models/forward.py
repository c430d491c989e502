"""The forward pass: spikes through a list of layers, all steps at once."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import keras
from keras import ops

from kerasburst import backend
from kerasburst.neurons.base import Neuron
from kerasburst.neurons.surrogate import Tensor


@dataclass(frozen=True)
class Pool:
    """Max-pooling by 2 as a part of a network's course.

    Args:
        relu: whether a ReLU follows.

    Example:
        >>> float(Pool(relu=True)(ops.array([[[[1.0], [2.0]], [[-3.0], [0.0]]]]))[0, 0, 0, 0])
        2.0
    """

    relu: bool = False

    def __call__(self, x: Tensor) -> Tensor:
        """Pool `(batch, height, width, channels)`."""
        x = ops.max_pool(x, 2, 2, data_format="channels_last")
        return ops.relu(x) if self.relu else x


@dataclass(frozen=True)
class Synapse:
    """A layer with weights, and where its input comes from.

    Args:
        layer: a `Dense`, or a `Conv2D` of stride 1 with padding "same".
        input_shape: shape of its input at one step, `(*features)`.
        source: the neurons whose spikes it receives, "input" for the network's input, or None if its input is not
            spikes.
        pooled: whether the spikes pass a max-pooling by 2 first.
    """

    layer: keras.layers.Layer
    input_shape: tuple[int, ...]
    source: str | None
    pooled: bool = False


Part: TypeAlias = keras.layers.Layer | Pool
Fire = Callable[[Neuron, Tensor], tuple[Tensor, dict[str, Tensor]]]


def walk(
    course: Sequence[Part],
    spikes: Tensor,
    fire: Fire,
    apply: Callable[[Part, Tensor], Tensor] = lambda part, x: part(x),
) -> tuple[Tensor, dict[str, Tensor]]:
    """Send spikes through a course. All layers see all steps at once; only neurons run over time.

    Args:
        course: neurons, dense layers (which flatten their input), and layers that take images, such as convolutions
            and pooling.
        spikes: `(batch, num_steps, *features)`, in the layers' compute dtype.
        fire: returns the spikes of neurons for their current, and their states by name as far as they are needed; all
            `(batch, num_steps, *features)`. `kerasburst.neurons.scan.scan` is one.
        apply: computes a part that is not neurons; by default the part is called.

    Returns:
        The output of the last part, `(batch, num_steps, ...)`, and the states that `fire` returned last.

    Example:
        >>> from kerasburst.neurons.lif import LIF
        >>> from kerasburst.neurons.scan import scan
        >>> neurons = LIF()
        >>> neurons.build((1, 5, 2))
        >>> spk, states = walk([keras.layers.Dense(2), neurons], ops.ones((1, 5, 3, 2)), scan)
        >>> tuple(spk.shape), tuple(states["mem"].shape)
        ((1, 5, 2), (1, 5, 2))
    """
    x, folded = spikes, False  # folded: batch and time are one axis
    states: dict[str, Tensor] = {}
    for part in course:
        sequence = isinstance(part, (Neuron, keras.layers.Dense))
        if sequence and folded:
            x = split(x, spikes)
        elif not sequence and not folded:
            x = merge(x)
        folded = not sequence
        if isinstance(part, Neuron):
            x, states = fire(part, x)
            continue
        if isinstance(part, keras.layers.Dense) and len(x.shape) > 3:
            x = split(ops.reshape(x, (-1, math.prod(x.shape[2:]))), spikes)
        x = apply(part, x)
    return split(x, spikes) if folded else x, states


def synapses_of(course: Sequence[Part], features: tuple[int, ...]) -> tuple[Synapse, ...]:
    """Return the layers with weights of a course, and where their input comes from.

    Args:
        course: as for `walk`.
        features: shape of the network's spikes at one step.
    """
    found: list[Synapse] = []
    source: str | None = "input"
    pooled = False
    for part in course:
        if isinstance(part, Neuron):
            source, pooled = part.name, False
        elif isinstance(part, Pool):
            features, pooled = (features[0] // 2, features[1] // 2, features[2]), source is not None
        else:
            found.append(Synapse(part, features, source, pooled))
            image = isinstance(part, keras.layers.Conv2D)
            features, source, pooled = (*features[:2], part.filters) if image else (part.units,), None, False
    return tuple(found)


def merge(x: Tensor) -> Tensor:
    """Merge the axes batch and time into one.

    Example:
        >>> tuple(merge(ops.zeros((2, 5, 4, 4, 1))).shape)
        (10, 4, 4, 1)
    """
    return ops.reshape(x, (-1, *x.shape[2:]))


def split(x: Tensor, like: Tensor) -> Tensor:
    """Split the first axis into batch and time, as they are in `like`.

    Example:
        >>> tuple(split(ops.zeros((10, 3)), ops.zeros((2, 5, 4, 4, 1))).shape)
        (2, 5, 3)
    """
    lead = ops.shape(like)[:2]
    return backend.ensure_shape(ops.reshape(x, (*lead, *x.shape[1:])), (*like.shape[:2], *x.shape[1:]))
