"""The forward pass: spikes through a list of layers, all steps at once."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import keras
from keras import ops

from kerasburst import backend
from kerasburst.models.time_batch_normalization import TimeBatchNormalization
from kerasburst.neurons.base import Neuron
from kerasburst.neurons.surrogate import Tensor
from kerasburst.validation import InputError


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

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        """Return the shape after pooling `(batch, height, width, channels)`."""
        batch, height, width, channels = input_shape
        return (batch, height // 2, width // 2, channels)


CONNECT: dict[str, Callable[[Tensor, Tensor], Tensor]] = {  # of the body's spikes and the shortcut's
    "ADD": lambda body, shortcut: body + shortcut,
    "AND": lambda body, shortcut: body * shortcut,
    "IAND": lambda body, shortcut: (1.0 - body) * shortcut,
}


@dataclass(frozen=True)
class Residual:
    """Two branches of a network's course that receive the same spikes and are joined element by element.

        ADD: body + shortcut      AND: body shortcut      IAND: (1 - body) shortcut

    Args:
        body: parts, from first to last.
        shortcut: likewise; none for the input as it is.
        connect: "ADD", "AND" or "IAND". After "ADD" come whole numbers from 0, after the others spikes.

    References:
        Fang et al., Deep Residual Learning in Spiking Neural Networks, NeurIPS 2021 (spike-element-wise functions).
    """

    body: tuple
    shortcut: tuple = ()
    connect: str = "ADD"


Leaf: TypeAlias = keras.layers.Layer | Pool
Part: TypeAlias = Leaf | Residual
Fire = Callable[[Neuron, Tensor], tuple[Tensor, dict[str, Tensor]]]
_SEQUENCE = (Neuron, keras.layers.Dense, TimeBatchNormalization, Residual)  # take (batch, time, *features)


def leaves(course: Sequence[Part]) -> Iterator[Leaf]:
    """Yield the parts of a course in the order in which they run, those of branches in their place.

    Example:
        >>> [type(part).__name__ for part in leaves([Residual((keras.layers.Dense(2),), (Pool(),)), Pool()])]
        ['Dense', 'Pool', 'Pool']
    """
    for part in course:
        if isinstance(part, Residual):
            yield from leaves((*part.body, *part.shortcut))
        else:
            yield part


def build_course(course: Sequence[Part], input_shape: tuple) -> tuple:
    """Build each layer of a course for spikes `(batch, num_steps, *features)`; return the shape of the output.

    Raises:
        InputError: where the branches of a `Residual` have different shapes, or an image becomes empty.
    """
    batch, steps, *features = input_shape
    for part in course:
        if isinstance(part, Residual):
            ends = [build_course(each, (batch, steps, *features)) for each in (part.body, part.shortcut)]
            if ends[0] != ends[1]:
                raise InputError(f"the branches of a Residual must end in one shape, received {ends[0]} and {ends[1]}")
            features = list(ends[0][2:])
            continue
        if isinstance(part, keras.layers.Dense):
            features = [math.prod(features)]
        shape = (batch, steps, *features) if isinstance(part, _SEQUENCE) else (batch, *features)
        if isinstance(part, keras.layers.Layer) and not part.built:
            part.build(shape)
        if not isinstance(part, (Neuron, TimeBatchNormalization)):
            features = list(part.compute_output_shape(shape)[2 if isinstance(part, _SEQUENCE) else 1 :])
        if 0 in features:
            raise InputError(f"inputs must be larger images, received {tuple(input_shape[2:])}: {part} leaves none")
    return (batch, steps, *features)


def walk(
    course: Sequence[Part],
    spikes: Tensor,
    fire: Fire,
    apply: Callable[[Leaf, Tensor], Tensor] = lambda part, x: part(x),
    normalize: Callable[[TimeBatchNormalization, Tensor], Tensor] = lambda part, x: part(x),
) -> tuple[Tensor, dict[str, Tensor]]:
    """Send spikes through a course. All layers see all steps at once; only neurons run over time.

    Args:
        course: neurons, dense layers (which flatten their input), `TimeBatchNormalization`, `Residual`, and layers that
            take images, such as convolutions and pooling.
        spikes: `(batch, num_steps, *features)`, in the layers' compute dtype.
        fire: returns the spikes of neurons for their current, and their states by name as far as they are needed; all
            `(batch, num_steps, *features)`. `kerasburst.neurons.scan.scan` is one.
        apply: computes a part that is not one of neurons; by default the part is called.
        normalize: computes a `TimeBatchNormalization` of `(batch, num_steps, *features)`; likewise.

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
        sequence = isinstance(part, _SEQUENCE)
        if sequence and folded:
            x = split(x, spikes)
        elif not sequence and not folded:
            x = merge(x)
        folded = not sequence
        if isinstance(part, Neuron):
            x, states = fire(part, x)
            continue
        if isinstance(part, TimeBatchNormalization):
            x = normalize(part, x)
            continue
        if isinstance(part, Residual):
            body, shortcut = (walk(each, x, fire, apply, normalize)[0] for each in (part.body, part.shortcut))
            x = CONNECT[part.connect](body, shortcut)
            continue
        if isinstance(part, keras.layers.Dense) and len(x.shape) > 3:
            x = split(ops.reshape(x, (-1, math.prod(x.shape[2:]))), spikes)
        x = apply(part, x)
    return split(x, spikes) if folded else x, states


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
    return backend.with_shape(ops.reshape(x, (*lead, *x.shape[1:])), (*like.shape[:2], *x.shape[1:]))
