"""Read a NIR graph as a Keras model of our layers, if they can hold it."""

from __future__ import annotations

import graphlib
import re
import warnings

import keras
import numpy as np

from kerasburst.export.formats import require
from kerasburst.export.nir_file import as_text, check_numbers, flat, kind_of, read_file, shape_of
from kerasburst.neurons.functional import RESET_MECHANISMS
from kerasburst.neurons.leaky_integrator import LeakyIntegrator
from kerasburst.neurons.lif import LIF
from kerasburst.neurons.synaptic import Synaptic
from kerasburst.validation import InputError, check_choice, check_float, check_int, user_path

DT = 1e-4  # seconds of a step where a graph does not say; what snnTorch and SpikingJelly assume
_FIRES = ("LIF", "IF", "CubaLIF")
_INTEGRATES = ("LI", "I")
_ROUNDING = 1e-6


def from_nir(
    graph, *, num_steps: int | None = None, dt: float | None = None, reset_mechanism: str | None = None
) -> keras.Model:
    r"""Build a Keras model of a NIR graph.

    A forward Euler step of NIR's equations is ours with

        beta = 1 - dt / tau         of LIF and LI; 1 for IF and I
        alpha = 1 - dt / tau_syn    of CubaLIF, where tau is tau_mem
        u = v / gain,  gain = r dt / tau  (r dt for IF and I; times w_in dt / tau_syn for CubaLIF)

    and the threshold divided by the gain. With dt = 1e-4 s, tau = 1e-3 s, r = 10: beta = 0.9, gain 1.

    NIR has neither a step nor a reset other than to a potential, so that files of other tools may leave out what their
    neurons did: snnTorch writes neurons that reset by subtraction as plain `LIF`. Where the graph does not say, dt is
    1e-4 s, the reset is to zero, and a warning says so; the arguments choose otherwise.

    Args:
        graph: a `nir.NIRGraph`, or the path of a file. It may have convolutions, pooling, affine maps, scales,
            thresholds, sums of paths, and the neurons LIF, IF, LI, I and CubaLIF; of loops, those that reset.
        num_steps: T, or None for any number of steps.
        dt: seconds of a step.
        reset_mechanism: "subtract", "zero" or "none", for all LIF, IF and CubaLIF. "zero" acts on the old potential, as
            NIR's does; snnTorch's `Synaptic` with a reset to zero also loses the current of the step after a spike.

    Returns:
        A model from spikes `(batch, num_steps, *features)`, channels last where the graph has them first, to the
        graph's output, `(batch, num_steps, *features)`.

    Raises:
        InputError: for a file that cannot be read, a node that our layers cannot hold, with the reason, or if the extra
            is not installed.

    Example:
        >>> import nir
        >>> ones = np.ones(1)
        >>> lif = nir.LIF(tau=2e-4 * ones, r=2 * ones, v_leak=0 * ones, v_threshold=ones)
        >>> graph = nir.NIRGraph.from_list(nir.Affine(np.array([[0.8]]), np.zeros(1)), lif)
        >>> model = from_nir(graph, dt=1e-4, reset_mechanism="zero")  # beta = 1 - 1e-4 / 2e-4
        >>> model(np.ones((1, 3, 1))).numpy().ravel().tolist()  # 0.8, 0.4 + 0.8, reset and 0.8
        [0.0, 1.0, 0.0]
    """
    require("nir", "nir")
    import nir

    name = "graph"
    if not isinstance(graph, nir.NIRGraph):
        path = user_path("graph", graph)
        name, graph = str(path), read_file(path)
    inputs, out, _ = read_layers(graph, name, num_steps, dt, reset_mechanism, warn=True)
    return keras.Model(inputs, out)


