"""Predictions of a network and its exports, and what examples may be."""

import functools
import os
import shutil

import numpy as np
import pytest
import tensorflow as tf

import kerasburst as kb
from kerasburst import files
from kerasburst.data.scaling import Scaling
from kerasburst.encoders.none import NoEncoder
from kerasburst.encoders.rate import RateEncoder
from kerasburst.export import export, predict
from kerasburst.export.examples import read_examples, to_intensities
from kerasburst.export.exporting import export_run
from kerasburst.export.predicting import _open_network
from kerasburst.models.snn_fc_net import SNNFCNet
from kerasburst.registry import FORMATS
from kerasburst.training.evaluation import load_network
from kerasburst.validation import InputError
from tests.eager import eagerly

from .common import images, make

IMAGE = Scaling("image", (2, 3, 1), (0.0,), (16.0,))
TABLE = Scaling("tabular", (3,), (0.0, 1.0, 2.0), (2.0, 1.0, 6.0))


@pytest.fixture(scope="module")
def said():
    """Return a function from a readout to what its network says."""
    return functools.cache(lambda readout: predict(make("fc", readout=readout), images(), queries=3, seed=5))


@pytest.mark.parametrize("format", FORMATS)
def test_every_format_says_what_the_network_says(format, said, exported):
    for module in ("onnxruntime", "tf2onnx", "ai_edge_litert", "nir"):
        pytest.importorskip(module)
    check_predictions(exported(format), said("mean"))


@pytest.mark.thorough
@pytest.mark.parametrize("readout", ["last", "count"])
def test_nir_says_what_the_network_says(readout, said, tmp_path):
    pytest.importorskip("nir")
    export(make("fc", readout=readout), tmp_path / "out", "nir", labels=["no", "maybe", "yes"])
    check_predictions(tmp_path / "out", said(readout))


def check_predictions(folder, want):
    got = predict(folder, images(), queries=3, seed=5)
    np.testing.assert_allclose(got.logits, want.logits, atol=1e-4)
    np.testing.assert_allclose(got.probabilities, want.probabilities, atol=1e-5)
    np.testing.assert_allclose(got.spread, want.spread, atol=1e-5)
    np.testing.assert_array_equal(got.classes, want.classes)
    assert got.labels == tuple(["no", "maybe", "yes"][c] for c in got.classes)
    assert (got.queries, got.seed) == (3, 5)


@pytest.mark.thorough
def test_more_examples_than_a_batch_and_a_deterministic_encoder():
    network = make("fc", RateEncoder(6, mode="regular"))
    x = images(n=300)
    got = predict(network, x, queries=8)
    assert got.queries == 1 and got.logits.shape == (300, 3) and not got.spread.any()
    np.testing.assert_allclose(got.logits, network(x), atol=1e-5)
    np.testing.assert_allclose(got.probabilities, tf.nn.softmax(network(x)), atol=1e-5)
    assert got.labels == tuple(str(c) for c in np.argmax(network(x), -1))


@pytest.mark.thorough
def test_a_seed_is_drawn_and_told():
    network = make()
    a, b = predict(network, images(), queries=2), predict(network, images(), queries=2)
    assert a.seed != b.seed and (a.logits != b.logits).any()
    np.testing.assert_array_equal(predict(network, images(), queries=2, seed=a.seed).logits, a.logits)
    one = predict(network, images()[2], queries=2, seed=a.seed)
    np.testing.assert_allclose(one.logits[0], a.logits[2], atol=1e-5)


# Scaling ------------------------------------------------------------------------------------------


