"""A study without a model: powers of numbers, and then their sum."""

import dataclasses
import hashlib
from pathlib import Path
from typing import ClassVar

from kerasburst import files
from kerasburst.config import TrainConfig
from kerasburst.study import Stage, Study, Task
from kerasburst.validation import InputError


@dataclasses.dataclass(frozen=True, kw_only=True)
class ToyConfig:
    """What the toy computes, and the file that stands for its data."""

    FORMAT: ClassVar[int] = 1
    WHAT: ClassVar[str] = "a toy"

    file: str
    numbers: tuple[int, ...] = (1, 2, 3)
    power: int = 2
    note: str = ""
    train: TrainConfig = TrainConfig()


@dataclasses.dataclass(frozen=True)
class Data:
    """A file as a data set."""

    name: str
    fingerprint: str


@dataclasses.dataclass(frozen=True)
class ToyResult:
    """The sum, and the data's fingerprint."""

    total: int
    data: dict
    config: ToyConfig


class Toy(Study):
    """Compute powers side by side, then their sum, one task at a time."""

    config_class = ToyConfig
    result_name = "toy.json"
    own_names = ("toy.json", "config.json", "plan.json", "inputs.json", "sum.json")
    own_folders = "power.json"
    may_differ = ("note",)

    def load(self):
        """Read the file."""
        text = Path(self.config.file).read_bytes()
        return {"dataset": Data(Path(self.config.file).name, hashlib.sha256(text).hexdigest())}

    def prepare(self, sources):
        """Refuse 0."""
        if 0 in self.config.numbers:
            raise InputError("numbers must be above 0, received 0")
        return {"count": len(self.config.numbers)}

    def write_inputs(self):
        """Write what the tasks read."""
        files.write_json(self.out / "inputs.json", {"power": self.config.power})

    def tasks(self):
        """Return a task for each number."""
        out = str(self.out)
        return [Task(f"{n}", "tests.study.toy:compute", {"out": out, "n": n}) for n in self.config.numbers]

    def stages(self):
        """Yield the powers, then the sum."""
        yield from super().stages()
        powers = [files.read_json(self.out / str(n) / "power.json") for n in self.config.numbers]
        yield Stage([Task("sum", "tests.study.toy:add", {"out": str(self.out), "powers": powers})], jobs=1)

    def is_done(self, task):
        """Return whether the task's file is there."""
        return (self.out / ("sum.json" if task.name == "sum" else f"{task.name}/power.json")).exists()

    def conclude(self, sources):
        """Read the sum."""
        data = {"fingerprint": sources["dataset"].fingerprint}
        return ToyResult(files.read_json(self.out / "sum.json"), data, self.config)


def compute(out, n):
    """Save a number's power."""
    (Path(out) / str(n)).mkdir(exist_ok=True)
    files.write_json(Path(out) / str(n) / "power.json", n ** files.read_json(Path(out) / "inputs.json")["power"])


def add(out, powers):
    """Save the sum."""
    files.write_json(Path(out) / "sum.json", sum(powers))
