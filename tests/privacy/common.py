"""What tests of whole audits share: models trained in the test's own process, or made up from what is known exactly."""

import dataclasses
from pathlib import Path

import numpy as np

from kerasburst import files
from kerasburst.config import TrainConfig
from kerasburst.data.datasets import load_source
from kerasburst.privacy import lessons, shadow
from kerasburst.privacy.config import AuditConfig
from kerasburst.privacy.signals import store
from kerasburst.seeding import derive_seed
from kerasburst.study import FleetObserver

RUN_FLEET = "kerasburst.study.study.run_fleet"


def write_data(path, n=440, features=24, classes=3, noise=1.0, seed=0):
    """Write an .npz of uniform examples whose labels are random for a share `noise` of them, else a linear rule's."""
    rng = np.random.default_rng(seed)
    x = rng.random((n, features)).astype("float32")
    y = rng.integers(0, classes, n)
    rule = (x @ rng.normal(size=(features, classes))).argmax(1)
    np.savez(path, x=x, y=np.where(rng.random(n) < noise, y, rule))
    return path


def noise(path, n=240):
    """Write an .npz of examples whose labels no rule predicts: only who has seen one can know it."""
    rng = np.random.default_rng(0)
    np.savez(path, x=rng.random((n, 20)).astype("float32"), y=np.arange(n) % 2)
    return str(path)


def audit_config(dataset, encodings=("rate",), epochs=2, hidden_units=8, num_steps=4, learning_rate=1e-3, **audit):
    train = TrainConfig(
        dataset=str(dataset),
        num_steps=num_steps,
        epochs=epochs,
        learning_rate=learning_rate,
        network={"hidden_units": hidden_units},
        encoder=audit.pop("encoder", {}),
        seed=audit.pop("seed", 0),
    )
    return AuditConfig(train=train, encodings=encodings, **audit)


class FleetHere:
    """Stands in for `run_fleet`: does the tasks one after the other in this process, and notes their names.

    Starting a process for each takes most of a small audit's time; tests/study has tests of that.
    """

    def __init__(self):
        self.done = []

    def __call__(self, tasks, *, is_done, observer=None, **_):
        tasks = list(tasks)
        observer = observer or FleetObserver()
        observer.start(len(tasks), sum(map(is_done, tasks)))
        for task in tasks:
            if not is_done(task):
                self.work(task)
                assert is_done(task)
                self.done.append(task.name)
                observer.task_finished(task.name, 1.0)

    def work(self, task):
        shadow.train_and_ask(**task.arguments)


@dataclasses.dataclass
class Pretend(FleetHere):
    """Stands in for `run_fleet`, too: writes what models would have said, of which everything is known.

        phi of example i at query k = hardness_i + leak [i in the training set] + model noise_i + encoding noise_ik

    Args:
        leak: of targets and shadows.
        leaks: of single roles.
        encoding_noise: standard deviation over queries; that over examples and models is 1 each.
        same_weights: roles that are said to have the same weights.
        of: the encodings of which that is said; empty for all.
    """

    leak: float = 2.0
    leaks: dict = dataclasses.field(default_factory=lambda: {"planted": 5.0, "untrained": 0.0})
    encoding_noise: float = 1.0
    same_weights: tuple = ()
    of: tuple = ()

    def __post_init__(self):
        super().__init__()

    def work(self, task):
        folder, encoding, role = Path(task.arguments["folder"]), task.arguments["encoding"], task.arguments["role"]
        config, trainings = shadow.load_plan(folder)
        pools = lessons.load_pools(folder)
        source = load_source(config.train.dataset)
        lesson = lessons.lesson(role, pools, source.y, source.num_classes, config.train.seed)
        rng = np.random.default_rng(derive_seed(config.train.seed, encoding, role))
        hardness = np.random.default_rng(config.train.seed).normal(size=len(source.y))[lesson.asked]
        member = np.isin(lesson.asked, lesson.train)
        phi = hardness + self.leaks.get(role, self.leak) * member + rng.normal(size=len(member))
        asked_of_queries = phi[:, None] + rng.normal(0, self.encoding_noise, (len(phi), max(config.queries)))
        labels, classes, steps = lesson.y[lesson.asked], source.num_classes, config.train.num_steps
        ramp = np.arange(1, steps + 1) / steps
        models, signals = folder / encoding / "models", folder / encoding / "signals"
        for place in (models, signals):
            place.mkdir(parents=True, exist_ok=True)
        (models / f"{role}.keras").write_bytes(b"")
        record = {
            "role": role,
            "weights": "the same"
            if role in self.same_weights and encoding in (self.of or [encoding])
            else f"{encoding}/{role}",
            "data": source.fingerprint,
            "asked": lesson.asked.tolist(),
            "train_examples": len(lesson.train),
            "epochs": config.train.epochs,
            "train_accuracy": 0.9,
            "test_accuracy": {"rate": 0.8, "poisson_burst": 0.75}.get(encoding, 0.6),
            "test_examples": len(pools[0].test),
            "firing_rates": {
                "input": 0.25,
                "hidden_lif": 0.0 if encoding == "delayed_burst" else 0.1,
                "output_lif": 0.0,
            },
            "readout": config.train.network.get("readout", "last"),
        }
        files.write_json(models / f"{role}.json", record)
        key = shadow.signals_key(config, trainings[encoding], role, record)
        if epochs := shadow.snapshot_epochs(folder, role):
            growing = [hardness + (phi - hardness) * epoch / epochs[-1] for epoch in epochs]
            snapshots = {
                "epochs": np.array(epochs),
                "logits": np.stack([logits_of(each[:, None], labels, classes) for each in growing]),
                "test_accuracies": np.linspace(0.5, record["test_accuracy"], len(epochs)),
            }
            store(signals / f"{role}-snapshots.npz", key, snapshots)
        answers = {
            "asked": lesson.asked,
            "labels": labels,
            "logits": logits_of(asked_of_queries, labels, classes),
            "mem": logits_of(asked_of_queries, labels, classes),
            "phi_trace": asked_of_queries[..., None] * ramp + rng.normal(0, 0.3, (*asked_of_queries.shape, steps)),
            "bypass_logits": logits_of(phi[:, None], labels, classes),
        }
        store(signals / f"{role}.npz", key, answers)


def logits_of(phi, labels, classes):
    """Return logits whose phi is this: the others' log-sum-exp is 0."""
    true = np.arange(classes) == labels.reshape(-1, *(1,) * phi.ndim)
    return np.where(true, phi[..., None], -np.log(classes - 1)).astype(np.float32)
