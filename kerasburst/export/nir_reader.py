"""A NIR graph as a Keras model of our layers, where they can hold it."""

from __future__ import annotations

import keras
import numpy as np

from kerasburst.export.formats import require
from kerasburst.neurons.lif import LIF
from kerasburst.validation import InputError, check_float, one_line, user_path

_DT = 1e-4  # seconds, where a graph does not say


def from_nir(graph, *, num_steps: int | None = None, dt: float | None = None) -> keras.Model:
    """Build a Keras model of a NIR graph: a chain of convolutions, pooling, affine maps and LIF neurons.

    Args:
        graph: a `nir.NIRGraph`, or the path of a file.
        num_steps: T, or None for any number of steps.
        dt: seconds of a step; None for what the graph's metadata says, or 1e-4.

    Returns:
        A model from spikes `(batch, num_steps, *features)`, channels last where the graph has them first, to the
        spikes of the graph's output, `(batch, num_steps, *features)`.

    Raises:
        InputError: for a node that our layers cannot hold, with the reason, or where the extra is not installed.

    Example:
        >>> import nir
        >>> ones = np.ones(1)
        >>> lif = nir.LIF(tau=2e-4 * ones, r=2 * ones, v_leak=0 * ones, v_threshold=ones)
        >>> graph = nir.NIRGraph.from_list(nir.Affine(np.array([[0.8]]), np.zeros(1)), lif)
        >>> model = from_nir(graph)  # beta = 1 - 1e-4 / 2e-4
        >>> model(np.ones((1, 3, 1))).numpy().ravel().tolist()  # 0.8, 0.4 + 0.8, reset and 0.8
        [0.0, 1.0, 0.0]
    """
    inputs, spk, _ = read_layers(graph, num_steps, dt)
    return keras.Model(inputs, spk)


def read_layers(graph, num_steps: int | None = None, dt: float | None = None):
    """Give the input, the output's spikes, and the last neurons' membrane or None, as Keras tensors."""
    require("nir", "nir")
    import nir

    if not isinstance(graph, nir.NIRGraph):
        path = user_path("graph", graph)
        try:
            graph = nir.read(str(path))
        except (OSError, KeyError, ValueError, TypeError, AttributeError, AssertionError) as error:
            raise InputError(f"{path} is not a readable NIR file ({one_line(error)})") from None
    if dt is None:
        dt = float(graph.metadata.get("dt", _DT))
    reader = _Reader(graph, check_float("dt", dt, above=0.0), num_steps)
    while reader.advance():
        pass
    return reader.inputs, reader.x, reader.mem


