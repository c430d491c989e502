"""How large a reproduction is: data sets, sizes, seeds, and what a model is expected to take."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from kerasburst.privacy.config import TARGET_QUERIES, TEST_EXAMPLES


@dataclasses.dataclass(frozen=True, kw_only=True)
class Setting:
    """How the networks of one data set are trained in one kind of part.

    Args:
        train: fields of `TrainConfig`; a train_limit past the training part takes all of it.
        seconds_per_1000: to train on 1,000 examples once, in one of two processes on 2 cores at about 3 GHz.
        members: of an audit, that a target trains on; fewer where the data has not that many.
        population: of an audit.
    """

    train: Mapping[str, Any]
    seconds_per_1000: float
    members: int | None = None
    population: int | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Scale:
    """One size of the whole.

    Args:
        note: what it is for.
        seeds: number of seeds.
        shadows: N, of an audit.
        queries: K, of an audit.
        audited: by data set, for the audits by both protocols.
        trained: by data set, for the accuracies.
        transfer: source, target, setting of the target, epochs of the source.
        profiled: by data set.
        equal_fit: by data set, for the audit that compares arms at equal accuracy, once for all seeds.
    """

    note: str
    seeds: int
    shadows: int
    queries: tuple[int, ...]
    audited: Mapping[str, Setting]
    trained: Mapping[str, Setting]
    transfer: tuple[str, str, Setting, int | None]
    profiled: Mapping[str, Setting]
    equal_fit: Mapping[str, Setting] = dataclasses.field(default_factory=dict)

    @property
    def datasets(self) -> tuple[str, ...]:
        """Names of the data sets of all parts; a transfer counts under its target."""
        named = [*self.audited, *self.trained, self.transfer[1], *self.profiled, *self.equal_fit]
        return tuple(dict.fromkeys(named))


_SMALL = {"filters": [8, 16], "hidden_units": 128}
_IRIS = {"num_steps": 40, "batch_size": 16, "epochs": 100}  # docs/defaults.md
_CANCER = {"batch_size": 32, "epochs": 60}
_FASTER = {"learning_rate": 1e-2}  # tables: with less, an audit's planted leak is not learnt in its 300 updates
_FEW = {"batch_size": 25, "epochs": 20}  # 500 images: 400 updates, as many as 50 epochs of batches of 64 take
_CIFAR = {"learning_rate": 4e-4}  # with 7e-4 and more Delayed-Burst's network dies in its first epoch
_DIGITS = Setting(
    train={"network": _SMALL, "num_steps": 6, "batch_size": 25, "epochs": 20, "learning_rate": 5e-3},
    seconds_per_1000=0.5,
)

# The audit at equal fit, as docs/equal_fit.md wrote it down before it was run.
EQUAL_FIT_AUDIT: Mapping[str, Any] = {
    "arms": (
        "rate",
        "rate_regular",
        "poisson_burst",
        "delayed_burst",
        "poisson_burst:mean_burst_size=60,burst_interval=2",
        "input_noise:sd=0.3",
        "label_smoothing:amount=0.2",
    ),
    "pools": 3,
    "shadows": 16,
    "canaries": 32,
    "snapshots": (3, 6, 12, 24, 36, 48),
    "queries": (1, 4),
}
_AT_EQUAL_FIT = Setting(
    train={"num_steps": 10, "batch_size": 25, "epochs": 48, "network": _SMALL},
    seconds_per_1000=2.0,
    members=400,
    population=200,
)

_TRANSFERRED = dataclasses.replace(_DIGITS, train={**_DIGITS.train, "train_limit": 200, "epochs": 10})

SCALES: dict[str, Scale] = {
    "smoke": Scale(
        note="whether everything runs: small networks, data that ships with scikit-learn; no test of the paper",
        seeds=2,
        shadows=4,
        queries=(1, 4),
        audited={"digits": dataclasses.replace(_DIGITS, members=150, population=75)},
        trained={
            "iris": Setting(train={"num_steps": 20, "batch_size": 16, "epochs": 60}, seconds_per_1000=0.4),
        },
        transfer=("digits:0-4", "digits:5-9", _TRANSFERRED, 10),
        profiled={"digits": _DIGITS},
    ),
    "cpu": Scale(
        note="a night on 2 cores: the paper's data sets, each with few training examples; CIFAR-10 at a learning "
        "rate that was lowered after its first seed had been seen, in which Delayed-Burst's network had died",
        seeds=3,
        shadows=4,
        queries=(1, 4),
        audited={
            "mnist": Setting(train=_FEW, seconds_per_1000=5.0, members=500, population=250),
            "fashion_mnist": Setting(train=_FEW, seconds_per_1000=5.0, members=500, population=250),
            "cifar10": Setting(train=_FEW | _CIFAR, seconds_per_1000=7.5, members=500, population=250),
            "iris": Setting(train=_IRIS | _FASTER, seconds_per_1000=0.5, members=36, population=24),
            "breast_cancer": Setting(train=_CANCER | _FASTER, seconds_per_1000=0.3, members=150, population=75),
        },
        trained={
            "mnist": Setting(train={"epochs": 5, "train_limit": 5000, "queries": 2}, seconds_per_1000=5.0),
            "fashion_mnist": Setting(train={"epochs": 5, "train_limit": 5000, "queries": 2}, seconds_per_1000=5.0),
            "cifar10": Setting(train=_CIFAR | {"epochs": 10, "train_limit": 5000, "queries": 2}, seconds_per_1000=7.5),
            "iris": Setting(train=_IRIS, seconds_per_1000=0.5),
            "breast_cancer": Setting(train=_CANCER, seconds_per_1000=0.3),
        },
        transfer=(
            "mnist",
            "fashion_mnist",
            Setting(train={"epochs": 5, "train_limit": 4000, "queries": 2}, seconds_per_1000=5.0),
            5,
        ),
        profiled={"mnist": Setting(train={"epochs": 1, "train_limit": 2000}, seconds_per_1000=5.0)},
        equal_fit={"fashion_mnist": _AT_EQUAL_FIT},
    ),
    "full": Scale(
        note="the paper's sizes: whole data sets; days on a CPU, made for a cluster or GPUs",
        seeds=5,
        shadows=16,
        queries=(1, 4, 16),
        audited={
            "mnist": Setting(train={}, seconds_per_1000=5.0, members=12_000, population=5_000),
            "fashion_mnist": Setting(train={}, seconds_per_1000=5.0, members=12_000, population=5_000),
            "cifar10": Setting(train=_CIFAR, seconds_per_1000=7.5, members=12_000, population=5_000),
            "iris": Setting(train=_IRIS | _FASTER, seconds_per_1000=0.5, members=36, population=24),
            "breast_cancer": Setting(train=_CANCER | _FASTER, seconds_per_1000=0.3, members=150, population=75),
        },
        trained={
            "mnist": Setting(train={}, seconds_per_1000=5.0),
            "fashion_mnist": Setting(train={}, seconds_per_1000=5.0),
            "cifar10": Setting(train=_CIFAR, seconds_per_1000=7.5),
            "iris": Setting(train=_IRIS, seconds_per_1000=0.5),
            "breast_cancer": Setting(train=_CANCER, seconds_per_1000=0.3),
        },
        transfer=("mnist", "fashion_mnist", Setting(train={}, seconds_per_1000=5.0), None),
        profiled={
            "mnist": Setting(train={"epochs": 1}, seconds_per_1000=5.0),
            "cifar10": Setting(train={"epochs": 1}, seconds_per_1000=7.5),
        },
        equal_fit=dict.fromkeys(("mnist", "fashion_mnist", "cifar10"), _AT_EQUAL_FIT),
    ),
}


START_S = 6.0  # a process: TensorFlow's start, the network, its first step, files
FORWARD = 0.45  # of a training pass: an example that is only asked
CANARY_PASSES = 300 * 32  # of an audit's planted leak
PROFILE_S = 25.0  # one encoding, alone


def training_seconds(setting: Setting, examples: int, epochs: int, asked: int) -> float:
    """Return the seconds of one network's process.

    Args:
        setting: with its seconds for 1,000 examples.
        examples: that it trains on.
        epochs: how often.
        asked: encodings of examples that it is only asked about.

    Example:
        >>> training_seconds(Setting(train={}, seconds_per_1000=2.0), 500, 30, 10_000)  # 6 + 2 (15 + 4.5)
        45.0
    """
    return START_S + setting.seconds_per_1000 / 1000 * (examples * epochs + FORWARD * asked)


def audit_seconds(
    setting: Setting,
    members: int,
    population: int,
    epochs: int,
    test: int,
    shadows: int,
    queries: int,
    only_shadows: bool = False,
) -> float:
    """Return the seconds of all models of one encoding's audit, one after the other.

    Args:
        setting: with its seconds for 1,000 examples.
        members: that a target trains on.
        population: that none trains on.
        epochs: of a target.
        test: number of test examples.
        shadows: N.
        queries: the largest K.
        only_shadows: whether the other models have been trained by another audit.

    Example:
        >>> audit_seconds(Setting(train={}, seconds_per_1000=0.0), 500, 250, 30, 10_000, 4, 4)  # 7 processes
        42.0
    """
    points = 2 * members + population
    tested = min(TEST_EXAMPLES, test) + min(TEST_EXAMPLES, members)
    asked = tested + points * (queries + 1)
    once = 0 if only_shadows else 1
    target = training_seconds(setting, members, once * epochs, asked + (TARGET_QUERIES - 1) * tested)
    controls = training_seconds(setting, 0, 0, asked) + training_seconds(setting, CANARY_PASSES, once, asked)
    return target + shadows * training_seconds(setting, members, epochs, asked) + controls
