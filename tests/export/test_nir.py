"""NIR graphs: written and read back by our own layers, against NIR's equations, by hand, and damaged."""

import os
import re

import h5py
import keras
import numpy as np
import pytest
import tensorflow as tf

import kerasburst as kb
from kerasburst.export import from_nir
from kerasburst.export import nir as export_nir
from kerasburst.export.formats import read_manifest
from kerasburst.export.network import Network
from kerasburst.export.nir_format import NIR, make_graph
from kerasburst.export.nir_reader import DT
from kerasburst.neurons.lif import LIF, LIFCell
from kerasburst.validation import InputError

from .common import RESETS, composed, make, spikes

pytestmark = pytest.mark.usefixtures("eagerly")

nir = pytest.importorskip("nir")
SAID = {"dt": DT, "reset_mechanism": "zero"}  # what a graph of others does not say


def output_spikes(network, x):
    """What the output neurons of a network fire, by its own simulation, `(n, T, C)`."""
    activity, _ = network.with_encoder(None).simulate(tf.constant(x))
    return activity["output_lif"].numpy()


@pytest.mark.sampled(18)
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
    np.testing.assert_array_equal(from_nir(half, **SAID)(current), ours(current))


def test_parameters_by_hand():
    """beta = 0.8: tau = dt / 0.2 = 5e-4 s, r = tau / dt = 5."""
    graph = make_graph(Network(make("fc", beta=0.8, threshold=0.7, reset_mechanism="zero")))
    node = graph.nodes["hidden_lif"]
    assert type(node).__name__ == "LIF" and node.tau.shape == (12,)
    np.testing.assert_allclose(node.tau, 5e-4)
    np.testing.assert_allclose(node.r, 5.0)
    np.testing.assert_allclose(node.v_threshold, 0.7)
    assert not node.v_leak.any() and not node.v_reset.any()
    graph = make_graph(Network(make("fc", beta=0.8, threshold=0.7)))
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


@pytest.mark.sampled(3)
@pytest.mark.parametrize("reset", RESETS)
def test_nir_s_own_equations_give_the_same_spikes(reset):
    network = make("fc", beta=0.8, threshold=0.7, reset_mechanism=reset)
    x = spikes("fc", 6, steps=12)
    graph = make_graph(Network(network))
    got = np.stack([euler(graph, example) for example in x])
    np.testing.assert_array_equal(got, output_spikes(network, x))


# Refusals -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("network", "message"),
    [
        (lambda: make("relu"), "neither ReLU nor max-pooling of activations"),
        (lambda: make("fc", dtype="mixed_bfloat16"), "must compute in float32 for nir"),
        (composed, "conv2d.* must have no activation for nir"),
    ],
)
def test_what_nir_cannot_hold(network, message, tmp_path):
    with pytest.raises(InputError, match=message):
        export_nir(network(), tmp_path / "nir")
    assert os.listdir(tmp_path) == []


def one(node, **besides):
    return nir.NIRGraph.from_list(nir.Affine(np.ones((2, 3)), np.zeros(2)), node, **besides)


def lif(n=2, **changes):
    plain = {"tau": np.full(n, 5e-4), "r": np.full(n, 5.0), "v_leak": np.zeros(n), "v_threshold": np.ones(n)}
    return nir.LIF(**plain | changes)


@pytest.mark.parametrize(
    ("node", "message"),
    [
        (lambda: lif(v_leak=np.ones(2)), "lif must leak to 0, received a v_leak of 1"),
        (lambda: lif(v_reset=np.ones(2)), "lif must be reset to 0, received a v_reset of 1"),
        (lambda: lif(tau=np.full(2, 5e-5)), "tau of at least dt = 0.0001, received 5e-05"),
        (lambda: lif(v_threshold=np.zeros(2)), "r and threshold above 0"),
        (lambda: nir.Delay(np.ones(2)), "delay is a Delay"),
    ],
)
def test_graphs_that_our_layers_cannot_hold(node, message):
    with pytest.raises(InputError, match=message):
        from_nir(one(node()), **SAID)


def test_paths_that_meet_are_added():
    """Spikes of two neurons on one current, the second with twice the threshold; by hand."""
    graph = one(lif())
    graph.nodes["other"] = lif(v_threshold=np.full(2, 2.0))
    graph.edges += [("affine", "other"), ("other", "output")]
    model = from_nir(graph, **SAID)
    # 3 inputs of 0.5: a current of 1.5 in each neuron, above 1 and below 2; beta 0.8: 1.2 + 1.5 is above 2
    np.testing.assert_array_equal(model(np.full((1, 2, 3), 0.5)), [[[1.0, 1.0], [2.0, 2.0]]])


