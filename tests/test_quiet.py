"""TensorFlow's log lines are left out of its start; other lines are not."""

import os
import subprocess
import sys

import pytest

from kerasburst.quiet import quiet_start

LOG = "I0000 00:00:1795791785.307276   24210 port.cc:153] oneDNN custom operations are on.\n"
OTHER = "UserWarning: something of yours\n"


@pytest.fixture
def printed(monkeypatch, capfd):
    monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", "3")

    def run(error=None):
        with quiet_start():
            os.write(2, (LOG + OTHER).encode())
            if error is not None:
                raise error
        return capfd.readouterr().err

    run.after = lambda: capfd.readouterr().err
    return run


def test_only_log_lines_are_left_out(printed):
    assert printed() == OTHER


def test_all_lines_are_shown_if_the_start_crashes(printed):
    with pytest.raises(RuntimeError):
        printed(RuntimeError("no memory"))
    assert printed.after() == LOG + OTHER
    with pytest.raises(ImportError):  # its message says what is missing
        printed(ImportError("no module"))
    assert printed.after() == OTHER


def test_whoever_sets_the_log_level_sees_everything(printed, monkeypatch):
    monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", "0")
    assert printed() == LOG + OTHER


@pytest.mark.thorough
def test_importing_kerasburst_prints_nothing():
    environment = {name: value for name, value in os.environ.items() if name != "TF_CPP_MIN_LOG_LEVEL"}
    done = subprocess.run([sys.executable, "-c", "import kerasburst"], env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
