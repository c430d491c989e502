import dataclasses
import shutil

import numpy as np
import pytest
from kerasburst_cli.main import main

import kerasburst as kb
from tests.eager import eagerly
from tests.privacy.common import RUN_FLEET, Pretend, write_data


@dataclasses.dataclass
class Outcome:
    code: int
    out: str
    err: str


@pytest.fixture
def kerasburst(capfd, monkeypatch, tmp_path):
    """Run the command in this process, in an empty folder and without data sets of the machine's."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("KERASBURST_DATA", raising=False)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path.parent / "keras-home"))

    def run(*arguments):
        capfd.readouterr()
        with pytest.raises(SystemExit) as exit:
            main([str(argument) for argument in arguments])
        captured = capfd.readouterr()
        return Outcome(exit.value.code or 0, captured.out, captured.err)

    return run


SMALL = ("--dataset", "iris", "--num-steps", "3", "--set", "model.hidden_units=8", "--queries", "2")
TINY = (*SMALL, "--epochs", "2")


@pytest.fixture(scope="session")
def trained(made_once):
    """What `train *TINY --encoding poisson_burst` gives; to be copied, by the fixture `run`."""
    options = {"dataset": "iris", "num_steps": 3, "network": {"hidden_units": 8}, "queries": 2, "epochs": 2}

    def make(out):
        with eagerly():
            kb.train(kb.TrainConfig(encoding="poisson_burst", **options), out)

    return made_once("run", make)


@pytest.fixture
def run(trained, tmp_path):
    return shutil.copytree(trained, tmp_path / "run")


def write_images(path, **arrays):
    """Write an .npz of 40 separable 6x6 images in two classes; keyword arguments replace its arrays."""
    rng = np.random.default_rng(0)
    y = np.arange(40) % 2
    x = rng.integers(0, 100, (40, 6, 6)).astype("uint8")
    x[y == 1, :3] += 150
    np.savez(path, **({"x": x, "y": y} | arrays))
    return path


@pytest.fixture
def images(tmp_path):
    return lambda name="mine.npz", **arrays: write_images(tmp_path / name, **arrays)


AUDIT = (
    "--encoding rate --members 60 --population 30 --shadows 2 --queries 1 --queries 2 --num-steps 3 "
    "--set model.hidden_units=4"
).split()


@pytest.fixture
def data(tmp_path):
    return write_data(tmp_path / "data.npz", n=300, features=6)


@pytest.fixture
def attack(kerasburst, data, monkeypatch):
    """Run the command on a small audit; `models` pretends them."""

    def run(*arguments, models=None, figures=False):
        monkeypatch.setattr(RUN_FLEET, Pretend() if models is None else models)
        if not figures:  # they take longer than all the rest
            monkeypatch.setattr("kerasburst.reports.audit.audit_figures", lambda *_: [])
        return kerasburst("attack", "--dataset", data, *AUDIT, *arguments)

    return run
