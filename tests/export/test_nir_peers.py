"""NIR with snnTorch and SpikingJelly, in both directions, and nirtorch's executor."""

import os

import keras
import numpy as np
import pytest
import tensorflow as tf

import kerasburst as kb
from kerasburst.export import from_nir
from kerasburst.export import nir as export_nir
from kerasburst.export.nir_reader import DT
from kerasburst.models.forward import walk
from kerasburst.neurons.scan import scan

from .common import RESETS, make, spikes
from .test_nir import output_spikes

nir = pytest.importorskip("nir")
torch = pytest.importorskip("torch")
nirtorch = pytest.importorskip("nirtorch")
PEERS = ["snntorch", "spikingjelly"]


def assert_same_but_for_ties(got, network, x):
    """Spikes may differ at an example's first tie alone, and after it: a membrane within rounding of its threshold."""
    want, ties = output_spikes(network, x), np.zeros(x.shape[:2], bool)

    def fire(layer, current):
        spk, states = scan(layer, current)
        near = np.abs(states["mem"] - layer.neuron_parameters()["threshold"]) < 1e-5
        ties[...] |= near.reshape(*ties.shape, -1).any(-1)
        return spk, states

    walk(network.with_encoder(None).course(), tf.constant(x), fire)
    before = ~np.logical_or.accumulate(ties, axis=1)
    assert before.mean() > 0.9  # ties are the exception
    np.testing.assert_array_equal(got[before], want[before])


def run_theirs(peer, path, x):
    """What a peer's reading of a file fires, `(n, T, C)`, a step at a time."""
    if peer == "snntorch":
        model = pytest.importorskip("snntorch.import_nir").import_from_nir(nir.read(str(path)))
    else:
        model = pytest.importorskip("spikingjelly.activation_based.nir_exchange").import_from_nir(str(path), dt=DT)
    out, state = [], None
    for t in range(x.shape[1]):
        spk, state = model(torch.tensor(x[:, t]), state)
        out.append(spk.detach().numpy())
    return np.stack(out, 1)


@pytest.mark.parametrize("peer", PEERS)
def test_they_give_the_spikes_of_our_resets_to_zero(peer, tmp_path):
    """Neither reads pooling as NIR has it, so that the dense network goes."""
    network = make("fc", beta=0.8, threshold=0.7, reset_mechanism="zero")
    export_nir(network, tmp_path / "nir")
    x = spikes("fc", 64, steps=40)
    assert_same_but_for_ties(run_theirs(peer, tmp_path / "nir" / "model.nir", x), network, x)


@pytest.mark.parametrize("peer", PEERS)
def test_they_read_a_reset_by_subtraction_as_one_to_zero(peer, tmp_path):
    """They refuse our exact graph, and read that of nir_reset="zero"; its manifest says that spikes differ."""
    network = make("fc", beta=0.8, threshold=0.7)
    export_nir(network, tmp_path / "exact")
    x = spikes("fc", 32, steps=20)
    with pytest.raises(Exception):  # noqa: B017 - each has its own
        run_theirs(peer, tmp_path / "exact" / "model.nir", x)
    assert "output spikes differ" in export_nir(network, tmp_path / "nir", nir_reset="zero")["nir_reset"]
    zero = make("fc", beta=0.8, threshold=0.7, reset_mechanism="zero")
    zero.set_weights(network.get_weights())
    got = run_theirs(peer, tmp_path / "nir" / "model.nir", x)
    assert_same_but_for_ties(got, zero, x)
    assert (got != output_spikes(network, x)).mean() > 0.01


def near_ties(membranes, thresholds):
    """Return whether a membrane `(n, T, units)` of any layer has been within rounding of its threshold so far."""
    ties = [(np.abs(mem - threshold) < 1e-5).any(-1) for mem, threshold in zip(membranes, thresholds, strict=True)]
    return np.logical_or.accumulate(np.any(ties, axis=0), axis=1)


