import numpy as np
import pytest

from kerasburst.profiling.works import KINDS, make_inputs
from kerasburst.validation import InputError

SHAPES = {
    "images": {"spikes": (6, 3, 28, 28, 1), "labels": (6,)},
    "table": {"spikes": (6, 3, 30), "labels": (6,)},
    "current": {"current": (6, 3, 28, 28, 32)},
    "intensities": {"x": (6, 32, 32, 3)},
    "training_set": {
        **{"x_train": (12, 28, 28, 1), "y_train": (12,)},
        **{"x_test": (6, 28, 28, 1), "y_test": (6,)},
    },
}


@pytest.fixture(autouse=True)
def without_mnist(monkeypatch, tmp_path):
    monkeypatch.delenv("KERASBURST_DATA", raising=False)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras-home"))


def made(kind, path, seed=0, **more):
    where = make_inputs(kind, path, batch_size=6, num_steps=3, epoch_steps=2, seed=seed, **more)
    with np.load(path) as file:
        return dict(file), where


@pytest.mark.parametrize("kind", KINDS)
def test_shapes_and_repeatability(kind, tmp_path):
    arrays, where = made(kind, tmp_path / "a.npz")
    assert {name: array.shape for name, array in arrays.items()} == SHAPES[kind] and where
    same, other = made(kind, tmp_path / "b.npz")[0], made(kind, tmp_path / "c.npz", seed=1)[0]
    assert all(np.array_equal(arrays[name], same[name]) for name in arrays)
    assert not all(np.array_equal(arrays[name], other[name]) for name in arrays)


def test_spikes_follow_the_intensities(tmp_path):
    make_inputs("table", tmp_path / "a.npz", batch_size=200, num_steps=50)
    with np.load(tmp_path / "a.npz") as file:
        spikes, labels = file["spikes"], file["labels"]
    rates = spikes.mean(axis=1)  # of uniform intensities: mean 1/2, deviation sqrt(1/12 + 1/6/50)
    assert abs(rates.mean() - 0.5) < 0.02 and abs(rates.std() - (1 / 12 + 1 / 300) ** 0.5) < 0.01
    assert set(np.unique(spikes)) == {0, 1} and set(labels) == {0, 1}


def test_digits_stand_in_for_mnist(tmp_path):
    arrays, where = made("images", tmp_path / "a.npz")
    assert where == "scikit-learn's digits enlarged to 28 x 28, rate-coded"
    assert arrays["labels"].tolist() == [0, 1, 2, 3, 4, 5]


def test_mnist_where_it_is(tmp_path):
    x = np.zeros((40, 28, 28), "uint8")
    x[:, 3, 5] = 255
    y = np.arange(40) % 10
    np.savez(tmp_path / "mnist.npz", x_train=x, y_train=y, x_test=x, y_test=y)
    arrays, where = made("images", tmp_path / "a.npz", data_dir=str(tmp_path))
    assert where == "MNIST, rate-coded"
    assert arrays["spikes"].sum() == 6 * 3 and arrays["spikes"][:, :, 3, 5].all()


def test_the_training_set_has_every_class(tmp_path):
    arrays, _ = made("training_set", tmp_path / "a.npz")
    assert set(arrays["y_train"]) == set(range(10))
    assert arrays["x_train"].dtype == np.uint8 and arrays["x_train"].max() == 255


@pytest.mark.parametrize(
    "change, part", [({"kind": "image"}, "images"), ({"batch_size": 0}, "batch_size"), ({"data_dir": "no"}, "data_dir")]
)
def test_refuses(change, part, tmp_path):
    with pytest.raises(InputError, match=part):
        make_inputs(**{"kind": "images", "path": tmp_path / "a.npz", "batch_size": 1, "num_steps": 1, **change})
    assert not list(tmp_path.iterdir())