def test_integers_of_images_are_raw_and_floats_are_intensities():
    raw = np.arange(6, dtype="uint8").reshape(1, 2, 3, 1)
    np.testing.assert_allclose(to_intensities(raw, (2, 3, 1), IMAGE), raw / 16)
    np.testing.assert_allclose(to_intensities(raw / 16, (2, 3, 1), IMAGE), raw / 16)
    rounded = np.array([-1e-7, 1 + 1e-7, 1.0000000000000002, 0.5, 0, 1]).reshape(1, 2, 3, 1)
    assert to_intensities(rounded, (2, 3, 1), IMAGE).ravel().tolist() == [0, 1, 1, 0.5, 0, 1]


def test_tables_are_raw():
    # low 0, 1, 2; high 2, 1, 6: 1 -> 1/2; constant -> 0; 7 beyond 6 -> 1
    for dtype in ("float64", "int32"):
        np.testing.assert_array_equal(to_intensities(np.array([[1, 5, 7]], dtype), (3,), TABLE), [[0.5, 0, 1]])


@pytest.mark.parametrize("shape", [(4, 2, 3, 1), (4, 2, 3), (2, 3, 1), (2, 3)])
def test_shapes_of_greyscale_images(shape):
    x = np.random.default_rng(0).uniform(size=shape)
    got = to_intensities(x, (2, 3, 1), IMAGE)
    assert got.dtype == np.float32 and got.shape == (4 if shape[0] == 4 else 1, 2, 3, 1)
    np.testing.assert_allclose(got.ravel(), x.ravel(), rtol=1e-6)


BAD = {
    "shape": (np.zeros((4, 3, 2)), IMAGE, r"of shape \(n, 2, 3, 1\), or one example of it, received \(4, 3, 2\)"),
    "floats to 255": (np.full((2, 3), 255.0), IMAGE, "from 0 to 1 if it holds floats, received 255 to 255"),
    "above full scale": (np.full((2, 3), 17), IMAGE, "values from 0 to 16"),
    "NaN": (np.full((2, 3), np.nan), IMAGE, "finite numbers"),
    "text": (np.full((2, 3), "a"), IMAGE, "integers or floats"),
    "objects": (np.full((2, 3), None), IMAGE, "integers or floats"),
    "complex": (np.full((2, 3), 1j), IMAGE, "integers or floats"),
    "none": (np.zeros((0, 2, 3)), IMAGE, "at least one example"),
    "integers without a scaling": (np.zeros((2, 3), int), None, "no scaling came with this model"),
}


@pytest.mark.parametrize(("x", "scaling", "message"), BAD.values(), ids=BAD)
def test_bad_examples(x, scaling, message):
    with pytest.raises(InputError, match=message):
        to_intensities(x, (2, 3, 1), scaling)


# Files --------------------------------------------------------------------------------------------


def png(path, values, mode=None):
    from PIL import Image

    image = Image.fromarray(np.asarray(values))
    (image.convert(mode) if mode else image).save(path)
    return path


def test_files(tmp_path):
    x = np.random.default_rng(0).uniform(size=(4, 3))
    np.save(tmp_path / "x.npy", x)
    np.savez(tmp_path / "one.npz", anything=x)
    np.savez(tmp_path / "two.npz", x=x, y=np.zeros(4))
    for name in ("x.npy", "one.npz", "two.npz"):
        np.testing.assert_array_equal(read_examples(tmp_path / name), x)
    grey = np.array([[0, 51, 255]], "uint8")
    np.testing.assert_allclose(read_examples(png(tmp_path / "grey.png", grey)), grey[None, ..., None] / 255)
    colour = np.stack([grey, grey[:, ::-1], grey], -1)
    np.testing.assert_allclose(read_examples(png(tmp_path / "colour.PNG", colour)), colour[None] / 255)
    black = read_examples(png(tmp_path / "black.png", grey, "1"))
    assert set(np.unique(black)) <= {0.0, 1.0} and black.shape == (1, 1, 3, 1)