def test_what_a_file_does_not_say_is_said(tmp_path):
    """A warning names both, each argument silences its part, and our own files say everything."""
    graph = one(lif())
    with pytest.warns(UserWarning, match=r'read with dt=0\.0001 and reset_mechanism="zero"; to choose, pass dt= and'):
        from_nir(graph)
    with pytest.warns(UserWarning, match=r"graph does not say how its neurons are reset: read with reset"):
        from_nir(graph, dt=DT)
    graph.metadata["dt"] = DT
    from_nir(graph, reset_mechanism="subtract")
    export_nir(make("fc", reset_mechanism="zero"), tmp_path / "nir")
    from_nir(tmp_path / "nir" / "model.nir")


@pytest.mark.parametrize(
    ("reset", "want"), [("zero", [0, 1, 0, 1, 0]), ("subtract", [0, 1, 0, 0, 1]), ("none", [0, 1, 1, 1, 1])]
)
def test_the_reset_that_is_chosen(reset, want):
    """By hand, beta 0.5 and a current of 0.7: 0.7, 1.05; then zero 0.7, 1.05, 0.7; subtract 0.225, 0.8125, 1.10625."""
    node = lif(n=1, tau=np.full(1, 2e-4), r=np.full(1, 2.0))
    graph = nir.NIRGraph.from_list(nir.Affine(np.array([[0.7]]), np.zeros(1)), node)
    got = from_nir(graph, dt=DT, reset_mechanism=reset)(np.ones((1, 5, 1)))
    np.testing.assert_array_equal(np.ravel(got), want)


def test_another_step(tmp_path):
    """tau = 1 ms and dt = 0.5 ms: beta = 0.5, and r = 1 makes the gain 1 / 2."""
    graph = nir.NIRGraph.from_list(
        nir.Affine(np.array([[0.8]]), np.zeros(1)),
        lif(n=1, tau=np.full(1, 1e-3), r=np.full(1, 1.0), v_threshold=np.full(1, 0.5)),
    )
    got = from_nir(graph, dt=5e-4, reset_mechanism="zero")(np.ones((1, 4, 1)))
    np.testing.assert_array_equal(np.ravel(got), [0, 1, 0, 1])  # v: 0.4, 0.2 + 0.4, reset and 0.4, 0.6


def test_a_reset_that_peers_read(tmp_path):
    """Plain LIF nodes; our reading is exact by their metadata, and the manifest says what others get."""
    network = make("fc", beta=0.8, threshold=0.7)
    manifest = export_nir(network, tmp_path / "nir", nir_reset="zero")
    graph, x = nir.read(str(tmp_path / "nir" / "model.nir")), spikes("fc", 8)
    assert {type(node).__name__ for node in graph.nodes.values()} == {"Input", "Affine", "LIF", "Output"}
    np.testing.assert_array_equal(from_nir(graph)(x), output_spikes(network, x))
    zero = make("fc", beta=0.8, threshold=0.7, reset_mechanism="zero")
    zero.set_weights(network.get_weights())
    np.testing.assert_array_equal(from_nir(graph, reset_mechanism="zero")(x), output_spikes(zero, x))
    differing, of = re.search(r"zero; .* resets to zero: (\d+) of (\d+) output spikes", manifest["nir_reset"]).groups()
    assert 0 < int(differing) < int(of) == 16 * 6 * 3
    with pytest.raises(InputError, match="nir_reset must be one of zero, received 'subtract'"):
        export_nir(network, tmp_path / "other", nir_reset="subtract")


