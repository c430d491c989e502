"""The SavedModel against the Keras network, loaded here, and where kerasburst is not."""

import json
import os
import threading

import keras
import numpy as np
import pytest
import tensorflow as tf

import kerasburst as kb
from kerasburst.encoders.rate import RateEncoder
from kerasburst.export import savedmodel
from kerasburst.models.saving import load_model
from kerasburst.validation import InputError
from tests.eager import eagerly
from tests.models.common import ENCODERS, VARIED

from .common import CLASSES, STEPS, images, logits_of_keras, make, spikes


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """One network, its folder, its manifest, and what loads."""
    network = make("fc")
    folder = tmp_path_factory.mktemp("export") / "served"
    manifest = savedmodel(network, folder, labels=["a", "b", "c"])
    return network, folder, manifest, tf.saved_model.load(str(folder))


def seeded(loaded, x, seed, queries=1):
    out = loaded.signatures["seeded"](
        images=tf.constant(x), seed=tf.constant(seed, tf.int64), queries=tf.constant(queries)
    )
    return {name: value.numpy() for name, value in out.items()}


def steps(loaded, x, manifest):
    shapes = {name: v["shape"][1:] for name, v in manifest["signatures"]["step"]["inputs"].items() if name != "spikes"}
    states = {name: tf.zeros((len(x), *shape)) for name, shape in shapes.items()}
    for t in range(x.shape[1]):
        out = loaded.signatures["step"](spikes=tf.constant(x[:, t]), **states)
        states = {name: out[name] for name in states}
    return out["logits"].numpy(), states


def read_values(folder):
    return json.loads((folder / "manifest.json").read_text())


def check_parity(network, kind, manifest, loaded):
    x = spikes(kind)
    want, trace = logits_of_keras(network, x)
    got = loaded.signatures["encoded"](spikes=tf.constant(x))
    np.testing.assert_allclose(got["logits"], want, atol=1e-4)
    np.testing.assert_allclose(got["probabilities"], tf.nn.softmax(want), atol=1e-5)
    np.testing.assert_allclose(loaded.signatures["trace"](spikes=tf.constant(x))["mem"], trace, atol=1e-4)
    np.testing.assert_allclose(steps(loaded, x, manifest)[0], got["logits"], atol=1e-5)


def test_parity(served):  # with convolutions: below
    network, _, manifest, loaded = served
    check_parity(network, "fc", manifest, loaded)


def test_parity_with_a_readout_over_time(exported):
    folder = exported("savedmodel")
    check_parity(make("fc", readout="mean"), "fc", read_values(folder), tf.saved_model.load(str(folder)))


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("kind", "reset", "readout"), [("fc", "subtract", "count"), ("relu", "zero", "last"), ("lif", "none", "last")]
)
def test_parity_on_the_same_spikes_whole_and_step_by_step(kind, reset, readout, tmp_path):
    network = make(kind, reset_mechanism=reset, readout=readout, beta=0.8, threshold=0.7)
    manifest = savedmodel(network, tmp_path / "served")
    check_parity(network, kind, manifest, tf.saved_model.load(str(tmp_path / "served")))


def test_what_it_says_of_itself(served):
    network, folder, manifest, loaded = served
    assert set(manifest["signatures"]) == set(loaded.signatures) and manifest["left_out"] == {}
    for name, signature in manifest["signatures"].items():
        for tensor, spec in loaded.signatures[name].structured_outputs.items():
            assert signature["outputs"][tensor] == {"dtype": spec.dtype.name, "shape": list(spec.shape)}
    step = manifest["signatures"]["step"]
    assert list(step["inputs"]) == ["spikes", "hidden_lif", "output_lif"]
    assert step["inputs"]["hidden_lif"]["shape"] == [None, 12]
    assert set(step["outputs"]) == {"logits", *step["inputs"]} - {"spikes"}
    assert manifest["labels"] == ["a", "b", "c"] and manifest["num_steps"] == STEPS
    assert manifest["encoder"]["class_name"] == "PoissonBurstEncoder"
    assert manifest["neurons"]["output_lif"]["beta"] == pytest.approx(0.95)
    assert "8501" in manifest["call"]["curl"] and "seeded" in manifest["call"]["curl"]
    assert len(manifest["weights_sha256"]) == 64
    listed = {name for name, _, files in os.walk(folder) for name in files}
    assert {"saved_model.pb", "manifest.json", "variables.index"} <= listed


def test_a_seed_fixes_an_answer_whatever_the_batch(served):
    _, _, _, loaded = served
    x = images("fc", n=5)
    whole = seeded(loaded, x, 7, 4)
    alone = [seeded(loaded, x[i : i + 1], 7, 4) for i in (3, 0)]
    for i, one in zip((3, 0), alone, strict=True):
        for name in whole:
            np.testing.assert_allclose(one[name][0], whole[name][i], atol=1e-5)
    np.testing.assert_allclose(seeded(loaded, x[::-1].copy(), 7, 4)["logits"][::-1], whole["logits"], atol=1e-5)
    assert not np.allclose(seeded(loaded, x, 8, 4)["logits"], whole["logits"], atol=1e-3)
    same = seeded(loaded, np.repeat(x[:1], 2, axis=0), 7)
    np.testing.assert_array_equal(same["logits"][0], same["logits"][1])


