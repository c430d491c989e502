import numpy as np
import pytest

from kerasburst.data.datasets import availability, known_dataset, load_dataset, load_source
from kerasburst.data.derived import as_spikes, split_classes, take_classes, with_sample_shape
from kerasburst.data.sources import Source
from kerasburst.validation import InputError


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("digits", ("digits", None)),
        ("digits:0-4", ("digits", (0, 1, 2, 3, 4))),
        ("digits:7,0-2", ("digits", (0, 1, 2, 7))),
        ("/data/a:b/mine.npz", ("/data/a:b/mine.npz", None)),
        ("/data/a:b/mine.npz:3,5", ("/data/a:b/mine.npz", (3, 5))),
    ],
)
def test_names(name, expected):
    assert split_classes(name) == expected


@pytest.mark.parametrize(
    ("name", "part"),
    [("digits:4-0", "upwards, received 4-0"), ("digits:3", "two or more"), ("digits:1,1-2", "each once")],
)
def test_wrong_classes_are_refused(name, part):
    with pytest.raises(InputError, match=part):
        split_classes(name)


def test_examples_of_the_classes_are_kept_and_renumbered():
    x = np.arange(14, dtype=np.uint8).reshape(7, 2, 1)
    y = np.array([2, 0, 1, 2, 1, 2, 0])
    arrays = {"x_train": x[:4], "y_train": y[:4], "x_test": x[4:], "y_test": y[4:]}
    whole = Source.from_arrays("mine", arrays, class_names=("cat", "dog", "owl"))
    part = take_classes(whole, (0, 2))
    assert part.y.tolist() == [1, 0, 1, 1, 0] and part.x[:, 0, 0, 0].tolist() == [0, 2, 6, 10, 12]
    assert (part.test_start, part.num_classes, part.class_names) == (3, 2, ("cat", "owl"))
    assert part.name == "mine:0,2" and part.note == "2 of 3 classes: cat, owl"
    assert part.fingerprint != whole.fingerprint


def test_a_data_set_by_name_and_classes():
    whole, part = load_source("digits"), load_source("digits:5-9")
    assert len(part.y) == (whole.y >= 5).sum() and part.full_scale == 16.0
    assert np.array_equal(part.x, whole.x[whole.y >= 5]) and np.array_equal(part.y + 5, whole.y[whole.y >= 5])
    assert availability("digits:5-9").available
    info = known_dataset("digits:5-9")
    assert (info.num_classes, info.class_names, info.default_epochs) == (5, tuple("56789"), 20)
    assert load_dataset("digits:5-9", train_limit=50).num_classes == 5


def test_a_class_that_is_not_there():
    with pytest.raises(InputError, match=r"digits must have the classes .* 0 to 9, received 10"):
        load_source("digits:8-10")
    with pytest.raises(InputError, match="did you mean digits"):
        load_source("digit:0-4")


# Another shape ----------------------------------------------------------------------------------

Y = np.array([0, 1])


def images(x):
    return Source.from_arrays("mine", {"x": np.asarray(x), "y": Y})


def test_the_same_shape_is_left_alone():
    source = images(np.zeros((2, 4, 4, 1), np.uint8))
    assert with_sample_shape(source, (4, 4, 1)) is source


def test_grey_is_repeated_and_colour_weighed():
    grey = images(np.array([[[10, 20]], [[30, 255]]], np.uint8))
    colour = with_sample_shape(grey, (1, 2, 3))
    assert colour.x.dtype == np.float32 and colour.full_scale == 255.0
    assert colour.x[1, 0].tolist() == [[30.0] * 3, [255.0] * 3]
    primaries = images(np.array([[[[100, 0, 0], [0, 100, 0]]], [[[0, 0, 100], [255, 255, 255]]]], np.uint8))
    # Both polarities of events are the grey of the image, or the luminance of its colours.
    two = with_sample_shape(grey, (1, 2, 2)).x
    assert two.shape[1:] == (1, 2, 2) and (two[..., 0] == two[..., 1]).all()
    assert (
        with_sample_shape(primaries, (1, 2, 2)).x[..., 1] == with_sample_shape(primaries, (1, 2, 1)).x[..., 0]
    ).all()
    back = with_sample_shape(primaries, (1, 2, 1)).x.ravel()
    assert back == pytest.approx([29.89, 58.7, 11.4, 255.0], abs=0.05) and back.max() <= 255.0


