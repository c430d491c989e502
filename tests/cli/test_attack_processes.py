"""kerasburst attack with a process for each model: killed, interrupted, gone on with."""

import contextlib
import functools
import json
import os
import re
import signal
import subprocess
import sys

import numpy as np
import pytest

from tests.study.conftest import alive, descendants, wait_for

ARGUMENTS = (
    "--dataset digits --train-limit 400 --encoding poisson_burst --members 40 --population 20 --shadows 2 --queries 1 "
    "--queries 2 --epochs 4 --num-steps 3 --set model.hidden_units=64 --set model.filters=4,8 "
    "--set neuron.threshold=0.3 --jobs 2 --out audit"
).split()
ROLES = ["target-0", "shadow-0", "shadow-1", "untrained", "planted"]


class Attack:
    """The command in a process of its own, in a session of its own."""

    def __init__(self, folder, *more):
        code = "import sys; from kerasburst_cli.main import main; main(sys.argv[1:])"
        # A shell's background job ignores Ctrl-C and hands that down; what is tested here must not.
        listen = functools.partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
        self.audit = folder / "audit"
        self.process = subprocess.Popen(
            [sys.executable, "-c", code, "attack", *ARGUMENTS, *more],
            cwd=folder,
            env=os.environ | {"KERAS_HOME": str(folder / "keras-home")},
            preexec_fn=listen,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def workers(self):
        """Return the processes that train a model now, by role."""
        found = {}
        for pid in descendants(self.process.pid):
            with contextlib.suppress(OSError):
                with open(f"/proc/{pid}/comm") as file:
                    name = file.read().strip()
                if name in ROLES and alive(pid):
                    found[name] = pid
        return found

    def done(self):
        return [role for role in ROLES if (self.audit / "poisson_burst" / "signals" / f"{role}.npz").exists()]

    def wait_until_running(self, done, running):
        """Wait until so many models are done and so many others under way; give the latter's processes."""
        wait_for(lambda: self.process.poll() is not None or self._is(done, running), 300)
        assert self.process.poll() is None, self.process.communicate()
        return self.workers()

    def _is(self, done, running):
        return len(self.done()) >= done and len(set(self.workers()) - set(self.done())) >= running

    def end(self):
        out, err = self.process.communicate(timeout=600)
        return self.process.returncode, out, err


@pytest.fixture(scope="module")
def attack():
    started = []

    def start(folder, *more):
        started.append(Attack(folder, *more))
        return started[-1]

    yield start
    for one in started:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(one.process.pid, signal.SIGKILL)
        one.process.communicate()


@pytest.fixture(scope="module")
def undisturbed(attack, tmp_path_factory):
    folder = tmp_path_factory.mktemp("undisturbed")
    code, out, err = attack(folder).end()
    assert (code, err) == (0, ""), (code, out, err)
    assert re.findall(r"^\d/5 poisson_burst/(\S+) done in", out, re.MULTILINE) != []
    return folder / "audit"


def assert_same(audit, undisturbed):
    """Assert equal scores and figures, bit for bit, and nothing half-written."""
    with np.load(audit / "scores.npz") as a, np.load(undisturbed / "scores.npz") as b:
        assert a.files == b.files and len(a.files) > 20
        for name in a.files:
            assert np.array_equal(a[name], b[name]), name
    assert (audit / "audit.json").read_bytes() == (undisturbed / "audit.json").read_bytes()
    assert json.loads((audit / "audit.json").read_text())["valid"]
    assert not list(audit.rglob(".writing-*"))


def assert_gone(pids, seconds):
    wait_for(lambda: not any(map(alive, pids)), seconds)


@pytest.mark.thorough
def test_ctrl_c_ends_everything_and_says_how_to_go_on(attack, tmp_path):
    run = attack(tmp_path)
    workers = run.wait_until_running(done=0, running=2)
    pids = descendants(run.process.pid)
    assert set(workers.values()) <= set(pids)
    os.killpg(run.process.pid, signal.SIGINT)  # as a terminal does
    code, out, err = run.end()
    assert code == 130 and out == "" and "Traceback" not in err
    told = [line for line in err.splitlines() if line]
    assert told == ["stopped; go on with: kerasburst attack --resume --out audit", "kerasburst: interrupted"]
    assert_gone(pids, 3)
    assert set(os.listdir(run.audit)) <= {"config.json", "splits.npz", "plan.json", "logs", "poisson_burst"}
    assert json.loads((run.audit / "plan.json").read_text())["trainings"]


@pytest.mark.slow
def test_the_same_command_twice_gives_the_same_bits(attack, tmp_path, undisturbed):
    code, out, err = attack(tmp_path, "--json").end()
    assert code == 0
    assert json.loads(out) == {"out": "audit"} | json.loads((undisturbed / "audit.json").read_text())
    assert len(re.findall(r"^\d/5 poisson_burst/\S+ done in", err, re.MULTILINE)) == 5
    assert_same(tmp_path / "audit", undisturbed)


@pytest.mark.slow
def test_one_job_at_a_time_gives_the_same_bits(attack, tmp_path, undisturbed):
    """On one core, so that a job has as many threads as one of two on two cores: sums depend on their number."""
    cores = os.sched_getaffinity(0)
    if len(cores) != 2:
        pytest.skip("two jobs have a thread each on two cores")
    os.sched_setaffinity(0, {min(cores)})
    try:
        alone = attack(tmp_path, "--quiet")
    finally:
        os.sched_setaffinity(0, cores)
    code, out, err = alone.end()
    assert (code, err) == (0, "") and "done in" not in out
    assert_same(tmp_path / "audit", undisturbed)


@pytest.mark.slow
@pytest.mark.parametrize("done", [0, 1, 3])
def test_kill_9_of_the_parent(attack, tmp_path, undisturbed, done):
    run = attack(tmp_path)
    run.wait_until_running(done=done, running=1)
    pids = descendants(run.process.pid)
    run.process.kill()
    run.end()
    assert_gone(pids, 5)
    kept = {role: (run.audit / "poisson_burst" / "signals" / f"{role}.npz").read_bytes() for role in run.done()}
    assert len(kept) >= done and not (run.audit / "audit.json").exists()
    again = attack(tmp_path, "--resume")
    code, out, err = again.end()
    assert (code, err) == (0, "")
    assert out.startswith(f"{len(kept)}/5 done before\n") == (len(kept) > 0)
    for role, before in kept.items():
        assert (run.audit / "poisson_burst" / "signals" / f"{role}.npz").read_bytes() == before
    assert_same(run.audit, undisturbed)


@pytest.mark.slow
def test_kill_9_of_the_parent_again_and_again(attack, tmp_path, undisturbed):
    rng = np.random.default_rng(0)
    for kill in range(4):
        run = attack(tmp_path, "--resume")
        run.wait_until_running(done=min(kill, 3), running=1)
        with contextlib.suppress(subprocess.TimeoutExpired):
            run.process.wait(rng.uniform(0, 6))
        pids = descendants(run.process.pid)
        run.process.kill()
        run.end()
        assert_gone(pids, 5)
        if (run.audit / "audit.json").exists():
            break  # it was through before the last kill
    code, _, err = attack(tmp_path, "--resume").end()
    assert (code, err) == (0, "")
    assert_same(tmp_path / "audit", undisturbed)


@pytest.mark.slow
def test_kill_9_of_single_models_is_mended_by_itself(attack, tmp_path, undisturbed):
    run = attack(tmp_path)
    killed = set()
    for done in (0, 2):
        workers = run.wait_until_running(done=done, running=1)
        role = next(role for role in workers if role not in killed | set(run.done()))
        os.kill(workers[role], signal.SIGKILL)
        killed.add(role)
    code, out, err = run.end()
    assert (code, err) == (0, "")
    retried = re.findall(r"poisson_burst/(\S+) failed, to be retried: killed by SIGKILL", out)
    assert sorted(retried) == sorted(killed)
    for role in killed:
        assert "--- another attempt ---" in (run.audit / "logs" / "poisson_burst" / f"{role}.log").read_text()
    assert_same(run.audit, undisturbed)


@pytest.mark.slow
def test_a_model_that_is_killed_twice_is_told_and_gone_on_from(attack, tmp_path, undisturbed):
    run = attack(tmp_path)
    for _ in range(2):
        wait_for(lambda: run.process.poll() is not None or "planted" in run.workers(), 300)
        pid = run.workers()["planted"]
        os.kill(pid, signal.SIGKILL)
        assert_gone([pid], 5)
    code, out, err = run.end()
    assert code == 1 and "Traceback" not in err and "poisson_burst/planted failed twice: killed by SIGKILL" in out
    assert err.startswith("kerasburst: poisson_burst/planted failed twice: killed by SIGKILL; its log ")
    assert run.done() == ROLES[:4] and not (run.audit / "audit.json").exists()
    code, out, err = attack(tmp_path, "--resume").end()
    assert (code, err) == (0, "") and out.startswith("4/5 done before\n5/5 poisson_burst/planted done in")
    assert_same(run.audit, undisturbed)


@pytest.mark.slow
def test_interrupted_and_gone_on_with_it_is_the_same(attack, tmp_path, undisturbed):
    run = attack(tmp_path)
    run.wait_until_running(done=1, running=1)
    pids = descendants(run.process.pid)
    run.process.send_signal(signal.SIGINT)
    assert run.end()[0] == 130
    assert_gone(pids, 3)
    assert attack(tmp_path, "--resume").end()[0] == 0
    assert_same(run.audit, undisturbed)


@pytest.mark.slow
@pytest.mark.parametrize("protocol", ["paper", "paper-overlapping"])
def test_the_papers_protocols_for_real(attack, tmp_path, protocol):
    code, out, err = attack(tmp_path, "--protocol", protocol).end()
    assert code == 0, (out, err)
    result = json.loads((tmp_path / "audit" / "audit.json").read_text())
    shared = int(re.search(r"target and shadow share (\d+) training examples", out)[1])
    assert result["overlap"] == shared and (shared == 0) == (protocol == "paper")
    attacks = result["encodings"]["poisson_burst"]["attacks"]
    assert [(a["name"], a["queries"]) for a in attacks] == [("svm", 1), ("svm", 2)]
    for a in attacks:
        known = [auc for auc in a["auc_per_class"].values() if auc is not None]
        assert set(a["auc_per_class"]) <= set("0123456789") and a["auc_macro"] == pytest.approx(np.mean(known))
        assert 0 <= a["auc_interval"][0] <= a["auc"] <= a["auc_interval"][1] <= 1
