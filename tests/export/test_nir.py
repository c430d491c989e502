"""NIR graphs: read back by our own layers, and by snnTorch and nirtorch where they are."""

import os

import keras
import numpy as np
import pytest
import tensorflow as tf

import kerasburst as kb
from kerasburst.export import from_nir
from kerasburst.export import nir as export_nir
from kerasburst.export.network import take_apart
from kerasburst.export.nir_graph import DT, make_graph
from kerasburst.neurons.lif import LIF
from kerasburst.neurons.scan import scan
from kerasburst.validation import InputError

from .common import RESETS, composed, make, spikes

nir = pytest.importorskip("nir")


def output_spikes(network, x):
    """What the output neurons of a network fire, by its own simulation, `(n, T, C)`."""
    activity, _ = network.with_encoder(None).simulate(tf.constant(x))
    return activity["output_lif"].numpy()


@pytest.mark.sampled(4)
@pytest.mark.parametrize("kind", ["fc", "lif"])
@pytest.mark.parametrize("reset", RESETS)
@pytest.mark.parametrize("beta", [0.8, 1.0, 0.0])
def test_there_and_back(kind, reset, beta, tmp_path):
    network = make(kind, reset_mechanism=reset, beta=beta, threshold=0.7)
    manifest = export_nir(network, tmp_path / "nir")
    assert manifest["dt_s"] == DT and manifest["left_out"]
    model = from_nir(tmp_path / "nir" / "model.nir")
    x = spikes(kind, 8)
    want = output_spikes(network, x)
    assert 0.05 < want.mean() < 0.95
    np.testing.assert_array_equal(model(x), want)


@pytest.mark.thorough
def test_parameters_of_each_neuron_and_a_threshold_that_r_scales(tmp_path):
    trained = {"trainable_beta": True, "trainable_threshold": True, "per_neuron": True}
    network = make("lif", **trained)
    export_nir(network, tmp_path / "nir")
    x = spikes("lif", 8)
    np.testing.assert_array_equal(
        from_nir(str(tmp_path / "nir" / "model.nir"), num_steps=6)(x), output_spikes(network, x)
    )
    # r half of what it is in our own graphs: v = u / 2, so that a threshold of 0.3 is one of 0.6 for u
    half = nir.NIRGraph.from_list(
        nir.LIF(tau=np.full(2, 5e-4), r=np.full(2, 2.5), v_leak=np.zeros(2), v_threshold=np.array([0.3, 0.4]))
    )
    current = np.random.default_rng(0).uniform(0, 1, (3, 9, 2)).astype("float32")
    ours = LIF(beta=0.8, trainable_threshold=True, per_neuron=True, reset_mechanism="zero")
    ours.build(current.shape)
    ours.set_weights([np.array([0.6, 0.8])])
    np.testing.assert_array_equal(from_nir(half)(current), ours(current))


def test_parameters_by_hand():
    """beta = 0.8: tau = dt / 0.2 = 5e-4 s, r = tau / dt = 5."""
    graph = make_graph(take_apart(make("fc", beta=0.8, threshold=0.7, reset_mechanism="zero")))
    node = graph.nodes["hidden_lif"]
    assert type(node).__name__ == "LIF" and node.tau.shape == (12,)
    np.testing.assert_allclose(node.tau, 5e-4)
    np.testing.assert_allclose(node.r, 5.0)
    np.testing.assert_allclose(node.v_threshold, 0.7)
    assert not node.v_leak.any() and not node.v_reset.any()
    graph = make_graph(take_apart(make("fc", beta=0.8, threshold=0.7)))
    assert ("hidden_lif_spike", "hidden_lif_reset") in graph.edges and ("hidden_lif_reset", "hidden_lif") in graph.edges
    np.testing.assert_allclose(graph.nodes["hidden_lif_reset"].scale, -0.7)


def euler(graph, x):
    """NIR's own equations in NumPy: forward Euler steps of DT, a loop's delay of one step; `x` is `(T, *features)`."""
    value = {name: np.zeros(node.output_type["output"]) for name, node in graph.nodes.items()}
    v = {name: np.zeros(node.r.shape) for name, node in graph.nodes.items() if hasattr(node, "r")}
    order = [name for name in graph.nodes if not name.endswith("_reset")]
    out = []
    for now in x:
        before = dict(value)
        for name in order:
            node, kind = graph.nodes[name], type(graph.nodes[name]).__name__
            sources = [start for start, end in graph.edges if end == name]
            given = sum(
                graph.nodes[s].scale * before[s.replace("_reset", "_spike")] if s.endswith("_reset") else value[s]
                for s in sources
            )
            if kind == "Input":
                value[name] = now
            elif kind == "Affine":
                value[name] = node.weight.astype("float64") @ given + node.bias
            elif kind in ("LI", "LIF"):
                v[name] = v[name] + DT / node.tau * (node.v_leak - v[name] + node.r * given)
                value[name] = v[name].copy()
                if kind == "LIF":
                    value[name] = (v[name] > node.v_threshold).astype(float)
                    v[name] = np.where(value[name] > 0, node.v_reset, v[name])
            elif kind == "Threshold":
                value[name] = (given > node.threshold).astype(float)
            else:
                value[name] = given
        out.append(value["output"])
    return np.array(out)


@pytest.mark.parametrize("reset", RESETS)
def test_nir_s_own_equations_give_the_same_spikes(reset):
    network = make("fc", beta=0.8, threshold=0.7, reset_mechanism=reset)
    x = spikes("fc", 6, steps=12)
    graph = make_graph(take_apart(network))
    got = np.stack([euler(graph, example) for example in x])
    np.testing.assert_array_equal(got, output_spikes(network, x))