def bad_files(folder):
    grey = np.zeros((2, 2), "uint8")
    np.save(folder / "pickled.npy", np.array([{}], dtype=object), allow_pickle=True)
    np.savez(folder / "pickled.npz", np.array([{}], dtype=object))
    np.savez(folder / "many.npz", a=grey, b=grey)
    np.savez(folder / "empty.npz")
    (folder / "cut.npy").write_bytes(b"\x93NUMPY\x01\x00v\x00")
    (folder / "text.npy").write_text("1 2 3")
    (folder / "text.png").write_text("no picture")
    (folder / "picture.jpg").write_bytes(b"")
    (folder / "folder.npy").mkdir()
    whole = png(folder / "whole.png", np.random.default_rng(0).integers(0, 255, (40, 40), "uint8")).read_bytes()
    (folder / "cut.png").write_bytes(whole[: len(whole) // 2])
    png(folder / "deep.png", np.zeros((2, 2), "uint16"))
    png(folder / "clear.png", np.zeros((2, 2, 4), "uint8"))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("pickled.npy", "without pickles"),
        ("pickled.npz", "cannot be read"),
        ("many.npz", "one array, or x among others, received a, b"),
        ("empty.npz", "received none"),
        ("cut.npy", "not a readable .npy"),
        ("text.npy", "not a readable .npy"),
        ("text.png", "is no PNG image"),
        ("cut.png", "not a readable PNG"),
        ("deep.png", "its mode is I;16"),
        ("clear.png", "its mode is RGBA"),
        ("picture.jpg", "a file of .npy, .npz, .png, .*, received picture.jpg"),
        ("absent.npy", "does not exist"),
        ("folder.npy", "is a folder"),
    ],
)
def test_bad_files(name, message, tmp_path):
    bad_files(tmp_path)
    with pytest.raises(InputError, match=message) as error:
        read_examples(tmp_path / name)
    assert "\n" not in str(error.value)


@pytest.mark.sampled(2)
@pytest.mark.parametrize("format, file", [("litert", "model.tflite"), ("nir", "model.nir")])
def test_a_model_file_of_another_export_is_refused(tmp_path, format, file):
    pytest.importorskip("ai_edge_litert" if format == "litert" else "nir")
    for name, seed in (("a", 0), ("b", 1)):
        network = SNNFCNet(2, hidden_units=3, encoder=RateEncoder(3), seed=seed)
        network.build((None, 4))
        export(network, tmp_path / name, format)
    predict(tmp_path / "a", np.zeros((1, 4)), queries=1)
    shutil.copy(tmp_path / "b" / file, tmp_path / "a" / file)
    with pytest.raises(InputError, match=f"{file} must be the file that manifest.json was written with"):
        predict(tmp_path / "a", np.zeros((1, 4)), queries=1)


def edited(folder, copy, edit):
    """Copy an export and change its manifest."""
    shutil.copytree(folder, copy)
    manifest = files.read_json(copy / "manifest.json")
    edit(manifest)
    files.write_json(copy / "manifest.json", manifest)
    return copy


@pytest.mark.parametrize("format", FORMATS)
def test_a_manifest_that_does_not_describe_its_model_is_refused(format, exported, tmp_path):
    for module in ("onnxruntime", "tf2onnx", "ai_edge_litert", "nir"):
        pytest.importorskip(module)
    wider = edited(exported(format), tmp_path / "wider", lambda it: it["features"].__setitem__(0, 9))
    x = np.zeros((1, 9, *images().shape[2:]))
    with pytest.raises(
        InputError, match="wider/manifest.json must describe the model beside it; there num_steps is"
    ) as error:
        predict(wider, x, queries=1)
    assert "\n" not in str(error.value)


def test_nir_with_an_edited_number_of_steps_is_refused(exported, tmp_path):
    pytest.importorskip("nir")
    folder = edited(exported("nir"), tmp_path / "longer", lambda it: it.update(num_steps=17))
    with pytest.raises(InputError, match="longer/manifest.json must describe .* there num_steps is 17 and features"):
        predict(folder, images(), queries=1)


# Models -------------------------------------------------------------------------------------------


