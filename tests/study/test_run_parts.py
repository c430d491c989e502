import json

from kerasburst import files
from kerasburst.study import Task, run_parts
from tests.study.work import Waiting


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
