"""A transfer that takes seconds, and a fleet that works in this process."""

import numpy as np

from kerasburst.config import TrainConfig
from kerasburst.transfer.arms import train_arm
from kerasburst.transfer.plan import TransferConfig

RUN_FLEET = "kerasburst.transfer.run.run_fleet"
NETWORK = {"filters": [2, 3], "hidden_units": 8}


def small(**changes):
    train = {"dataset": "digits:5-9", "epochs": 1, "train_limit": 60, "num_steps": 3, "network": NETWORK, "queries": 2}
    train |= changes.pop("train", {})
    plan = {"source_epochs": 1, "encodings": ("rate",), "seeds": 2, **changes}
    return TransferConfig(train=TrainConfig(**train), **plan)


class InThisProcess:
    """Stands for `run_fleet`; notes what it ran, and stops as a killed one would after `stop_after` tasks."""

    def __init__(self, stop_after=None):
        self.ran, self.stop_after = [], stop_after

    def __call__(self, tasks, *, is_done, **_):
        for task in tasks:
            if not is_done(task):
                if len(self.ran) == self.stop_after:
                    raise KeyboardInterrupt
                train_arm(**task.arguments)
                self.ran.append(task.name)


def write_images(path, n=80, side=8, channels=1, classes=2, seed=0):
    """Write images whose classes differ in which rows are bright."""
    rng = np.random.default_rng(seed)
    y = np.arange(n) % classes
    x = rng.integers(0, 60, (n, side, side, channels))
    for label in range(classes):
        x[y == label, label * side // classes : (label + 1) * side // classes] += 150
    np.savez(path, x=x.astype("uint8"), y=y)
    return path
