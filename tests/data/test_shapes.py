import numpy as np
import pytest

from kerasburst.data.shapes import with_sample_shape
from kerasburst.data.sources import Source
from kerasburst.validation import InputError

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
