"""Read a NIR graph as a Keras model of our layers, if they can hold it."""

from __future__ import annotations

import keras
import numpy as np

from kerasburst.export.formats import require
from kerasburst.neurons.lif import LIF
from kerasburst.validation import InputError, check_float, one_line, user_path

DT = 1e-4  # seconds of a step where a graph does not say; what snnTorch assumes


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
        InputError: for a node that our layers cannot hold, with the reason, or if the extra is not installed.

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
    """Return the input, the output's spikes, and the last neurons' membrane or None, as Keras tensors."""
    require("nir", "nir")
    import nir

    if not isinstance(graph, nir.NIRGraph):
        path = user_path("graph", graph)
        try:
            graph = nir.read(str(path))
        except (OSError, KeyError, ValueError, TypeError, AttributeError, AssertionError) as error:
            raise InputError(f"{path} is not a readable NIR file ({one_line(error)})") from None
    if dt is None:
        dt = float(graph.metadata.get("dt", DT))
    reader = _Reader(graph, check_float("dt", dt, above=0.0), num_steps)
    while reader.advance():
        pass
    return reader.inputs, reader.x, reader.mem


class _Reader:
    """Follows a graph from its input to its output; each node or group of nodes becomes a layer."""

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
        """Take the next node; return False at the output."""
        self.name = self._next(self.name)
        node = self.nodes[self.name]
        match _kind(node):
            case "Output":
                return False
            case "Conv2d":
                self._convolve(node)
            case "Linear":
                self._project(node.weight)
            case "Affine":
                self._project(node.weight, node.bias)
            case "Flatten":
                self.flat_from = self.shape
                self._apply(keras.layers.Flatten())
            case "AvgPool2d":
                self._pool(keras.layers.AveragePooling2D, node)
            case "SumPool2d":
                after = self._next(self.name)
                if _kind(self.nodes[after]) != "Threshold" or not np.all(self.nodes[after].threshold == 0.5):
                    raise InputError(
                        f"{self.name} must be followed by a threshold of 1/2, which makes it a maximum of spikes"
                    )
                self._pool(keras.layers.MaxPooling2D, node)
                self.name = after
            case "LIF" | "IF":
                if np.any(node.v_reset):
                    received = np.ravel(node.v_reset)[0]
                    raise InputError(f"{self.name} must be reset to 0, received a v_reset of {received:g}")
                self._fire("zero", *self._leak(node), node.v_threshold)
            case "LI" | "I":
                self._integrate(*self._leak(node))
            case kind:
                raise InputError(f"graph must be of layers that kerasburst has, {self.name} is a {kind}")
        return True

    def _next(self, name: str, besides: tuple[str, ...] = ()) -> str:
        after = [end for end in self.after.get(name, []) if end not in besides]
        if len(after) != 1:
            raise InputError(f"graph must be a chain, {name} leads to {', '.join(after) or 'nothing'}")
        return after[0]

    def _apply(self, layer: keras.layers.Layer, *weights: np.ndarray) -> None:
        """Append a layer that treats each step by itself."""
        dense = isinstance(layer, keras.layers.Dense)
        self.x = (layer if dense else keras.layers.TimeDistributed(layer, name=self.name))(self.x)
        layer.set_weights([np.asarray(value, "float32") for value in weights])
        self.shape = (self.x.shape[-1], *self.x.shape[2:-1])

    def _convolve(self, node):
        kernel = np.transpose(node.weight, (2, 3, 1, 0))
        stride, dilation = _pair(node.stride), _pair(node.dilation)
        padding = node.padding if isinstance(node.padding, str) else _pair(node.padding)
        if padding == (0, 0):
            padding = "valid"
        elif not isinstance(padding, str):
            spread = [(side - 1) * d for side, d in zip(kernel.shape, dilation, strict=False)]
            if [2 * n for n in padding] != spread or stride != (1, 1):
                raise InputError(f"{self.name} must be padded to the same size or not at all, received {padding}")
            padding = "same"
        bias = np.zeros(kernel.shape[3]) if node.bias is None else node.bias
        layer = keras.layers.Conv2D(
            kernel.shape[3], kernel.shape[:2], stride, padding, dilation_rate=dilation, groups=int(node.groups)
        )
        self._apply(layer, kernel, bias)

    def _project(self, weight, *bias):
        if weight.ndim != 2:
            raise InputError(f"{self.name} must be a matrix, received one of shape {weight.shape}")
        kernel = np.transpose(weight)
        if self.flat_from is not None:  # its rows are in the order of channels first
            channels, *space = self.flat_from
            kernel = np.moveaxis(kernel.reshape(channels, *space, -1), 0, -2).reshape(kernel.shape)
            self.flat_from = None
        self._apply(keras.layers.Dense(kernel.shape[1], use_bias=bool(bias), name=self.name), kernel, *bias)

    def _pool(self, layer: type[keras.layers.Layer], node):
        if np.any(node.padding):
            raise InputError(f"{self.name} must not be padded, received {node.padding}")
        self._apply(layer(_pair(node.kernel_size), _pair(node.stride)))

    def _leak(self, node):
        """Return beta and the gain by which the current enters."""
        if _kind(node) in ("I", "IF"):
            return 1.0, node.r * self.dt
        if np.any(node.v_leak):
            raise InputError(f"{self.name} must leak to 0, received a v_leak of {np.ravel(node.v_leak)[0]:g}")
        if np.any(node.tau < self.dt * (1 - 1e-9)):
            raise InputError(f"{self.name} must have a tau of at least dt = {self.dt:g}, received {np.min(node.tau):g}")
        return 1.0 - self.dt / node.tau, node.r * self.dt / node.tau

    def _integrate(self, beta, gain):
        """Take an integrator, its threshold, and the scale that feeds a spike back, if there is one."""
        integrator, spike = self.name, self._next(self.name)
        node = self.nodes[spike]
        if _kind(node) != "Threshold":
            raise InputError(f"{integrator} must be followed by a threshold, received {spike}")
        loops = [end for end in self.after[spike] if self.after.get(end) == [integrator]]
        for loop in loops:
            scale = self.nodes[loop]
            if _kind(scale) != "Scale" or not np.allclose(scale.scale * gain, -node.threshold, rtol=1e-6, atol=0):
                raise InputError(f"{loop} must feed minus the threshold back, times dt r / tau")
        self._fire("subtract" if loops else "none", beta, gain, node.threshold)
        self.after[spike] = [self._next(spike, besides=tuple(loops))]  # leave the loop
        self.name = spike

    def _fire(self, reset, beta, gain, threshold):
        if np.any(np.asarray(gain) <= 0) or np.any(np.asarray(threshold) <= 0):
            raise InputError(f"{self.name} must have r and threshold above 0")
        # v = gain u, where u[t] = beta u[t-1] + I[t] is our membrane
        settings, weights = {}, []
        for name, value in (("beta", np.clip(beta, 0.0, 1.0)), ("threshold", threshold / gain)):
            value = np.asarray(value, "float64")
            if value.size and np.all(value == value.flat[0]):
                settings[name] = float(value.flat[0])
            else:
                value = np.broadcast_to(value, self.shape)
                settings |= {f"trainable_{name}": True, "per_neuron": True}
                weights.append(np.moveaxis(value, 0, -1).astype("float32"))
        layer = LIF(**settings, reset_mechanism=reset, return_mem=True, name=self.name)
        self.x, self.mem = layer(self.x)
        layer.set_weights(weights)


def _kind(node) -> str:
    return type(node).__name__


def _pair(value) -> tuple[int, int]:
    return tuple(int(n) for n in np.broadcast_to(np.ravel(value), 2))
