import gzip
import io
import os
import pickle
import struct
import sys
import tarfile
import types
import zipfile

import numpy as np
import pytest

from kerasburst.data.dataset import Dataset
from kerasburst.data.datasets import load_source
from kerasburst.data.readers import (
    Layout,
    NpzReader,
    cifar_layouts,
    load_npy,
    load_npz,
    read_cifar_files,
    read_cifar_tar,
    read_fashion_mnist,
    read_idx,
    read_keras,
    read_npz,
    read_sklearn,
)
from kerasburst.data.splits import Splits
from kerasburst.validation import InputError


def idx(array):
    return struct.pack(f">I{array.ndim}I", 0x800 + array.ndim, *array.shape) + array.astype(np.uint8).tobytes()


def write_idx(folder, x_train, y_train, x_test, y_test):
    paths = []
    for name, array in (("xa", x_train), ("ya", y_train), ("xb", x_test), ("yb", y_test)):
        paths.append(folder / f"{name}.gz")
        paths[-1].write_bytes(gzip.compress(idx(np.asarray(array)), 1, mtime=0))
    return paths


def python2_batch(rows, labels):
    """A CIFAR batch as Python 2 and its numpy wrote it (protocol 2), opcode by opcode."""
    array = b"cnumpy.core.multiarray\n_reconstruct\n" + b"cnumpy\nndarray\n" + b"K\x00\x85" + b"U\x01b" + b"\x87R"
    dtype = b"cnumpy\ndtype\n" + b"(U\x02u1K\x00K\x01tR" + b"(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
    data = rows.astype(np.uint8).tobytes()
    state = b"(K\x01(K" + bytes([len(rows)]) + b"M\x00\x0ct" + dtype + b"\x89" + b"T" + struct.pack("<i", len(data))
    numbers = b"](" + b"".join(b"K" + bytes([label]) for label in labels) + b"e"
    return b"\x80\x02}(U\x04data" + array + state + data + b"tb" + b"U\x06labels" + numbers + b"u."


def python3_batch(rows, labels, protocol, key=b"fine_labels"):
    return pickle.dumps({b"data": rows.astype(np.uint8, order="K"), key: list(labels)}, protocol=protocol)


def rows(*pixels):
    """One row per (red, green, blue): a plain image, with a 7 at row 1, column 5 of its red."""
    data = np.repeat(np.array(pixels), 1024, axis=1)
    data[:, 32 + 5] = 7
    return data


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    def load_data():
        raise AssertionError("a test reached for the network")

    for name in ("mnist", "fashion_mnist", "cifar10", "cifar100"):
        monkeypatch.setitem(sys.modules, f"keras.datasets.{name}", types.SimpleNamespace(load_data=load_data))


def test_npz_gives_the_four_arrays_and_leaves_the_rest(tmp_path):
    path = tmp_path / "a.npz"
    np.savez(path, x_train=[1], y_train=[2], x_test=[3], y_test=[4], other=[5])
    arrays = read_npz([path])
    assert {key: value.tolist() for key, value in arrays.items()} == {
        "x_train": [1],
        "y_train": [2],
        "x_test": [3],
        "y_test": [4],
    }


@pytest.mark.parametrize("names", [["cat", "dog", "none"], np.array([b"cat", "d\u00f6g".encode()]), ("cat", "dog")])
def test_npz_may_name_the_classes(tmp_path, names):
    path = tmp_path / "a.npz"
    np.savez(path, x=np.eye(4), y=[0, 1, 1, 0], class_names=names)
    texts = [name.decode() if isinstance(name, bytes) else name for name in list(names)]
    assert NpzReader().read(path).class_names == tuple(texts[:2])
    assert load_source(f"{path}:0,1").class_names == tuple(texts[:2])
    assert Dataset.from_source(NpzReader().read(path), Splits([0, 1], [], [2])).class_names == tuple(texts[:2])


@pytest.mark.parametrize(
    "names, message",
    [
        (["cat"], "y must be labels 0 to 0 of a, received 1$"),
        ([1, 2], "class_names must be a text for each class, received int64 of shape"),
        ([["cat", "dog"]], r"class_names must be a text for each class, received <U3 of shape \(1, 2\)"),
        (np.array(["cat", "dog"], object), "class_names cannot be read .*allow_pickle"),
    ],
)
def test_names_that_do_not_fit_the_classes_are_refused(tmp_path, names, message):
    path = tmp_path / "a.npz"
    np.savez(path, x=np.eye(4), y=[0, 1, 1, 0], class_names=names)
    with pytest.raises(InputError, match=f"^{path}: {message}"):
        NpzReader().read(path)