def assert_same_but_for_ties(got, network, x):
    """Spikes may differ at an example's first tie alone, and after it: a membrane within rounding of its threshold."""
    want, ties = output_spikes(network, x), np.zeros(x.shape[:2], bool)

    def fire(layer, current):
        spk, states = scan(layer, current)
        near = np.abs(states["mem"] - layer.neuron_parameters()["threshold"]) < 1e-5
        ties[...] |= near.reshape(*ties.shape, -1).any(-1)
        return spk, states

    network.with_encoder(None).run_course(tf.constant(x), fire)
    before = ~np.logical_or.accumulate(ties, axis=1)
    assert before.mean() > 0.9  # ties are the exception
    np.testing.assert_array_equal(got[before], want[before])


def test_snntorch_gives_the_same_spikes(tmp_path):
    """Its LIF from NIR resets to zero; its import knows no pooling, so that the dense network goes."""
    torch = pytest.importorskip("torch")
    pytest.importorskip("nirtorch")
    importer = pytest.importorskip("snntorch.import_nir")
    network = make("fc", beta=0.8, threshold=0.7, reset_mechanism="zero")
    export_nir(network, tmp_path / "nir")
    x = spikes("fc", 64, steps=40)
    theirs = importer.import_from_nir(nir.read(str(tmp_path / "nir" / "model.nir")))
    got, state = [], None
    for t in range(x.shape[1]):
        out, state = theirs(torch.tensor(x[:, t]), state)
        got.append(out.detach().numpy())
    assert_same_but_for_ties(np.stack(got, 1), network, x)


@pytest.mark.slow
@pytest.mark.skipif("KERASBURST_DATA" not in os.environ, reason="needs MNIST in KERASBURST_DATA")
def test_snntorch_on_1000_real_images(tmp_path, capsys):
    """One image at a time, since NIR's flatten has no batch axis and snnTorch's reading of it takes one."""
    torch = pytest.importorskip("torch")
    pytest.importorskip("nirtorch")
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
    torch = pytest.importorskip("torch")
    nirtorch = pytest.importorskip("nirtorch")

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


# Refusals -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("network", "message"),
    [
        (lambda: make("relu"), "neither ReLU nor max-pooling of activations"),
        (lambda: make("fc", dtype="mixed_bfloat16"), "must compute in float32 for nir"),
        (composed, "one of our networks for nir"),
    ],
)
def test_what_nir_cannot_hold(network, message, tmp_path):
    with pytest.raises(InputError, match=message):
        export_nir(network(), tmp_path / "nir")
    assert os.listdir(tmp_path) == []


def one(node, **besides):
    return nir.NIRGraph.from_list(nir.Affine(np.ones((2, 3)), np.zeros(2)), node, **besides)


def lif(**changes):
    return nir.LIF(
        **{"tau": np.full(2, 5e-4), "r": np.full(2, 5.0), "v_leak": np.zeros(2), "v_threshold": np.ones(2), **changes}
    )


@pytest.mark.parametrize(
    ("node", "message"),
    [
        (lambda: lif(v_leak=np.ones(2)), "lif must leak to 0, received a v_leak of 1"),
        (lambda: lif(v_reset=np.ones(2)), "lif must be reset to 0, received a v_reset of 1"),
        (lambda: lif(tau=np.full(2, 5e-5)), "tau of at least dt = 0.0001, received 5e-05"),
        (lambda: lif(v_threshold=np.zeros(2)), "r and threshold above 0"),
        (lambda: nir.LI(np.ones(2), np.ones(2), np.zeros(2)), "li must be followed by a threshold"),
        (lambda: nir.Delay(np.ones(2)), "delay is a Delay"),
    ],
)
def test_graphs_that_our_layers_cannot_hold(node, message):
    with pytest.raises(InputError, match=message):
        from_nir(one(node()))


def test_a_branch_and_files_that_are_no_graphs(tmp_path):
    graph = one(lif())
    graph.nodes["other"] = lif()
    graph.edges += [("affine", "other"), ("other", "output")]
    with pytest.raises(InputError, match="graph must be a chain, affine leads to lif, other"):
        from_nir(graph)
    (tmp_path / "bad.nir").write_text("no")
    for name in ("bad.nir", "absent.nir"):
        with pytest.raises(InputError, match="is not a readable NIR file"):
            from_nir(tmp_path / name)


def test_convolutions_strides_and_average_pooling_from_nir():
    """Channels first in the graph, last in the model; expected values by Keras' own layers."""
    rng = np.random.default_rng(0)
    weight = rng.normal(size=(3, 2, 3, 3)).astype("float32")
    graph = nir.NIRGraph.from_list(
        nir.Input({"input": np.array([2, 8, 6])}),
        nir.Conv2d((8, 6), weight, (1, 1), (1, 1), (1, 1), 1, np.ones(3, "float32")),
        nir.AvgPool2d(np.array([2, 2]), np.array([2, 2]), np.array([0, 0])),
        nir.IF(np.full((3, 4, 3), 1 / DT), np.ones((3, 4, 3))),
    )
    x = rng.integers(0, 2, (2, 5, 8, 6, 2)).astype("float32")
    conv = keras.layers.Conv2D(3, 3, padding="same")
    conv.build((None, 8, 6, 2))
    conv.set_weights([weight.transpose(2, 3, 1, 0), np.ones(3)])
    current = np.stack([keras.layers.AveragePooling2D(2)(conv(x[:, t])) for t in range(5)], 1)
    want = LIF(beta=1.0, reset_mechanism="zero")(current)
    assert 0 < np.mean(want) < 1
    np.testing.assert_array_equal(from_nir(graph, num_steps=5)(x), want)
