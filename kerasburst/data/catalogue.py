"""The data sets known by name.

A new one is one entry of `DATASETS`, and a function in `readers.py` if none there reads its files.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from kerasburst.data import published_events as published
from kerasburst.data.event_sets import EventSet
from kerasburst.data.moving_digits import SENSOR, moving_digits
from kerasburst.data.readers import Arrays, Layout, cifar_layouts, read_fashion_mnist, read_npz, read_sklearn


@dataclass(frozen=True)
class DatasetInfo:
    """A data set that is known by name.

    Args:
        name: Name to load it by.
        title: Name to print.
        kind: "image" or "tabular"; of events "image" for event cameras.
        sample_shape: Shape of one example, images channels-last; of events that of one step.
        num_classes: Number of classes.
        num_examples: Number of examples, all parts together.
        num_train: Training examples of the official split; None: no official split, it is random.
        num_test: Test examples of the official split; None as above.
        default_epochs: Epochs to train unless told otherwise.
        origin: Where it comes from.
        class_names: Names of the classes; empty: the labels.
        full_scale: Raw value of full intensity of images that do not use their whole range.
        bundled: Returns its arrays, if an installed package has them.
        layouts: Forms in which its files may be in a folder, first choice first, if no package has them.
        events: Returns its recordings, given the place that `place` found; None for what is not events.
        place: Returns where its recordings are in a folder of data, or None; None if no files are needed.
        expected: What a folder of data must hold for that, for messages.

    Example:
        >>> DATASETS["digits"].sample_shape, DATASETS["digits"].num_examples
        ((8, 8, 1), 1797)
    """

    name: str
    title: str
    kind: str
    sample_shape: tuple[int, ...]
    num_classes: int
    num_examples: int
    num_train: int | None
    num_test: int | None
    default_epochs: int
    origin: str
    class_names: tuple[str, ...] = ()
    full_scale: float | None = None
    bundled: Callable[[], Arrays] | None = field(default=None, repr=False)
    layouts: tuple[Layout, ...] = field(default=(), repr=False)
    events: Callable[[Path], EventSet] | None = field(default=None, repr=False)
    place: Callable[[Path], Path | None] | None = field(default=None, repr=False)
    expected: str = ""


_SKLEARN = "scikit-learn"
_FASHION_FILES = tuple(
    f"{part}-{what}-ubyte.gz" for part in ("train", "t10k") for what in ("images-idx3", "labels-idx1")
)
_FASHION_NAMES = tuple("T-shirt/top,Trouser,Pullover,Dress,Coat,Sandal,Shirt,Sneaker,Bag,Ankle boot".split(","))
_CIFAR10_BATCHES = tuple(f"data_batch_{i}" for i in range(1, 6))
_CIFAR10_NAMES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


def _npz(name: str) -> Layout:
    return Layout((f"{name}.npz",), read_npz)


def _sklearn(
    name: str, title: str, shape: tuple[int, ...], count: int, epochs: int, names: tuple[str, ...], **more
) -> DatasetInfo:
    kind = "image" if len(shape) == 3 else "tabular"
    bundled = partial(read_sklearn, name)
    return DatasetInfo(
        name, title, kind, shape, len(names), count, None, None, epochs, _SKLEARN, names, bundled=bundled, **more
    )


def _keras(
    name: str, title: str, shape: tuple[int, ...], train: int, epochs: int, classes: int = 10, **more
) -> DatasetInfo:
    origin = f"keras.datasets.{name}"
    return DatasetInfo(name, title, "image", shape, classes, train + 10_000, train, 10_000, epochs, origin, **more)


def _events(
    name: str, title: str, shape: tuple[int, ...], train: int, test: int, epochs: int, names: tuple[str, ...], **more
) -> DatasetInfo:
    kind, count = "image" if len(shape) == 3 else "tabular", train + test
    return DatasetInfo(name, title, kind, shape, len(names), count, train, test, epochs, "its files", names, **more)


def _numbers(count: int) -> tuple[str, ...]:
    return tuple(map(str, range(count)))


DATASETS: dict[str, DatasetInfo] = {
    info.name: info
    for info in (
        _sklearn("digits", "Digits", (8, 8, 1), 1797, 20, _numbers(10), full_scale=16.0),
        _sklearn("iris", "Iris", (4,), 150, 200, ("setosa", "versicolor", "virginica")),
        _sklearn("breast_cancer", "Breast Cancer", (30,), 569, 60, ("malignant", "benign")),
        _sklearn("wine", "Wine", (13,), 178, 100, ("class_0", "class_1", "class_2")),
        _keras("mnist", "MNIST", (28, 28, 1), 60_000, 5, class_names=_numbers(10), layouts=(_npz("mnist"),)),
        _keras(
            *("fashion_mnist", "Fashion-MNIST", (28, 28, 1), 60_000, 5),
            class_names=_FASHION_NAMES,
            layouts=(
                _npz("fashion_mnist"),
                Layout(tuple(f"fashion-mnist/{file}" for file in _FASHION_FILES), read_fashion_mnist),
                Layout(_FASHION_FILES, read_fashion_mnist),
            ),
        ),
        _keras(
            *("cifar10", "CIFAR-10", (32, 32, 3), 50_000, 10),
            class_names=_CIFAR10_NAMES,
            layouts=(
                _npz("cifar10"),
                *cifar_layouts(10, _CIFAR10_BATCHES, "test_batch", "cifar-10-batches-py", "labels"),
                Layout(("cifar10_subset.npz",), read_npz, "a subset of CIFAR-10"),
            ),
        ),
        _keras(
            *("cifar100", "CIFAR-100", (32, 32, 3), 50_000, 10, 100),
            class_names=_numbers(100),
            layouts=(_npz("cifar100"), *cifar_layouts(100, ["train"], "test", "cifar-100-python", "fine_labels")),
        ),
        DatasetInfo(
            *("moving_digits", "Moving digits", "image", (*SENSOR, 2), 10, 1797, None, None, 12),
            "scikit-learn's digits, seen by a simulated event camera",
            _numbers(10),
            events=lambda _: moving_digits(),
        ),
        _events(
            *("nmnist", "N-MNIST", (34, 34, 2), 60_000, 10_000, 5, _numbers(10)),
            place=published.find_nmnist,
            events=published.read_nmnist,
            expected="NMNIST/Train/0/*.bin to NMNIST/Test/9/*.bin",
        ),
        _events(
            *("dvs_gesture", "DVS Gesture", (128, 128, 2), 1077, 264, 20, published.GESTURES),
            place=published.find_dvs_gesture,
            events=published.read_dvs_gesture,
            expected="DVSGesture/trials_to_train.txt and user*.aedat, or tonic's DVSGesture/ibmGestureTrain",
        ),
        _events(
            *("shd", "SHD", (700,), 8156, 2264, 20, _numbers(20)),
            place=published.find_hsd("shd"),
            events=published.read_hsd("shd"),
            expected="SHD/shd_train.h5 and SHD/shd_test.h5",
        ),
        _events(
            *("ssc", "SSC", (700,), 75_466, 20_382, 10, _numbers(35)),
            place=published.find_hsd("ssc"),
            events=published.read_hsd("ssc"),
            expected="SSC/ssc_train.h5 and SSC/ssc_test.h5",
        ),
    )
}