def test_the_mean_and_spread_over_encodings_are_of_single_ones(served):
    """The first draws of a larger K are those of a smaller: the k-th alone is K times the mean less the one before."""
    _, _, _, loaded = served
    x = images("fc")
    means = [seeded(loaded, x, 3, k)["logits"].astype("float64") for k in (1, 2, 3)]
    single = np.stack([means[0], 2 * means[1] - means[0], 3 * means[2] - 2 * means[1]])
    third = seeded(loaded, x, 3, 3)
    p = np.exp(single) / np.exp(single).sum(-1, keepdims=True)
    np.testing.assert_allclose(third["spread"], p.std(axis=0), atol=1e-4)
    mean = np.exp(means[2]) / np.exp(means[2]).sum(-1, keepdims=True)
    np.testing.assert_allclose(third["probabilities"], mean, atol=1e-5)
    assert (np.abs(single[0] - single[1]).max() > 0.01) and third["spread"].max() > 0.001
    assert (seeded(loaded, x, 3, 1)["spread"] == 0).all()


@pytest.mark.thorough
def test_the_mean_over_many_encodings_is_that_of_the_network(exported):
    """Against Keras with its own draws: 300 of each, within five standard errors of the difference."""
    network, loaded = make("fc", readout="mean"), tf.saved_model.load(str(exported("savedmodel")))
    x, run = images(n=2), tf.function(network)
    many = np.stack([run(x).numpy() for _ in range(300)])
    mean = seeded(loaded, x, 1, 300)["logits"]
    np.testing.assert_array_less(np.abs(mean - many.mean(0)), 5 * many.std(0) * np.sqrt(2 / 300) + 1e-6)