def save_bytes(path, content):
    path.write_bytes(content)


def truncated(path):
    np.savez(path, x=np.arange(1000), y=np.arange(1000))
    path.write_bytes(path.read_bytes()[:2000])


def flipped(path):
    np.savez(path, x=np.arange(1000), y=np.arange(1000))
    content = bytearray(path.read_bytes())
    content[1000] ^= 0xFF
    path.write_bytes(content)


def short_member(path):
    buffer = io.BytesIO()
    np.save(buffer, np.arange(100))
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x.npy", buffer.getvalue()[:300])
        archive.writestr("y.npy", buffer.getvalue())


def huge_member(path, size=2**55):
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(buffer, {"descr": "|u1", "fortran_order": False, "shape": (size,)})
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x.npy", buffer.getvalue())
        archive.writestr("y.npy", buffer.getvalue())


def text_member(path):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x", "not an array")
        archive.writestr("y", "not an array")


def single_array(path):
    with open(path, "wb") as file:
        np.save(file, np.arange(3))


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (lambda path: None, "bad.npz does not exist"),
        (lambda path: path.mkdir(), "bad.npz is a folder, not a file"),
        (lambda path: save_bytes(path, b""), "bad.npz is not a readable .npz file"),
        (lambda path: save_bytes(path, b"hello"), "bad.npz is not a readable .npz file"),
        (lambda path: save_bytes(path, pickle.dumps({"x": 1})), "bad.npz is not a readable .npz file"),
        (truncated, "bad.npz is not a readable .npz file"),
        (flipped, "bad.npz: x cannot be read"),
        (short_member, "bad.npz: x cannot be read"),
        (huge_member, "bad.npz: x is damaged, or too large for this machine's memory"),
        (lambda path: huge_member(path, 10**30), "bad.npz: x cannot be read"),
        (text_member, "bad.npz: x is not an array"),
        (single_array, "bad.npz is a single array, not an .npz file"),
        (lambda path: np.savez(path, x=np.array([{}, 1]), y=[1]), "bad.npz: x cannot be read .*Object arrays"),
        (lambda path: np.savez(path, x=[1], z=[1]), "bad.npz must hold the arrays .*; it holds x, z"),
    ],
)
def test_bad_npz_is_refused_in_one_line(tmp_path, write, message):
    path = tmp_path / "bad.npz"
    write(path)
    with pytest.raises(InputError, match=message) as error:
        read_npz([path])
    assert "\n" not in str(error.value)


def test_an_array_of_more_numbers_than_there_can_be(tmp_path):
    path = tmp_path / "bad.npy"
    with open(path, "wb") as file:
        np.lib.format.write_array_header_1_0(file, {"descr": "<f8", "fortran_order": False, "shape": (10**30,)})
    with pytest.raises(InputError, match="bad.npy is not a readable .npy file"):
        load_npy(path)


def test_load_npz_closes_the_file_when_the_choice_fails(tmp_path):
    path = tmp_path / "a.npz"
    np.savez(path, x=[1])
    with pytest.raises(InputError, match="none"):
        load_npz(path, lambda keys: (_ for _ in ()).throw(InputError("none")))
    os.rename(path, tmp_path / "b.npz")


def test_idx_gives_images_and_labels(tmp_path):
    x = np.arange(12).reshape(3, 2, 2)
    arrays = read_idx(write_idx(tmp_path, x, [0, 1, 1], x[:1] + 50, [1]))
    assert arrays["x_train"].tolist() == x.tolist() and arrays["x_test"].tolist() == [[[50, 51], [52, 53]]]
    assert arrays["y_train"].tolist() == [0, 1, 1] and arrays["y_test"].tolist() == [1]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"plain", "xa.gz is not a readable gzip file"),
        (gzip.compress(idx(np.zeros((9, 9, 9))), mtime=0)[:-9], "xa.gz is not a readable gzip file"),
        (gzip.compress(b"\0\0\x08", mtime=0), "xa.gz is not an idx file"),
        (gzip.compress(idx(np.zeros(4)), mtime=0), "xa.gz is not an idx file of bytes in 3"),
        (gzip.compress(idx(np.zeros((2, 2, 2)))[:-1], mtime=0), r"must hold 8 values of shape \(2, 2, 2\), it holds 7"),
        (gzip.compress(idx(np.zeros((2, 2, 2))) + b"\0", mtime=0), "must hold 8 values .* it holds 9"),
    ],
)
def test_bad_idx_is_refused(tmp_path, content, message):
    paths = write_idx(tmp_path, np.zeros((2, 2, 2)), [0, 1], np.zeros((1, 2, 2)), [1])
    paths[0].write_bytes(content)
    with pytest.raises(InputError, match=message):
        read_idx(paths)


