"""The cost of a trained network on any device: its operations, counted on real data, and an energy estimate.

A layer whose input is spikes accumulates: each spike adds one weight to every neuron that it reaches, which is a
synaptic operation (AC), and a silent input costs nothing. Any other layer multiplies and accumulates (MAC), densely, at
every step. Neurons' own updates, biases, pooling, normalisation and the encoder are not counted.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from kerasburst.data.pipeline import make_dataset
from kerasburst.encoders.base import Encoder
from kerasburst.models.base import SpikingNetwork
from kerasburst.models.forward import Part, Residual
from kerasburst.models.observing import observe
from kerasburst.models.recording import batches, mean_rates
from kerasburst.neurons.base import Neuron
from kerasburst.validation import InputError, check_int, fail

PJ_PER_MAC = 4.6
PJ_PER_AC = 0.9
ENERGY_SOURCE = (
    "estimate from operation counts, not measured: 4.6 pJ a MAC (32-bit float multiplication 3.7, addition 0.9) and "
    "0.9 pJ an AC, 45 nm; M. Horowitz, Computing's Energy Problem, ISSCC 2014; memory access not included"
)
_MEMBRANE_BYTES = 4  # membranes are float32 under every policy
_CONVOLUTIONS = (keras.layers.Conv1D, keras.layers.Conv2D, keras.layers.Conv3D)
_DEPTHWISE = (keras.layers.DepthwiseConv1D, keras.layers.DepthwiseConv2D)
_PRODUCTS = (keras.layers.Attention, keras.layers.AdditiveAttention, keras.layers.Dot)
_UNCOUNTED = (
    Encoder,
    keras.layers.BatchNormalization,
    keras.layers.Embedding,
    keras.layers.GroupNormalization,
    keras.layers.LayerNormalization,
    keras.layers.Normalization,
    keras.layers.PReLU,
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class LayerCost:
    """The operations of one layer.

    Args:
        name: the layer's.
        input_is_spikes: whether it accumulates; otherwise it multiplies.
        input_rate: spikes per input and step; None where the input is not spikes.
        dense_macs_per_step: connections, of one example; those to the zeros around an image do not count. A layer that
            runs once an example counts as its share of a step.
        effective_acs: spikes times fan-out, over all examples and steps; exact.
        effective_acs_per_sample: of one example, over all steps.
        effective_macs_per_sample: of one example; the dense ones of all steps, or 0 where it accumulates.
        energy_estimate_j_per_sample: joules.
    """

    name: str
    input_is_spikes: bool
    input_rate: float | None
    dense_macs_per_step: int | float
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
        firing_rates: spikes per neuron and step, by layer of neurons, after "input", where the input is spikes.
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
    dense_macs_per_sample: int | float
    effective_acs_per_sample: float
    effective_macs_per_sample: float
    energy_estimate_j_per_sample: float
    weight_bytes: int
    activity_bytes_per_step: int
    energy_source: str = ENERGY_SOURCE


def network_cost(
    network: keras.Model,
    x: Any,
    *,
    encoder: Encoder | None = None,
    seed: int = 0,
    batch_size: int = 128,
) -> NetworkCost:
    """Count the operations of a network on examples.

    A layer's input counts as spikes where it is 0 and 1 only, on all examples, unless one of our networks computes it
    by another layer. Recurrent weights inside neurons are counted as a layer of their own.

    Args:
        network: one of our networks, built, or any Keras model with our neurons; it should be trained, as its activity
            decides the counts.
        x: intensities `(n, *features)` in [0, 1], for `encoder` or the encoder inside the network; without either,
            what the network takes, such as spikes `(n, num_steps, *features)`.
        encoder: encodes each example once.
        seed: of the encodings by `encoder`, or by the one inside one of our networks.
        batch_size: examples at once; the counts do not depend on it.

    Returns:
        The counts, by layer and in total.

    Raises:
        InputError: for a network that is not built or has no neurons, no examples, encoders both inside and as an
            argument, spikes other than 0 and 1 for one of our networks, or a layer with weights whose connections are
            not known.

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
    check_int("batch_size", batch_size, low=1)
    if not isinstance(network, SpikingNetwork):
        if not isinstance(network, keras.layers.Layer):
            raise fail("network", "a spiking network or a Keras model with neurons", network)
        return _cost(network, _encoded(x, encoder, seed, batch_size))
    if not network.built:
        raise fail("network", "a spiking network that is built", network)
    if len(x) == 0:
        raise InputError("x must hold at least one example, received none")
    if network.encoder is not None:
        if encoder is not None:
            raise InputError("encoder must be left out for a network that has one inside")
        network, encoder = network.with_encoder(None), network.encoder
    known = (-1, 0, 1) if np.asarray(x).dtype == np.int8 else (0, 1)  # -1 says where steps are padding
    if encoder is None and not np.isin(x, known).all():
        raise InputError("x must be spikes, exactly 0 or 1, for a network without an encoder, received other values")
    return _cost(network, _encoded(x, encoder, seed, batch_size))


