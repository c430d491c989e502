"""The choice of a backend, and what each offers. Runs under every KERAS_BACKEND."""

import importlib.util
import os
import subprocess
import sys

import keras
import numpy as np
import pytest

from kerasburst import backend
from kerasburst.validation import InputError, check_backend

ON_TENSORFLOW = keras.backend.backend() == "tensorflow"
INSTALL = {"jax": "pip install 'kerasburst[jax]'", "torch": "pip install 'kerasburst[torch]'"}


def test_it_is_the_backend_of_keras():
    assert backend.name == check_backend() == keras.backend.backend()


@pytest.mark.parametrize("name", INSTALL)
def test_a_backend_that_is_not_installed_is_named_with_its_pip_command(name, monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", name)
    monkeypatch.setattr(importlib.util, "find_spec", lambda module: None)
    with pytest.raises(InputError) as error:
        check_backend()
    assert str(error.value) == f"KERAS_BACKEND is {name}, which is not installed: {INSTALL[name]}"


def test_keras_own_settings_file_is_read_where_the_variable_is_not_set(monkeypatch, tmp_path):
    monkeypatch.delenv("KERAS_BACKEND")
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    assert check_backend() == "tensorflow"
    (tmp_path / "keras.json").write_text('{"backend": "cntk"}')
    with pytest.raises(InputError, match="^backend in .*keras.json must be one of tensorflow, jax, torch, received"):
        check_backend()


@pytest.mark.parametrize("name", ["theano", *(n for n in INSTALL if importlib.util.find_spec(n) is None)])
@pytest.mark.parametrize("command", ["import kerasburst", "from kerasburst_cli.main import main; main(['datasets'])"])
def test_from_python_and_from_the_command_line(name, command):
    environment = {**os.environ, "KERAS_BACKEND": name}
    done = subprocess.run([sys.executable, "-c", command], env=environment, capture_output=True, text=True)
    last = done.stderr.strip().splitlines()[-1]
    if name in INSTALL:
        assert last.endswith(f"KERAS_BACKEND is {name}, which is not installed: {INSTALL[name]}")
    else:
        assert last.endswith("KERAS_BACKEND must be one of tensorflow, jax, torch, received 'theano'")
    if "main" in command:
        assert done.returncode == 2 and done.stderr.count("\n") == 1 and done.stderr.startswith("kerasburst: ")


def test_jit_computes_the_same():
    x = keras.ops.convert_to_tensor(np.arange(6.0, dtype="float32"))
    got = backend.jit(lambda x: keras.ops.square(x) + 1)(x)
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(got), [1, 2, 5, 10, 17, 26])


@pytest.mark.skipif(backend.device_peak_mb() is not None, reason="there is a GPU, where no path for a CPU runs")
def test_cpu_paths_run_on_tensorflow_alone_and_not_inside_xla_where_passes_do():
    assert backend.runs_cpu_paths() is backend.runs_cpu_passes() is ON_TENSORFLOW
    if not ON_TENSORFLOW:
        return
    import tensorflow as tf

    seen = []

    def look():
        seen.append((backend.runs_cpu_paths(), backend.runs_cpu_passes()))

    def note(x):
        look()
        return tf.cond(x > 0, lambda: (look(), x)[1], lambda: x)

    for compiled in (False, True):
        tf.function(note, jit_compile=compiled)(tf.constant(1.0))
    assert seen == [(True, True), (True, True), (False, True), (False, True)]


@pytest.mark.skipif(not ON_TENSORFLOW, reason="asks TensorFlow for its devices")
def test_cpu_paths_never_run_where_there_is_a_gpu(monkeypatch):
    import tensorflow as tf

    devices = [tf.config.LogicalDevice("/device:CPU:0", "CPU"), tf.config.LogicalDevice("/device:GPU:0", "GPU")]
    monkeypatch.setattr(tf.config, "list_logical_devices", lambda kind=None: devices)
    assert not backend.runs_cpu_paths() and not backend.runs_cpu_passes()
