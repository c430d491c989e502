"""kerasburst transfer as a user meets it."""

import json
import os
import signal
import subprocess
import sys

import pytest

from tests.cli.test_bad_input import assert_refused
from tests.studies.transfer.common import RUN_FLEET, Pretend, write_images
from tests.study.conftest import wait_for

TINY = (
    "--encoding rate --train-limit 60 --source-epochs 1 --target-epochs 1 --num-steps 3 --seeds 2 --queries 1 "
    "--set model.filters=2,3 --set model.hidden_units=8"
).split()


@pytest.fixture
def transfer(kerasburst, monkeypatch):
    monkeypatch.setattr(RUN_FLEET, Pretend())
    return lambda *arguments: kerasburst("transfer", *TINY, *arguments)


def test_the_default_takes_what_ships_with_scikit_learn(transfer, tmp_path):
    outcome = transfer()
    assert outcome.code == 0 and outcome.err == "", outcome
    out = tmp_path / "runs" / "transfer-digits_0-4-digits_5-9"
    assert sorted(os.listdir(out)) == ["config.json", "plan.json", "rate", "transfer.json", "transfer.png"]
    found = json.loads((out / "transfer.json").read_text())
    assert found["data"]["source"]["name"] == "digits:0,1,2,3,4" and len(found["encodings"]["rate"]["control"]) == 2
    lines = outcome.out.splitlines()
    assert "conv1, conv2 frozen, 1 + 1 epochs, 60 training examples, 2 seeds" in lines[0]
    scratch = sum(found["encodings"]["rate"]["scratch"]) / 2
    row = next(line for line in lines if line.startswith("rate"))
    assert row.split()[1] == f"{100 * scratch:.1f}"
    rate = found["encodings"]["rate"]
    low, high = rate["difference_interval"]
    assert f"{100 * rate['difference']:+.1f} ({100 * low:+.1f} to {100 * high:+.1f})" in row
    assert lines[-1].startswith("written to runs/transfer-digits_0-4-digits_5-9")


@pytest.mark.thorough
def test_images_to_events_choose_an_encoder_each(kerasburst, transfer, tmp_path):
    plain = [each for each in TINY if each not in ("--encoding", "rate")]
    outcome = kerasburst("transfer", *plain, "--source", "digits", "--target", "moving_digits", "--out", "t", "--quiet")
    assert outcome.code == 0, outcome
    config = json.loads((tmp_path / "t" / "config.json").read_text())
    assert (config["source_encoding"], config["encodings"]) == ("rate", ["none", "event_burst"])
    outcome = transfer("--source", "moving_digits", "--target", "digits", "--out", "u", "--quiet")
    assert outcome.code == 0, outcome
    config = json.loads((tmp_path / "u" / "config.json").read_text())
    assert (config["source_encoding"], config["encodings"]) == ("none", ["rate"])


def test_json_alone_is_on_stdout(transfer, tmp_path):
    outcome = transfer("--out", "t", "--json")
    shown = json.loads(outcome.out)
    assert shown.pop("out") == "t" and shown == json.loads((tmp_path / "t" / "transfer.json").read_text())


@pytest.mark.thorough
def test_a_finished_transfer_is_kept(transfer, tmp_path):
    assert transfer("--out", "t").code == 0
    before = (tmp_path / "t" / "transfer.json").read_bytes()
    assert_refused(transfer("--out", "t"), "a finished transfer", "--resume", "--force")
    assert_refused(transfer("--out", "t", "--resume", "--freeze", "hidden"), "freeze differs")
    assert transfer("--out", "t", "--resume").code == 0
    assert (tmp_path / "t" / "transfer.json").read_bytes() == before
    assert transfer("--out", "t", "--force", "--freeze", "hidden").code == 0
    assert json.loads((tmp_path / "t" / "transfer.json").read_text())["freeze"] == "hidden"


def test_resume_needs_no_other_option(transfer, kerasburst, tmp_path, monkeypatch):
    monkeypatch.setattr(RUN_FLEET, Pretend(stop_after=2))
    outcome = kerasburst("transfer", *TINY, "--out", "t", "--seed", "4")
    assert outcome.code == 130 and "go on with: kerasburst transfer --resume --out t" in outcome.err
    monkeypatch.setattr(RUN_FLEET, fleet := Pretend())
    assert kerasburst("transfer", "--resume", "--out", "t").code == 0
    assert len(fleet.ran) == 4 and fleet.ran[-1] == "rate/seed-5/control"


