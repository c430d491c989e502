import gzip
import os
import pickle
import struct
import subprocess
import sys
import types
from pathlib import Path

import numpy as np
import pytest

from kerasburst.data.datasets import DATASETS, availability, load_dataset, load_source, may_have_moved
from kerasburst.validation import InputError

REAL = os.environ.get("KERASBURST_DATA")
KERAS_NAMES = ("mnist", "fashion_mnist", "cifar10", "cifar100")
needs_real = pytest.mark.skipif(not REAL, reason="KERASBURST_DATA is not set")


@pytest.fixture(autouse=True)
def alone(monkeypatch, tmp_path_factory):
    """No network, no data folder, an empty Keras cache; gives the cache and the names asked of Keras."""
    home = tmp_path_factory.mktemp("keras")
    (home / "datasets").mkdir()
    monkeypatch.delenv("KERASBURST_DATA", raising=False)
    monkeypatch.setenv("KERAS_HOME", str(home))
    asked = []
    for name in KERAS_NAMES:

        def load_data(name=name):
            asked.append(name)
            raise Exception("URL fetch failure: no route to host")

        monkeypatch.setitem(sys.modules, f"keras.datasets.{name}", types.SimpleNamespace(load_data=load_data))
    return types.SimpleNamespace(cache=home / "datasets", asked=asked)


def images(count, shape=(28, 28), first=0):
    return np.full((count, *shape), first, np.uint8) + np.arange(count, dtype=np.uint8).reshape(-1, *[1] * len(shape))


def write_npz(path, train=20, test=10, shape=(28, 28), first=0):
    labels = np.arange(train, dtype=np.uint8) % 10
    np.savez(
        path,
        x_train=images(train, shape, first),
        y_train=labels,
        x_test=images(test, shape, first + 100),
        y_test=np.arange(test, dtype=np.uint8) % 10,
    )


def write_fashion(folder):
    folder.mkdir(exist_ok=True)
    for part, count in (("train", 20), ("t10k", 10)):
        x, y = images(count), np.arange(count, dtype=np.uint8) % 10
        header = struct.pack(">4I", 0x803, count, 28, 28)
        (folder / f"{part}-images-idx3-ubyte.gz").write_bytes(gzip.compress(header + x.tobytes(), 1, mtime=0))
        (folder / f"{part}-labels-idx1-ubyte.gz").write_bytes(
            gzip.compress(struct.pack(">2I", 0x801, count) + y.tobytes(), 1, mtime=0)
        )


def write_cifar10(folder):
    folder.mkdir(parents=True)
    for number, batch in enumerate(["test_batch", *(f"data_batch_{i}" for i in range(1, 6))]):
        data = images(10, (3072,), 20 * number)
        (folder / batch).write_bytes(pickle.dumps({b"data": data, b"labels": list(range(10))}, protocol=2))


def test_bundled_sets_have_the_shapes_and_counts_they_are_registered_with():
    # Counts from scikit-learn's documentation of its toy data sets.
    counts = {"digits": (1797, 10), "iris": (150, 3), "breast_cancer": (569, 2), "wine": (178, 3)}
    for name, (examples, classes) in counts.items():
        source, info = load_source(name), DATASETS[name]
        assert len(source.y) == info.num_examples == examples
        assert source.num_classes == info.num_classes == classes
        assert source.sample_shape == info.sample_shape and source.kind == info.kind
        assert source.test_start is None and source.note == "" and info.num_train is None and info.num_test is None


def test_bundled_class_names_are_scikit_learns():
    sklearn_datasets = pytest.importorskip("sklearn.datasets")
    for name in ("digits", "iris", "breast_cancer", "wine"):
        names = getattr(sklearn_datasets, f"load_{name}")().target_names
        assert load_source(name).class_names == tuple(str(label) for label in names)