def test_mnist_under_fashion_mnists_file_names_is_refused(tmp_path):
    labels = np.zeros(60000, np.uint8)
    labels[:5] = [9, 0, 0, 3, 0]
    paths = write_idx(tmp_path, np.zeros((60000, 1, 1)), labels, np.zeros((1, 1, 1)), [1])
    assert read_fashion_mnist(paths)["y_train"][:5].tolist() == [9, 0, 0, 3, 0]
    labels[:5] = [5, 0, 4, 1, 9]
    paths = write_idx(tmp_path, np.zeros((60000, 1, 1)), labels, np.zeros((1, 1, 1)), [1])
    with pytest.raises(InputError, match="is MNIST's file of that name"):
        read_fashion_mnist(paths)


def test_cifar_batches_of_python_2_give_images_channels_last(tmp_path):
    paths = [tmp_path / name for name in ("one", "two", "test")]
    paths[0].write_bytes(python2_batch(rows((1, 2, 3), (4, 5, 6)), [0, 1]))
    paths[1].write_bytes(python2_batch(rows((10, 20, 30)), [2]))
    paths[2].write_bytes(python2_batch(rows((200, 201, 202)), [1]))
    arrays = read_cifar_files(paths, "labels")
    assert arrays["x_train"].shape == (3, 32, 32, 3) and arrays["x_train"].dtype == np.uint8
    assert arrays["x_train"][:, 0, 0].tolist() == [[1, 2, 3], [4, 5, 6], [10, 20, 30]]
    assert arrays["x_train"][0, 1, 5].tolist() == [7, 2, 3] and arrays["x_train"][0, 5, 1].tolist() == [1, 2, 3]
    assert arrays["y_train"].tolist() == [0, 1, 2]
    assert arrays["x_test"][0, 31, 31].tolist() == [200, 201, 202] and arrays["y_test"].tolist() == [1]


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_cifar_batches_of_python_3_are_read_too(tmp_path, protocol):
    path = tmp_path / "batch"
    path.write_bytes(python3_batch(rows((1, 2, 3)), [4], protocol))
    arrays = read_cifar_files([path, path], "fine_labels")
    assert arrays["x_train"][0, 0, 0].tolist() == [1, 2, 3] and arrays["y_test"].tolist() == [4]


def test_cifar_batch_in_fortran_order_is_read_right(tmp_path):
    path = tmp_path / "batch"
    path.write_bytes(python3_batch(np.asfortranarray(rows((1, 2, 3), (4, 5, 6))), [0, 1], 4))
    arrays = read_cifar_files([path, path], "fine_labels")
    assert arrays["x_train"][:, 0, 0].tolist() == [[1, 2, 3], [4, 5, 6]]


class Evil:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (os.mkdir, (self.path,))


def test_cifar_pickle_that_would_run_code_is_refused_and_does_not_run(tmp_path):
    path, made = tmp_path / "batch", tmp_path / "made"
    path.write_bytes(pickle.dumps({"data": Evil(str(made))}))
    with pytest.raises(InputError, match=r"batch asks for \w+.mkdir, which no CIFAR batch needs"):
        read_cifar_files([path], "labels")
    assert not made.exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "batch is not a readable CIFAR batch"),
        (b"\x80\x02}(", "batch is not a readable CIFAR batch"),
        (python2_batch(rows((1, 2, 3)), [0])[:-100], "batch is not a readable CIFAR batch"),
        (pickle.dumps([1, 2]), "batch must hold `data`"),
        (pickle.dumps({"labels": [1]}), "batch must hold `data`"),
        (pickle.dumps({"data": np.zeros((1, 3071), np.uint8), "labels": [1]}), "batch must hold `data`"),
        (pickle.dumps({"data": np.zeros((1, 3072)), "labels": [1]}), "batch must hold `data`"),
        (pickle.dumps({"data": np.zeros((1, 3072), np.uint8), "labels": [1, 2]}), "`labels`, a list of 1 integers"),
        (pickle.dumps({"data": np.zeros((1, 3072), np.uint8), "labels": ["a"]}), "`labels`, a list of 1 integers"),
        (pickle.dumps({"data": np.zeros((1, 3072), np.uint8)}), "`labels`, a list of 1 integers"),
    ],
)
def test_bad_cifar_batch_is_refused(tmp_path, content, message):
    path = tmp_path / "batch"
    path.write_bytes(content)
    with pytest.raises(InputError, match=message):
        read_cifar_files([path, path], "labels")