def fan_out(layer: keras.layers.Layer, input_shape: tuple[int, ...]) -> np.ndarray:
    """Return how many neurons each input of a layer reaches, int64 of `input_shape`.

    Inputs at the border of a "same" convolution reach fewer.

    Args:
        layer: a `Dense`, or a `Conv1D`, `Conv2D`, `Conv3D`, `DepthwiseConv1D` or `DepthwiseConv2D`.
        input_shape: of one example.

    Raises:
        InputError: for another layer.

    Example:
        >>> fan_out(keras.layers.Conv2D(2, 3, padding="same"), (1, 4, 1)).ravel().tolist()  # one row: 2 3 3 2, twice
        [4, 6, 6, 4]
    """
    if isinstance(layer, keras.layers.Dense):
        return np.full(input_shape, layer.units, np.int64)
    if isinstance(layer, _CONVOLUTIONS):
        per_channel = layer.filters // layer.groups
    elif isinstance(layer, _DEPTHWISE):
        per_channel = layer.depth_multiplier
    else:
        raise fail("layer", "a Dense, a convolution or a depthwise convolution", layer)
    first = layer.data_format == "channels_first"
    sizes = input_shape[1:] if first else input_shape[:-1]
    reach = np.ones((), np.int64)
    dilations = np.broadcast_to(layer.dilation_rate, len(sizes))
    for size, kernel, stride, dilation in zip(sizes, layer.kernel_size, layer.strides, dilations, strict=True):
        reach = np.multiply.outer(reach, _reached(size, kernel, stride, dilation, layer.padding))
    return np.broadcast_to(np.expand_dims(per_channel * reach, 0 if first else -1), input_shape)


