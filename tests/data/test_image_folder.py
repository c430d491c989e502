import os
import warnings

import numpy as np
import pytest
from PIL import Image

import kerasburst as kb
from kerasburst.data.datasets import availability, load_source, path_reader
from kerasburst.data.image_folder import ImageFolderReader
from kerasburst.validation import InputError


def write(path, value=0, size=(6, 5), mode="L"):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, value).save(path)


@pytest.fixture
def folder(tmp_path):
    """Two classes of two images; written in an order that is not the sorted one."""
    for file, value in (("dog/2.jpeg", 40), ("dog/1.JPG", 30), ("cat/b.png", 20), ("cat/a.png", 10)):
        write(tmp_path / "pets" / file, value)
    return tmp_path / "pets"


@pytest.fixture
def parts(tmp_path):
    for number, file in enumerate(("train/cat/1", "train/cat/2", "train/dog/1", "test/cat/1", "test/dog/1"), 1):
        write(tmp_path / "pets" / f"{file}.png", (number, 10 * number, 20 * number), mode="RGB")
    return tmp_path / "pets"


def test_classes_and_files_are_sorted(folder):
    source = load_source(folder)
    assert (source.name, source.kind, source.test_start, source.full_scale) == ("pets", "image", None, 255.0)
    assert source.class_names == ("cat", "dog") and source.y.tolist() == [0, 0, 1, 1]
    assert source.x.shape == (4, 5, 6, 1) and source.x.dtype == np.uint8
    assert source.x[:, 2, 3, 0].tolist() == [10, 20, 30, 40]  # JPEG keeps a uniform grey


def test_rows_columns_and_channels_are_those_of_the_image(tmp_path):
    pixels = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3)
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        Image.fromarray(pixels).save(tmp_path / name / "1.png")
    assert np.asarray(load_source(tmp_path).x).tolist() == [pixels.tolist()] * 2


def test_train_and_test_are_the_official_parts(parts):
    source = load_source(parts)
    assert source.test_start == 3 and source.y.tolist() == [0, 0, 1, 0, 1]
    assert source.x[:, 0, 0].tolist() == [[n, 10 * n, 20 * n] for n in (1, 2, 3, 4, 5)]
    data = kb.load_dataset(parts)
    assert data.splits.test.tolist() == [3, 4] and data.class_names == ("cat", "dog")


def test_train_and_test_may_be_classes(tmp_path):
    for name in ("train", "test"):
        write(tmp_path / name / "1.png")
    assert load_source(tmp_path).class_names == ("test", "train")