@pytest.mark.filterwarnings("ignore:nirtorch.extract_nir_graph:DeprecationWarning")  # snnTorch's export calls it
@pytest.mark.parametrize(("name", "reset"), [("Leaky", "zero"), ("Leaky", "subtract"), ("Synaptic", "subtract")])
def test_networks_of_snntorch(name, reset, tmp_path):
    """Written by its export, read by ours: equal where no membrane has come within 1e-5 of its threshold."""
    snn = pytest.importorskip("snntorch")
    exporter = pytest.importorskip("snntorch.export_nir")
    torch.manual_seed(0)
    decays = {"beta": 0.9} | ({"alpha": 0.7} if name == "Synaptic" else {})

    def neurons(n, **besides):
        own = {decay: torch.full((n,), value) for decay, value in decays.items()}
        return getattr(snn, name)(**own, threshold=torch.full((n,), 0.6), reset_mechanism=reset, **besides)

    layers = [torch.nn.Linear(5, 12), neurons(12, init_hidden=True), torch.nn.Linear(12, 3)]
    net = torch.nn.Sequential(*layers, neurons(3, init_hidden=True, output=True))
    nir.write(str(tmp_path / "theirs.nir"), exporter.export_to_nir(net, torch.zeros(1, 5), ignore_dims=[0]))
    for layer in net:
        if hasattr(layer, "reset_mem"):
            layer.reset_mem()
    x, want, mems = spikes("fc", 64, steps=25), [], []
    for t in range(25):
        spk = net(torch.tensor(x[:, t]))[0]
        want.append(spk.detach().numpy())
        mems.append([layer.mem.detach().numpy() for layer in (net[1], net[3])])
    want, mems = np.stack(want, 1), [np.stack(each, 1) for each in zip(*mems, strict=True)]
    got = from_nir(tmp_path / "theirs.nir", dt=DT, reset_mechanism=reset)(x).numpy()
    free = ~near_ties(mems, [0.6, 0.6])
    assert free.mean() > 0.9 and 0.02 < want.mean() < 0.98
    np.testing.assert_array_equal(got[free], want[free])
    other = from_nir(tmp_path / "theirs.nir", dt=DT, reset_mechanism="subtract" if reset == "zero" else "zero")(x)
    assert (other.numpy() != want).mean() > 0.01  # the reset is not in the file
    with pytest.warns(UserWarning, match="does not say"):
        from_nir(tmp_path / "theirs.nir")


@pytest.mark.parametrize("name", ["LIFNode", "IFNode", "CUBALIFNode"])
def test_networks_of_spikingjelly(name, tmp_path):
    """Hard resets, which alone it writes; it fires at the threshold, too, we above it: ties are left out."""
    neuron = pytest.importorskip("spikingjelly.activation_based.neuron")
    exchange = pytest.importorskip("spikingjelly.activation_based.nir_exchange")
    own = {"LIFNode": {"tau": 5.0}, "IFNode": {}, "CUBALIFNode": {"c_decay": 0.6, "v_decay": 0.8}}[name]
    threshold = 0.05 if name == "LIFNode" else 0.3  # which divides its input by tau
    torch.manual_seed(0)
    fire = [getattr(neuron, name)(**own, v_threshold=threshold, v_reset=0.0) for _ in range(2)]
    net = torch.nn.Sequential(torch.nn.Linear(5, 12), fire[0], torch.nn.Linear(12, 3), fire[1])
    exchange.export_to_nir(net, torch.zeros(1, 5), str(tmp_path / "theirs.nir"), dt=DT)
    for node in fire:
        node.reset()
    x, want = spikes("fc", 64, steps=25), []
    for t in range(25):
        want.append(net(torch.tensor(x[:, t])).detach().numpy())
    want = np.stack(want, 1)
    model = from_nir(tmp_path / "theirs.nir", dt=DT, reset_mechanism="zero")
    got, first = model(x).numpy(), [layer for layer in model.layers if isinstance(layer, kb.LIF)]
    every = keras.Model(model.inputs[0], [layer.output[1] for layer in first])(x)
    free = ~near_ties([mem.numpy() for mem in every], [first[0].threshold, first[1].threshold])
    assert free.mean() > 0.9 and 0.02 < want.mean() < 0.98
    np.testing.assert_array_equal(got[free], want[free])


@pytest.mark.parametrize("peer", PEERS)
def test_they_read_synaptic(peer, tmp_path):
    """They reset right after a spike, as NIR says; so does our reading with "zero"."""
    keras.utils.set_random_seed(0)
    inputs = keras.Input((25, 5))
    spk = kb.Synaptic(0.7, 0.8, threshold=0.6, reset_mechanism="zero")(keras.layers.Dense(12)(inputs))
    spk, mem = kb.Synaptic(0.5, 0.9, threshold=0.6, return_mem=True)(keras.layers.Dense(3)(spk))
    manifest = export_nir(keras.Model(inputs, mem[:, -1]), tmp_path / "nir", nir_reset="zero")
    assert "output spikes differ" in manifest["nir_reset"]
    path, x = tmp_path / "nir" / "model.nir", spikes("fc", 64, steps=25)
    np.testing.assert_array_equal(from_nir(path)(x), keras.Model(inputs, spk)(x))
    ours = from_nir(path, reset_mechanism="zero")
    layers = [layer for layer in ours.layers if isinstance(layer, kb.LIF)]
    membranes = keras.Model(ours.inputs[0], [layer.output[1] for layer in layers])(x)
    free = ~near_ties([mem.numpy() for mem in membranes], [layer.threshold for layer in layers])
    got = run_theirs(peer, path, x)
    assert free.mean() > 0.9 and 0.02 < got.mean() < 0.98
    np.testing.assert_array_equal(got[free], ours(x).numpy()[free])


