r"""Models as a graph of the Neuromorphic Intermediate Representation (NIR).

NIR writes neurons in continuous time. Its reading by a forward Euler step of `DT`,

    v[t] = v[t-1] + DT / tau (v_leak - v[t-1] + r I[t]),

is our equation for tau = DT / (1 - beta), r = tau / DT, v_leak = 0. For beta = 0.9: tau = 1e-3 s, r = 10.

- "zero": `LIF` with v_reset = 0. NIR resets right after the spike, we before the next step: the spikes are the same,
  and the membrane differs at the steps with a spike, after it.
- "none": `LI` (`I` for beta = 1) and a `Threshold`: the spike leaves the membrane alone.
- "subtract": the same with the spike fed back through `Scale` by minus the threshold: it is subtracted one step
  later, which is the delay that a loop in a NIR graph has.

`LeakyIntegrator` is `LI`. `Synaptic` is an `LI` for its current and then as `LIF`. Where it resets to zero, it is a
`CubaLIF` with tau_syn = DT / (1 - alpha), w_in = tau_syn / DT. NIR's reset spares the current of the next step, that of
`Synaptic` does not: the node's metadata says so to `from_nir`, and the manifest how many spikes differ for others.

Images go channels-first. Max-pooling of spikes is their sum over the window, above 1/2. A batch normalisation becomes
part of the weights before it, zeros around an image part of the convolution or pooling behind them. The paths of a
residual block that adds spikes end in the same node, which sums what it receives.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence

import keras
import numpy as np

from kerasburst.encoders.base import Encoder
from kerasburst.export.nir_reader import DT
from kerasburst.models.base import SpikingNetwork
from kerasburst.models.forward import Part, Pool, Residual
from kerasburst.models.time_batch_normalization import TimeBatchNormalization
from kerasburst.neurons.base import Neuron
from kerasburst.validation import InputError

# What changes nothing when a model is asked.
_IDLE = (
    keras.layers.Dropout,
    keras.layers.SpatialDropout1D,
    keras.layers.SpatialDropout2D,
    keras.layers.GaussianNoise,
    keras.layers.GaussianDropout,
    keras.layers.ActivityRegularization,
    keras.layers.Identity,
)


@dataclasses.dataclass
class Signal:
    """What flows between layers: the nodes it is the sum of, and its shape at one step, channels first.

    Attributes:
        spiking: whether it is spikes.
        flat_from: the shape, channels first, that was flattened channels-last.
        permuted: whether a layer has brought it channels-first already.
        padding: zeros around the image that the next layer must add.
    """

    sources: tuple[str, ...]
    shape: list[int]
    spiking: bool = False
    flat_from: list[int] | None = None
    permuted: bool = False
    padding: tuple[int, int] = (0, 0)


class Graph:
    """Nodes and edges, and the signals of a model's tensors."""

    def __init__(self, shape: tuple[int, ...], nir_reset: str | None):
        import nir

        self.nir, self.nir_reset = nir, nir_reset
        self.nodes = {"input": nir.Input({"input": np.array(shape)})}
        self.edges: list[tuple[str, str]] = []
        self.fired: Signal | None = None  # of the last neurons
        self.neurons: set[int] = set()  # the identities of those that the graph has

    def add(self, name: str, node, signal: Signal) -> str:
        """Append a node behind a signal; return its name."""
        name = re.sub(r"\W", "_", name)
        while name in self.nodes:
            name += "_again"
        self.nodes[name] = node
        self.edges += [(source, name) for source in signal.sources]
        return name

    def follow(self, model: keras.Model, signal: Signal | None, encoded: Signal | None = None):
        """Follow a model's layers from its input and return the output's signal; `encoded` is behind an encoder."""
        if isinstance(model, SpikingNetwork):
            return self._follow_course(model.course(), signal or encoded)
        seen: dict[int, tuple] = {}  # by the identity of tensors, which are kept for it

        def call(layer, *args, **kwargs):
            out = layer(*args, **kwargs)
            tensors = [x for x in keras.tree.flatten((args, kwargs)) if isinstance(x, keras.KerasTensor)]
            given = [seen[id(x)][1] for x in tensors if id(x) in seen]
            after = encoded if isinstance(layer, Encoder) else None
            if given and isinstance(layer, keras.layers.Layer):  # else before the encoder, or after the readout
                if len(given) < len(tensors):
                    raise InputError(f"{layer.name} must take spikes alone for nir, received a state or a mask, too")
                after = self._join(layer, given) if len(given) > 1 else self.apply(layer, given[0])
            first = keras.tree.flatten(out)[0]
            if after is not None:
                seen[id(first)] = first, after
            return out

        whole = keras.Model(model.inputs[0], model.outputs[0])
        inputs = keras.Input(batch_shape=model.inputs[0].shape, dtype=model.inputs[0].dtype)
        if signal is not None:
            seen[id(inputs)] = inputs, signal
        clone = keras.models.clone_model(whole, inputs, clone_function=lambda layer: layer, call_function=call)
        end = clone.outputs[0]
        return seen[id(end)][1] if id(end) in seen else None

    def _follow_course(self, course: Sequence[Part], signal):
        for part in course:
            if isinstance(part, Residual):
                if part.connect != "ADD":
                    raise InputError(f"model must have connect ADD for nir, which sums paths, received {part.connect}")
                ends = [self._follow_course(each, signal) for each in (part.body, part.shortcut)]
                signal = self._sum("a residual block", ends)
                continue
            if isinstance(part, keras.layers.Dense) and len(signal.shape) > 1:
                signal = self._flatten(f"flatten_{part.name}", signal)
            signal = self.apply(part, signal)
        return signal

    def apply(self, layer, signal: Signal) -> Signal | None:
        """Append a layer, or part of a network's course; None where its output is no sequence."""
        if isinstance(layer, keras.layers.TimeDistributed):
            layer = layer.layer
        kind = type(layer)
        if any(signal.padding) and kind not in (keras.layers.Conv2D, keras.layers.MaxPooling2D):
            raise InputError(f"{layer.name} must not follow a ZeroPadding2D for nir: a convolution or max-pooling may")
        if kind is keras.layers.GlobalAveragePooling1D:
            return None  # a readout over time, as `_readout` finds
        if kind in _IDLE:
            return signal
        if kind is Pool:
            return self._pool_spikes("pool", signal, (2, 2), (2, 2), relu=layer.relu)
        if isinstance(layer, keras.Model):
            return self.follow(layer, signal)
        if kind is keras.layers.RNN and isinstance(layer.cell, Neuron):
            return self._fire(layer.cell, layer, signal)
        if isinstance(layer, Neuron):
            return self._fire(layer, layer, signal)
        known = {
            keras.layers.Dense: self._project,
            keras.layers.Conv2D: self._convolve,
            keras.layers.Flatten: lambda layer, signal: self._flatten(layer.name, signal),
            keras.layers.Permute: self._permute,
            keras.layers.MaxPooling2D: self._pool,
            keras.layers.AveragePooling2D: self._pool,
            keras.layers.GlobalAveragePooling2D: self._average_image,
            keras.layers.ZeroPadding2D: self._pad,
            keras.layers.BatchNormalization: self._normalize,
            TimeBatchNormalization: self._normalize,
            keras.layers.Rescaling: self._scale,
        }
        if kind not in known:
            raise InputError(f"model must be of layers that nir knows, {layer.name} is a {kind.__name__}")
        return known[kind](layer, signal)

    def _join(self, layer, signals) -> Signal:
        if type(layer) is not keras.layers.Add:
            raise InputError(f"model must join paths by Add for nir, {layer.name} is a {type(layer).__name__}")
        return self._sum(layer.name, signals)

    def _sum(self, name: str, signals) -> Signal:
        if len({(*signal.shape, signal.permuted) for signal in signals}) > 1:
            raise InputError(f"{name} must add maps of one shape for nir")
        sources = tuple(dict.fromkeys(source for signal in signals for source in signal.sources))
        if len(sources) < sum(len(signal.sources) for signal in signals):
            raise InputError(f"{name} must not add a map to itself for nir")
        return dataclasses.replace(signals[0], sources=sources, spiking=False)

    # Layers -------------------------------------------------------------------------------------

    def _project(self, layer, signal):
        _check_plain(layer)
        if len(signal.shape) > 1:
            raise InputError(
                f"{layer.name} must take flat features for nir, received {tuple(signal.shape)}: flatten first"
            )
        kernel = np.array(layer.kernel)
        if signal.flat_from is not None:
            channels, *space = signal.flat_from
            kernel = np.moveaxis(kernel.reshape(*space, channels, -1), -2, 0).reshape(kernel.shape)
        weight = np.ascontiguousarray(kernel.T)
        node = self.nir.Affine(weight, np.array(layer.bias)) if layer.use_bias else self.nir.Linear(weight)
        return Signal((self.add(layer.name, node, signal),), [layer.units])

    def _convolve(self, layer, signal):
        _check_plain(layer)
        channels, *size = signal.shape
        same = layer.padding == "same" and layer.strides == (1, 1)
        if not (same or layer.padding == "valid") or layer.data_format != "channels_last" or signal.permuted:
            raise InputError(
                f"{layer.name} must be channels-last and padded to the same size with stride 1, or not at all, for nir"
            )
        kernel = np.transpose(layer.kernel, (3, 2, 0, 1))
        bias = np.array(layer.bias) if layer.use_bias else np.zeros(layer.filters, "float32")
        if any(signal.padding) and same:
            raise InputError(f"{layer.name} must be padded by itself or by the layer before for nir, not by both")
        padding = "same" if same else signal.padding
        node = self.nir.Conv2d(tuple(size), kernel, layer.strides, padding, layer.dilation_rate, layer.groups, bias)
        if not same:
            spread = [(side - 1) * step for side, step in zip(layer.kernel_size, layer.dilation_rate, strict=True)]
            padded = _padded(size, signal.padding)
            size = [(n - d - 1) // stride + 1 for n, d, stride in zip(padded, spread, layer.strides, strict=True)]
        return Signal((self.add(layer.name, node, signal),), [layer.filters, *size])

    def _pad(self, layer, signal):
        (top, bottom), (left, right) = layer.padding
        if top != bottom or left != right or layer.data_format != "channels_last" or signal.permuted:
            raise InputError(f"{layer.name} must be channels-last and pad both sides alike for nir")
        return dataclasses.replace(signal, padding=(top, left))

    def _normalize(self, layer, signal):
        """Make a normalisation part of the weights of the node before it."""
        (source, *others), nir = signal.sources, self.nir
        node = self.nodes[source]
        follows_weights = isinstance(node, (nir.Conv2d, nir.Affine, nir.Linear))
        if others or not follows_weights or any(a == source for a, _ in self.edges):
            raise InputError(f"{layer.name} must follow one convolution or Dense for nir, which has no normalisation")
        if layer.axis not in (-1, len(signal.shape), len(signal.shape) + 1):
            raise InputError(f"{layer.name} must normalise channels, the last axis, for nir, received {layer.axis}")
        factor = 1.0 / np.sqrt(np.asarray(layer.moving_variance, "float64") + layer.epsilon)
        factor *= np.asarray(layer.gamma) if layer.scale else 1.0
        shift = (np.asarray(layer.beta) if layer.center else 0.0) - np.asarray(layer.moving_mean) * factor
        node.weight = (node.weight * factor.reshape(-1, *[1] * (node.weight.ndim - 1))).astype("float32")
        bias = (getattr(node, "bias", 0.0) * factor + shift).astype("float32")
        if isinstance(node, nir.Linear):
            self.nodes[source] = nir.Affine(node.weight, bias)
        else:
            node.bias = bias
        return signal

    def _average_image(self, layer, signal):
        if layer.data_format != "channels_last" or layer.keepdims or signal.permuted:
            raise InputError(f"{layer.name} must be channels-last and drop its axes for nir")
        window = np.array(signal.shape[1:])
        pooled = Signal((self.add(layer.name, self.nir.AvgPool2d(window, window, np.array([0, 0])), signal),), [])
        return self._flatten(f"flatten_{layer.name}", dataclasses.replace(pooled, shape=[signal.shape[0], 1, 1]))

    def _permute(self, layer, signal):
        if len(signal.shape) != 3 or layer.dims != (1, 4, 2, 3):
            raise InputError(f"{layer.name} must bring maps channels-first for nir, received dims {layer.dims}")
        return dataclasses.replace(signal, permuted=True)

    def _flatten(self, name, signal):
        if len(signal.shape) == 1:
            return signal
        node = self.nir.Flatten({"input": np.array(signal.shape)}, start_dim=0)
        flat_from = None if signal.permuted else signal.shape
        size = [int(np.prod(signal.shape))]
        return Signal((self.add(name, node, signal),), size, signal.spiking, flat_from)

    def _pool(self, layer, signal):
        if layer.padding != "valid" or layer.data_format != "channels_last" or signal.permuted:
            raise InputError(f"{layer.name} must be channels-last and not be padded for nir")
        if isinstance(layer, keras.layers.MaxPooling2D):
            return self._pool_spikes(layer.name, signal, layer.pool_size, layer.strides)
        node = self.nir.AvgPool2d(np.array(layer.pool_size), np.array(layer.strides), np.array([0, 0]))
        return Signal((self.add(layer.name, node, signal),), _pooled(signal.shape, layer.pool_size, layer.strides))

    def _pool_spikes(self, name, signal, window, strides, relu=False):
        if relu or not signal.spiking:
            raise InputError(
                "model must have spikes between its layers for nir, which has neither ReLU nor max-pooling of "
                "activations: train with --set model.conv_activation=lif"
            )
        node = self.nir.SumPool2d(np.array(window), np.array(strides), np.array(signal.padding))
        padded = _padded(signal.shape[1:], signal.padding)
        total = Signal((self.add(f"{name}_sum", node, signal),), _pooled([signal.shape[0], *padded], window, strides))
        any_spike = self.nir.Threshold(np.full(total.shape, 0.5, "float32"))
        return Signal((self.add(f"{name}_any", any_spike, total),), total.shape, spiking=True)

    def _scale(self, layer, signal):
        if np.any(layer.offset) or np.ndim(layer.scale):
            raise InputError(f"{layer.name} must scale by one number, without an offset, for nir")
        node = self.nir.Scale(np.full(signal.shape, layer.scale, "float32"))
        return dataclasses.replace(signal, sources=(self.add(layer.name, node, signal),), spiking=False)

    # Neurons ------------------------------------------------------------------------------------

    def _fire(self, neuron: Neuron, layer, signal: Signal) -> Signal | None:
        kind = type(neuron).__name__.removesuffix("Cell")
        ours = type(neuron).__module__.split(".")[0] == "kerasburst"
        if not ours or kind not in ("LIF", "Synaptic", "LeakyIntegrator"):
            raise InputError(f"model must be of neurons that nir knows, {layer.name} is a {type(neuron).__name__}")

        def value(name):
            return self._ordered(neuron.neuron_parameters()[name], signal, f"{layer.name}.{name}")

        name, beta = layer.name, value("beta")
        if kind == "LeakyIntegrator":
            after = self._integrate(name, beta, signal)
        elif kind == "Synaptic" and "zero" in (neuron.reset_mechanism, self.nir_reset):
            after = self._cuba_lif(name, value("alpha"), beta, value("threshold"), neuron.reset_mechanism, signal)
        else:
            if kind == "Synaptic":
                signal = self._integrate(f"{name}_synapse", value("alpha"), signal)
            after = self._lif(name, beta, value("threshold"), neuron.reset_mechanism, signal)
        self.fired = after
        self.neurons.add(id(neuron))
        return after if layer.return_sequences else None

    def _lif(self, name, beta, threshold, reset, signal) -> Signal:
        nir, zero = self.nir, np.zeros(signal.shape)
        if reset == "zero" or self.nir_reset == "zero":
            tau, r = _time_constant(name, beta)
            node = nir.IF(r, threshold, zero) if tau is None else nir.LIF(tau, r, zero, threshold, zero)
            node.metadata = {"reset_mechanism": reset}
            return dataclasses.replace(signal, sources=(self.add(name, node, signal),), spiking=True)
        mem = self._integrate(name, beta, signal)
        spike = self.add(f"{name}_spike", nir.Threshold(threshold), mem)
        if reset == "subtract":
            back = self.add(f"{name}_reset", nir.Scale(-threshold), dataclasses.replace(mem, sources=(spike,)))
            self.edges.append((back, mem.sources[0]))
        return dataclasses.replace(mem, sources=(spike,), spiking=True)

    def _integrate(self, name, beta, signal) -> Signal:
        tau, r = _time_constant(name, beta)
        node = self.nir.I(r) if tau is None else self.nir.LI(tau, r, np.zeros(signal.shape))
        return dataclasses.replace(signal, sources=(self.add(name, node, signal),), spiking=False)

    def _cuba_lif(self, name, alpha, beta, threshold, reset, signal) -> Signal:
        (tau_syn, w_in), (tau_mem, r) = (_time_constant(name, each) for each in (alpha, beta))
        if tau_syn is None or tau_mem is None:
            raise InputError(f"{name} must have alpha and beta below 1 for nir: time constants are finite there")
        zero = np.zeros(signal.shape)
        node = self.nir.CubaLIF(tau_syn, tau_mem, r, zero, threshold, zero, w_in, metadata={"reset_mechanism": reset})
        return dataclasses.replace(signal, sources=(self.add(name, node, signal),), spiking=True)

    def _ordered(self, value, signal: Signal, name: str) -> np.ndarray:
        """Return a parameter of each neuron in the order of the graph."""
        value = np.asarray(value, "float64")
        if value.size > 1 and signal.permuted:
            raise InputError(f"{name} must be one number behind a Permute for nir")
        if value.ndim == 1 and value.size > 1 and signal.flat_from is not None:
            channels, *space = signal.flat_from
            value = np.moveaxis(value.reshape(*space, channels), -1, 0).reshape(-1)
        if value.ndim > 1:
            value = np.moveaxis(value, -1, 0)
        elif value.ndim == 1 and len(signal.shape) > 1:
            value = value.reshape(-1, *[1] * (len(signal.shape) - 1))
        return np.broadcast_to(value, signal.shape).copy()


def _check_plain(layer) -> None:
    if layer.quantization_mode is not None:
        raise InputError(f"{layer.name} must not be quantized for nir, received {layer.quantization_mode}")
    if layer.activation is not keras.activations.linear:
        raise InputError(f"{layer.name} must have no activation for nir, which has none but spikes")


def _padded(size, padding) -> list[int]:
    return [n + 2 * beside for n, beside in zip(size, padding, strict=True)]


def _pooled(shape, window, strides) -> list[int]:
    channels, *size = shape
    return [channels, *((n - w) // s + 1 for n, w, s in zip(size, window, strides, strict=True))]


def _time_constant(name: str, beta: np.ndarray) -> tuple[np.ndarray | None, np.ndarray]:
    """Return tau and r of a decay for each step; no tau where there is none."""
    if (beta == 1.0).all():
        return None, np.full(beta.shape, 1.0 / DT)
    if (beta == 1.0).any():
        raise InputError(f"{name} must have every beta below 1, or every one 1, for nir: tau is finite there")
    tau = DT / (1.0 - beta)
    return tau, tau / DT