def read_layers(
    graph,
    name: str,
    num_steps: int | None = None,
    dt: float | None = None,
    reset_mechanism: str | None = None,
    warn: bool = False,
):
    """Return the input, the output, and the last neurons' membrane or None, as Keras tensors; see `from_nir`."""
    if num_steps is not None:
        check_int("num_steps", num_steps, low=1)
    if reset_mechanism is not None:
        check_choice("reset_mechanism", reset_mechanism, RESET_MECHANISMS)
    reader = _Reader(graph, name, dt, reset_mechanism)
    if warn and reader.assumed:
        warnings.warn(
            f"{name} does not say {' and '.join(reader.assumed)}: read with {' and '.join(reader.assumed.values())}; "
            f"to choose, pass {' and '.join(value.partition('=')[0] + '=' for value in reader.assumed.values())}",
            UserWarning,
            stacklevel=3,
        )
    return reader.read(num_steps)


class _Reader:
    """Follows a graph from its input to its output; each node or group of nodes becomes a layer."""

    def __init__(self, graph, name: str, dt: float | None, reset: str | None):
        self.name, self.reset = name, reset
        self.nodes, edges = flat(graph)
        metadata = graph.metadata if isinstance(graph.metadata, dict) else {}
        self.ours = as_text(metadata.get("producer")) == "kerasburst"
        self.assumed: dict[str, str] = {}  # what nobody says, and the argument that it was read with
        if dt is None:
            dt = metadata.get("dt")
            if dt is None:
                dt = DT
                self.assumed["how long a step is"] = f"dt={DT:g}"
        self.dt = check_float("dt", dt.item() if hasattr(dt, "item") else dt, above=0.0)
        silent = [name for name, node in self.nodes.items() if kind_of(node) in _FIRES and self._reset_of(node) is None]
        if silent:
            self.assumed["how its neurons are reset"] = 'reset_mechanism="zero"'
        self.before: dict[str, list[str]] = {name: [] for name in self.nodes}
        self.after: dict[str, list[str]] = {name: [] for name in self.nodes}
        for start, end in edges:
            if start not in self.nodes or end not in self.nodes:
                raise InputError(f"{name} must have edges between its nodes, received {start} to {end}")
            self.before[end].append(start)
            self.after[start].append(end)
        for each, node in self.nodes.items():
            check_numbers(each, node)

    def _reset_of(self, node) -> str | None:
        """Return how neurons are reset, or None where nobody says."""
        said = as_text((getattr(node, "metadata", None) or {}).get("reset_mechanism"))
        if self.reset is not None or said is not None:
            return check_choice("reset_mechanism", self.reset or said, RESET_MECHANISMS)
        return "zero" if self.ours else None

    def read(self, num_steps: int | None):
        """Return the model's input, its output and the last neurons' membrane."""
        ends = {
            kind: [name for name, node in self.nodes.items() if kind_of(node) == kind] for kind in ("Input", "Output")
        }
        if len(ends["Input"]) != 1 or len(ends["Output"]) != 1:
            raise InputError(
                f"{self.name} must have one input and one output, received {', '.join(ends['Input']) or 'no input'} "
                f"and {', '.join(ends['Output']) or 'no output'}"
            )
        groups = self._neurons_of_several_nodes()
        try:
            order = list(graphlib.TopologicalSorter(self.before).static_order())
        except graphlib.CycleError as error:
            raise InputError(
                f"{self.name} must have no loops but those that reset neurons, received {' to '.join(error.args[1])}"
            ) from None
        shape = shape_of(ends["Input"][0], self.nodes[ends["Input"][0]].input_type)
        inputs = keras.Input((num_steps, *shape[1:], shape[0]), name="spikes")
        made, self.mem = {ends["Input"][0]: inputs}, None
        for name in order:
            if name in made:
                continue
            given = [made[each] for each in self.before[name]]
            if not given:
                raise InputError(f"{name} must follow the input, it follows nothing")
            if len({tuple(x.shape) for x in given}) > 1:
                raise InputError(
                    f"{name} must have inputs of one shape, received {[tuple(x.shape[2:]) for x in given]}"
                )
            x = keras.layers.Add()(given) if len(given) > 1 else given[0]
            if name == ends["Output"][0]:
                return inputs, x if x is not inputs else keras.layers.Identity()(x), self.mem
            made[name] = self._apply(name, x, groups.get(name))
        raise InputError(f"{self.name} must lead from its input to its output")

    def _neurons_of_several_nodes(self) -> dict[str, tuple[str, np.ndarray]]:
        """Merge integrators with the thresholds behind them, and the scales that feed spikes back.

        Returns:
            Reset mechanism and threshold by the integrator's name; thresholds and scales leave the graph.
        """
        groups = {}
        for name in [name for name, node in self.nodes.items() if kind_of(node) in _INTEGRATES]:
            if len(self.after[name]) != 1 or kind_of(self.nodes[spike := self.after[name][0]]) != "Threshold":
                continue
            if self.before[spike] != [name]:
                continue
            threshold = np.asarray(self.nodes[spike].threshold)
            loops = [end for end in self.after[spike] if self.after[end] == [name] and self.before[end] == [spike]]
            for loop in loops:
                gain = self._decay(name)[1]
                scale = self.nodes[loop]
                if kind_of(scale) != "Scale" or not np.allclose(scale.scale * gain, -threshold, rtol=_ROUNDING, atol=0):
                    raise InputError(f"{loop} must feed minus the threshold back, times dt r / tau")
                self.before[name].remove(loop)
                for table in (self.before, self.after):
                    del table[loop]
            self.after[name] = [end for end in self.after[spike] if end not in loops]
            for end in self.after[name]:
                self.before[end] = [name if start == spike else start for start in self.before[end]]
            for table in (self.before, self.after):
                del table[spike]
            groups[name] = ("subtract" if loops else "none", threshold)
        return groups

    def _apply(self, name: str, x, group):
        """Return the output of a node for its input."""
        node = self.nodes[name]
        match kind_of(node):
            case "Conv2d":
                return self._convolve(name, node, x)
            case "Linear":
                return _project(name, x, node.weight)
            case "Affine":
                return _project(name, x, node.weight, node.bias)
            case "Flatten":
                return _flatten(name, node, x)
            case "AvgPool2d":
                if np.any(node.padding):
                    raise InputError(f"{name} must not be padded, received {np.ravel(node.padding).tolist()}")
                return _pool(name, keras.layers.AveragePooling2D, node, x)
            case "SumPool2d":
                return self._sum(name, node, x)
            case "Threshold":  # a neuron without memory
                return self._fire(name, x, {"beta": 0.0}, 1.0, node.threshold, "none")
            case "Scale":
                return _scale(name, node.scale, x)
            case "LIF" | "IF":
                _check_reset(name, node)
                beta, gain = self._decay(name)
                return self._fire(name, x, {"beta": beta}, gain, node.v_threshold, self._reset_of(node) or "zero")
            case "CubaLIF":
                return self._cuba_lif(name, node, x)
            case "LI" | "I":
                beta, gain = self._decay(name)
                if group is not None:
                    reset, threshold = group
                    return self._fire(name, x, {"beta": beta}, gain, threshold, reset)
                self.mem = _neuron(LeakyIntegrator, name, x, {"beta": beta})
                if not np.allclose(gain, 1.0, rtol=_ROUNDING, atol=0):
                    self.mem = _scale(f"{name}_gain", gain, self.mem)
                return self.mem
            case kind:
                raise InputError(f"graph must be of layers that kerasburst has, {name} is a {kind}")

    # Layers -------------------------------------------------------------------------------------

    def _convolve(self, name, node, x):
        if len(x.shape) != 5:
            raise InputError(f"{name} must follow maps (channels, height, width), received {tuple(x.shape[2:])}")
        weight = np.asarray(node.weight)
        kernel = np.transpose(weight, (2, 3, 1, 0))
        stride, dilation = _pair(name, "stride", node.stride), _pair(name, "dilation", node.dilation)
        padding = as_text(node.padding)
        if not isinstance(padding, str):
            around = _pair(name, "padding", padding, least=0)
            spread = [(side - 1) * d for side, d in zip(kernel.shape, dilation, strict=False)]
            padding = "same" if stride == (1, 1) and [2 * n for n in around] == spread else "valid"
            if padding == "valid" and any(around):
                x = _each_step(keras.layers.ZeroPadding2D(around, data_format="channels_last"), f"{name}_padding", x)
        if padding not in ("same", "valid") or (padding == "same" and stride != (1, 1)):
            raise InputError(f"{name} must be padded by numbers, or 'same' with stride 1, received {padding}")
        groups = int(np.ravel(node.groups)[0])
        if kernel.shape[2] * groups != x.shape[-1]:
            raise InputError(f"{name} must take {kernel.shape[2] * groups} channels, received {x.shape[-1]}")
        bias = np.zeros(kernel.shape[3]) if node.bias is None else node.bias
        layer = keras.layers.Conv2D(
            kernel.shape[3], kernel.shape[:2], stride, padding, "channels_last", dilation_rate=dilation, groups=groups
        )
        return _each_step(layer, name, x, kernel, bias)

    def _sum(self, name, node, x):
        """A sum above 1/2 is a maximum of spikes; another sum is a mean, scaled."""
        (after,) = self.after[name] if len(self.after[name]) == 1 else (None,)
        follows = None if after is None else self.nodes[after]
        if np.any(node.padding):
            around = _pair(name, "padding", node.padding, least=0)
            x = _each_step(keras.layers.ZeroPadding2D(around, data_format="channels_last"), f"{name}_padding", x)
        if kind_of(follows) == "Threshold" and self.before[after] == [name] and np.all(follows.threshold == 0.5):
            return _pool(name, keras.layers.MaxPooling2D, node, x)  # the threshold then leaves it as it is
        size = float(np.prod(_pair(name, "kernel_size", node.kernel_size)))
        return _scale(f"{name}_size", size, _pool(name, keras.layers.AveragePooling2D, node, x))

    # Neurons ------------------------------------------------------------------------------------

    def _decay(self, name: str) -> tuple[float | np.ndarray, np.ndarray]:
        """Return the decay for each step and the gain by which the current enters."""
        node = self.nodes[name]
        if kind_of(node) in ("I", "IF"):
            return 1.0, np.asarray(node.r * self.dt)
        return self._of_time_constant(name, "tau", node.tau), np.asarray(node.r * self.dt / node.tau)

    def _of_time_constant(self, name, argument, tau):
        if np.any(np.asarray(tau) < self.dt * (1 - 1e-9)):
            raise InputError(f"{name} must have a {argument} of at least dt = {self.dt:g}, received {np.min(tau):g}")
        leak = getattr(self.nodes[name], "v_leak", 0.0)
        if np.any(leak):
            raise InputError(f"{name} must leak to 0, received a v_leak of {np.ravel(leak)[0]:g}")
        return np.clip(1.0 - self.dt / np.asarray(tau, "float64"), 0.0, 1.0)

    def _cuba_lif(self, name, node, x):
        _check_reset(name, node)
        alpha = self._of_time_constant(name, "tau_syn", node.tau_syn)
        beta = self._of_time_constant(name, "tau_mem", node.tau_mem)
        gain = np.asarray(node.w_in * self.dt / node.tau_syn) * (node.r * self.dt / node.tau_mem)
        reset = self._reset_of(node) or "zero"
        if reset == "zero" and (self.reset or "reset_mechanism" not in (node.metadata or {})):
            # NIR's reset spares this step's current.
            x = _neuron(LeakyIntegrator, f"{name}_synapse", x, {"beta": alpha})
            return self._fire(name, x, {"beta": beta}, gain, node.v_threshold, reset)
        return self._fire(name, x, {"alpha": alpha, "beta": beta}, gain, node.v_threshold, reset, Synaptic)

    def _fire(self, name, x, decays, gain, threshold, reset, cls=LIF):
        """Append neurons for v = gain u, where u is our membrane."""
        if np.any(np.asarray(gain) <= 0) or np.any(np.asarray(threshold) <= 0):
            raise InputError(f"{name} must have r and threshold above 0")
        parameters = {**decays, "threshold": np.asarray(threshold, "float64") / gain}
        spk, self.mem = _neuron(cls, name, x, parameters, reset_mechanism=reset, return_mem=True)
        return spk