def test_models_of_keras_there_and_back(tmp_path):
    """A functional model with a residual path, average pooling and an RNN of cells; its readout is recognised."""
    keras.utils.set_random_seed(0)
    x = inputs = keras.Input((6, 8, 8, 2))
    each = keras.layers.TimeDistributed
    x = LIF(threshold=0.3, name="first")(each(keras.layers.Conv2D(4, 3, padding="same", use_bias=False))(x))
    y = LIF(threshold=0.3, reset_mechanism="zero")(each(keras.layers.Conv2D(4, 3, padding="same"))(x))
    x = each(keras.layers.AveragePooling2D(2))(keras.layers.Add()([x, y]))
    x = keras.layers.Dropout(0.5)(each(keras.layers.Flatten())(x))
    x = keras.layers.RNN(LIFCell(12, threshold=0.4, beta=0.8), return_sequences=True)(keras.layers.Dense(12)(x))
    _, mem = LIF(threshold=0.2, reset_mechanism="none", return_mem=True, name="last")(keras.layers.Dense(3)(x))
    model = keras.Model(inputs, keras.layers.GlobalAveragePooling1D()(mem))
    manifest = export_nir(model, tmp_path / "nir")
    assert manifest["readout"] == "mean"
    x = np.random.default_rng(1).integers(0, 2, (4, 6, 8, 8, 2)).astype("float32")
    np.testing.assert_allclose(NIR().run(tmp_path / "nir", read_manifest(tmp_path / "nir"))(x), model(x), atol=1e-5)


@pytest.mark.thorough
def test_a_graph_that_was_read_is_written_again(tmp_path):
    """Flattening keeps the graph's order, so that weights come back as they were."""
    export_nir(make("lif"), tmp_path / "nir")
    model = from_nir(tmp_path / "nir" / "model.nir", num_steps=6)
    again = keras.Model(model.inputs, keras.ops.mean(model.outputs[0], axis=1))
    assert export_nir(again, tmp_path / "again")["readout"] == "rate"
    x = spikes("lif")
    np.testing.assert_array_equal(from_nir(tmp_path / "again" / "model.nir")(x), model(x))


@pytest.mark.sampled(6)
@pytest.mark.parametrize("nir_reset", [None, "zero"])
@pytest.mark.parametrize("reset", RESETS)
def test_synaptic_there_and_back(reset, nir_reset, tmp_path):
    """Two decays for each neuron; a cell in an RNN is the same."""
    keras.utils.set_random_seed(0)
    inputs = keras.Input((12, 5))
    spk = kb.Synaptic([0.5, 0.6, 0.7, 0.8], 0.9, threshold=0.7, reset_mechanism=reset)(keras.layers.Dense(4)(inputs))
    cell = kb.SynapticCell(3, 0.4, [0.7, 0.8, 0.9], threshold=0.2, reset_mechanism=reset)
    spk = keras.layers.RNN(cell, return_sequences=True)(keras.layers.Dense(3)(spk))
    x = np.random.default_rng(0).integers(0, 2, (16, 12, 5)).astype("float32")
    want = keras.Model(inputs, spk)(x)
    assert 0.05 < np.mean(want) < 0.95
    rates = keras.Model(inputs, keras.layers.GlobalAveragePooling1D()(spk))
    manifest = export_nir(rates, tmp_path / "nir", nir_reset=nir_reset)
    graph = nir.read(str(tmp_path / "nir" / "model.nir"))
    assert manifest["readout"] == "rate"
    np.testing.assert_array_equal(from_nir(graph)(x), want)
    cubas = sum(isinstance(node, nir.CubaLIF) for node in graph.nodes.values())
    assert cubas == (2 if nir_reset or reset == "zero" else 0)
    assert ("output spikes differ" in manifest.get("nir_reset", "")) == bool(cubas)


def test_cuba_lif_as_nir_has_it():
    """By hand, decays 1/2: syn 1, 1/2, 1/4; v 1, reset, 1/2, reset, 1/4. Not reset, it fires at all three steps."""
    one = {name: np.full(1, value) for name, value in (("tau_syn", 2e-4), ("tau_mem", 2e-4), ("r", 2.0), ("w_in", 2.0))}
    node = nir.CubaLIF(**one, v_leak=np.zeros(1), v_threshold=np.full(1, 0.45))
    graph = nir.NIRGraph.from_list(nir.Affine(np.ones((1, 1)), np.zeros(1)), node)
    x = np.array([1.0, 0.0, 0.0]).reshape(1, 3, 1)
    for reset, want in (("zero", [1, 1, 0]), ("none", [1, 1, 1])):
        np.testing.assert_array_equal(np.ravel(from_nir(graph, dt=DT, reset_mechanism=reset)(x)), want)


