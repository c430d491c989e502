"""Models as NIR files; see nir_graph.py for how a model becomes a graph."""

from __future__ import annotations

from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from kerasburst import backend
from kerasburst.export.formats import Format, Written
from kerasburst.export.network import Network
from kerasburst.export.nir_file import read_file
from kerasburst.export.nir_graph import Graph, Signal
from kerasburst.export.nir_reader import DT, read_layers
from kerasburst.models.base import SpikingNetwork
from kerasburst.validation import InputError, check_choice

READOUTS: dict[str, Callable] = {  # of the last neurons' spikes and membrane, (batch, time, C)
    "last": lambda spk, mem: mem[:, -1],
    "mean": lambda spk, mem: ops.mean(mem, axis=1),
    "count": lambda spk, mem: ops.sum(spk, axis=1),
    "rate": lambda spk, mem: ops.mean(spk, axis=1),
    "last spikes": lambda spk, mem: spk[:, -1],
}


class NIR(Format):
    """Writes model.nir and runs it by our own layers; see `kerasburst.export.nir`.

    Args:
        nir_reset: None to write each reset exactly where NIR has it; "zero" to write every neuron as a `LIF` or a
            `CubaLIF` that resets to zero, which snnTorch and SpikingJelly read, with its true reset in the node's
            metadata, which `from_nir` reads.
    """

    file = "model.nir"
    modules = ("nir",)
    extra = "nir"

    def __init__(self, nir_reset: str | None = None):
        self.nir_reset = None if nir_reset is None else check_choice("nir_reset", nir_reset, ["zero"])

    def write(self, network, folder):
        """Write model.nir; see `Format.write`."""
        import nir

        graph = make_graph(network, self.nir_reset)
        nir.write(str(folder / self.file), graph)
        inputs, outputs = (
            {name: {"dtype": "float32", "shape": types[name].tolist()}}
            for name, types in (("input", graph.input_type), ("output", graph.output_type))
        )
        details = {"dt_s": DT, "nir": nir.__version__, "readout": graph.metadata["readout"]}
        if self.nir_reset or any(isinstance(node, nir.CubaLIF) for node in graph.nodes.values()):
            details["nir_reset"] = f"zero; {_difference(graph, network)}"
        does = "spikes of one time step to the output neurons' spikes, channels first"
        return Written(
            {"graph": {"does": does, "inputs": inputs, "outputs": outputs}},
            {
                "serving_default": "NIR has no encoder: encode outside",
                "encoded": "NIR gives the output neurons' spikes; the simulator must read the logits from the membrane",
            },
            {"python": ["import kerasburst as kb", "model = kb.export.from_nir('model.nir')"]},
            details,
        )

    def run(self, folder, manifest):
        """Return a function that runs the graph as a Keras model of our layers; see `Format.run`."""
        path = self.path(folder)
        graph = read_file(path)
        inputs, spk, mem = read_layers(graph, str(path), num_steps=manifest.num_steps)
        readout = READOUTS[check_choice(f"{path}: readout", graph.metadata.get("readout"), READOUTS)]
        if mem is None:
            raise InputError(f"{path} must end in neurons, it does not")
        model = keras.Model(inputs, [spk, mem])

        logits_of = backend.jit(lambda spikes: readout(*model(spikes)), model)
        return lambda spikes: ops.convert_to_numpy(logits_of(ops.convert_to_tensor(spikes)))


def make_graph(network: Network, nir_reset: str | None = None):
    """Return the `nir.NIRGraph` of a model.

    Args:
        network: the model, taken apart.
        nir_reset: as for `NIR`.

    Raises:
        InputError: for what NIR cannot hold, with the reason.
    """
    if others := network.compute_dtypes() - {"float32"}:
        raise InputError(f"model must compute in float32 for nir, received {', '.join(sorted(others))}")
    features = network.spike_features
    graph = Graph((features[-1], *features[:-1]), nir_reset)
    start = Signal(("input",), graph.nodes["input"].input_type["input"].tolist(), spiking=True)
    graph.follow(network.model, start if network.encoder is None else None, start)
    if missed := [name for name, layer in network.neurons.items() if id(layer) not in graph.neurons]:
        raise InputError(f"{', '.join(missed)} must be reached through layers that nir knows, not through operations")
    graph.add("output", graph.nir.Output({"output": np.array(graph.fired.shape)}), graph.fired)
    metadata = {"producer": "kerasburst", "dt": DT, "readout": _readout(network)}
    return graph.nir.NIRGraph(graph.nodes, graph.edges, metadata=metadata)


def _readout(network: Network) -> str:
    """Return how the logits are read from the last neurons, as a try shows."""
    if network.readout in READOUTS and type(network.model).call is SpikingNetwork.call:
        return network.readout
    shape = (4, network.num_steps or 5, *network.spike_features)
    logits, mem = network.encoded(tf.constant(8 * np.random.default_rng(0).integers(0, 2, shape), tf.float32))
    spk = network.spikes_of_last
    if mem is not None and len(mem.shape) == 3:
        for name, read in READOUTS.items():
            got = read(spk, mem)
            if got.shape == logits.shape and np.allclose(got, logits, rtol=1e-5, atol=1e-5):
                return name
    raise InputError(
        "model must read its logits from its last neurons for nir: the logits must be their membrane at the last step "
        "or its mean over time, or the count, mean or last step of their spikes"
    )


def _difference(graph, network: Network) -> str:
    """Return how many output spikes differ where a reader resets to zero."""
    shape = (16, network.num_steps or 20, *network.spike_features)
    spikes = tf.constant(np.random.default_rng(0).integers(0, 2, shape), tf.float32)
    own, zero = (
        keras.Model(*read_layers(graph, "graph", reset_mechanism=reset)[:2])(spikes).numpy() for reset in (None, "zero")
    )
    return (
        f"a reader that leaves the metadata out resets to zero: {int((own != zero).sum())} of {own.size} output spikes "
        "differ on 16 random examples"
    )
