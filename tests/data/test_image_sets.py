"""Large sets of images are read as others store them, an image at a time."""

import sys
import tracemalloc

import pytest
from PIL import Image

import kerasburst as kb
from kerasburst.data.datasets import load_source
from kerasburst.data.lazy import Examples
from kerasburst.data.pipeline import make_dataset
from kerasburst.validation import InputError

WNIDS = ("n02", "n01")


def picture(value, mode="RGB", size=(8, 6)):
    return Image.new(mode, size, value if mode == "L" else (value, 2 * value, 3 * value))


@pytest.fixture
def tiny(tmp_path):
    root = tmp_path / "tiny"
    (root / "val/images").mkdir(parents=True)
    (root / "wnids.txt").write_text("\n".join(WNIDS) + "\n")
    (root / "words.txt").write_text("n01\tgoldfish, Carassius\nn02\tbird\nn03\tother\n")
    for wnid in WNIDS:
        (root / "train" / wnid / "images").mkdir(parents=True)
        for i in range(2):
            grey = wnid == "n02" and i == 1  # as a few of the published ones are
            picture(10 + i, "L" if grey else "RGB").save(root / "train" / wnid / "images" / f"{wnid}_{i}.png")
        (root / "train" / wnid / f"{wnid}_boxes.txt").write_text("no image")
    for i in range(3):
        picture(50 + i).save(root / "val/images" / f"val_{i}.png")
    (root / "val/val_annotations.txt").write_text(
        "".join(f"val_{i}.png\t{w}\t0\t0\t9\t9\n" for i, w in enumerate(("n01", "n02", "n01")))
    )
    (root / "test/images").mkdir(parents=True)  # without labels, not used
    return root


def test_tiny_imagenet(tiny):
    source = load_source(tiny)
    assert (source.name, source.test_start, source.class_names) == ("tiny", 4, ("goldfish", "bird"))
    assert source.y.tolist() == [0, 0, 1, 1, 0, 1, 0] and source.x.shape == (7, 6, 8, 3)
    assert [source.x[i][0, 0].tolist() for i in (0, 3, 4)] == [[10, 20, 30], [11, 11, 11], [50, 100, 150]]


def test_what_is_wrong_with_tiny_imagenet(tiny):
    (tiny / "val/val_annotations.txt").write_text("val_0.png\tn99\n")
    with pytest.raises(
        InputError, match="val_annotations.txt must name a file and one of wnids.txt in each line, received val_0"
    ):
        load_source(tiny)
    (tiny / "train/n01/images").rename(tiny / "train/n01/pictures")
    (tiny / "val/val_annotations.txt").write_text("")
    with pytest.raises(InputError, match="n01/images cannot be read"):
        load_source(tiny)


@pytest.mark.parametrize(
    "module, file, message",
    [
        ("datasets", "dataset_dict.json", "needs the package datasets: pip install datasets$"),
        (
            "tensorflow_datasets",
            "features.json",
            "needs tensorflow-datasets: pip install tensorflow-datasets array-record$",
        ),
    ],
)
def test_a_missing_package_is_one_line(module, file, message, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, module, None)
    for name in (file, "dataset_info.json"):
        (tmp_path / name).write_text("{}")
    with pytest.raises(InputError, match=message):
        load_source(tmp_path)


@pytest.mark.filterwarnings("ignore")  # of packages that it needs
def test_hugging_face(tmp_path):
    datasets = pytest.importorskip("datasets")
    features = datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(names=["cat", "dog"])})

    def part(values):
        rows = {"image": [picture(v) for v in values], "label": [v % 2 for v in values]}
        return datasets.Dataset.from_dict(rows, features=features)

    datasets.DatasetDict({"train": part([4, 5, 6]), "test": part([7, 8])}).save_to_disk(str(tmp_path / "pets"))
    source = load_source(tmp_path / "pets")
    assert source.class_names == ("cat", "dog") and source.y.tolist() == [0, 1, 0, 1, 0] and source.test_start == 3
    assert isinstance(source.x, Examples) and source.x.shape == (5, 6, 8, 3)
    assert [image[0, 0, 0] for image in source.x] == [4, 5, 6, 7, 8]
    part([4, 5, 6]).save_to_disk(str(tmp_path / "alone"))
    assert load_source(tmp_path / "alone").test_start is None


def test_memory_does_not_grow_with_the_number_of_images(collected, tmp_path):
    for i in range(160):
        path = tmp_path / "set" / "ab"[i % 2] / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        picture(i % 80 + 2, size=(64, 64)).save(path)

    def peak(source):
        tracemalloc.start()
        data = kb.Dataset.from_source(source, kb.Splits(range(len(source.y)), [], []))
        for _ in make_dataset(data.x_train, data.y_train, kb.RateEncoder(2), 4, seed=0, num_parallel_calls=1):
            pass
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    source = load_source(tmp_path / "set")
    parts = [kb.Source("few", "image", source.x[:count], source.y[:count], 2) for count in (8, 16, 160)]
    _, few, many = [peak(part) for part in parts]
    assert many - few < 144 * 64 * 64 * 3 * 4 / 4  # a quarter of what would hold 144 images more