def test_hidden_files_and_folders_are_ignored(folder):
    before = load_source(folder).fingerprint
    for name in (".DS_Store", ".git/config", "cat/.thumbnail.png", "cat/.cache/1.png"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text("no image")
    assert load_source(folder).fingerprint == before


def test_it_is_named_after_the_folder_and_takes_classes(folder, monkeypatch):
    assert load_source(f"{folder}/").name == "pets"
    write(folder / "bird.v2" / "1.png")
    assert load_source(f"{folder}:0,2").class_names == ("bird.v2", "dog")
    monkeypatch.chdir(folder)
    assert load_source(".").name == "pets"


def test_what_is_claimed(folder):
    assert isinstance(path_reader(folder), ImageFolderReader)
    assert availability(folder) == (True, str(folder), "")
    assert not availability(folder / "absent").available
    for name, message in (("absent", "absent does not exist"), ("cat/a.png", "dataset must be one of .* a folder of")):
        with pytest.raises(InputError, match=message):
            load_source(folder / name)


def truncate(path):
    pixels = np.random.default_rng(0).integers(0, 256, (5, 6), np.uint8)
    Image.fromarray(pixels).save(path)
    path.write_bytes(path.read_bytes()[:-30])


def replace(path, make):
    path.unlink()
    make(path)


BAD = {
    "no image": (lambda d: (d / "cat/b.png").write_text("text"), "cat/b.png is no PNG or JPEG image"),
    "empty file": (lambda d: (d / "cat/b.png").write_text(""), "cat/b.png is no PNG or JPEG image"),
    "another format": (lambda d: Image.new("L", (6, 5)).save(d / "cat/b.png", "GIF"), "b.png is no PNG or JPEG image"),
    "cut short": (lambda d: truncate(d / "cat/b.png"), "cat/b.png is not a readable PNG or JPEG image"),
    "cut at its head": (
        lambda d: (d / "cat/b.png").write_bytes((d / "cat/b.png").read_bytes()[:20]),
        "cat/b.png is n.* PNG or JPEG image",
    ),
    "other file": (lambda d: (d / "cat/notes.txt").touch(), r"cat must hold only files of .*, .*cat/notes.txt is none"),
    "folder as file": (lambda d: (d / "cat/c.png").mkdir(), "cat/c.png is a folder, not a file"),
    "folder in class": (lambda d: (d / "cat/more").mkdir(), r"cat must hold only files of .*cat/more is none"),
    "pipe": (lambda d: replace(d / "cat/b.png", os.mkfifo), "cat/b.png is a pipe or a device, not a file"),
    "dead link": (
        lambda d: replace(d / "cat/b.png", lambda path: path.symlink_to("absent")),
        "cat/b.png does not exist",
    ),
    "dead link as class": (lambda d: (d / "eel").symlink_to("absent"), r"eel cannot be read \(No such file"),
    "file beside classes": (lambda d: (d / "labels.csv").touch(), "pets must hold .* each class, .*labels.csv is no"),
    "no images": (lambda d: (d / "eel").mkdir(), r"pets/eel must hold images \(.png, .jpg, .jpeg\), received none"),
    "size": (
        lambda d: write(d / "dog/3.png", size=(5, 6)),
        "dog/3.png must be of 6 x 5 pixels as .*cat/a.png is, it is of 5 x 6",
    ),
    "colour": (
        lambda d: write(d / "dog/3.png", (0, 0, 0), mode="RGB"),
        "dog/3.png must be 8-bit greyscale as .*cat/a.png is, it is RGB",
    ),
    "transparent": (lambda d: write(d / "dog/3.png", (0,) * 4, mode="RGBA"), "dog/3.png must be .*; its mode is RGBA"),
    "16 bits": (lambda d: write(d / "cat/a.png", mode="I;16"), "cat/a.png must be 8-bit .*; its mode is I;16"),
    "palette": (lambda d: write(d / "cat/a.png", mode="P"), "cat/a.png must be 8-bit .*; its mode is P"),
}


@pytest.mark.parametrize(("spoil", "message"), BAD.values(), ids=BAD)
def test_a_bad_folder_is_refused_in_one_line(folder, spoil, message):
    spoil(folder)
    with pytest.raises(InputError, match=message) as error:
        load_source(folder)
    assert "\n" not in str(error.value) and str(folder) in str(error.value)


@pytest.mark.parametrize("names", [(), ("cat",)])
def test_fewer_than_two_classes_are_refused(tmp_path, names):
    for name in names:
        write(tmp_path / name / "1.png")
    with pytest.raises(InputError, match=rf"at least two classes of images, received {names[0] if names else 'none'}$"):
        load_source(tmp_path)


BAD_PARTS = {
    "missing class": (lambda d: (d / "test/dog").rename(d.parent / "elsewhere"), "test must .* dog: .*/dog is missing"),
    "one class to train on": (
        lambda d: (d / "train/dog").rename(d.parent / "elsewhere"),
        "pets/train must hold folders of at least two classes of images, received cat",
    ),
    "class of the test part alone": (
        lambda d: write(d / "test/eel/1.png", (0, 0, 0), mode="RGB"),
        "test must hold the classes cat, dog: .*test/eel is no class of the training part",
    ),
    "no test part": (lambda d: (d / "test").rename(d.parent / "elsewhere"), "pets/test is missing"),
    "no training part": (lambda d: (d / "train").rename(d.parent / "elsewhere"), "pets/train is missing"),
    "third part": (lambda d: (d / "validation").mkdir(), "train and test alone, .*pets/validation is neither"),
    "size in the test part": (
        lambda d: write(d / "test/dog/1.png", (0, 0, 0), (7, 5), "RGB"),
        "test/dog/1.png must be of 6 x 5 pixels as .*train/cat/1.png is, it is of 7 x 5",
    ),
    "test class without images": (lambda d: (d / "test/dog/1.png").unlink(), "test/dog must hold images"),
}


@pytest.mark.parametrize(("spoil", "message"), BAD_PARTS.values(), ids=BAD_PARTS)
def test_bad_parts_are_refused(parts, spoil, message):
    spoil(parts)
    with pytest.raises(InputError, match=message):
        load_source(parts)


@pytest.mark.parametrize("limit", [29, 20, 10])  # 30 pixels: Pillow warns above the limit, and fails above twice that
def test_a_decompression_bomb_is_refused(folder, monkeypatch, limit):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
    with pytest.raises(InputError, match=r"cat/a.png is not a readable .* \(Image size \(30 pixels\) exceeds limit"):
        load_source(folder)


def test_remarks_on_metadata_are_not_shown(folder, monkeypatch):
    opened = Image.open

    def remark(*arguments, **options):
        warnings.warn("Corrupt EXIF data", stacklevel=1)
        return opened(*arguments, **options)

    monkeypatch.setattr(Image, "open", remark)
    assert len(load_source(folder).y) == 4


@pytest.mark.parametrize(("where", "name"), [("os.listdir", "cat"), ("os.open", "cat/a.png")])
def test_what_may_not_be_read_is_named(folder, monkeypatch, where, name):
    function = where.removeprefix("os.")
    real = getattr(os, function)

    def refuse(path, *arguments, **options):
        if path == folder / name:
            raise PermissionError(13, "Permission denied", str(path))
        return real(path, *arguments, **options)

    monkeypatch.setattr(where, refuse)
    with pytest.raises(InputError, match=rf"{name} .*Permission denied"):
        load_source(folder)