def _reached(size: int, kernel: int, stride: int, dilation: int, padding: str) -> np.ndarray:
    """Return how many outputs along one axis read each input."""
    width = (kernel - 1) * dilation + 1
    outputs = (size - width) // stride + 1 if padding == "valid" else -(-size // stride)
    before = {"valid": 0, "causal": width - 1, "same": max((outputs - 1) * stride + width - size, 0) // 2}[padding]
    read = np.add.outer(np.arange(outputs) * stride, np.arange(kernel) * dilation).ravel() - before
    return np.bincount(read[(read >= 0) & (read < size)], minlength=size)


def _encoded(x: Any, encoder: Encoder | None, seed: int, batch_size: int) -> Iterator[tuple[Any, int]]:
    """Yield what a network takes, in batches, and their sizes."""
    if encoder is None:
        yield from batches(x, batch_size)
        return
    for spikes, _ in make_dataset(x, np.zeros(len(x), np.int64), encoder, batch_size, seed):
        yield np.asarray(spikes), len(spikes)


@dataclasses.dataclass
class _Sum:
    """What a layer received, over all examples and steps."""

    name: str
    reach: np.ndarray  # how many neurons each input reaches
    itemsize: int  # bytes of an input
    total: Any = 0
    times: int = 0
    spikes: bool = True

    def add(self, total: np.ndarray, times: int, spikes: bool) -> None:
        """Add inputs, summed over `times` examples or steps."""
        self.total, self.times, self.spikes = self.total + total, self.times + times, self.spikes and spikes

    def cost(self, num_steps: int, n: int) -> LayerCost:
        dense = _whole(int(self.reach.sum()) * self.times / (n * num_steps))
        acs = int((np.rint(self.total).astype(np.int64) * self.reach).sum()) if self.spikes else 0
        macs = 0 if self.spikes else dense * num_steps
        return LayerCost(
            name=self.name,
            input_is_spikes=self.spikes,
            input_rate=float(self.total.sum()) / (self.times * self.reach.size) if self.spikes else None,
            dense_macs_per_step=dense,
            effective_acs=acs,
            effective_acs_per_sample=acs / n,
            effective_macs_per_sample=float(macs),
            energy_estimate_j_per_sample=1e-12 * (PJ_PER_MAC * macs + PJ_PER_AC * acs / n),
        )

    def inputs_per_step(self, num_steps: int, n: int) -> float:
        return self.reach.size * self.times / (n * num_steps)


def _whole(value: float) -> int | float:
    return int(value) if value == int(value) else value


def _cost(model: keras.layers.Layer, parts: Iterator[tuple[Any, int]]) -> NetworkCost:
    sums: dict[tuple, _Sum] = {}
    rates: list[tuple[int, dict[str, float]]] = []
    neurons, n, num_steps = 0, 0, 0
    computed = _behind_layers(model.course()) if isinstance(model, SpikingNetwork) else set()

    def add(key, name, layer_reach, itemsize, *received):
        if key not in sums:
            sums[key] = _Sum(name, layer_reach(), itemsize)
        sums[key].add(*received)

    for x, size in parts:
        seen = observe(model, x, _has_connections)
        n, num_steps = n + size, seen.runs[0].spk.shape[1]
        for got in seen.received:
            layer, shape = got.layer, got.total.shape
            key, itemsize = (id(layer), shape), tf.as_dtype(layer.compute_dtype).size
            spikes = got.spikes and id(layer) not in computed
            add(key, layer.name, partial(fan_out, layer, shape), itemsize, got.total, got.examples, spikes)
        for run in seen.runs:
            if any(weight.name == "recurrent_kernel" for weight in run.neurons.weights):
                units, name = run.spk.shape[-1], f"{run.name}/recurrent_kernel"
                total = run.spk[:, :-1].sum(axis=(0, 1), dtype=np.float64)
                add(name, name, partial(np.full, total.shape, units), _MEMBRANE_BYTES, total, size * num_steps, True)
        rates.append((size, seen.rates()))
        neurons = sum(run.spk[0, 0].size * len(run.neurons.state_names) for run in seen.runs)
    inputs = sum(each.itemsize * each.inputs_per_step(num_steps, n) for each in sums.values())
    layers = tuple(each.cost(num_steps, n) for each in sums.values())
    return NetworkCost(
        examples=n,
        num_steps=num_steps,
        layers=layers,
        firing_rates=mean_rates(rates),
        dense_macs_per_sample=_whole(num_steps * sum(layer.dense_macs_per_step for layer in layers)),
        effective_acs_per_sample=sum(layer.effective_acs for layer in layers) / n,
        effective_macs_per_sample=sum(layer.effective_macs_per_sample for layer in layers),
        energy_estimate_j_per_sample=sum(layer.energy_estimate_j_per_sample for layer in layers),
        weight_bytes=sum(int(np.prod(w.shape)) * tf.as_dtype(w.dtype).size for w in model.weights),
        activity_bytes_per_step=round(_MEMBRANE_BYTES * neurons + inputs),
    )


def _behind_layers(course: Sequence[Part]) -> set[int]:
    """Return the ids of layers whose input another layer computes: it is no spikes, even where it is 0 throughout."""
    found, computed = set(), False
    for part in course:
        if isinstance(part, (Neuron, Residual)):
            computed = False
        elif isinstance(part, (keras.layers.Dense, *_CONVOLUTIONS, *_DEPTHWISE)):
            if computed:
                found.add(id(part))
            computed = True
    return found


def _has_connections(layer: keras.layers.Layer) -> bool:
    """Return whether a layer's connections are counted; refuse one that has some that cannot be."""
    if isinstance(layer, (keras.layers.Dense, *_CONVOLUTIONS, *_DEPTHWISE)):
        return True
    weights = [] if layer._layers or isinstance(layer, (Neuron, *_UNCOUNTED)) else layer.weights
    if isinstance(layer, _PRODUCTS) or any(len(weight.shape) > 1 for weight in weights):
        raise InputError(
            f"network must have its connections in Dense, convolutions and neurons to be counted, received layer "
            f"{layer.name} ({type(layer).__name__})"
        )
    return False