@pytest.mark.thorough
def test_models_that_cannot_be_asked(exported, tmp_path):
    with pytest.raises(InputError, match="must have an encoder inside"):
        predict(make("fc", False), images())
    export(make("fc", False), tmp_path / "bare")
    with pytest.raises(InputError, match="must have an encoder inside"):
        predict(tmp_path / "bare", images())
    with pytest.raises(InputError, match="has neither config.json nor manifest.json"):
        predict(tmp_path, images())
    with pytest.raises(InputError, match="intensities from 0 to 1, as the model's encoder sees it, received 1.0"):
        predict(make(), images() + 1)
    shutil.copytree(exported("savedmodel"), tmp_path / "damaged")
    (tmp_path / "damaged" / "saved_model.pb").write_bytes(b"no")
    with pytest.raises(InputError, match="cannot be loaded"):
        predict(tmp_path / "damaged", images())
    (tmp_path / "damaged" / "manifest.json").write_text('{"format": 1}')
    with pytest.raises(InputError, match="not a manifest of kerasburst export"):
        predict(tmp_path / "damaged", images())


@pytest.mark.thorough
@pytest.mark.parametrize("damage", ["empty", "cut", "noise", "flipped", "pipe", "circle", "folder", "gone"])
@pytest.mark.parametrize(
    "file", ["saved_model.pb", "variables/variables.index", "variables/variables.data-00000-of-00001"]
)
def test_damaged_saved_models(file, damage, exported, tmp_path):
    """Neither a traceback nor a pipe that is waited for."""
    shutil.copytree(exported("savedmodel"), tmp_path / "out")
    path = tmp_path / "out" / file
    content = path.read_bytes()
    path.unlink()
    half = len(content) // 2
    match damage:
        case "empty" | "cut" | "noise" | "flipped":
            middle = bytes(255 - byte for byte in content[half : half + 40])
            path.write_bytes(
                {"empty": b"", "cut": content[:half], "noise": bytes(range(256)) * 40}.get(
                    damage, content[:half] + middle + content[half + 40 :]
                )
            )
        case "pipe":
            os.mkfifo(path)
        case "circle":
            path.symlink_to(path.name)
        case "folder":
            path.mkdir()
    with pytest.raises(InputError, match=f"^[^\n]*{tmp_path / 'out'}[^\n]*$"):
        predict(tmp_path / "out", images())


@pytest.mark.parametrize(("format", "file"), [("onnx", "model.onnx"), ("litert", "model.tflite"), ("nir", "model.nir")])
def test_damaged_files(format, file, exported, tmp_path):
    for module in ("onnxruntime", "tf2onnx", "ai_edge_litert", "nir"):
        pytest.importorskip(module)
    shutil.copytree(exported(format), tmp_path / "out")
    (tmp_path / "out" / file).write_bytes(b"no")
    with pytest.raises(InputError, match=f"{file} (cannot be loaded|is not a readable)"):
        predict(tmp_path / "out", images())
    os.unlink(tmp_path / "out" / file)
    with pytest.raises(InputError, match=f"damaged, it has no {file}"):
        predict(tmp_path / "out", images())


def test_spikes_are_refused_by_the_argument_s_name():
    network = SNNFCNet(3, hidden_units=4, encoder=NoEncoder(6))
    network.build((None, 6, 5))
    with pytest.raises(InputError, match="^input must hold spikes, each 0 or 1, .* received 2 to 2$"):
        predict(network, np.full((2, 6, 5), 2.0))
    with pytest.raises(InputError, match="^input must be spikes, each 0 or 1, received 2 to 2"):
        to_intensities(np.full((2, 6, 5), 2), (6, 5), Scaling("spikes", (6, 5), (0.0,), (1.0,)))
    with pytest.raises(InputError, match="^input must be images with values from 0 to 16"):
        to_intensities(np.full((2, 3), 17), (2, 3, 1), IMAGE)