def make_tar(path, members):
    with tarfile.open(path, "w:gz") as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))


def test_cifar_archive_is_read_in_memory_whatever_its_order(tmp_path):
    path = tmp_path / "c.tar.gz"
    batch = python3_batch(rows((1, 2, 3)), [0], 4)
    make_tar(path, {"./c/test": python3_batch(rows((9, 9, 9)), [1], 4), "../evil": b"x", "c/train": batch})
    arrays = read_cifar_tar([path], ("c/train", "c/test"), "fine_labels")
    assert arrays["x_train"][0, 0, 0].tolist() == [1, 2, 3] and arrays["y_test"].tolist() == [1]
    assert sorted(os.listdir(tmp_path)) == ["c.tar.gz"] and not (tmp_path.parent / "evil").exists()


def test_bad_cifar_archive_is_refused(tmp_path):
    path = tmp_path / "c.tar.gz"
    make_tar(path, {"c/train": b"x" * 10000})
    with pytest.raises(InputError, match="c.tar.gz must hold c/train, c/test; c/test is missing"):
        read_cifar_tar([path], ("c/train", "c/test"), "labels")
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(InputError, match="c.tar.gz is not a readable tar archive"):
        read_cifar_tar([path], ("c/train", "c/test"), "labels")
    path.write_bytes(b"hello")
    with pytest.raises(InputError, match="c.tar.gz is not a readable tar archive"):
        read_cifar_tar([path], ("c/train", "c/test"), "labels")


def test_layout_is_found_only_whole(tmp_path):
    layout = Layout(("a", "sub/b"), read_npz)
    assert layout.find(tmp_path) is None and layout.missing(tmp_path) == ()
    (tmp_path / "a").touch()
    assert layout.find(tmp_path) is None and layout.missing(tmp_path) == ("sub/b",)
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "b").touch()
    assert layout.find(tmp_path) == (tmp_path / "a", tmp_path / "sub" / "b")


def test_cifar_layouts_know_the_names_that_keras_uses():
    layouts = list(cifar_layouts(10, ("data_batch_1",), "test_batch", "cifar-10-batches-py", "labels"))
    firsts = [layout.files[0] for layout in layouts]
    assert firsts == [
        "cifar-10-batches-py/data_batch_1",
        "cifar-10-batches-py-target/cifar-10-batches-py/data_batch_1",
        "cifar-10-python.tar.gz",
        "cifar-10-batches-py.tar.gz",
        "cifar-10-batches-py-target_archive",
    ]


def test_sklearn_gives_digits_as_images_of_bytes():
    arrays = read_sklearn("digits")
    assert arrays["x"].shape == (1797, 8, 8) and arrays["x"].dtype == np.uint8
    # The first digit of scikit-learn's documentation, its first row.
    assert arrays["x"][0, 0].tolist() == [0, 0, 5, 13, 9, 1, 0, 0] and arrays["y"][:3].tolist() == [0, 1, 2]


def keras_loader(monkeypatch, load_data):
    monkeypatch.setitem(sys.modules, "keras.datasets.cifar10", types.SimpleNamespace(load_data=load_data))


def test_keras_loader_is_silent_and_gives_channels_last(monkeypatch, capsys):
    x = np.arange(3 * 32 * 32, dtype=np.int64).reshape(1, 3, 32, 32)

    def load_data():
        print("Downloading data from ...")
        return (x, np.array([[1]])), (x, np.array([[0]]))

    keras_loader(monkeypatch, load_data)
    arrays = read_keras("cifar10")
    assert capsys.readouterr().out == ""
    assert arrays["x_train"].shape == (1, 32, 32, 3) and arrays["x_train"][0, 0, 1].tolist() == [1, 1025, 2049]


@pytest.mark.parametrize("error", [Exception("URL fetch failure:\n no route"), OSError("no route"), ValueError("hash")])
def test_keras_failure_becomes_one_line(monkeypatch, error):
    def load_data():
        raise error

    keras_loader(monkeypatch, load_data)
    with pytest.raises(InputError, match=r"could not be downloaded \(.*(no route|hash)\)") as caught:
        read_keras("cifar10")
    assert "\n" not in str(caught.value)
