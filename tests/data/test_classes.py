import numpy as np
import pytest

from kerasburst.data.classes import split_classes, take_classes
from kerasburst.data.datasets import availability, known_dataset, load_dataset, load_source
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
