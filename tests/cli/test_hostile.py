"""Hundreds of bad inputs to all commands: one line, exit code 2, no traceback, no hang, nothing half-written.

The whole takes about half an hour: `pytest -m slow tests/cli/test_hostile.py`. With KERASBURST_HOSTILE=FILE each call's
outcome is appended to FILE, a line of JSON; KERASBURST_HOSTILE_ONLY=TEXT runs the cases whose name contains TEXT.
"""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.cli.hostile import files, inputs
from tests.cli.hostile.forks import Forks

KINDS = {
    "options": inputs.option_cases,
    "parameters": inputs.parameter_cases,
    "runs": files.run_cases,
    "data": files.data_cases,
    "studies": files.study_cases,
    "exports": files.export_cases,
}
SMALL = "--set model.hidden_units=4 --num-steps 2 --quiet".split()
EPOCHS = {"transfer": ["--source-epochs", "1", "--target-epochs", "1"], "reproduce": []}


@pytest.fixture(scope="module")
def forks(tmp_path_factory):
    places = {"KERAS_HOME": str(tmp_path_factory.mktemp("keras-home")), "HOME": str(tmp_path_factory.mktemp("home"))}
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("KERASBURST_DATA", raising=False)
        forks = Forks(os.environ | places)
    yield forks
    forks.close()


@pytest.fixture(scope="module")
def finished(forks, tmp_path_factory):
    """Return a function to a finished directory by its name, made when it is first needed."""
    folder = tmp_path_factory.mktemp("finished")

    def make(name):
        if name == "examples":
            (folder / name).mkdir()
            np.save(folder / name / "x.npy", np.ones((2, 4)))
            np.savez(folder / name / "x.npz", x=np.ones((2, 4)))
            Image.new("L", (2, 2)).save(folder / name / "x.png")
            return
        if name == "data":
            (folder / name).mkdir()
            y = np.arange(60) % 2
            np.savez(folder / name / "data.npz", x=np.random.default_rng(0).normal(size=(60, 3)) + y[:, None], y=y)
            return
        if name == "export":
            call = ["export", get("run") / "run", "--out", "export"]
        elif name == "run":
            call = ["train", "--dataset", "iris", "--train-limit", "48", "--epochs", "2", "--out", "run", *SMALL]
        else:
            (command,) = (command for command, (place, *_) in files.STUDIES.items() if place == name)
            epochs = EPOCHS.get(command, ["--epochs", "1"])
            call = [command, *files.STUDIES[command][2].split(), *epochs, *SMALL, "--out", name]
        if name == "reproduce":  # begun, and killed: the smallest scale takes minutes
            from kerasburst import records
            from kerasburst.paper.config import ReproduceConfig

            (folder / name / name).mkdir(parents=True)
            (folder / name / name / "config.json").write_text(json.dumps(records.to_json(ReproduceConfig())))
            return
        (folder / name).mkdir()
        outcome = forks.call(call, folder / name, 600)
        assert outcome["code"] in (0, 3), outcome

    def get(name):
        if not (folder / name).exists():
            make(name)
        return folder / name

    return get


def tree(folder):
    """Return what is in a folder: each path with its kind, and the content of files."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.name == ".fleet":
            continue
        kind = "link" if path.is_symlink() else "file" if path.is_file() else "folder" if path.is_dir() else "other"
        found[str(path.relative_to(folder))] = (kind, path.read_bytes() if kind == "file" else None)
    return found


def problems(case, outcome, before, after):
    """Return what is wrong with how a case was answered."""
    found = []
    err = outcome["err"]
    lines = [line for line in err.splitlines() if line.strip()]
    if outcome["hung"]:
        found.append("hang")
    if "Traceback" in err or "defect of kerasburst" in err:
        found.append("traceback")
    if outcome["code"] not in case.codes:
        found.append(f"exit code {outcome['code']}" + (" in silence" if outcome["code"] == 0 and not err else ""))
    elif outcome["code"] == 2:
        if len(lines) != 1 or not lines[0].startswith("kerasburst: "):
            found.append(f"{len(lines)} lines")
        if outcome["out"]:
            found.append("something on standard output")
        if before != after:
            changed = [name for name in sorted({*before, *after}) if before.get(name) != after.get(name)]
            found.append(f"changed: {', '.join(changed[:5])}")
    if outcome["code"] in case.codes:
        found += [f"{part} is not mentioned" for part in case.mentions if part not in err and outcome["code"] == 2]
        if case.codes == (0,) and not all(part in err for part in case.mentions):
            found.append("nothing says what is left out")
    return found


def attempt(case, folder, finished, call):
    for name in case.needs:
        shutil.copytree(finished(name), folder, dirs_exist_ok=True, symlinks=True)
    case.prepare(folder)
    before = tree(folder)
    outcome = call(case.arguments, folder)
    return outcome, problems(case, outcome, before, tree(folder))


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_bad_input_of_every_kind(kind, forks, finished, tmp_path):
    only, log, bad = os.environ.get("KERASBURST_HOSTILE_ONLY", ""), os.environ.get("KERASBURST_HOSTILE"), []
    for i, case in enumerate(each for each in KINDS[kind]() if only in each.name):
        folder = tmp_path / str(i)
        folder.mkdir()
        outcome, found = attempt(case, folder, finished, forks.call)
        if log:
            row = {"kind": kind, "case": case.name, "problems": found, **outcome}
            with open(log, "a", encoding="utf-8") as file:
                file.write(json.dumps(row) + "\n")
        if found:
            bad.append(f"{case.name}: {'; '.join(found)}: {outcome['err'][-300:]!r}")
        shutil.rmtree(folder)
    assert not bad, f"{len(bad)} badly answered:\n" + "\n".join(bad)


def sampled():
    """Return some of the cases that need no finished directory and stop before anything runs."""
    cases = [case for case in KINDS["options"]() if not case.needs and len(case.name) < 60]
    return cases[::9]


@pytest.mark.parametrize("case", sampled(), ids=lambda case: case.name)
def test_a_bad_option_is_refused(case, kerasburst, tmp_path):
    def call(arguments, folder):
        outcome = kerasburst(*arguments)
        return {"code": outcome.code, "out": outcome.out, "err": outcome.err, "hung": False}

    outcome, found = attempt(case, Path(tmp_path), None, call)
    assert not found, outcome