def test_registration_says_what_the_issue_says():
    assert all(info.name == name for name, info in DATASETS.items())
    assert {"digits", "iris", "breast_cancer", "wine", *KERAS_NAMES} <= set(DATASETS)
    for name in KERAS_NAMES:
        info = DATASETS[name]
        train = 60_000 if "mnist" in name else 50_000
        assert (info.num_train, info.num_test, info.num_examples) == (train, 10_000, train + 10_000)
        assert len(info.class_names) == info.num_classes == (100 if name == "cifar100" else 10)
    assert DATASETS["fashion_mnist"].class_names[9] == "Ankle boot"
    assert DATASETS["cifar10"].class_names[6] == "frog"


def test_modules_do_not_import_tensorflow_keras_or_scikit_learn():
    code = "import sys, kerasburst.data.datasets; print({'tensorflow', 'keras', 'sklearn'} & set(sys.modules))"
    root = Path(__file__).parents[2]
    env = {**os.environ, "KERASBURST_DEFER_LAYERS": "1"}  # as the command line does
    done = subprocess.run([sys.executable, "-c", code], cwd=root, env=env, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "mnits",
            r"of digits, .*cifar100.*, or the path of .*an \.npz file or .*, received 'mnits'; did you mean mnist\?",
        ),
        ("fashion-mnist", "did you mean fashion_mnist"),
        ("data.csv", "received 'data.csv'$"),
        ("", "received ''"),
        (3, "received 3"),
    ],
)
def test_unknown_name_is_refused(name, message):
    for call in (load_source, availability, load_dataset):
        with pytest.raises(InputError, match=message):
            call(name)


def test_data_dir_must_be_a_folder(tmp_path, monkeypatch):
    file = tmp_path / "file"
    file.touch()
    for folder, message in ((tmp_path / "no", "does not exist"), (file, "is a file")):
        for name in ("mnist", "digits"):
            for call in (load_source, availability):
                with pytest.raises(InputError, match=f"data_dir must be an existing folder, .* {message}"):
                    call(name, folder)
    monkeypatch.setenv("KERASBURST_DATA", str(file))
    with pytest.raises(InputError, match="KERASBURST_DATA must be an existing folder, .* is a file"):
        load_source("mnist")
    assert load_source("iris").name == "iris"  # needs no folder


def test_npz_in_data_dir_or_variable_is_found_and_called_a_subset(tmp_path, monkeypatch, alone):
    write_npz(tmp_path / "mnist.npz")
    source = load_source("mnist", tmp_path)
    assert source.x.shape == (30, 28, 28, 1) and source.test_start == 20 and source.full_scale == 255.0
    assert source.note == "a subset of MNIST: 20 + 10"
    monkeypatch.setenv("KERASBURST_DATA", str(tmp_path))
    assert load_source("mnist").fingerprint == source.fingerprint
    assert availability("mnist") == (True, str(tmp_path / "mnist.npz"), "")
    assert alone.asked == []


def test_data_dir_goes_before_the_variable_and_that_before_the_cache(tmp_path, monkeypatch, alone):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    write_npz(tmp_path / "a" / "mnist.npz", first=1)
    write_npz(tmp_path / "b" / "mnist.npz", first=2)
    write_npz(alone.cache / "mnist.npz", first=3)
    assert load_source("mnist", download=False).x[0, 0, 0, 0] == 3
    assert availability("mnist") == (True, str(alone.cache / "mnist.npz"), "")
    monkeypatch.setenv("KERASBURST_DATA", str(tmp_path / "b"))
    assert load_source("mnist").x[0, 0, 0, 0] == 2
    assert load_source("mnist", tmp_path / "a").x[0, 0, 0, 0] == 1
    monkeypatch.setenv("KERASBURST_DATA", "")
    assert load_source("mnist").x[0, 0, 0, 0] == 3


