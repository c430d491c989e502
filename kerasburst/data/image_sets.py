"""Large sets of images as others store them: TinyImageNet, Hugging Face's `datasets`, TensorFlow Datasets."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from kerasburst import files
from kerasburst.data.class_folders import entries
from kerasburst.data.image_folder import SUFFIXES, image_source, stream_images
from kerasburst.data.lazy import Examples
from kerasburst.data.sources import Reader, Source, check_classes, check_labels
from kerasburst.validation import InputError, one_line

_TEST_PARTS = ("test", "validation", "valid", "val")  # first choice first; a part without labels does not count


class TinyImageNetReader(Reader):
    """Read TinyImageNet's folder: train/WNID/images/*, and val with val_annotations.txt as the official test part."""

    what = "TinyImageNet's folder"
    contents = "wnids.txt, train/WNID/images/*.JPEG, val/images/*.JPEG, val/val_annotations.txt"

    def claims(self, path: Path) -> bool:
        """Return whether the folder holds wnids.txt and train."""
        return (path / "wnids.txt").is_file() and (path / "train").is_dir()

    def read(self, path: Path) -> Source:
        """Return the source; greyscale images become RGB."""
        wnids = sorted(_lines(path / "wnids.txt"))
        titles = {}
        if (path / "words.txt").exists():
            rows = (line.partition("\t") for line in _lines(path / "words.txt"))
            titles = {wnid: words.split(",")[0].strip() for wnid, _, words in rows}
        train = [_images(path / "train" / wnid / "images") for wnid in wnids]
        annotations = path / "val" / "val_annotations.txt"
        tested, labels = [], []
        for line in _lines(annotations):
            name, wnid, *_ = [*line.split("\t"), ""]
            if wnid not in wnids:
                raise InputError(
                    f"{annotations} must name a file and one of wnids.txt in each line, received {one_line(line)}"
                )
            tested.append(path / "val" / "images" / name)
            labels.append(wnids.index(wnid))
        y = np.repeat(np.arange(len(wnids)), [len(each) for each in train])
        y = np.concatenate([y, np.array(labels, np.int64)])
        paths = [file for each in train for file in each]
        names = tuple(titles.get(wnid, wnid) for wnid in wnids)
        x = stream_images([*paths, *tested], colour=True)
        return image_source(path.resolve().name, x, y, names, len(paths) if tested else None)


class HuggingFaceReader(Reader):
    """Read a data set of images that `datasets` saved to disk (`save_to_disk`); needs the package datasets."""

    what = "a folder of Hugging Face's save_to_disk"
    contents = "images and labels; the split test or validation, if it has labels, is the test part"

    def claims(self, path: Path) -> bool:
        """Return whether the folder holds what save_to_disk writes."""
        return any((path / name).is_file() for name in ("dataset_dict.json", "state.json"))

    def read(self, path: Path) -> Source:
        """Return the source, read an image at a time."""
        try:
            import datasets
        except ImportError:
            raise InputError(f"{path} needs the package datasets: pip install datasets") from None
        try:
            stored = datasets.load_from_disk(str(path))
        except Exception as error:  # a damaged set raises nearly anything
            raise InputError(f"{path} is not a readable data set of Hugging Face ({one_line(error)})") from None
        splits = dict(stored) if isinstance(stored, datasets.DatasetDict) else {"train": stored}
        features = next(iter(splits.values())).features
        image = _only(path, "column of images", features, datasets.Image)
        label = _only(path, "column of labels", features, datasets.ClassLabel)
        parts = [splits[name] for name in _parts(path, {n: min(part[label]) >= 0 for n, part in splits.items()})]
        labels = [np.asarray(part[label], np.int64) for part in parts]
        return _source(path, labels, features[label].names, lambda i, k: np.asarray(parts[i][k][image]))


class TFDSReader(Reader):
    """Read a data set of images that TensorFlow Datasets prepared as ArrayRecord; needs tensorflow-datasets."""

    what = "a prepared folder of TensorFlow Datasets"
    contents = "features.json, dataset_info.json and ArrayRecord files of images and labels"

    def claims(self, path: Path) -> bool:
        """Return whether the folder holds what TensorFlow Datasets prepares."""
        return (path / "features.json").is_file() and (path / "dataset_info.json").is_file()

    def read(self, path: Path) -> Source:
        """Return the source, read an image at a time."""
        try:
            import tensorflow_datasets as tfds
        except ImportError:
            needed = "pip install tensorflow-datasets array-record"
            raise InputError(f"{path} needs tensorflow-datasets: {needed}") from None
        try:
            builder = tfds.builder_from_directory(str(path))
            features = builder.info.features
            image = _only(path, "feature image", features, tfds.features.Image)
            label = _only(path, "feature label", features, tfds.features.ClassLabel)
            names = _parts(path, dict.fromkeys(builder.info.splits, True))
            parts = [builder.as_data_source(split=name) for name in names]
            labels = [np.array([part[k][label] for k in range(len(part))], np.int64) for part in parts]
        except InputError:
            raise
        except Exception as error:  # a damaged set, or files that cannot be read at random
            raise InputError(f"{path} is no readable data set of ArrayRecord files ({one_line(error)})") from None
        return _source(
            path, labels, features[label].names, lambda i, k: np.asarray(parts[i][k][image]), builder.info.name
        )


def _source(
    path: Path, labels: Sequence[np.ndarray], names: Sequence[str], read: Callable[[int, int], Any], name: str = ""
) -> Source:
    """Return the source of one part or two of labelled images, `read(part, number)`."""
    y = [check_labels(f"{path}: labels", each) for each in labels]
    classes = check_classes([f"{path}: labels"] * len(y), y)
    place = [(part, number) for part, each in enumerate(y) for number in range(len(each))]
    first = _pixels(read(*place[0]), path)

    def image(number: int) -> np.ndarray:
        pixels = _pixels(read(*place[number]), path)
        if pixels.shape != first.shape:
            raise InputError(f"{path} must hold images of one shape, {first.shape}, image {number} has {pixels.shape}")
        return pixels

    x = Examples(image, np.arange(len(place)), first.shape, first.dtype)
    return image_source(
        name or path.resolve().name, x, np.concatenate(y), tuple(names)[:classes], len(y[0]) if len(y) > 1 else None
    )


def _pixels(image: np.ndarray, path: Path) -> np.ndarray:
    image = image[:, :, None] if image.ndim == 2 else image
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] not in (1, 3):
        raise InputError(
            f"{path} must hold 8-bit greyscale or RGB images, received {image.dtype} of shape {image.shape}"
        )
    return image


def _parts(path: Path, labelled: dict[str, bool]) -> list[str]:
    """Return the names of the training part and, if there is a labelled one, the test part."""
    if "train" not in labelled:
        raise InputError(f"{path} must have a split train, it has {', '.join(labelled)}")
    return ["train", *[name for name in _TEST_PARTS if labelled.get(name)][:1]]


def _only(path: Path, what: str, features: Mapping[str, Any], kind: type) -> str:
    """Return the name of the one feature of a kind."""
    found = [name for name, feature in features.items() if isinstance(feature, kind)]
    if len(found) != 1:
        raise InputError(f"{path} must have one {what}, received {', '.join(found) or 'none'}")
    return found[0]


def _images(folder: Path) -> list[Path]:
    found = [file for file in entries(folder) if file.suffix.lower() in SUFFIXES]
    if not found:
        raise InputError(f"{folder} must hold images ({', '.join(SUFFIXES)}), received none")
    return found


def _lines(path: Path) -> list[str]:
    with files.reading(path) as file:
        return file.read().decode("utf-8", "replace").splitlines()
