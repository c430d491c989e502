"""What a task's process knows, what it loads, and where it can run."""

import importlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from kerasburst.process import kill_group
from kerasburst.profiling.measurement import KERASBURST, start_worker
from kerasburst.registry import ENCODERS, PLUGINS
from kerasburst.validation import InputError
from tests.study import work
from tests.study.conftest import ROOT

MINE = """
from kerasburst.registry import register


def half():
    return 0.5


register("encoder", "half_of_a_test", half)
"""

MY_LAYER = """
import keras
from kerasburst.registry import register


@keras.saving.register_keras_serializable("of_a_test")
class MyLayer(keras.layers.Layer):
    pass


register("encoder", "layer_of_a_test", MyLayer)
"""


@pytest.fixture
def plugin(tmp_path, monkeypatch):
    """Import a module of that source, which registers something; forget it afterwards."""
    known = dict(ENCODERS._entries)

    def load(name, source):
        (tmp_path / "code").mkdir()
        (tmp_path / "code" / f"{name}.py").write_text(source)
        monkeypatch.syspath_prepend(tmp_path / "code")
        monkeypatch.setenv(PLUGINS, "")
        return importlib.import_module(name)

    yield load
    ENCODERS._entries.clear()
    ENCODERS._entries.update(known)


def test_a_task_knows_what_this_process_has_registered(fleet, plugin):
    plugin("mine_of_a_test", MINE)
    fleet.run([fleet.task("t", "names", kind="ENCODERS")], jobs=1)
    assert work.read(fleet.folder / "t") == sorted(ENCODERS) and "half_of_a_test" in ENCODERS


def test_a_process_that_waits_for_tasks_is_not_used_for_what_was_registered_since(fleet, plugin):
    fleet.run([fleet.task("before", "names", kind="ENCODERS")], jobs=1)
    plugin("mine_of_a_later_test", MINE.replace("half_of", "later_of"))
    fleet.run([fleet.task("after", "names", kind="ENCODERS")], jobs=1)
    assert "later_of_a_test" not in work.read(fleet.folder / "before")
    assert "later_of_a_test" in work.read(fleet.folder / "after")


def test_a_module_that_cannot_be_imported_is_told_in_one_line(fleet, monkeypatch):
    monkeypatch.setenv(PLUGINS, "no_such_module_of_a_test")
    with pytest.raises(InputError, match=f"^{PLUGINS} must name modules that can be imported, no_such_module"):
        fleet.run([fleet.task("t")], jobs=1)
    assert not fleet.runs("t")


@pytest.mark.thorough
def test_a_task_reads_a_file_with_a_layer_of_a_registered_module(fleet, plugin):
    import keras

    module = plugin("layer_of_a_test", MY_LAYER)
    keras.Sequential([keras.Input((2,)), module.MyLayer()]).save(fleet.folder / "m.keras")
    fleet.run([fleet.task("t", "layer", model=str(fleet.folder / "m.keras"))], jobs=1)
    assert work.read(fleet.folder / "t") == "MyLayer"


def test_a_task_that_needs_no_tensorflow_does_not_load_it(fleet):
    fleet.run([fleet.task("t", "modules")], jobs=1)
    assert not {"tensorflow", "keras"} & set(work.read(fleet.folder / "t"))


def test_a_work_loads_tensorflow_when_it_is_built(tmp_path):
    with start_worker(KERASBURST, threads=1) as worker:
        assert worker.ask("peak")["peak_rss_mb"] > 1
        if (maps := Path(f"/proc/{worker.pid}/maps")).exists():
            assert "numpy" in maps.read_text() and "tensorflow" not in maps.read_text()


NOT_POSIX = """
import sys
import psutil  # which needs them itself, on Linux
sys.modules["fcntl"] = sys.modules["resource"] = None
import pathlib
import kerasburst.profiling.host, kerasburst.study, kerasburst.training, kerasburst.training.run_directory
from kerasburst.study.lease import hold_lease
with hold_lease(pathlib.Path(sys.argv[1])) as lease:
    assert lease.host == "" and not lease.lost()
assert lease.lost()
with kerasburst.training.run_directory.RunDirectory(sys.argv[1] + "/run").claimed():
    pass
"""


def test_without_posix_modules(tmp_path):
    environment = os.environ | {"KERASBURST_DEFER_LAYERS": "1"}
    command = [sys.executable, "-c", NOT_POSIX, str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_a_system_that_cannot_fork_is_told_in_one_line(fleet, monkeypatch):
    monkeypatch.delattr(os, "fork")
    with pytest.raises(InputError, match="^a fleet needs a system that can fork processes"):
        fleet.run([fleet.task("t")], jobs=1)
    assert fleet.recorder.events == [] and not fleet.logs.exists()


@pytest.mark.skipif(os.name != "posix", reason="process groups are POSIX's")
def test_a_group_is_killed_and_one_that_is_gone_needs_no_killing():
    command = [sys.executable, "-c", "import time; time.sleep(60)"]
    with subprocess.Popen(command, start_new_session=True) as process:
        kill_group(process.pid)
        assert process.wait(timeout=300) == -signal.SIGKILL
    kill_group(process.pid)
