"""Gradient checkpointing: keep less for the backward pass, and compute it again there."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence

import keras
from keras import ops

from kerasburst import backend
from kerasburst.models.forward import Fire, Part, Pool, Residual, walk
from kerasburst.models.time_batch_normalization import TimeBatchNormalization
from kerasburst.neurons.layer import NeuronLayer
from kerasburst.neurons.surrogate import Tensor
from kerasburst.validation import InputError


def in_chunks(run: Callable, spikes: Tensor, steps: int, mask: Tensor | None) -> tuple[Tensor, Tensor]:
    """Run a network over chunks of time, each of which the backward pass computes again.

    What is kept are the spikes that go in, the output and the neurons' states between chunks; so memory grows with the
    steps of a chunk, and not with all steps.

    Args:
        run: `SpikingNetwork._run`, of a course without statistics over time.
        spikes: `(batch, num_steps, *features)`.
        steps: of a chunk; the last may be shorter.
        mask: bool `(batch, num_steps)`, or None.

    Returns:
        The output neurons' spikes and membrane, each `(batch, num_steps, C)`.

    Raises:
        InputError: where T is not known, or where neurons have a regulariser or a call of their own.

    References:
        Chen et al., Training Deep Nets with Sublinear Memory Cost, 2016.
    """
    total = spikes.shape[1]
    if total is None:
        raise InputError("inputs must have a known number of steps with recompute_steps")
    names: list[tuple[str, str]] = []  # of the states that go from chunk to chunk

    def chunk(x, live, *carried):
        before: dict[str, dict[str, Tensor]] = {}
        for (layer, state), value in zip(names, carried, strict=False):  # none before the first chunk
            before.setdefault(layer, {})[state] = value
        after: dict[tuple[str, str], Tensor] = {}

        def fire(neurons: NeuronLayer, current: Tensor):
            _check_plain(neurons)
            spk, mem, last = neurons.run(current, before.get(neurons.name), live)
            after.update({(neurons.name, state): value for state, value in last.items()})
            return spk, {"mem": mem}

        spk, states = run(x, fire, training=True, mask=live)
        names[:] = after
        # The states first: TensorFlow computes a chunk again when the first output's gradient is there, and theirs
        # comes from the chunk after it. That of spikes may be zeros, there at once for all chunks.
        return [*after.values(), spk, states["mem"]]

    def advance(x, live, carried):
        *carried, spk, mem = keras.remat(lambda x, *carried: chunk(x, live, *carried))(x, *carried)
        return carried, (spk, mem)

    parts = [
        (spikes[:, i : i + steps], None if mask is None else mask[:, i : i + steps]) for i in range(0, total, steps)
    ]
    carried, first = advance(*parts[0], [])
    outputs = [first]
    whole = total // steps
    if backend.name == "jax" and whole > 2:  # a loop, or XLA keeps what a written-out chunk would compute again
        many = [ops.stack(each) for each in zip(*parts[1:whole], strict=True) if each[0] is not None]
        carried, (spk, mem) = ops.scan(lambda c, now: advance(now[0], now[1] if now[1:] else None, c), carried, many)
        outputs += [(spk[i], mem[i]) for i in range(whole - 1)]
        parts = parts[:1] + parts[whole:]
    for part in parts[1:]:
        carried, out = advance(*part, carried)
        outputs.append(out)
    spk, mem = (ops.concatenate(each, axis=1) for each in zip(*outputs, strict=True))
    return spk, mem


def _check_plain(neurons: NeuronLayer) -> None:
    if neurons.spike_regularizer is not None:
        raise InputError(f"recompute_steps must be None where {neurons.name} has a regulariser")
    if type(neurons).call is not NeuronLayer.call or "call" in vars(neurons):
        raise InputError(f"recompute_steps must be None where {neurons.name} has a call of its own")


def walk_recomputed(course: Sequence[Part], spikes: Tensor, fire: Fire, training: bool, mask: Tensor | None):
    """Return what `walk` does; of what comes before the first dense layer, keep only the images between blocks.

    A block ends with a pooling, or is a `Residual`. With `training`, statistics are those of the batch, at the steps
    that `mask` leaves, bool `(batch, num_steps)`.
    """
    images = list(itertools.takewhile(lambda part: not isinstance(part, keras.layers.Dense), course))
    for block in _blocks(images):
        spikes = _recomputed(block, spikes, fire, training, mask)
    rest = course[len(images) :]
    return walk(rest, spikes, fire, normalize=lambda layer, x: layer(x, training=training, mask=mask))


def _recomputed(block: Sequence[Part], spikes: Tensor, fire: Fire, training: bool, mask: Tensor | None) -> Tensor:
    norms: list[TimeBatchNormalization] = []

    def run(x):
        norms.clear()  # the backward pass runs it a second time
        found: list[Tensor] = []

        def normalize(layer, current):
            if not (training and layer.trainable):
                return layer(current, training=False)
            mean, variance = layer.statistics(current, mask)
            norms.append(layer)
            found.extend((mean, variance))
            return layer.normalize(current, mean, variance)

        return [walk(block, x, fire, normalize=normalize)[0], *found]

    out, *statistics = keras.remat(run)(spikes)
    for layer, mean, variance in zip(norms, statistics[::2], statistics[1::2], strict=True):
        layer.follow(ops.stop_gradient(mean), ops.stop_gradient(variance))
    return out


def _blocks(parts: Sequence[Part]) -> Iterator[list[Part]]:
    """Split parts after each pooling and around each `Residual`."""
    block: list[Part] = []
    for part in parts:
        if isinstance(part, Residual) and block:
            yield block
            block = []
        block.append(part)
        if isinstance(part, (Residual, Pool)):
            yield block
            block = []
    if block:
        yield block
