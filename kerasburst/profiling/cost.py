"""The cost of a trained network on any device: its operations, counted on real data, and an energy estimate.

A layer whose input is spikes accumulates: each spike adds one weight to every neuron that it reaches, which is a
synaptic operation (AC), and a silent input costs nothing. Any other layer multiplies and accumulates (MAC), densely, at
every step. Neurons' own updates, biases, pooling and the encoder are not counted.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import keras
import numpy as np
import tensorflow as tf

from kerasburst.data.pipeline import make_dataset
from kerasburst.encoders.base import Encoder
from kerasburst.models.base import SpikingNetwork
from kerasburst.models.forward import Pool, Synapse
from kerasburst.validation import InputError, check_int, fail

PJ_PER_MAC = 4.6
PJ_PER_AC = 0.9
ENERGY_SOURCE = (
    "estimate from operation counts, not measured: 4.6 pJ a MAC (32-bit float multiplication 3.7, addition 0.9) and "
    "0.9 pJ an AC, 45 nm; M. Horowitz, Computing's Energy Problem, ISSCC 2014; memory access not included"
)
_MEMBRANE_BYTES = 4  # membranes are float32 under every policy


@dataclasses.dataclass(frozen=True, kw_only=True)
class LayerCost:
    """The operations of one layer.

    Args:
        name: the layer's.
        input_is_spikes: whether it accumulates; otherwise it multiplies.
        input_rate: spikes per input and step; None where the input is not spikes.
        dense_macs_per_step: connections, of one example; those to the zeros around an image do not count.
        effective_acs: spikes times fan-out, over all examples and steps; exact.
        effective_acs_per_sample: of one example, over all steps.
        effective_macs_per_sample: of one example; the dense ones of all steps, or 0 where it accumulates.
        energy_estimate_j_per_sample: joules.
    """

    name: str
    input_is_spikes: bool
    input_rate: float | None
    dense_macs_per_step: int
    effective_acs: int
    effective_acs_per_sample: float
    effective_macs_per_sample: float
    energy_estimate_j_per_sample: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class NetworkCost:
    """The operations of a network on given examples, and its size.

    Args:
        examples: n.
        num_steps: T.
        layers: in the network's order.
        firing_rates: spikes per neuron and step, by LIF layer, after "input".
        dense_macs_per_sample: multiplications of all layers without the use of spikes, over all steps.
        effective_acs_per_sample: accumulates of the layers that receive spikes.
        effective_macs_per_sample: multiplications of the others.
        energy_estimate_j_per_sample: joules, by `ENERGY_SOURCE`.
        weight_bytes: all weights in their dtype here.
        activity_bytes_per_step: of one example: every membrane, float32, and every layer's input, in the compute dtype.
        energy_source: the constants and their source.
    """

    examples: int
    num_steps: int
    layers: tuple[LayerCost, ...]
    firing_rates: dict[str, float]
    dense_macs_per_sample: int
    effective_acs_per_sample: float
    effective_macs_per_sample: float
    energy_estimate_j_per_sample: float
    weight_bytes: int
    activity_bytes_per_step: int
    energy_source: str = ENERGY_SOURCE


def network_cost(
    network: SpikingNetwork,
    x: np.ndarray,
    *,
    encoder: Encoder | None = None,
    seed: int = 0,
    batch_size: int = 128,
) -> NetworkCost:
    """Count the operations of a network on examples.

    Args:
        network: a built network; it should be trained, as its activity decides the counts.
        x: intensities `(n, *features)` in [0, 1], for `encoder` or the encoder inside the network; without either,
            spikes `(n, num_steps, *features)`.
        encoder: encodes each example once.
        seed: of the encodings.
        batch_size: examples at once; the counts do not depend on it.

    Returns:
        The counts, by layer and in total.

    Raises:
        InputError: for a network that is not built, no examples, encoders both inside and as an argument, or spikes
            other than 0 and 1.

    Example:
        >>> from kerasburst.models import SNNFCNet
        >>> network = SNNFCNet(2, hidden_units=4)
        >>> network.build((None, 3, 5))
        >>> spikes = np.zeros((1, 3, 5), "uint8")
        >>> spikes[0, 0, :2] = 1  # two spikes reach four neurons each
        >>> cost = network_cost(network, spikes)
        >>> cost.layers[0].effective_acs, cost.layers[0].dense_macs_per_step
        (8, 20)
    """
    if not isinstance(network, SpikingNetwork) or not network.built:
        raise fail("network", "a spiking network that is built", network)
    check_int("batch_size", batch_size, low=1)
    if len(x) == 0:
        raise InputError("x must hold at least one example, received none")
    if network.encoder is not None:
        if encoder is not None:
            raise InputError("encoder must be left out for a network that has one inside")
        network, encoder = network.with_encoder(None), network.encoder
    return _summed(network, _counted(network, _batches(x, encoder, seed, batch_size)), len(x))


def fan_out(layer: keras.layers.Layer, input_shape: tuple[int, ...]) -> np.ndarray:
    """Return how many neurons each input of a layer reaches, int64 of `input_shape`.

    Inputs at the border of a "same" convolution reach fewer.

    Args:
        layer: a `Dense`, or a `Conv2D` of stride 1 with padding "same".
        input_shape: of one example at one step, channels last.

    Raises:
        InputError: for another layer.

    Example:
        >>> fan_out(keras.layers.Conv2D(2, 3, padding="same"), (1, 4, 1)).ravel().tolist()  # one row: 2 3 3 2, twice
        [4, 6, 6, 4]
    """
    if isinstance(layer, keras.layers.Dense):
        return np.full(input_shape, layer.units, np.int64)
    plain = {"strides": (1, 1), "dilation_rate": (1, 1), "padding": "same", "groups": 1}
    if not isinstance(layer, keras.layers.Conv2D) or any(getattr(layer, k) != v for k, v in plain.items()):
        raise fail("layer", 'a Dense, or a Conv2D of stride 1 with padding "same"', layer)
    rows, columns = (_reached(n, k) for n, k in zip(input_shape[:2], layer.kernel_size, strict=True))
    return np.broadcast_to((rows[:, None] * columns)[..., None] * layer.filters, input_shape)


def _reached(size: int, kernel: int) -> np.ndarray:
    """Return how many outputs along one axis read each input: output o reads o - before .. o - before + kernel - 1."""
    last = np.arange(size) + (kernel - 1) // 2
    return np.minimum(last, size - 1) - np.maximum(last - kernel + 1, 0) + 1


def _batches(x: np.ndarray, encoder: Encoder | None, seed: int, batch_size: int) -> Iterator[tf.Tensor]:
    if encoder is not None:
        for spikes, _ in make_dataset(x, np.zeros(len(x), np.int64), encoder, batch_size, seed):
            yield spikes
        return
    if not np.isin(x, (0, 1)).all():
        raise InputError("x must be spikes, exactly 0 or 1, for a network without an encoder, received other values")
    for start in range(0, len(x), batch_size):
        yield tf.convert_to_tensor(x[start : start + batch_size])


@dataclasses.dataclass
class _Counts:
    """Spikes by position over all examples and steps: `fired` by LIF layer after "input", `received` by layer."""

    num_steps: int
    fired: dict[str, np.ndarray]
    received: dict[str, np.ndarray]


def _counted(network: SpikingNetwork, batches: Iterator[tf.Tensor]) -> _Counts:
    sources = [s for s in network.synapses() if s.source is not None]

    @tf.function(reduce_retracing=True, autograph=False)
    def count(spikes):
        spikes = tf.cast(spikes, network.compute_dtype)
        trains = {"input": spikes, **network.simulate(spikes)[0]}
        received = {s.layer.name: _by_position(_arriving(trains[s.source], s)) for s in sources}
        return {name: _by_position(train) for name, train in trains.items()}, received

    num_steps, fired, received = 0, {}, {}
    for spikes in batches:
        num_steps = int(spikes.shape[1])
        for total, new in zip((fired, received), count(spikes), strict=True):
            for name, value in new.items():
                total[name] = total.get(name, 0) + value.numpy()
    # A graph returns its dictionaries in alphabetical order.
    return _Counts(num_steps, {"input": fired.pop("input"), **fired}, received)


def _arriving(train: tf.Tensor, synapse: Synapse) -> tf.Tensor:
    """Return the spikes `(batch, num_steps, *features)` as they reach the layer."""
    if not synapse.pooled:
        return train
    lead = tf.shape(train)[:2]
    pooled = Pool()(tf.reshape(train, [-1, *train.shape[2:]]))
    return tf.reshape(pooled, tf.concat([lead, pooled.shape[1:]], 0))


def _by_position(train: tf.Tensor) -> tf.Tensor:
    """Sum `(batch, num_steps, *features)` over its first two axes, exactly: float32 holds what T steps add up to."""
    steps = tf.reduce_sum(tf.cast(train, tf.float32), axis=1)
    return tf.reduce_sum(tf.cast(steps, tf.int64), axis=0)


def _summed(network: SpikingNetwork, counts: _Counts, n: int) -> NetworkCost:
    layers = [_layer_cost(s, counts.received.get(s.layer.name), counts.num_steps, n) for s in network.synapses()]
    itemsize = tf.as_dtype(network.compute_dtype).size
    inputs = sum(int(np.prod(s.input_shape)) for s in network.synapses())
    neurons = sum(value.size for name, value in counts.fired.items() if name != "input")
    return NetworkCost(
        examples=n,
        num_steps=counts.num_steps,
        layers=tuple(layers),
        firing_rates={k: int(v.sum()) / (n * counts.num_steps * v.size) for k, v in counts.fired.items()},
        dense_macs_per_sample=counts.num_steps * sum(layer.dense_macs_per_step for layer in layers),
        effective_acs_per_sample=sum(layer.effective_acs for layer in layers) / n,
        effective_macs_per_sample=sum(layer.effective_macs_per_sample for layer in layers),
        energy_estimate_j_per_sample=sum(layer.energy_estimate_j_per_sample for layer in layers),
        weight_bytes=sum(int(np.prod(w.shape)) * tf.as_dtype(w.dtype).size for w in network.weights),
        activity_bytes_per_step=_MEMBRANE_BYTES * neurons + itemsize * inputs,
    )


def _layer_cost(synapse: Synapse, received: np.ndarray | None, num_steps: int, n: int) -> LayerCost:
    reach = fan_out(synapse.layer, synapse.input_shape)
    dense = int(reach.sum())
    spikes = received is not None
    acs = int((received.reshape(synapse.input_shape) * reach).sum()) if spikes else 0
    macs = 0 if spikes else dense * num_steps
    return LayerCost(
        name=synapse.layer.name,
        input_is_spikes=spikes,
        input_rate=int(received.sum()) / (n * num_steps * received.size) if spikes else None,
        dense_macs_per_step=dense,
        effective_acs=acs,
        effective_acs_per_sample=acs / n,
        effective_macs_per_sample=float(macs),
        energy_estimate_j_per_sample=1e-12 * (PJ_PER_MAC * macs + PJ_PER_AC * acs / n),
    )
