import numpy as np

from kerasburst.data.dataset import Dataset
from kerasburst.data.sources import Source
from kerasburst.data.splits import Splits


def test_parts_come_from_the_indices_and_the_scaling_from_the_training_part():
    x = np.array([[0.0], [10.0], [5.0], [20.0]])
    source = Source.from_arrays("mine", {"x": x, "y": np.array([0, 1, 1, 0])}, class_names=("no", "yes"), note="n")
    splits = Splits([1, 0], [2], [3], pool_size=4)
    data = Dataset.from_source(source, splits)
    assert data.x_train.tolist() == [[1.0], [0.0]] and data.y_train.tolist() == [1, 0]
    assert data.x_validation.tolist() == [[0.5]] and data.y_validation.tolist() == [1]
    assert data.x_test.tolist() == [[1.0]] and data.y_test.tolist() == [0]  # 20 is clipped
    assert (data.scaling.low, data.scaling.high) == ((0.0,), (10.0,))
    assert (data.name, data.kind, data.num_classes, data.note) == ("mine", "tabular", 2, "n")
    assert data.class_names == ("no", "yes") and data.splits == splits and data.fingerprint == source.fingerprint


def test_images_with_a_scale_of_their_own():
    source = Source("mine", "image", np.array([[[[8]]], [[[16]]]], np.uint8), np.array([0, 1]), 2, full_scale=16.0)
    data = Dataset.from_source(source, Splits([0], [], [1]))
    assert data.x_train.item() == 0.5 and data.x_test.item() == 1.0 and data.x_validation.shape == (0, 1, 1, 1)
