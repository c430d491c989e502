"""What tests of whole audits share."""

import numpy as np

from kerasburst.privacy.shadow import train_and_ask


class FleetHere:
    """Stands in for `run_fleet`: does the tasks one after the other in this process, and notes their names.

    Starting a process for each takes most of a small audit's time; tests/fleet has tests of that.
    """

    def __init__(self):
        self.done = []

    def __call__(self, tasks, *, is_done, **_):
        for task in tasks:
            if not is_done(task):
                train_and_ask(**task.arguments)
                assert is_done(task)
                self.done.append(task.name)


def noise(path, n=240):
    """Write an .npz of examples whose labels no rule predicts: only who has seen one can know it."""
    rng = np.random.default_rng(0)
    np.savez(path, x=rng.random((n, 20)).astype("float32"), y=np.arange(n) % 2)
    return str(path)
