"""A transfer that takes seconds, a fleet that works in this process, and one that only writes records."""

import zlib

import numpy as np

from kerasburst import files
from kerasburst.config import TrainConfig
from kerasburst.studies.transfer.arms import load_plan, record_path, train_arm
from kerasburst.studies.transfer.config import TransferConfig

RUN_FLEET = "kerasburst.study.study.run_fleet"
NETWORK = {"filters": [2, 3], "hidden_units": 8}


def small(**changes):
    train = {"dataset": "digits:5-9", "epochs": 1, "train_limit": 60, "num_steps": 3, "network": NETWORK, "queries": 2}
    train |= changes.pop("train", {})
    plan = {"source_epochs": 1, "encodings": ("rate",), "seeds": 2, **changes}
    return TransferConfig(train=TrainConfig(**train), **plan)


class InThisProcess:
    """Stands for `run_fleet`; notes what it ran, and stops as a killed one would after `stop_after` tasks."""

    def __init__(self, stop_after=None, only=None):
        self.ran, self.stop_after, self.only = [], stop_after, only

    def work(self, task):
        if self.only is None or task.name in self.only:
            train_arm(**task.arguments)
        else:
            pretend_arm(**task.arguments)

    def __call__(self, tasks, *, is_done, **_):
        for task in tasks:
            if not is_done(task):
                if len(self.ran) == self.stop_after:
                    raise KeyboardInterrupt
                self.work(task)
                self.ran.append(task.name)


class Pretend(InThisProcess):
    """The same, without a network."""

    def work(self, task):
        pretend_arm(**task.arguments)


def pretend_arm(folder, encoding, seed, arm):
    """Write an arm's record with an accuracy that its name gives."""
    plan = load_plan(folder)
    name = f"{encoding}/{seed}/{arm}"
    accuracy = zlib.crc32(name.encode()) % 1000 / 1000
    path = record_path(folder, encoding, seed, arm)
    path.parent.mkdir(parents=True, exist_ok=True)
    record = {
        "arm": arm,
        "seed": seed,
        "frozen": {},
        "test_accuracy": accuracy,
        "test_queries": plan["targets"][encoding].queries,
        "examples": {"train": plan["targets"][encoding].train_limit, "test": 100},
        "epochs": plan["targets"][encoding].epochs,
        "warnings": [],
    }
    if arm == "transfer":
        record["source"] = {"test_accuracy": 1 - accuracy}
    files.write_json(path, record)


def write_images(path, n=80, side=8, channels=1, classes=2, seed=0):
    """Write images whose classes differ in which rows are bright."""
    rng = np.random.default_rng(seed)
    y = np.arange(n) % classes
    x = rng.integers(0, 60, (n, side, side, channels))
    for label in range(classes):
        x[y == label, label * side // classes : (label + 1) * side // classes] += 150
    np.savez(path, x=x.astype("uint8"), y=y)
    return path
