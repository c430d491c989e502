import json

import pytest

from kerasburst import files
from kerasburst.study import Done, FleetObserver, Task, run_parts
from kerasburst.validation import InputError
from tests.paper.common import RUN_FLEET, FleetHere
from tests.study.work import Waiting


class Note(FleetHere):
    """Does nothing but remember; what it has done is done."""

    def __init__(self, *arguments, done=(), **options):
        super().__init__(*arguments, **options)
        self.done = set(done)

    def work(self, task):
        self.done.add(task.arguments["path"])


class Refuse(Note):
    """Finds the input of a's first task bad."""

    def work(self, task):
        if task.name == "a/t0":
            raise InputError("learning_rate must be lower")
        super().work(task)


def works(fleet, order, refuse=None):
    """Give works a and b, of two tasks each, that note when they are finished."""

    def work(name):
        def finish():
            order.append(f"finish {name}")
            if name == refuse:
                raise InputError(f"{name} cannot be judged")
            return name.upper()

        tasks = tuple(Task(f"t{i}", "tests.study.work:write", {"path": f"{name}{i}"}) for i in range(2))
        return Waiting(tasks, lambda task: task.arguments["path"] in fleet.done, finish)

    return {"a": work("a"), "b": work("b"), "empty": Done("E")}


class Watch(FleetObserver):
    def __init__(self, order):
        self.order = order

    def task_finished(self, name, seconds):
        self.order.append(name)


def run(monkeypatch, fleet, order, **options):
    monkeypatch.setattr(RUN_FLEET, fleet)
    told = []
    ended = run_parts(works(fleet, order, **options), log_dir="logs", observer=Watch(order), finished=told.append)
    return ended, told


def test_each_is_finished_after_its_last_task(monkeypatch):
    ended, told = run(monkeypatch, Note(), order := [])
    assert order == ["a/t0", "a/t1", "finish a", "b/t0", "b/t1", "finish b"]
    assert ended.results == {"empty": "E", "a": "A", "b": "B"} and not ended.failed and ended.error is None
    assert told == ["empty", "a", "b"]


def test_what_was_done_before_is_finished_first(monkeypatch):
    ended, _ = run(monkeypatch, Note(done={"b0", "b1", "a0"}), order := [])
    assert order == ["finish b", "a/t1", "finish a"] and ended.results["b"] == "B"


def test_a_task_that_fails_takes_no_other_work_with_it(monkeypatch):
    ended, told = run(monkeypatch, Note(fail="a/t0"), order := [])
    assert "finish a" not in order and ended.results == {"empty": "E", "b": "B"} and told == ["empty", "b"]
    assert ended.failed == {"a": "a/t0 failed twice: killed by SIGKILL"} and "a/t0" in str(ended.error)


def test_a_task_that_is_refused_takes_no_other_work_with_it_and_is_no_error(monkeypatch):
    ended, told = run(monkeypatch, Refuse(), order := [])
    assert ended.results == {"empty": "E", "b": "B"} and told == ["empty", "b"] and ended.error is None
    assert ended.failed == {"a": "a/t0 was refused: learning_rate must be lower"} and "finish a" not in order


def test_a_task_that_is_refused_hides_none_that_fails(monkeypatch):
    ended, _ = run(monkeypatch, Refuse(fail="b/t1"), [])
    assert ended.results == {"empty": "E"} and set(ended.failed) == {"a", "b"}
    assert [failure.name for failure in ended.error.failures] == ["b/t1"]


def test_a_work_that_cannot_be_finished_is_told_of(monkeypatch):
    ended, told = run(monkeypatch, Note(), [], refuse="a")
    assert ended.failed == {"a": "a cannot be judged"} and "a" not in ended.results and told == ["empty", "a", "b"]


def test_what_is_finished_stays_so_when_interrupted(monkeypatch):
    order = []
    with pytest.raises(KeyboardInterrupt):
        run(monkeypatch, Note(stop_after=3), order)
    assert order == ["a/t0", "a/t1", "finish a", "b/t0"]


def test_in_processes(tmp_path):
    def done(task):
        return (tmp_path / "1.json").exists()

    task = Task("t", "tests.study.work:write", {"path": str(tmp_path / "1.json"), "value": 3})
    ended = run_parts({"deep/a": Waiting((task,), done, lambda: "there")}, log_dir=tmp_path / "logs", jobs=1)
    assert ended.results == {"deep/a": "there"} and (tmp_path / "logs" / "deep" / "a" / "t.log").exists()


def square(path):
    def done(task):
        return path.exists()

    task = Task("square", "tests.study.work:write", {"path": str(path), "value": int(path.stem)})
    return Waiting((task,), done, lambda: files.read_json(path)["value"])


def test_works_share_one_fleet_and_finish_apart(tmp_path):
    works = {"three": square(tmp_path / "3.json"), "deep/four": square(tmp_path / "4.json")}
    assert run_parts(works, log_dir=tmp_path / "logs", jobs=2).results == {"three": 9, "deep/four": 16}
    assert (tmp_path / "logs" / "three" / "square.log").exists()
    assert (tmp_path / "logs" / "deep" / "four" / "square.log").exists()
    parents = {json.loads((tmp_path / f"{n}.json").read_text())["pid"] for n in (3, 4)}
    assert len(parents) == 2


def test_what_is_done_is_not_run_again(tmp_path):
    works = {"three": square(tmp_path / "3.json")}
    run_parts(works, log_dir=tmp_path / "logs")
    before = (tmp_path / "3.json").read_text()
    assert run_parts(works, log_dir=tmp_path / "logs").results == {"three": 9}
    assert (tmp_path / "3.json").read_text() == before