def test_serving_draws_afresh_and_writes_no_variable(served):
    network, _, _, loaded = served
    x = images("fc")
    answers = [loaded.signatures["serving_default"](images=tf.constant(x))["logits"].numpy() for _ in range(4)]
    assert any((answers[0] != other).any() for other in answers[1:])
    weights = [*loaded.trainable_weights, *loaded.non_trainable_weights]
    assert len(weights) == len(network.weights)
    for ours, theirs in zip(network.trainable_weights, loaded.trainable_weights, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    tf.random.set_seed(3)
    first = loaded.signatures["serving_default"](images=tf.constant(x))["logits"]
    tf.random.set_seed(3)
    assert (first.numpy() != loaded.signatures["serving_default"](images=tf.constant(x))["logits"].numpy()).any()


@pytest.mark.thorough
def test_an_export_under_a_fixed_global_seed_draws_afresh_too(tmp_path):
    tf.random.set_seed(0)
    savedmodel(make(), tmp_path / "served")
    x = tf.constant(images())
    runs = [tf.saved_model.load(str(tmp_path / "served")).signatures["serving_default"] for _ in range(2)]
    assert any((runs[0](images=x)["logits"].numpy() != runs[1](images=x)["logits"].numpy()).any() for _ in range(4))


def test_bad_images_and_queries_are_refused_by_the_graph(served):
    _, _, _, loaded = served
    with pytest.raises(tf.errors.InvalidArgumentError, match="images must be in the range 0 to 1"):
        loaded.signatures["serving_default"](images=tf.constant(images("fc") + 1))
    with pytest.raises(tf.errors.InvalidArgumentError, match="queries must be at least 1"):
        seeded(loaded, images("fc"), 0, 0)


def many_threads(folder, times, threads=8):
    loaded, x = tf.saved_model.load(str(folder)), images(n=threads)
    want = [seeded(loaded, x[i : i + 1], i, 1)["logits"] for i in range(threads)]
    right = [0] * threads

    def ask(i):
        for _ in range(times):
            right[i] += np.array_equal(seeded(loaded, x[i : i + 1], i, 1)["logits"], want[i])

    workers = [threading.Thread(target=ask, args=(i,)) for i in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert right == [times] * threads and len({w.tobytes() for w in want}) == threads


@pytest.mark.thorough
def test_threads_get_their_own_answers(exported):
    many_threads(exported("savedmodel"), 25)


@pytest.mark.slow
def test_eight_threads_500_times(exported):
    many_threads(exported("savedmodel"), 500)


@pytest.mark.thorough
def test_gradients_through_the_loaded_model_are_those_of_keras(served):
    network, _, _, loaded = served
    x = tf.constant(spikes("fc"))
    weight = tf.constant(np.random.default_rng(0).normal(size=(4, CLASSES)), tf.float32)
    bare = network.with_encoder(None)
    with eagerly(), tf.GradientTape() as tape:
        loss = tf.reduce_sum(weight * bare(x))
        want = tape.gradient(loss, bare.trainable_weights)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(weight * loaded.signatures["encoded"](spikes=x)["logits"])
    got = tape.gradient(loss, loaded.trainable_weights)
    for a, b in zip(got, want, strict=True):
        assert np.abs(b).max() > 0
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4)


@pytest.mark.thorough
@pytest.mark.parametrize("name", ["none", "regular"])
def test_encoders_that_draw_nothing(name, tmp_path):
    encoder = ENCODERS[name]()
    network = make("fc", encoder or False)
    manifest = savedmodel(network, tmp_path / "served")
    loaded = tf.saved_model.load(str(tmp_path / "served"))
    assert ("seeded" in manifest["signatures"]) == (encoder is not None)
    if encoder is None:
        out = loaded.signatures["serving_default"](spikes=tf.constant(spikes()))
        np.testing.assert_allclose(out["logits"], network(spikes()), atol=1e-4)
        return
    x = images()
    out = loaded.signatures["serving_default"](images=tf.constant(x))
    assert out["logits"].shape == (4, CLASSES)
    np.testing.assert_allclose(out["logits"], network(x), atol=1e-4)
    np.testing.assert_allclose(seeded(loaded, x, 5, 3)["logits"], network(x), atol=1e-4)


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("kind", "encoder", "dtype"),
    [("fc", "poisson", "mixed_bfloat16"), ("relu", "delayed", "float32"), ("lif", "regular", "float32")],
)
def test_through_keras_file_and_savedmodel_with_every_parameter_varied(kind, encoder, dtype, tmp_path):
    varied = {name: value for name, value in VARIED.items() if name != "num_classes"}
    network = make(kind, ENCODERS[encoder](), **varied, dtype=dtype)
    network.save(tmp_path / "model.keras")
    again = load_model(tmp_path / "model.keras")
    manifest = savedmodel(again, tmp_path / "served")
    loaded = tf.saved_model.load(str(tmp_path / "served"))
    x = spikes(kind)
    want, trace = logits_of_keras(network, x)
    got = (
        loaded.signatures["encoded"](spikes=tf.constant(x))["logits"],
        steps(loaded, x, manifest)[0],
        loaded.signatures["trace"](spikes=tf.constant(x))["mem"],
    )
    for a, b in zip(got, (want, want, trace), strict=True):
        if dtype == "float32":
            np.testing.assert_allclose(a, b, atol=1e-4)
        else:  # 16-bit sums round otherwise in a graph than eagerly, in Keras too, and a rounding moves a spike
            assert np.median(np.abs(a - b)) < 0.02
    assert manifest["neurons"]["output_lif"]["beta"]["per_neuron"]
    config = manifest["encoder"]["config"]
    assert config == keras.saving.serialize_keras_object(network.encoder)["config"]


@pytest.mark.thorough
def test_a_long_sequence_and_one_of_unknown_length(tmp_path):
    network = make("fc", RateEncoder(80), steps=80)
    savedmodel(network, tmp_path / "long")
    loaded = tf.saved_model.load(str(tmp_path / "long"))
    x = spikes(steps=80)
    want = logits_of_keras(network, x)[0]
    np.testing.assert_allclose(loaded.signatures["encoded"](spikes=tf.constant(x))["logits"], want, atol=1e-4)
    bare = network.with_encoder(None)
    free = type(bare).from_config(bare.get_config())
    free.build((None, None, 5))
    free.set_weights(bare.get_weights())
    savedmodel(free, tmp_path / "free")
    loaded = tf.saved_model.load(str(tmp_path / "free"))
    for n in (80, 7):
        got = loaded.signatures["encoded"](spikes=tf.constant(x[:, :n]))["logits"]
        np.testing.assert_allclose(got, bare(x[:, :n]), atol=1e-4)


def test_a_model_of_float64_is_refused(tmp_path):
    """Its signatures are float32: the file would compute something else than the model."""
    whole = make("fc", dtype="float64")
    inputs = keras.Input((STEPS, 4))
    part = keras.Model(inputs, kb.LIF()(keras.layers.Dense(2, dtype="float64", name="wide")(inputs))[:, -1])
    for model, layer in ((whole, whole.name), (part, "wide")):
        with pytest.raises(InputError, match=f"at most 32 bits, layer {layer} computes in float64"):
            savedmodel(model, tmp_path / "served")
    assert not list(tmp_path.iterdir())


@pytest.mark.thorough
def test_a_model_of_bfloat16(tmp_path):
    network = make("fc", dtype="bfloat16")
    savedmodel(network, tmp_path / "served")
    x = spikes("fc")
    got = tf.saved_model.load(str(tmp_path / "served")).signatures["encoded"](spikes=tf.constant(x))["logits"]
    assert np.median(np.abs(got - logits_of_keras(network, x)[0])) < 0.02