@pytest.mark.slow
@pytest.mark.skipif("KERASBURST_DATA" not in os.environ, reason="needs MNIST in KERASBURST_DATA")
def test_snntorch_on_1000_real_images(tmp_path, capsys):
    """One image at a time, since NIR's flatten has no batch axis and snnTorch's reading of it takes one."""
    importer = pytest.importorskip("snntorch.import_nir")
    config = kb.TrainConfig(
        dataset="mnist", model="SNNFCNet", encoding="poisson_burst", neuron={"reset_mechanism": "zero"},
        epochs=1, train_limit=2000, queries=1,
    )  # fmt: skip
    kb.train(config, tmp_path / "run")
    network = kb.load_network(tmp_path / "run")
    export_nir(network, tmp_path / "nir")
    x = network.encoder(kb.load_dataset("mnist").x_test[:1000]).numpy()
    graph = nir.read(str(tmp_path / "nir" / "model.nir"))
    got = np.zeros((*x.shape[:2], 10), "float32")
    for i, example in enumerate(x):
        theirs, state = importer.import_from_nir(graph), None
        for t, now in enumerate(example):
            out, state = theirs(torch.tensor(np.moveaxis(now, -1, 0)[None]), state)
            got[i, t] = out.detach().numpy()
    apart = (got != output_spikes(network, x)).any(-1)
    with capsys.disabled():
        print(f"{apart.any(1).sum()} of {len(x)} images have a spike elsewhere, {apart.sum()} of {apart.size} steps")
    assert apart.any(1).sum() <= 5  # by ties: a membrane within rounding of its threshold
    assert 0.001 < got.mean() < 0.5


@pytest.mark.parametrize("kind", ["fc", "lif"])
@pytest.mark.parametrize("reset", RESETS)
def test_nirtorch_runs_the_graph_to_the_same_spikes(kind, reset, tmp_path):
    """Its executor and maps; the neurons' equations as NIR has them, since it brings none."""

    class Neuron(torch.nn.Module):
        def __init__(self, node):
            super().__init__()
            self.node = node

        def forward(self, x, state=None):
            node, v = self.node, 0.0 if state is None else state
            v = v + DT / torch.tensor(node.tau) * (torch.tensor(node.v_leak) - v + torch.tensor(node.r) * x)
            if not hasattr(node, "v_threshold"):
                return v, v
            fired = (v > torch.tensor(node.v_threshold)).double()
            return fired, torch.where(fired > 0, torch.tensor(node.v_reset), v)

    class Elementwise(torch.nn.Module):
        def __init__(self, run):
            super().__init__()
            self.run = run

        def forward(self, x):
            return self.run(x)

    def affine(node):
        layer = torch.nn.Linear(*node.weight.shape[::-1])
        layer.weight.data, layer.bias.data = torch.tensor(node.weight), torch.tensor(node.bias)
        return layer

    node_map = {
        nir.LI: Neuron,
        nir.LIF: Neuron,
        nir.Affine: affine,
        nir.Flatten: lambda node: torch.nn.Flatten(),  # NIR has no batch axis, torch has
        nir.Threshold: lambda node: Elementwise(lambda x: (x > torch.tensor(node.threshold)).double()),
        nir.Scale: lambda node: Elementwise(lambda x: x * torch.tensor(node.scale)),
    }
    network = make(kind, beta=0.8, threshold=0.7, reset_mechanism=reset)
    export_nir(network, tmp_path / "nir")
    theirs = nirtorch.nir_to_torch(nir.read(str(tmp_path / "nir" / "model.nir")), node_map, dtype=torch.float64)
    x = spikes(kind, 8, steps=20)
    channels_first = np.moveaxis(x, -1, 2) if kind == "lif" else x
    got, state = [], None
    for t in range(x.shape[1]):
        out, state = theirs(torch.tensor(channels_first[:, t]).double(), state)
        got.append(out.detach().numpy())
    assert_same_but_for_ties(np.stack(got, 1), network, x)