@pytest.mark.sampled(2)
@pytest.mark.parametrize("encoder", [kb.NoEncoder, kb.EventBurstEncoder])
def test_a_recording_of_events(encoder, tmp_path):
    network = kb.SNNFCNet(3, hidden_units=5, encoder=encoder(4), seed=0)
    network.build((None, 4, 6))
    np.savez(tmp_path / "a.npz", t=[0, 10, 21, 39], unit=[0, 5, 2, 3])
    spikes = np.zeros((1, 4, 6), np.uint8)
    spikes[0, [0, 1, 2, 3], [0, 5, 2, 3]] = 1
    found = kb.predict(network, tmp_path / "a.npz", queries=2, seed=1)
    np.testing.assert_array_equal(found.logits, kb.predict(network, spikes.astype("float32"), queries=2, seed=1).logits)
    np.savez(tmp_path / "b.npz", t=[0, 10], unit=[0, 6])
    with pytest.raises(InputError, match="b.npz: unit must be 0 to 5 on this sensor, received 6"):
        kb.predict(network, tmp_path / "b.npz")


@pytest.mark.thorough
def test_a_recording_becomes_what_the_run_learnt_from_in_its_export_too(tmp_path):
    """Numbers of events, and steps of a duration, whose padding an export does not take."""
    events = {
        "t": [0, 0, 1, 2100, 2100, 2100],
        "x": [1, 1, 1, 5, 5, 5],
        "y": [2, 2, 2, 7, 7, 7],
        "p": [1, 1, 1, 0, 0, 0],
    }
    np.savez(tmp_path / "a.npz", **events)
    spikes = np.zeros((1, 4, 16, 16, 2), "float32")
    spikes[0, 0, 2, 1, 1] = spikes[0, 2, 7, 5, 0] = 3.0
    small = {"num_steps": 4, "epochs": 1, "train_limit": 20, "model": "SNNFCNet", "network": {"hidden_units": 4}}
    config = {"dataset": "moving_digits", "encoding": "none", "encoder": {"counts": True}, "queries": 1, **small}
    for name, data, steps in (("counts", {}, 4), ("padded", {"step_us": 1000}, 3)):
        run = tmp_path / name
        with eagerly():
            kb.train(kb.TrainConfig(**config, data={"counts": True, **data}), run)
        x = (
            spikes[:, :steps] if data else spikes[:, [0, 1, 3, 2]]
        )  # by number of steps the last event is in the last one
        want = load_network(run).with_encoder(None)(x)
        np.testing.assert_allclose(predict(run, tmp_path / "a.npz").logits, want, atol=1e-5)
        export_run(run, tmp_path / f"{name}-x")
        if data:
            with pytest.raises(InputError, match="^input must fill all steps for an export"):
                predict(tmp_path / f"{name}-x", tmp_path / "a.npz")
        else:
            np.testing.assert_allclose(predict(tmp_path / f"{name}-x", tmp_path / "a.npz").logits, want, atol=1e-5)
    with pytest.raises(InputError, match="^input must hold numbers of events, 0 or more, received -6"):
        predict(tmp_path / "counts", -2 * spikes)


def test_padding_changes_no_prediction():
    network = kb.SNNFCNet(3, hidden_units=5, encoder=kb.NoEncoder(7), seed=0)
    network.build((None, 7, 6))
    x = np.full((2, 7, 6), -1, np.int8)
    x[:, :4] = np.random.default_rng(0).integers(0, 2, (2, 4, 6))
    scaling = Scaling("spikes", (7, 6), (0.0,), (1.0,))
    assert to_intensities(x, (7, 6), scaling).dtype == np.int8

    opened = _open_network(network, scaling)
    logits = opened.ask(x, 0, 1)["logits"]
    np.testing.assert_allclose(logits, network.with_encoder(None)(x[:, :4].astype("float32")), atol=1e-5)