def _check_reset(name, node) -> None:
    if np.any(node.v_reset):
        raise InputError(f"{name} must be reset to 0, received a v_reset of {np.ravel(node.v_reset)[0]:g}")


def _neuron(cls, name, x, parameters, **settings):
    """Append neurons with numbers, or a number for each of them, as parameters."""
    weights, shape = [], tuple(x.shape[2:])
    for parameter, value in parameters.items():
        value = np.asarray(value, "float64")
        if np.all(value == value.flat[0]):
            settings[parameter] = float(value.flat[0])
            continue
        value = _channels_last(name, parameter, value, shape)
        settings |= {f"trainable_{parameter}": True, "per_neuron": True}
        weights.append(value.astype("float32"))
    layer = cls(**settings, name=_layer_name(name))
    out = layer(x)
    layer.set_weights(weights)
    return out


def _channels_last(name, argument, value, shape):
    first = (shape[-1], *shape[:-1])
    try:
        value = np.broadcast_to(value, first)
    except ValueError:
        raise InputError(f"{name}.{argument} must be of shape {first}, received {value.shape}") from None
    return np.moveaxis(value, 0, -1)


def _each_step(layer: keras.layers.Layer, name: str, x, *weights: np.ndarray):
    """Append a layer that treats each step by itself."""
    x = keras.layers.TimeDistributed(layer, name=_layer_name(name))(x)
    layer.set_weights([np.asarray(value, "float32") for value in weights])
    return x