@pytest.mark.thorough
def test_from_a_run(transfer, kerasburst, tmp_path, monkeypatch):
    monkeypatch.setattr(RUN_FLEET, Pretend())
    small = "--set model.filters=2,3 --set model.hidden_units=8 --epochs 1 --train-limit 60 --num-steps 3".split()
    assert kerasburst("train", "--dataset", "digits:0-4", "--out", "run", *small).code == 0
    arguments = ("--from-run", "run", "--train-limit", "60", "--target-epochs", "1", "--seeds", "1")
    assert kerasburst("transfer", *arguments, "--target", "digits:5-9", "--out", "t").code == 0
    found = json.loads((tmp_path / "t" / "transfer.json").read_text())
    assert found["encodings"]["rate"]["source"] is None and found["config"]["run"]["path"].endswith("run")
    assert_refused(kerasburst("transfer", *arguments), "--target must be given with --from-run")
    assert_refused(
        kerasburst("transfer", *arguments, "--target", "iris", "--out", "u"), "iris must have examples", "(8, 8, 1)"
    )
    assert_refused(
        kerasburst("transfer", *arguments, "--target", "digits:5-9", "--encoding", "rate", "--set", "neuron.beta=1"),
        "--encoding, --set must not be given with --from-run",
    )
    assert_refused(
        kerasburst("transfer", "--from-run", "absent", "--target", "digits:5-9"), "absent has no config.json"
    )
    assert sorted(os.listdir(tmp_path)) == ["run", "t"]


REFUSED = {
    "unknown source": (["--source", "digit:0-4"], ["source must", "digit", "did you mean digits?"]),
    "unknown target": (["--target", "fashion"], ["target must", "fashion"]),
    "a class that is not there": (["--target", "digits:5-12"], ["digits", "0 to 9", "received 12"]),
    "one class": (["--source", "digits:3"], ["classes must be two or more"]),
    "shapes that cannot agree": (["--target", "iris"], ["iris must have examples", "(8, 8, 1)", "(4,)"]),
    "tables of other widths": (["--source", "iris", "--target", "wine"], ["wine", "(4,)", "(13,)"]),
    "no convolutions": (
        ["--source", "iris:0-1", "--target", "iris:1-2", "--freeze", "conv", "--train-limit", "20"],
        ["freeze must be hidden for SNNFCNet"],
    ),
    "unknown freeze": (["--freeze", "all"], ["all", "conv", "hidden"]),
    "no seeds": (["--seeds", "0"], ["seeds", "received 0"]),
    "zero epochs": (["--target-epochs", "0"], ["epochs", "received 0"]),
    "zero source epochs": (["--source-epochs", "0"], ["source_epochs", "received 0"]),
    "too large a limit": (["--train-limit", "5000"], ["train_limit", "received 5000"]),
    "misspelt parameter": (["--set", "neuron.betta=0.5"], ["did you mean beta?"]),
    "an encoding twice": (["--encoding", "rate", "--encoding", "rate"], ["encoding", "each once"]),
    "zero jobs": (["--jobs", "0"], ["jobs", "received 0"]),
    "negative seed": (["--seed", "-1"], ["seed", "received -1"]),
    "resume without out": (["--resume"], ["--resume", "--out"]),
}


@pytest.mark.parametrize("arguments, parts", REFUSED.values(), ids=REFUSED)
def test_transfer_refuses(kerasburst, tmp_path, monkeypatch, arguments, parts):
    monkeypatch.setattr(RUN_FLEET, Pretend(stop_after=0))
    table = "iris" in " ".join(arguments)
    small = [] if table else ["--set", "model.filters=2,3"]
    assert_refused(kerasburst("transfer", *small, *arguments), *parts)
    assert os.listdir(tmp_path) == []


def test_another_command_s_directory(kerasburst, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.json").write_text(json.dumps({"format": 1, "kerasburst": "0.1.0", "dataset": "iris"}))
    for how in ([], ["--force"], ["--resume"]):
        assert_refused(kerasburst("transfer", "--out", "run", *how), "config.json", "transfer's config")
    assert os.listdir(tmp_path / "run") == ["config.json"]


@pytest.mark.slow
def test_killed_and_gone_on_with(tmp_path):
    data = write_images(tmp_path / "mine.npz", n=60, side=6, classes=4)
    code = "import sys; from kerasburst_cli.main import main; main(sys.argv[1:])"
    command = [sys.executable, "-c", code, "transfer", *TINY, "--train-limit", "20", "--seeds", "1", "--jobs", "2"]
    command += ["--source", f"{data}:0-1", "--target", f"{data}:2-3"]
    first = subprocess.Popen([*command, "--out", tmp_path / "a"], start_new_session=True, stderr=subprocess.DEVNULL)
    folder = tmp_path / "a" / "rate" / "seed-0"
    wait_for(
        lambda: first.poll() is not None or any((folder / f"{arm}.json").exists() for arm in ("scratch", "transfer")),
        120,
    )
    os.killpg(first.pid, signal.SIGKILL)
    first.wait()
    times = {path: path.stat().st_mtime_ns for path in folder.glob("*.json")}
    assert times and not (tmp_path / "a" / "transfer.json").exists()
    subprocess.run([*command, "--out", tmp_path / "a", "--resume"], check=True, timeout=300)
    assert all(path.stat().st_mtime_ns == time for path, time in times.items())
    subprocess.run([*command, "--out", tmp_path / "b"], check=True, timeout=300)
    one, other = (json.loads((tmp_path / name / "transfer.json").read_text()) for name in "ab")
    assert one == other
