"""What the networks must reach: whole trainings, for `pytest -m slow`."""

import statistics

import pytest

import kerasburst as kb
from kerasburst.data.datasets import availability

ENCODINGS = ["rate", "poisson_burst", "delayed_burst"]


def mean_accuracy(tmp_path, seeds, figure="test_accuracy", **config):
    results = [kb.train(kb.TrainConfig(seed=seed, **config), tmp_path / str(seed)) for seed in seeds]
    return statistics.mean(getattr(result, figure) for result in results)


@pytest.mark.slow
@pytest.mark.parametrize(("encoding", "least"), list(zip(ENCODINGS, [0.95, 0.90, 0.82], strict=True)))
def test_digits_at_the_defaults(tmp_path, encoding, least):
    assert mean_accuracy(tmp_path, range(3), encoding=encoding) >= least


@pytest.mark.slow
@pytest.mark.parametrize(("encoding", "least"), list(zip(ENCODINGS, [0.96, 0.94, 0.89], strict=True)))
def test_mnist_on_5000_images(tmp_path, encoding, least):
    if not availability("mnist").available:
        pytest.skip("no MNIST on this machine")
    config = {"dataset": "mnist", "train_limit": 5000, "epochs": 5, "num_steps": 10, "batch_size": 128}
    assert mean_accuracy(tmp_path, [0], encoding=encoding, queries=2, **config) >= least
