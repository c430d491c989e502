"""A fleet that works in this process, and what its models are said to have found."""

import importlib
from pathlib import Path

from kerasburst import files, records
from kerasburst.config import TrainConfig
from kerasburst.data.dataset import Dataset
from kerasburst.data.datasets import load_source
from kerasburst.data.splits import make_splits
from kerasburst.paper.scales import Scale, Setting
from kerasburst.studies.transfer.arms import load_plan, record_path
from kerasburst.study import FleetFailed, FleetObserver
from kerasburst.study.task import Outcome
from kerasburst.training.result import TrainResult
from kerasburst.training.setup import describe_data
from kerasburst.validation import InputError
from tests.privacy.common import Pretend

RUN_FLEET = "kerasburst.study.parts.run_fleet"
ACCURACIES = {"rate": 0.9, "poisson_burst": 0.87, "delayed_burst": 0.8}
_NET = {"network": {"hidden_units": 4}, "num_steps": 3, "epochs": 2}

TINY = Scale(
    note="for tests",
    seeds=2,
    shadows=2,
    queries=(1, 2),
    audited={"breast_cancer": Setting(train=_NET, seconds_per_1000=0.1, members=60, population=30)},
    trained={"iris": Setting(train=_NET, seconds_per_1000=0.1)},
    transfer=("iris:0-1", "iris:1-2", Setting(train={**_NET, "train_limit": 40}, seconds_per_1000=0.1), 1),
    profiled={"iris": Setting(train=_NET, seconds_per_1000=0.1)},
)


class FleetHere:
    """Stands for `run_fleet` below `run_parts`: does the tasks here, one after the other, and notes their names.

    Args:
        stop_after: number of tasks after which it is interrupted, as by Ctrl-C.
        fail: part of the names of tasks that fail twice.
    """

    def __init__(self, stop_after=None, fail="no such task"):
        self.ran, self.stop_after, self.fail = [], stop_after, fail

    def __call__(self, tasks, *, is_done, observer=None, **_):
        tasks, observer, failures = list(tasks), observer or FleetObserver(), []
        observer.start(len(tasks), sum(map(is_done, tasks)))
        for task in tasks:
            if is_done(task):
                continue
            if len(self.ran) == self.stop_after:
                raise KeyboardInterrupt
            observer.task_started(task.name)
            if self.fail in task.name:
                failures.append(Outcome(task.name, "its.log", 1.0, "killed by SIGKILL", "the end"))
                observer.task_failed(task.name, failures[-1].told)
                continue
            try:
                self.work(task)
            except InputError as error:  # which ends no other, below `run_parts`
                failures.append(Outcome(task.name, "its.log", 1.0, refusal=str(error)))
                observer.task_failed(task.name, failures[-1].told)
                continue
            assert is_done(task), task
            self.ran.append(task.name)
            observer.task_finished(task.name, 1.0)
        if failures:
            raise FleetFailed(failures)

    def work(self, task):
        module, _, name = task.function.partition(":")
        getattr(importlib.import_module(module), name)(**task.arguments)


class PretendAll(FleetHere):
    """Trains nothing: writes what models would have found, rate coding leaking most and being the most accurate."""

    leaks = {"rate": 2.0, "poisson_burst": 1.0, "delayed_burst": 0.5}

    def work(self, task):
        {
            "train_and_ask": self._audit,
            "train_into": self._train,
            "train_arm": self._arm,
        }[task.function.rpartition(":")[2]](task)

    def _audit(self, task):
        Pretend(leak=self.leaks[task.arguments["encoding"]]).work(task)

    def _train(self, task):
        out, config = Path(task.arguments["out"]), records.from_json(TrainConfig, task.arguments["config"])
        out.mkdir(parents=True, exist_ok=True)
        accuracy = ACCURACIES[config.encoding] - (0.012 if config.encoding == "poisson_burst" else 0.01) * config.seed
        files.write_json(out / "config.json", records.to_json(config))
        source = load_source(config.dataset)
        data = Dataset.from_source(source, make_splits(source, config.seed))
        files.write_json(out / "data.json", records.to_json(describe_data(data, "nowhere")))
        result = TrainResult(
            test_accuracy=accuracy,
            test_accuracy_interval=(accuracy - 0.05, accuracy + 0.05),
            test_queries=1,
            test_accuracies=(accuracy,),
            test_accuracy_of_mean_logits=accuracy,
            train_accuracy=accuracy + 0.05,
            validation_accuracy=None,
            loss=0.5,
            test_loss=0.5,
            epochs=config.epochs,
            stopped_early=False,
            best_epoch=None,
            train_seconds=1.5,
            samples_per_second=100.0,
            firing_rates={"input": 0.25},
            warnings=(),
            examples={part: len(getattr(data, f"x_{part}")) for part in ("train", "validation", "test")},
            num_classes=data.num_classes,
            note="",
            seed=config.seed,
            replicas=1,
            versions={"kerasburst": "of a test"},
        )
        files.write_json(out / "result.json", records.to_json(result))

    def _arm(self, task):
        folder, encoding, seed, arm = (task.arguments[name] for name in ("folder", "encoding", "seed", "arm"))
        plan = load_plan(folder)
        # Poisson-Burst loses 0.5 and 0.7 points, Delayed-Burst 3.0 and 3.2; rate coding gains.
        loss = {"rate": -0.01, "poisson_burst": 0.005, "delayed_burst": 0.03}[encoding] + 0.002 * seed
        accuracy = {"scratch": 0.9, "transfer": 0.9 - loss, "control": 0.5}[arm]
        path = record_path(folder, encoding, seed, arm)
        path.parent.mkdir(parents=True, exist_ok=True)
        frozen = {} if arm == "scratch" else {"hidden_dense": "0", "hidden_lif": "0"}
        training = plan["targets"][encoding]
        files.write_json(
            path,
            {
                **{"arm": arm, "seed": seed, "test_accuracy": accuracy, "warnings": [], "frozen": frozen},
                **{"source": {"test_accuracy": 0.95}, "epochs": training.epochs, "test_queries": 4},
                "examples": {"train": 40, "test": 20},
            },
        )