def test_halving_with_antialiasing_keeps_the_mean_of_a_checkerboard():
    board = np.indices((8, 8)).sum(0) % 2 * 200
    small = with_sample_shape(images(np.stack([board, 200 - board]).astype(np.uint8)), (4, 4, 1))
    assert small.x[:, 1:3, 1:3].min() > 60 and small.x[:, 1:3, 1:3].max() < 140  # without it 0 or 200 would be left
    assert small.x.mean() == pytest.approx(100, abs=2)


def test_the_note_says_it_and_labels_stay():
    source = images(np.full((2, 28, 28), 7, np.uint8))
    small = with_sample_shape(source, (8, 8, 3))
    assert small.note == "examples of (28, 28, 1) brought to (8, 8, 3)" and small.x == pytest.approx(7.0)
    assert np.array_equal(small.y, Y) and small.num_classes == 2


@pytest.mark.parametrize(
    ("x", "shape"),
    [
        (np.zeros((2, 3)), (4,)),
        (np.zeros((2, 3)), (4, 4, 1)),
        (np.zeros((2, 4, 4, 1), np.uint8), (3,)),
        (np.zeros((2, 4, 4, 2), np.uint8), (4, 4, 3)),
    ],
)
def test_what_cannot_be_made_to_agree_is_refused(x, shape):
    with pytest.raises(InputError, match="mine must have examples that can be given the shape"):
        with_sample_shape(Source.from_arrays("mine", {"x": x, "y": Y}), shape)


@pytest.fixture
def recording(tmp_path):
    spikes = np.random.default_rng(0).integers(0, 2, (24, 3, 5, 4)).astype("uint8")
    path = tmp_path / "mine.npz"
    np.savez(path, x=spikes, y=np.arange(24) % 3)
    return path, spikes


def test_images_of_0_and_1_are_spikes_where_they_are_asked_for(recording):
    path, spikes = recording
    assert not load_source(path).encoded and load_source(path).sample_shape == (3, 5, 4)
    source = load_source(path, spikes=True)
    assert source.encoded and source.kind == "tabular" and np.array_equal(source.x, spikes)
    assert as_spikes(source) is source
    flat = as_spikes(Source.from_arrays("mine", {"x": spikes[..., 0].astype(float), "y": np.arange(24) % 3}))
    assert flat.x.dtype == np.uint8 and np.array_equal(flat.x, spikes[..., 0])
    some = load_source(f"{path}:0,2", spikes=True)
    assert some.encoded and np.array_equal(some.x, spikes[np.arange(24) % 3 != 1])
    assert load_dataset(path, spikes=True).x_train.shape[1:] == (3, 5, 4)


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (np.full((8, 3, 5), 7), "each 0 or 1, received 7 to 7"),
        (np.full((8, 3, 5), 0.5), "each 0 or 1, received 0.5 to 0.5"),
        (np.ones((8, 3)), r"spikes of shape \(n, num_steps, \*features\) for the encoding none, received \(8, 3\)"),
    ],
)
def test_what_is_no_spikes_is_refused(tmp_path, x, message):
    np.savez(tmp_path / "mine.npz", x=x, y=np.arange(8) % 3)
    with pytest.raises(InputError, match=message):
        load_source(tmp_path / "mine.npz", spikes=True)


def test_spikes_and_encodings_must_agree(recording, tmp_path):
    path, spikes = recording
    with pytest.raises(InputError, match="encoding must not be none or event_burst for digits, which holds no spikes"):
        load_source("digits:0-4", spikes=True)
    np.savez(tmp_path / "camera.npz", x=spikes[..., None], y=np.arange(24) % 3)
    assert load_source(tmp_path / "camera.npz").encoded
    with pytest.raises(InputError, match="encoding must be none or event_burst for camera, which holds spikes"):
        load_source(tmp_path / "camera.npz", spikes=False)
    with pytest.raises(InputError, match="must have examples that can be given the shape"):
        with_sample_shape(load_source(path, spikes=True), (3, 8, 8))