@pytest.mark.sampled(2)
@pytest.mark.parametrize("last", [False, True])
def test_a_readout_that_never_fires(last, tmp_path):
    keras.utils.set_random_seed(0)
    inputs = keras.Input((12, 5))
    mem = kb.LeakyIntegrator(0.8, return_sequences=not last)(keras.layers.Dense(3)(kb.LIF(threshold=0.5)(inputs)))
    model = keras.Model(inputs, mem if last else keras.layers.GlobalAveragePooling1D()(mem))
    assert export_nir(model, tmp_path / "nir")["readout"] == ("last" if last else "mean")
    x = np.random.default_rng(0).integers(0, 2, (4, 12, 5)).astype("float32")
    np.testing.assert_allclose(NIR().run(tmp_path / "nir", read_manifest(tmp_path / "nir"))(x), model(x), atol=1e-5)
    graph = nir.read(str(tmp_path / "nir" / "model.nir"))
    assert [type(node).__name__ for node in graph.nodes.values()].count("LI") == 2  # LIF's membrane is the other


# Damaged files ------------------------------------------------------------------------------------


def hostile(kind, folder):
    """Write a NIR file with one thing wrong."""
    path = folder / "hostile.nir"
    graph = nir.NIRGraph.from_list(
        nir.Affine(np.ones((2, 3), "float32"), np.zeros(2, "float32")), lif(), nir.Scale(np.ones(2))
    )
    match kind:
        case "NaN in a weight":
            graph.nodes["affine"].weight[0, 0] = np.nan
        case "NaN in a time constant":
            graph.nodes["lif"].tau[0] = np.nan
        case "infinity":
            graph.nodes["affine"].bias[1] = np.inf
        case "a loop":
            graph.edges.append(("scale", "affine"))
            graph.nodes["affine"].weight = np.ones((2, 2), "float32")
            graph = nir.NIRGraph(graph.nodes, graph.edges, graph.metadata, type_check=False)
        case "a step that is no number":
            graph.metadata["dt"] = "fast"
        case "a negative step":
            graph.metadata["dt"] = -1.0
        case "an unknown reset":
            graph.nodes["lif"].metadata["reset_mechanism"] = "twice"
    nir.write(str(path), graph)
    if kind == "a missing parameter":
        with h5py.File(path, "r+") as file:
            del file["node/nodes/lif/tau"]
    elif kind == "an unknown node":
        with h5py.File(path, "r+") as file:
            del file["node/nodes/lif/type"]
            file["node/nodes/lif/type"] = "Izhikevich"
    elif kind == "an edge to nowhere":
        with h5py.File(path, "r+") as file:
            edges = file["node/edges"][()]
            edges[0][1] = b"absent"
            del file["node/edges"]
            file["node/edges"] = edges
    elif kind == "another shape":
        with h5py.File(path, "r+") as file:
            del file["node/nodes/lif/tau"]
            file["node/nodes/lif/tau"] = np.ones(5)
    elif kind == "text for numbers":
        with h5py.File(path, "r+") as file:
            del file["node/nodes/affine/weight"]
            file["node/nodes/affine/weight"] = "heavy"
    elif kind == "cut":
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    elif kind == "empty":
        path.write_bytes(b"")
    elif kind == "no HDF5":
        path.write_text("no")
    elif kind == "absent":
        path.unlink()
    elif kind == "a folder":
        path.unlink()
        path.mkdir()
    return path


HOSTILE = {
    "NaN in a weight": r"affine\.weight must hold finite numbers",
    "NaN in a time constant": r"lif\.tau must hold finite numbers",
    "infinity": r"affine\.bias must hold finite numbers",
    "a loop": "must have no loops but those that reset neurons|is not a readable NIR file",
    "a step that is no number": "dt must be a finite number",
    "a negative step": "dt must be a finite number above 0",
    "an unknown reset": "reset_mechanism must be one of subtract, zero, none, received 'twice'",
    **dict.fromkeys(
        ("a missing parameter", "an unknown node", "an edge to nowhere", "another shape", "cut", "empty", "no HDF5"),
        r"hostile\.nir is not a readable NIR file",
    ),
    "text for numbers": r"is not a readable NIR file|affine\.weight must hold numbers",
    "absent": "does not exist",
    "a folder": "it is no file",
}


@pytest.mark.filterwarnings("ignore:.*does not say")
@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_files_are_refused_in_one_line(kind, tmp_path):
    with pytest.raises(InputError, match=HOSTILE[kind]) as error:
        from_nir(hostile(kind, tmp_path))
    assert "\n" not in str(error.value)


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
    np.testing.assert_array_equal(from_nir(graph, num_steps=5, **SAID)(x), want)