@pytest.mark.parametrize("sub", ["", "fashion-mnist"])
def test_fashion_mnist_files_are_found(tmp_path, sub):
    write_fashion(tmp_path / sub)
    source = load_source("fashion_mnist", str(tmp_path))
    assert source.x.shape == (30, 28, 28, 1) and source.test_start == 20
    assert source.y[20:].tolist() == list(range(10)) and source.x[19].max() == 19
    assert source.class_names[0] == "T-shirt/top"
    assert availability("fashion_mnist", tmp_path) == (True, str(tmp_path / sub), "")


@pytest.mark.parametrize("base", ["cifar-10-batches-py", "cifar-10-batches-py-target/cifar-10-batches-py"])
def test_cifar10_batches_are_found_in_their_order(tmp_path, base):
    write_cifar10(tmp_path / base)
    source = load_source("cifar10", tmp_path)
    assert source.x.shape == (60, 32, 32, 3) and source.test_start == 50
    assert source.x[[0, 10, 49, 50], 0, 0, 0].tolist() == [20, 40, 109, 0]
    assert source.x.flags.c_contiguous and source.note == "a subset of CIFAR-10: 50 + 10"


def test_cifar10_archive_and_subset_are_found_the_whole_first(tmp_path):
    import tarfile

    write_npz(tmp_path / "cifar10_subset.npz", 20, 10, (32, 32, 3), first=5)
    source = load_source("cifar10", tmp_path)
    assert source.note == "a subset of CIFAR-10: 20 + 10" and source.name == "cifar10" and source.x[0, 0, 0, 0] == 5
    write_cifar10(tmp_path / "elsewhere" / "cifar-10-batches-py")
    with tarfile.open(tmp_path / "cifar-10-python.tar.gz", "w:gz") as archive:
        archive.add(tmp_path / "elsewhere" / "cifar-10-batches-py", "cifar-10-batches-py")
    assert load_source("cifar10", tmp_path).x[0, 0, 0, 0] == 20
    write_npz(tmp_path / "cifar10.npz", 20, 10, (32, 32, 3), first=6)
    assert load_source("cifar10", tmp_path).x[0, 0, 0, 0] == 6


def test_cifar100_batches_are_found(tmp_path):
    folder = tmp_path / "cifar-100-python"
    folder.mkdir()
    for batch, count in (("train", 100), ("test", 10)):
        content = {b"data": images(count, (3072,)), b"fine_labels": list(range(count)), b"coarse_labels": [0] * count}
        (folder / batch).write_bytes(pickle.dumps(content))
    source = load_source("cifar100", tmp_path)
    assert source.num_classes == 100 and source.y[:3].tolist() == [0, 1, 2] and source.x.shape == (110, 32, 32, 3)


def test_absent_and_offline_is_one_line_that_says_what_to_put_where(tmp_path, alone):
    for name in KERAS_NAMES:
        with pytest.raises(InputError) as error:
            load_source(name)
        assert str(error.value) == (
            f"dataset {name} is not here and could not be downloaded (URL fetch failure: no route to host): put "
            f"{name}.npz (x_train, y_train, x_test, y_test) into a folder and name it by --data-dir or KERASBURST_DATA"
        )
        assert not availability(name).available and f"put {name}.npz" in availability(name).where
    assert alone.asked == list(KERAS_NAMES)
    with pytest.raises(InputError, match=f"dataset mnist is not in {tmp_path} and downloading is off: put mnist.npz"):
        load_source("mnist", tmp_path, download=False)
    assert alone.asked == list(KERAS_NAMES)


def test_half_of_the_files_is_told(tmp_path):
    write_cifar10(tmp_path / "cifar-10-batches-py")
    (tmp_path / "cifar-10-batches-py" / "data_batch_3").unlink()
    with pytest.raises(InputError, match="cifar-10-batches-py/data_batch_3 missing in .*, though other files"):
        load_source("cifar10", tmp_path)


def test_keras_downloader_is_asked_last(monkeypatch, alone, capsys):
    def load_data():
        print("Downloading")
        x, y = images(20, (32, 32, 3)), (np.arange(20) % 10).reshape(-1, 1)
        return (x, y), (x[:10], y[:10])

    monkeypatch.setitem(sys.modules, "keras.datasets.cifar10", types.SimpleNamespace(load_data=load_data))
    source = load_source("cifar10")
    assert source.x.shape == (30, 32, 32, 3) and source.test_start == 20 and capsys.readouterr().out == ""


