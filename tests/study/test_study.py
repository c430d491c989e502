"""The skeleton of a study, by a toy that sums squares: 1 + 4 + 9 = 14."""

import dataclasses
import importlib
import json

import pytest

from kerasburst import files, records
from kerasburst.config import TrainConfig
from kerasburst.study import Collection, FleetFailed, stored_result
from kerasburst.study.task import Outcome
from kerasburst.validation import InputError
from tests.study.toy import Toy, ToyConfig, ToyResult


class Here:
    """Stands for `run_fleet`: runs the tasks in this process and notes them; stops after some, as by Ctrl-C."""

    def __init__(self, stop_after=None):
        self.ran, self.jobs, self.stop_after = [], [], stop_after

    def __call__(self, tasks, *, is_done, log_dir, jobs=None, **_):
        self.jobs.append(jobs)
        log_dir.mkdir(exist_ok=True)
        for task in tasks:
            if not is_done(task):
                if len(self.ran) == self.stop_after:
                    raise KeyboardInterrupt
                module, _, name = task.function.partition(":")
                getattr(importlib.import_module(module), name)(**task.arguments)
                self.ran.append(task.name)


@pytest.fixture
def here(monkeypatch):
    def use(**options):
        fleet = Here(**options)
        monkeypatch.setattr("kerasburst.study.study.run_fleet", fleet)
        return fleet

    return use


@pytest.fixture
def config(tmp_path):
    (tmp_path / "data.txt").write_text("some data")
    return ToyConfig(file=str(tmp_path / "data.txt"))


@pytest.fixture
def out(tmp_path):
    return tmp_path / "deep" / "toy"