class _Reader:
    """Follow a graph from its input to its output, a layer for each node or group of nodes."""

    def __init__(self, graph, dt: float, num_steps: int | None):
        self.nodes, self.dt = graph.nodes, dt
        self.after: dict[str, list[str]] = {}
        for start, end in graph.edges:
            self.after.setdefault(start, []).append(end)
        if len(graph.inputs) != 1 or len(graph.outputs) != 1:
            raise InputError(f"graph must have one input and one output, received {graph.inputs}, {graph.outputs}")
        ((self.name, node),) = graph.inputs.items()
        self.shape = tuple(int(n) for n in node.input_type["input"])  # channels first
        self.inputs = self.x = keras.Input((num_steps, *self.shape[1:], self.shape[0]), name="spikes")
        self.flat_from: tuple[int, ...] | None = None
        self.mem = None

    def advance(self) -> bool:
        """Take the next node; False at the output."""
        self.name = self._next(self.name)
        node = self.nodes[self.name]
        kind = type(node).__name__
        if kind == "Output":
            return False
        take = getattr(self, f"_{kind.lower()}", None)
        if take is None:
            raise InputError(f"graph must be of layers that kerasburst has, {self.name} is a {kind}")
        take(node)
        return True

    def _next(self, name: str, besides: tuple[str, ...] = ()) -> str:
        after = [end for end in self.after.get(name, []) if end not in besides]
        if len(after) != 1:
            raise InputError(f"graph must be a chain, {name} leads to {', '.join(after) or 'nothing'}")
        return after[0]

    def _weights(self, layer: keras.layers.Layer, *values: np.ndarray, inner=None):
        self.x = layer(self.x)
        (inner or layer).set_weights([np.asarray(v, "float32") for v in values])
        self.shape = (self.x.shape[-1], *self.x.shape[2:-1])

    # Synapses -------------------------------------------------------------------------------------

    def _conv2d(self, node):
        kernel = np.transpose(node.weight, (2, 3, 1, 0))
        padding = node.padding if isinstance(node.padding, str) else tuple(np.ravel(node.padding) * np.ones(2, int))
        stride, dilation = (tuple(int(v) for v in np.ravel(x) * np.ones(2, int)) for x in (node.stride, node.dilation))
        if not isinstance(padding, str):
            same = tuple((side - 1) * d // 2 for side, d in zip(kernel.shape, dilation, strict=False))
            even = any((side - 1) * d % 2 for side, d in zip(kernel.shape, dilation, strict=False))
            if padding == (0, 0):
                padding = "valid"
            elif padding == same and not even and stride == (1, 1):
                padding = "same"
            else:
                raise InputError(f"{self.name} must be padded to the same size or not at all, received {padding}")
        conv = keras.layers.Conv2D(
            kernel.shape[3], kernel.shape[:2], stride, padding, dilation_rate=dilation, groups=int(node.groups)
        )
        layer = keras.layers.TimeDistributed(conv, name=self.name)
        self._weights(layer, kernel, np.zeros(kernel.shape[3]) if node.bias is None else node.bias, inner=conv)

    def _linear(self, node):
        self._dense(node.weight)

    def _affine(self, node):
        self._dense(node.weight, node.bias)

    def _dense(self, weight, bias=None):
        if weight.ndim != 2:
            raise InputError(f"{self.name} must be a matrix, received one of shape {weight.shape}")
        kernel = np.transpose(weight)
        if self.flat_from is not None:  # its rows are in the order of channels first
            channels, *space = self.flat_from
            kernel = np.moveaxis(kernel.reshape(channels, *space, -1), 0, -2).reshape(kernel.shape)
            self.flat_from = None
        layer = keras.layers.Dense(kernel.shape[1], use_bias=bias is not None, name=self.name)
        self._weights(layer, kernel, *([] if bias is None else [bias]))

    def _flatten(self, node):
        self.flat_from = self.shape
        self._weights(keras.layers.TimeDistributed(keras.layers.Flatten(), name=self.name))

    def _avgpool2d(self, node):
        self._pool(keras.layers.AveragePooling2D, node)

    def _sumpool2d(self, node):
        after = self._next(self.name)
        if type(self.nodes[after]).__name__ != "Threshold" or not np.all(self.nodes[after].threshold == 0.5):
            raise InputError(f"{self.name} must be followed by a threshold of 1/2, which makes it a maximum of spikes")
        self._pool(keras.layers.MaxPooling2D, node)
        self.name = after

    def _pool(self, kind, node):
        if np.any(node.padding):
            raise InputError(f"{self.name} must not be padded, received {node.padding}")
        size, stride = (tuple(int(v) for v in np.ravel(x) * np.ones(2, int)) for x in (node.kernel_size, node.stride))
        self._weights(keras.layers.TimeDistributed(kind(size, stride), name=self.name))

    # Neurons --------------------------------------------------------------------------------------

    def _lif(self, node):
        self._reset_to_zero(node)
        self._neurons("zero", *self._leak(node), node.v_threshold)

    def _if(self, node):
        self._reset_to_zero(node)
        self._neurons("zero", 1.0, node.r * self.dt, node.v_threshold)

    def _li(self, node):
        self._integrator(*self._leak(node))

    def _i(self, node):
        self._integrator(1.0, node.r * self.dt)

    def _reset_to_zero(self, node):
        if np.any(node.v_reset):
            raise InputError(f"{self.name} must be reset to 0, received a v_reset of {np.ravel(node.v_reset)[0]:g}")

    def _leak(self, node):
        if np.any(node.v_leak):
            raise InputError(f"{self.name} must leak to 0, received a v_leak of {np.ravel(node.v_leak)[0]:g}")
        if np.any(node.tau < self.dt * (1 - 1e-9)):
            raise InputError(f"{self.name} must have a tau of at least dt = {self.dt:g}, received {np.min(node.tau):g}")
        return 1.0 - self.dt / node.tau, node.r * self.dt / node.tau

    def _integrator(self, beta, gain):
        """Take the integrator, its threshold, and the scale that feeds a spike back, if there is one."""
        integrator, spike = self.name, self._next(self.name)
        node = self.nodes[spike]
        if type(node).__name__ != "Threshold":
            raise InputError(f"{integrator} must be followed by a threshold, received {spike}")
        loops = [end for end in self.after[spike] if self.after.get(end) == [integrator]]
        for loop in loops:
            fed = getattr(self.nodes[loop], "scale", None)
            if fed is None or not np.allclose(fed * gain, -node.threshold, rtol=1e-6, atol=0):
                raise InputError(f"{loop} must feed minus the threshold back, times dt r / tau")
        self._neurons("subtract" if loops else "none", beta, gain, node.threshold)
        # On from the threshold, and not round the loop.
        self.after[spike] = [self._next(spike, besides=tuple(loops))]
        self.name = spike

    def _neurons(self, reset, beta, gain, threshold):
        if np.any(np.asarray(gain) <= 0) or np.any(np.asarray(threshold) <= 0):
            raise InputError(f"{self.name} must have r and threshold above 0")
        # v = gain u, where u[t] = beta u[t-1] + I[t] is our membrane
        values = {"beta": np.clip(beta, 0.0, 1.0), "threshold": np.asarray(threshold / gain, "float64")}
        held, trained = {}, {}
        for name, value in values.items():
            value = np.asarray(value, "float64")
            if value.size and np.all(value == value.flat[0]):
                held[name] = float(value.flat[0])
            else:
                shape = np.broadcast_to(value, self.shape)
                trained[name] = np.moveaxis(shape, 0, -1) if shape.ndim > 1 else shape
        flags = {f"trainable_{name}": True for name in trained}
        layer = LIF(**held, **flags, per_neuron=bool(trained), reset_mechanism=reset, return_mem=True, name=self.name)
        self.x, self.mem = layer(self.x)
        layer.set_weights([np.asarray(trained[name], "float32") for name in ("beta", "threshold") if name in trained])