def test_damaged_cache_is_left_to_keras_and_told_where_downloading_is_off(alone):
    (alone.cache / "mnist.npz").write_bytes(b"half")
    with pytest.raises(InputError, match="mnist.npz is not a readable .npz file"):
        load_source("mnist", download=False)
    with pytest.raises(InputError, match="could not be downloaded"):
        load_source("mnist")
    assert alone.asked == ["mnist"]


def test_damaged_file_in_the_users_folder_is_told_and_nothing_is_downloaded(tmp_path, alone):
    (tmp_path / "mnist.npz").write_bytes(b"half")
    with pytest.raises(InputError, match="mnist.npz is not a readable .npz file"):
        load_source("mnist", tmp_path)
    assert alone.asked == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"x_train": images(20, (8, 8)), "x_test": images(10, (8, 8))},
            r"must have shape \(28, 28, 1\), received \(8,",
        ),
        ({"y_train": np.arange(20) % 11}, "y_train must be labels 0 to 9 of mnist, received 10"),
        ({"y_train": np.arange(19) % 10}, "y_train must have one label per example"),
        ({"x_test": images(10) * np.nan}, "x_test must hold finite numbers"),
    ],
)
def test_file_under_a_known_name_is_checked(tmp_path, change, message):
    arrays = {"x_train": images(20), "y_train": np.arange(20) % 10, "x_test": images(10), "y_test": np.arange(10)}
    np.savez(tmp_path / "mnist.npz", **{**arrays, **change})
    with pytest.raises(InputError, match=message) as error:
        load_source("mnist", tmp_path)
    assert str(error.value).startswith(str(tmp_path / "mnist.npz"))


def test_notes_on_data_that_is_not_what_its_name_promises(tmp_path):
    np.savez(tmp_path / "mnist.npz", x=images(20), y=np.arange(20) % 10)
    assert load_source("mnist", tmp_path).note == "20 examples under MNIST's name, without its official split"
    y = np.arange(10_001) % 10
    np.savez(tmp_path / "mnist.npz", x_train=images(20), y_train=y[:20], x_test=np.zeros((10_001, 28, 28)), y_test=y)
    with pytest.raises(InputError, match="x_test must be integers or floats as x_train is"):
        load_source("mnist", tmp_path)
    x_test = np.zeros((10_001, 28, 28), np.uint8)
    np.savez(tmp_path / "mnist.npz", x_train=images(20), y_train=y[:20], x_test=x_test, y_test=y)
    assert load_source("mnist", tmp_path).note == "not the standard MNIST: 20 + 10,001"


def test_users_own_file(tmp_path, monkeypatch):
    np.savez(tmp_path / "mine.v2.npz", x=np.arange(40.0).reshape(20, 2), y=np.arange(20) % 2)
    source = load_source(tmp_path / "mine.v2.npz")
    assert (source.name, source.kind, source.num_classes, source.note) == ("mine.v2", "tabular", 2, "")
    monkeypatch.chdir(tmp_path)
    assert load_source("mine.v2.npz").fingerprint == source.fingerprint
    assert availability("mine.v2.npz") == (True, "mine.v2.npz", "") and not availability("no.npz").available
    with pytest.raises(InputError, match="no.npz does not exist"):
        load_source("no.npz")
    (tmp_path / "folder.npz").mkdir()
    with pytest.raises(InputError, match="folder.npz is a folder, not a file"):
        load_source("folder.npz")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert load_source("~/mine.v2.npz").name == "mine.v2"