def snapshot(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_config_tasks_result(here, config, out):
    fleet = here()
    assert Toy(config, out).run(jobs=4).total == 14
    assert fleet.ran == ["1", "2", "3", "sum"] and fleet.jobs == [4, 1]
    result = json.loads((out / "toy.json").read_text())
    assert result["total"] == 14 and result["config"] == records.to_json(config) | {"numbers": [1, 2, 3]}
    fingerprint = "1307990e6ba5ca145eb35e99182a9bec46531bc54ddf656a602c780fa0240dee"  # sha256 of "some data"
    assert json.loads((out / "plan.json").read_text()) == {"data": {"dataset": fingerprint}, "count": 3}
    assert records.load(ToyConfig, out / "config.json") == config


def test_in_processes(config, out):
    assert Toy(config, out).run(jobs=2).total == 14
    assert {path.name for path in (out / "logs").iterdir()} >= {"1.log", "2.log", "3.log", "sum.log"}


@pytest.mark.parametrize("after", range(4))
def test_what_was_stopped_is_resumed(here, config, out, after):
    here(stop_after=after)
    with pytest.raises(KeyboardInterrupt):
        Toy(config, out).run()
    assert not Toy(config, out).finished
    with pytest.raises(InputError, match="an unfinished toy: --resume goes on with it, --force replaces it"):
        Toy(config, out).run()
    again = here()
    assert Toy(config, out).run(resume=True).total == 14
    assert again.ran == ["1", "2", "3", "sum"][after:]


def test_a_finished_study_is_neither_begun_anew_nor_computed_again(here, config, out):
    here()
    Toy(config, out).run()
    with pytest.raises(InputError, match="out must be a new directory, .* holds a finished toy"):
        Toy(config, out).run()
    again = here()
    assert Toy(config, out).run(resume=True).total == 14 and again.ran == []


def test_resume_begins_where_there_is_none(here, config, out):
    here()
    assert Toy(config, out).run(resume=True).total == 14


@pytest.mark.parametrize("name", ["config.json", "inputs.json", "plan.json", "toy.json"])
def test_what_is_killed_while_it_writes_is_resumed(here, config, out, monkeypatch, name):
    here()
    write = files.write_json

    def killed(path, value):
        if path.name == name:
            raise KeyboardInterrupt
        write(path, value)

    with monkeypatch.context() as patch:
        patch.setattr(files, "write_json", killed)
        with pytest.raises(KeyboardInterrupt):
            Toy(config, out).run()
    (out / ".writing-half").write_text("half of a file")
    assert Toy(config, out).run(resume=True).total == 14
    assert (out / "plan.json").exists() and not (out / ".writing-half").exists()


def test_force_replaces_what_is_ours_and_nothing_else(here, config, out):
    here()
    Toy(config, out).run()
    for folder in ("mine", "7"):
        (out / folder).mkdir()
    (out / "mine" / "notes.txt").write_text("mine")
    (out / "7" / "power.json").write_text("49")
    (out / "thesis.tex").write_text("mine")
    again = here(stop_after=0)
    with pytest.raises(KeyboardInterrupt):
        Toy(dataclasses.replace(config, power=3), out).run(force=True)
    left = {str(path.relative_to(out)) for path in out.rglob("*")} - {"logs"}
    assert left == {"mine", "mine/notes.txt", "thesis.tex", "config.json", "inputs.json", "plan.json"}
    again.stop_after = None
    assert Toy(dataclasses.replace(config, power=3), out).run(resume=True).total == 36


@pytest.mark.parametrize("how", [{}, {"resume": True}, {"force": True}], ids=str)
@pytest.mark.parametrize(
    "name, text, part",
    [
        ("thesis.tex", "text", "out must be new, empty or a toy's directory; .* holds other files"),
        ("config.json", '{"format": 1, "theirs": 2}', "config.json must be a toy's config of format 1, it is not"),
        ("config.json", "{", "config.json must hold JSON"),
    ],
)
def test_what_is_not_ours_stays(here, config, out, how, name, text, part):
    here()
    out.mkdir(parents=True)
    (out / name).write_text(text)
    with pytest.raises(InputError, match=part):
        Toy(config, out).run(**how)
    assert snapshot(out) == {out / name: text.encode()}


def test_a_file_in_its_place(here, config, tmp_path):
    here()
    with pytest.raises(InputError, match="out must be a directory, .*data.txt is a file"):
        Toy(config, tmp_path / "data.txt").run(force=True)


def test_another_config_is_refused_by_the_names_of_what_differs(here, config, out):
    here(stop_after=1)
    with pytest.raises(KeyboardInterrupt):
        Toy(config, out).run()
    before = snapshot(out)
    train = dataclasses.replace(config.train, seed=5)
    for change, names in (({"power": 3, "numbers": (1,)}, "numbers, power"), ({"train": train}, "train")):
        with pytest.raises(InputError, match=f"^a toy goes on with the config it was begun with, {names} differs"):
            Toy(dataclasses.replace(config, **change), out).run(resume=True)
    assert snapshot(out) == before


def test_what_may_differ_and_where_the_data_lies_do_not_matter(here, config, out):
    here()
    Toy(config, out).run()
    train = TrainConfig(data_dir="elsewhere")
    assert Toy(dataclasses.replace(config, note="again", train=train), out).run(resume=True).total == 14


def test_changed_data_is_refused(here, config, out, tmp_path):
    here(stop_after=1)
    with pytest.raises(KeyboardInterrupt):
        Toy(config, out).run()
    (tmp_path / "data.txt").write_text("other data")
    line = "dataset must be the data that the toy in .* was begun with, data.txt has changed"
    with pytest.raises(InputError, match=line):
        Toy(config, out).run(resume=True)
    here()
    assert Toy(config, out).run(force=True).total == 14


def test_data_that_changes_while_it_runs_is_refused_at_the_end(here, config, out, tmp_path):
    here()
    study = Toy(config, out)
    study.begin()
    (tmp_path / "data.txt").write_text("other data")
    with pytest.raises(InputError, match=r"data.txt has changed"):
        study.finish()
    assert not study.finished


@pytest.mark.parametrize("name, key", [("plan.json", "data"), ("data.json", "fingerprint")])
def test_version_0_1_wrote_one_fingerprint_as_text(here, config, out, tmp_path, name, key):
    here(stop_after=2)
    with pytest.raises(KeyboardInterrupt):
        Toy(config, out).run()
    fingerprint = json.loads((out / "plan.json").read_text())["data"]["dataset"]
    (out / "plan.json").unlink()
    (out / name).write_text(json.dumps({key: fingerprint}))
    again = here()
    assert Toy(config, out).run(resume=True).total == 14 and again.ran == ["3", "sum"]
    (out / "plan.json").unlink()
    (out / name).write_text(json.dumps({key: fingerprint}))
    (tmp_path / "data.txt").write_text("other data")
    with pytest.raises(InputError, match=r"data.txt has changed"):
        Toy(config, out).run(resume=True)


def test_a_config_that_contradicts_the_result_is_refused(here, config, out):
    here()
    Toy(config, out).run()
    other = dataclasses.replace(config, power=3)
    (out / "config.json").write_text(json.dumps(records.to_json(other)))
    for each in (config, other):
        with pytest.raises(InputError, match="config.json must be the config in toy.json, power differs: --force"):
            Toy(each, out).run(resume=True)
    (out / "toy.json").write_text('{"config": 3}')  # damaged: it is written anew
    Toy(other, out).run(resume=True)
    assert json.loads((out / "toy.json").read_text())["config"]["power"] == 3


@pytest.mark.parametrize("text", ["[]", '{"data": 3}', "{}", '{"data": {"dataset": {"a": 1}}}'])
def test_a_plan_that_is_none(here, config, out, text):
    here()
    Toy(config, out).run()
    (out / "plan.json").write_text(text)
    with pytest.raises(InputError, match="plan.json must be a toy's plan, it is not: --force begins anew"):
        Toy(config, out).run(resume=True)
    (out / "plan.json").unlink()
    (out / "plan.json").symlink_to("plan.json")
    with pytest.raises(InputError, match="plan.json"):
        Toy(config, out).run(resume=True)


def test_what_is_refused_writes_nothing(here, config, out, tmp_path):
    here()
    with pytest.raises(InputError, match="numbers must be above 0"):
        Toy(dataclasses.replace(config, numbers=(0,)), out).run()
    with pytest.raises(InputError, match="jobs must be an integer from 1 to 2147483647"):
        Toy(config, out).run(jobs=0)
    assert not (tmp_path / "deep").exists()


def test_a_stored_result_is_taken_for_the_same_question_alone(here, config, out):
    here()
    Toy(config, out).run()
    path, stored = out / "toy.json", json.loads((out / "toy.json").read_text())
    sha = stored["data"]["fingerprint"]
    assert stored_result(path, config, [sha]) == stored
    several = {"one": {"fingerprint": "b"}, "two": {"fingerprint": "a"}}
    path.write_text(json.dumps(stored | {"data": several}))
    assert stored_result(path, config, ["a", "b"])["data"] == several
    for other, data in ((config, ["a"]), (dataclasses.replace(config, power=3), ["a", "b"])):
        assert stored_result(path, other, data) is None
    for text in ("{", "[]", "{}", '{"data": 3}'):
        path.write_text(text)
        assert stored_result(path, config, [sha]) is None
    path.unlink()
    assert stored_result(path, config, [sha]) is None


class Toys(Collection):
    """Toys of several powers, in directories of their own; a power below 0 is refused."""

    config_class, result_name, own_names = ToyConfig, "toys.json", ("toys.json", "config.json", "plan.json")

    def load(self):
        return {}

    def prepare(self, sources):
        return {}

    def parts(self):
        for power in self.config.numbers:
            yield f"power-{power}", lambda power=power: self._begin(power)

    def _begin(self, power):
        if power < 0:
            raise InputError(f"power must be at least 0, received {power}")
        toy = OneStage(dataclasses.replace(self.config, numbers=(1, 2, 3), power=power), self.out / f"power-{power}")
        toy.begin(resume=True)
        return toy

    def part_finished(self, name):
        self.told = [*getattr(self, "told", []), name]

    def run_others(self):
        self.results["other"] = 1

    def conclude(self, sources):
        return Totals({name: getattr(one, "total", one) for name, one in self.results.items()}, dict(self.failed))


@dataclasses.dataclass(frozen=True)
class Totals:
    totals: dict
    failed: dict


class OneStage(Toy):
    """A toy whose sum is taken at its end."""

    def stages(self):
        yield from ()

    def conclude(self, sources):
        powers = [files.read_json(self.out / str(n) / "power.json") for n in self.config.numbers]
        return ToyResult(sum(powers), {}, self.config)


class Below(Here):
    """Stands for `run_fleet` below `run_parts`; one task may fail for good."""

    def __init__(self, fail=None, **options):
        super().__init__(**options)
        self.fail = fail

    def __call__(self, tasks, *, observer, **options):
        tasks = list(tasks)
        observer.start(len(tasks), sum(map(options["is_done"], tasks)))
        for task in tasks:
            if task.name != self.fail and not options["is_done"](task):
                super().__call__([task], **options)
                assert options["is_done"](task)
                observer.task_finished(task.name, 1.0)
        if self.fail:
            raise FleetFailed([Outcome(self.fail, "its.log", 1.0, "exit status 1", "the end")])


@pytest.fixture
def below(monkeypatch):
    def use(**options):
        fleet = Below(**options)
        monkeypatch.setattr("kerasburst.study.parts.run_fleet", fleet)
        return fleet

    return use


def test_parts_share_a_fleet_and_end_apart(below, config, out):
    fleet = below(fail="power-3/2")
    toys = Toys(dataclasses.replace(config, numbers=(1, -1, 2, 3)), out)
    result, error = toys.run(jobs=2)
    assert fleet.ran == [f"power-{power}/{n}" for power in (1, 2, 3) for n in (1, 2, 3) if (power, n) != (3, 2)]
    assert result.totals == {"power-1": 6, "power-2": 14, "other": 1} and toys.told == ["power-1", "power-2"]
    assert result.failed == {
        "power--1": "power must be at least 0, received -1",
        "power-3": "power-3/2 failed twice: exit status 1",
    }
    assert [failure.name for failure in error.failures] == ["power-3/2"]
    assert json.loads((out / "toys.json").read_text()) == dataclasses.asdict(result)
    assert not (out / "power-3" / "toy.json").exists() and (out / "power-2" / "toy.json").exists()


def test_parts_are_resumed(below, config, out):
    config = dataclasses.replace(config, numbers=(1, 2))
    below(stop_after=4)
    with pytest.raises(KeyboardInterrupt):
        Toys(config, out).run()
    assert (out / "power-1" / "toy.json").exists() and not (out / "toys.json").exists()
    again = below()
    result, error = Toys(config, out).run(resume=True)
    assert len(again.ran) == 2 and error is None and result.totals["power-2"] == 14
