"""The fast forward pass on a CPU: the leading stages of convolution and pooling, and the layers after them.

A stage is a convolution, neurons or none, and a pooling. Only the output of a pooling is kept: the bias is added after
the maximum, spikes are bytes, and a few examples are computed at a time, so that the maps between two convolutions stay
in the processor's cache. For a whole batch these maps, the largest tensors of a network, would go to memory and back at
every operation, and a training's memory would grow with them at every step.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import keras
import tensorflow as tf

from kerasburst import backend
from kerasburst.models.fast.convolution import convolve, convolve_and_pool
from kerasburst.models.fast.pooling import SpikePool, max_pool
from kerasburst.models.fast.synapses import project
from kerasburst.models.forward import Part, Pool, Residual, merge, split
from kerasburst.neurons.kernel import lif_scan
from kerasburst.neurons.lif import LIF

# Bytes of the first map that are computed at a time. Neurons read it many times, so it should fit the cache. Without
# neurons smaller parts gain nothing, and larger ones cost memory in long sequences.
_FIRING, _PASSING = 8 * 2**20, 128 * 2**20
_SIDE_BY_SIDE = 2  # parts: while one is in a compiled pass of one thread, another is in a convolution


def begin(
    course: Sequence[Part], spikes: tf.Tensor, *, firing: bool, recompute: bool, training: bool
) -> tuple[list[Part], tf.Tensor] | None:
    """Run a course's first stages, and return the rest and its input; None where the fast pass does not apply.

    `kerasburst.models.forward.walk` runs the rest, with `apply`.

    It applies on TensorFlow's CPU, where XLA does not compile the whole step, to built layers that are exactly Keras'
    `Dense` and `Conv2D` and our `LIF` and that do what these do: not quantised, no LoRA, no activity regulariser, no
    call of their own, in the spikes' dtype. Without `training` all spikes and membranes are the same bits as in the
    plain pass. In training a first convolution of a single channel rounds differently, by about 1e-6 of its values.

    Args:
        course: as for `walk`.
        spikes: likewise.
        firing: whether nobody asks for the spikes of neurons in convolutional stages.
        recompute: keep only the output of the stages for the backward pass.
        training: as for `kerasburst.models.fast.convolution.convolve`.
    """
    if not backend.runs_cpu_paths() or not all(_is_plain(part, spikes.dtype.name) for part in course):
        return None
    stages, rest = split_stages(course, firing)
    return rest, run_stages(stages, spikes, recompute, training) if stages else spikes


def _is_plain(part: Part, dtype: str) -> bool:
    """Return whether the fast pass does with a part exactly what its call does."""
    if isinstance(part, (Pool, Residual)):
        return type(part) is Pool
    if type(part) not in (LIF, keras.layers.Dense, keras.layers.Conv2D):
        return False
    if not part.built or part.compute_dtype != dtype or part.activity_regularizer or "call" in vars(part):
        return False
    if type(part) is LIF:
        return part.is_plain
    if part.quantization_mode or part.lora_enabled or not part.use_bias:
        return False
    if type(part) is keras.layers.Conv2D:
        form = (part.strides, part.dilation_rate, part.groups, part.padding, part.data_format)
        if form != ((1, 1), (1, 1), 1, "same", "channels_last"):
            return False
    return part.activation is keras.activations.linear


def apply(part: Part, x: tf.Tensor) -> tf.Tensor:
    """Compute what a part that is not neurons computes."""
    if isinstance(part, Pool):
        return max_pool(x, part.relu)
    if isinstance(part, keras.layers.Conv2D):
        return convolve(x, tf.cast(part.kernel, x.dtype), tf.cast(part.bias, x.dtype), False)
    return project(part, x)


@dataclass(frozen=True)
class Stage:
    """A convolution, neurons or none, and a pooling.

    Args:
        conv: of stride 1 with padding "same".
        lif: the neurons, or None.
        pool: the pooling after them.
    """

    conv: keras.layers.Conv2D
    lif: LIF | None
    pool: Pool

    def weights(self, dtype: tf.DType) -> dict[str, tf.Tensor]:
        """Return all tensors that receive a gradient."""
        trained = {} if self.lif is None else self.lif.neuron_parameters()
        return {
            "kernel": tf.cast(self.conv.kernel, dtype),
            "bias": tf.cast(self.conv.bias, dtype),
            **{name: value for name, value in trained.items() if tf.is_tensor(value)},
        }

    def run(self, x: tf.Tensor, training: bool, kernel: tf.Tensor, bias: tf.Tensor, **trained: tf.Tensor) -> tf.Tensor:
        """Send `(batch, num_steps, height, width, channels)` through the stage, with these weights."""
        images = merge(x)
        if self.lif is None:
            return split(convolve_and_pool(images, kernel, bias, self.pool.relu, training), x)
        spikes, _, _ = lif_scan(
            split(convolve(images, kernel, bias, training), x),
            None,
            **{"beta": self.lif.beta, "threshold": self.lif.threshold} | trained,
            reset_mechanism=self.lif.reset_mechanism,
            surrogate=self.lif.surrogate,
            return_mem=False,
            use=SpikePool(x.dtype),
        )
        return spikes


def split_stages(course: Sequence[Part], firing: bool) -> tuple[list[Stage], list]:
    """Split a course into the stages at its start and the rest.

    Args:
        course: as for `kerasburst.models.forward.walk`.
        firing: whether stages may have neurons, whose own spikes are not returned.

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
    """Send `(batch, num_steps, height, width, channels)` through stages, a few examples at a time.

    Args:
        stages: at least one.
        spikes: in the layers' compute dtype.
        recompute: keep only the output for the backward pass.
        training: as for `kerasburst.models.fast.convolution.convolve`.
    """
    weights = [stage.weights(spikes.dtype) for stage in stages]

    def function(x, *tensors):
        for stage, own in zip(stages, tf.nest.pack_sequence_as(weights, tensors), strict=True):
            x = stage.run(x, training, **own)
        return x

    tensors = tuple(tf.nest.flatten(weights))
    _, steps, height, width, _ = spikes.shape
    if steps is None:
        return (tf.recompute_grad(function) if recompute else function)(spikes, *tensors)
    most = _FIRING if any(stage.lif for stage in stages) else _PASSING
    examples = max(1, most // (steps * height * width * stages[0].conv.filters * spikes.dtype.size))
    outputs = (steps, height >> len(stages), width >> len(stages), stages[-1].conv.filters)
    return over_batch(function, spikes, tensors, outputs=outputs, examples=examples, recompute=recompute)


def over_batch(
    function: Callable[..., tf.Tensor],
    inputs: tf.Tensor,
    parameters: tuple[tf.Tensor, ...],
    *,
    outputs: tuple[int, ...],
    examples: int,
    recompute: bool = False,
) -> tf.Tensor:
    """Apply a function to a batch, at most `examples` at a time.

    Args:
        function: `(n, *features), *parameters -> (n, *outputs)`, each example computed by itself, in the inputs' dtype.
        inputs: `(batch, *features)`.
        parameters: the function's other arguments, which receive gradients.
        outputs: shape of the output for one example.
        examples: at least 1.
        recompute: keep nothing of a part for the backward pass, and compute it again there.

    Returns:
        `(batch, *outputs)`.

    Example:
        >>> over_batch(lambda x, w: x @ w, tf.ones((5, 3)), (tf.ones((3, 1)),), outputs=(1,), examples=2).shape
        TensorShape([5, 1])
    """
    function = tf.recompute_grad(function) if recompute else function
    batch = inputs.shape[0]
    if batch is not None and batch <= examples:
        return function(inputs, *parameters)
    if batch is None:
        batch = tf.shape(inputs)[0]
        count = tf.maximum(-(-batch // examples), 1)
    else:
        count = -(-batch // examples)
    length = -(-batch // count)
    beyond = [[0, count * length - batch]] + [[0, 0]] * (inputs.shape.rank - 1)  # the last part is filled up
    parts = tf.reshape(tf.pad(inputs, beyond), [count, length, *inputs.shape[1:]])
    done = tf.map_fn(
        lambda part: function(part, *parameters),
        parts,
        parallel_iterations=_SIDE_BY_SIDE,
        fn_output_signature=tf.TensorSpec([None if tf.is_tensor(length) else length, *outputs], inputs.dtype),
    )
    return tf.reshape(done, [-1, *outputs])[:batch]