def test_dataset_is_cut_and_scaled_by_its_training_part(tmp_path):
    path = tmp_path / "mine.npz"
    x_train = np.array([[0.0, 10.0], [4.0, 30.0], [1.0, 20.0], [2.0, 15.0]])
    np.savez(path, x_train=x_train, y_train=[0, 1, 1, 0], x_test=[[8.0, 5.0], [3.0, 25.0]], y_test=[0, 1])
    data = load_dataset(path)
    assert data.x_train.tolist() == [[0.0, 0.0], [1.0, 1.0], [0.25, 0.5], [0.5, 0.25]]
    assert data.x_test.tolist() == [[1.0, 0.0], [0.75, 0.75]]
    assert data.y_train.tolist() == [0, 1, 1, 0] and data.y_test.tolist() == [0, 1]
    assert data.x_validation.shape == (0, 2) and data.x_train.dtype == np.float32 and data.y_train.dtype == np.int64
    assert data.fingerprint == load_source(path).fingerprint and data.sample_shape == (2,)


def test_scaling_sees_neither_validation_nor_unused_rows():
    source = load_source("wine")
    data = load_dataset("wine", seed=2, train_limit=60, validation_split=0.5)
    rows = source.x[data.splits.train].astype(float)
    by_hand = (rows - rows.min(0)) / (rows.max(0) - rows.min(0))
    assert np.allclose(data.x_train, by_hand, atol=1e-6)
    assert data.x_train.min() == 0 and data.x_train.max() == 1
    others = source.x[np.concatenate([data.splits.validation, data.splits.test, data.splits.unused])]
    assert (others.max(0) > rows.max(0)).any()  # so that a fit on all rows would have differed
    assert data.x_validation.max() <= 1 and data.x_validation.min() >= 0
    assert (len(data.y_train), len(data.y_validation), len(data.y_test)) == (30, 30, 36)


def test_digits_by_seed():
    first, again, other = (load_dataset("digits", seed=seed, train_limit=100) for seed in (0, 0, 1))
    assert first.splits == again.splits and np.array_equal(first.x_train, again.x_train)
    assert first.splits != other.splits
    assert first.x_train.shape == (100, 8, 8, 1)
    raw = load_source("digits").x[first.splits.train]
    assert np.array_equal(first.x_train * 16, raw) and first.num_classes == 10


@needs_real
@pytest.mark.parametrize(
    ("name", "train", "test", "first", "note"),
    [
        ("mnist", 60_000, 10_000, [5, 0, 4, 1, 9], ""),
        ("fashion_mnist", 60_000, 10_000, [9, 0, 0, 3, 0], ""),
        ("cifar10", None, None, None, None),
    ],
)
def test_real_files(name, train, test, first, note):
    if not availability(name, REAL).available:
        pytest.skip(f"{name} is not in KERASBURST_DATA")
    source = load_source(name, REAL, download=False)
    assert source.sample_shape == DATASETS[name].sample_shape and source.num_classes == 10
    if train is not None:
        assert (source.test_start, len(source.y) - source.test_start) == (train, test)
        assert source.y[:5].tolist() == first and source.note == note
    elif len(source.y) < 60_000:
        assert source.note.startswith("a subset of CIFAR-10: ")
    data = load_dataset(name, REAL, train_limit=100)
    assert data.x_train.shape == (100, *source.sample_shape) and data.x_test.max() == 1.0
    assert np.bincount(data.y_train).min() >= 1


@pytest.mark.parametrize(
    ("dataset", "stored", "possible"),
    [
        ("b/mine.npz", "a/mine.npz", True),
        ("b/mine.npz:0,1", "a/mine.npz:0,1", True),
        ("b/mine.npz:0,2", "a/mine.npz:0,1", False),
        ("b/mine.npz", "a/mine.npz:0,1", False),
        ("b/mine.npz", "digits", False),
        ("digits", "iris", False),
        ("digits:0,1", "b/mine.npz:0,1", False),
        ("folder", "gone/folder", True),
    ],
)
def test_only_data_named_by_a_path_can_have_moved(dataset, stored, possible):
    assert may_have_moved(dataset, stored) is possible
