r"""Our networks as a graph of the Neuromorphic Intermediate Representation (NIR).

NIR writes neurons in continuous time. Its reading by a forward Euler step of `DT`,

    v[t] = v[t-1] + DT / tau (v_leak - v[t-1] + r I[t]),

is our equation for tau = DT / (1 - beta), r = tau / DT, v_leak = 0:

- "zero": `LIF` with v_reset = 0. NIR resets right after the spike, we before the next step: the spikes are the same,
  and the membrane differs at the steps with a spike, after it.
- "none": `LI` (`I` for beta = 1) and a `Threshold`: the spike leaves the membrane alone.
- "subtract": the same with the spike fed back through `Scale` by minus the threshold: it is subtracted one step
  later, which is the delay that a loop in a NIR graph has.

Images go channels-first there. Max-pooling of spikes is their sum over the window, above 1/2.
"""

from __future__ import annotations

import keras
import numpy as np
import tensorflow as tf

from kerasburst.export.formats import Format, Written
from kerasburst.export.network import Network, course_of
from kerasburst.export.nir_reader import DT, read_layers
from kerasburst.models.forward import Pool
from kerasburst.neurons.lif import LIF
from kerasburst.validation import InputError


class NIR(Format):
    """Writes model.nir and runs it by our own layers; see `kerasburst.export.nir`."""

    file = "model.nir"
    modules = ("nir",)
    extra = "nir"

    def write(self, network, folder):
        """Write model.nir; see `Format.write`."""
        import nir

        graph = make_graph(network)
        nir.write(str(folder / self.file), graph)
        inputs, outputs = (
            {name: {"dtype": "float32", "shape": types[name].tolist()}}
            for name, types in (("input", graph.input_type), ("output", graph.output_type))
        )
        does = "spikes of one time step to the output neurons' spikes, channels first"
        return Written(
            {"graph": {"does": does, "inputs": inputs, "outputs": outputs}},
            {
                "serving_default": "NIR has no encoder: encode outside",
                "encoded": "NIR gives the output neurons' spikes; the simulator must read the logits from the membrane",
            },
            {"python": ["import nir", "graph = nir.read('model.nir')"]},
            {"dt_s": DT, "nir": nir.__version__},
        )

    def run(self, folder, manifest):
        """Return a function that runs the graph as a Keras model of our layers; see `Format.run`."""
        inputs, spk, mem = read_layers(self.path(folder), manifest.num_steps)
        model = keras.Model(inputs, [spk, mem])

        @tf.function(reduce_retracing=True, autograph=False)
        def logits_of(spikes):
            spk, mem = model(spikes)
            if manifest.readout == "last":
                return mem[:, -1]
            return tf.reduce_mean(mem, axis=1) if manifest.readout == "mean" else tf.reduce_sum(spk, axis=1)

        return lambda spikes: logits_of(tf.constant(spikes)).numpy()


def make_graph(network: Network):
    """Return the `nir.NIRGraph` of one of our networks.

    Raises:
        InputError: for what NIR cannot hold, with the reason.
    """
    chain = _Chain(network.spike_features)
    for part in course_of(network, "nir"):
        chain.append(part)
    chain.add("output", chain.nir.Output(output_type={"output": np.array(chain.shape)}))
    metadata = {"producer": "kerasburst", "dt": DT, "readout": network.readout}
    return chain.nir.NIRGraph(chain.nodes, chain.edges, metadata=metadata)


class _Chain:
    """Nodes in a row, and the shape of the last one's output, channels first."""

    def __init__(self, features: tuple[int, ...]):
        import nir

        self.nir = nir
        self.shape = (features[-1], *features[:-1])
        self.nodes = {"input": nir.Input(input_type={"input": np.array(self.shape)})}
        self.edges: list[tuple[str, str]] = []
        self.last, self.spiking = "input", True

    def add(self, name: str, node) -> None:
        """Append a node."""
        self.nodes[name] = node
        self.edges.append((self.last, name))
        self.last = name

    def append(self, part) -> None:
        """Append a part of a network's course."""
        match part:
            case LIF():
                self._fire(part)
            case Pool():
                self._pool(part)
            case keras.layers.Conv2D():
                kernel = np.transpose(part.kernel, (3, 2, 0, 1))
                node = self.nir.Conv2d(self.shape[1:], kernel, (1, 1), "same", (1, 1), 1, np.array(part.bias))
                self.add(part.name, node)
                self.shape, self.spiking = (part.filters, *self.shape[1:]), False
            case keras.layers.Dense():
                kernel = np.array(part.kernel)
                if len(self.shape) > 1:
                    channels, *space = self.shape
                    kernel = np.moveaxis(kernel.reshape(*space, channels, -1), -2, 0).reshape(kernel.shape)
                    self.add("flatten", self.nir.Flatten({"input": np.array(self.shape)}, start_dim=0))
                self.add(part.name, self.nir.Affine(np.ascontiguousarray(kernel.T), np.array(part.bias)))
                self.shape, self.spiking = (part.units,), False
            case _:
                raise InputError(f"model must be of layers that nir knows, received a {type(part).__name__}")

    def _pool(self, part: Pool) -> None:
        if part.relu or not self.spiking:
            raise InputError(
                "model must have spikes between its layers for nir, which has neither ReLU nor max-pooling of "
                "activations: train with --set model.conv_activation=lif"
            )
        channels, height, width = self.shape
        number, window = len(self.nodes), np.array([2, 2])
        self.add(f"sum_{number}", self.nir.SumPool2d(window, window, np.array([0, 0])))
        self.shape = (channels, height // 2, width // 2)
        self.add(f"any_{number}", self.nir.Threshold(np.full(self.shape, 0.5, "float32")))

    def _fire(self, layer: LIF) -> None:
        nir, zero = self.nir, np.zeros(self.shape)
        parameters = layer.neuron_parameters()
        beta, threshold = (self._channels_first(parameters[name]) for name in ("beta", "threshold"))
        integrates = bool((beta == 1.0).all())
        if not integrates and (beta == 1.0).any():
            raise InputError(f"{layer.name} must have every beta below 1, or every one 1, for nir: tau is finite there")
        tau = None if integrates else DT / (1.0 - beta)
        r = zero + 1.0 / DT if integrates else tau / DT
        if layer.reset_mechanism == "zero":
            self.add(layer.name, nir.IF(r, threshold, zero) if integrates else nir.LIF(tau, r, zero, threshold, zero))
        else:
            self.add(layer.name, nir.I(r) if integrates else nir.LI(tau, r, zero))
            self.add(f"{layer.name}_spike", nir.Threshold(threshold))
            if layer.reset_mechanism == "subtract":
                reset = f"{layer.name}_reset"
                self.nodes[reset] = nir.Scale(-threshold)
                self.edges += [(self.last, reset), (reset, layer.name)]
        self.spiking = True

    def _channels_first(self, value) -> np.ndarray:
        value = np.asarray(value, "float64")
        return np.broadcast_to(np.moveaxis(value, -1, 0) if value.ndim > 1 else value, self.shape).copy()