def _project(name, x, weight, *bias):
    weight = np.asarray(weight)
    if weight.ndim != 2 or len(x.shape) != 3 or weight.shape[1] != x.shape[2]:
        raise InputError(f"{name} must be a matrix for {tuple(x.shape[2:])}, received one of shape {weight.shape}")
    layer = keras.layers.Dense(weight.shape[0], use_bias=bool(bias), name=_layer_name(name))
    x = layer(x)
    layer.set_weights([np.asarray(value, "float32") for value in (weight.T, *bias)])
    return x


def _flatten(name, node, x):
    """Flatten in the graph's order, channels first."""
    if len(x.shape) == 3:
        return x
    start, end = int(node.start_dim), int(node.end_dim)
    rank = len(x.shape) - 2
    if start % rank or end % rank != rank - 1:
        raise InputError(f"{name} must flatten all of {tuple(x.shape[2:])}, received the axes {start} to {end}")
    x = keras.layers.Permute((1, rank + 1, *range(2, rank + 1)))(x)
    return _each_step(keras.layers.Flatten("channels_last"), name, x)


def _pool(name, layer: type[keras.layers.Layer], node, x):
    window, strides = _pair(name, "kernel_size", node.kernel_size), _pair(name, "stride", node.stride)
    return _each_step(layer(window, strides, data_format="channels_last"), name, x)


def _scale(name, scale, x):
    scale = np.asarray(scale, "float64")
    if scale.size and np.all(scale == scale.flat[0]):
        return keras.layers.Rescaling(float(scale.flat[0]), name=_layer_name(name))(x)
    value = _channels_last(name, "scale", scale, tuple(x.shape[2:]))
    return keras.layers.Rescaling(value.tolist(), name=_layer_name(name))(x)


def _layer_name(name: str) -> str:
    return re.sub(r"[^\w.\-]", "_", name)


def _pair(name: str, argument: str, value, least: int = 1) -> tuple[int, int]:
    sizes = np.ravel(value)
    if sizes.dtype.kind not in "iu" or sizes.size not in (1, 2) or (sizes < least).any():
        raise InputError(f"{name}.{argument} must be whole numbers of at least {least}, received {value}")
    one, *other = (int(n) for n in sizes)
    return one, other[0] if other else one
