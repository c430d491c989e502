import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# Most of the tests' time is XLA's, whose code for a few units need not be fast. `XLA_FLAGS= pytest` compiles as usual.
os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true")
os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # threads that wait for small matrices burn processors
os.environ.setdefault("OMP_NUM_THREADS", "1")
# What Python compiles is kept, though an environment may ask for none: pytest would rewrite every assert anew in each
# worker, and each process that a test starts compile the package.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

import fcntl
import gc
import importlib.util
import signal
import sys
import threading

import numpy as np
import pytest

from tests.eager import eagerly


def _read_by_numpy(self, dtype=None, copy=None):
    """Return a tensor of PyTorch as an array, as the other backends' tensors are, whatever gradients it needs."""
    values = self.detach().cpu()
    return np.asarray((values.float() if values.dtype.itemsize == 2 else values).numpy(), dtype)


def pytest_configure():
    """Hear Ctrl-C though a shell's background job ignores it, as would the processes that tests start and interrupt.

    Refuse to run, instead of skipping tests, where a module that `KERASBURST_REQUIRE` names is missing.
    """
    sys.dont_write_bytecode = False
    gc.set_threshold(20_000, 20, 20)  # collecting the tests makes much and drops little
    if os.environ["KERAS_BACKEND"] == "torch":
        import torch

        torch.Tensor.__array__ = _read_by_numpy
    in_main = threading.current_thread() is threading.main_thread()
    if in_main and signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    required = [name for name in os.environ.get("KERASBURST_REQUIRE", "").split(",") if name]
    missing = [name for name in required if importlib.util.find_spec(name) is None]
    if missing:
        raise pytest.UsageError(f"KERASBURST_REQUIRE names modules that are not installed: {', '.join(missing)}")


@pytest.fixture(autouse=True, scope="session")
def cheap_graphs():
    """Leave TensorFlow's graphs as they are, too: rewriting them takes longer than running them once or twice."""
    gc.freeze()  # what was imported stays
    if "tensorflow" in sys.modules:  # a GPU would round products to 10 bits, and tests compare them to 1e-5
        sys.modules["tensorflow"].config.experimental.enable_tensor_float_32_execution(False)
    if os.environ["KERAS_BACKEND"] == "jax":
        import jax

        jax.config.update("jax_default_matmul_precision", "highest")
    if os.environ["KERAS_BACKEND"] == "torch":
        import torch

        torch.backends.cudnn.allow_tf32 = False
    if "tensorflow" in sys.modules and os.environ["XLA_FLAGS"]:
        sys.modules["tensorflow"].config.optimizer.set_experimental_options({"disable_meta_optimizer": True})


@pytest.fixture(autouse=True, scope="session")
def asked_once():
    """Ask the same examples once whether they reveal membership: that control's forest takes half of a small audit."""
    controls = sys.modules.get("kerasburst.privacy.controls")
    if controls is None:
        yield
        return
    ask, known = controls.blind_baseline, {}

    def remembered(x, y, membership, *others):
        key = (x.shape, *(np.asarray(each).tobytes() for each in (x, y, membership)), *others)
        if key not in known:
            known[key] = ask(x, y, membership, *others)
        return known[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(controls, "blind_baseline", remembered)
        yield


@pytest.fixture(scope="session")
def made_once(tmp_path_factory):
    """Return a function to a path by its name, which `make(path)` writes once for all processes of a test run."""
    folder = tmp_path_factory.getbasetemp()
    folder = (folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder) / "made-once"
    folder.mkdir(exist_ok=True)

    def get(name, make):
        with open(folder / f"{name}.lock", "a+") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if os.path.getsize(lock.name) == 0:
                make(folder / name)
                lock.write("done")
        return folder / name

    return get


@pytest.fixture(name="eagerly")
def _eagerly(request):
    """See tests/eager.py; a module's tests that ask of compiled functions are marked `compiled`."""
    if request.node.get_closest_marker("compiled") is None:
        with eagerly():
            yield
    else:
        yield


@pytest.fixture(autouse=True)
def plugins_of_one_test():
    """Take back what a test that registers something told other processes to import."""
    before = os.environ.get("KERASBURST_PLUGINS")
    yield
    if before is None:
        os.environ.pop("KERASBURST_PLUGINS", None)
    else:
        os.environ["KERASBURST_PLUGINS"] = before


_LONG_EXAMPLES = {  # of docstrings, which train or export
    "kerasburst.export.exporting.export",
    "kerasburst.export.exporting.savedmodel",
    "kerasburst.export.predicting.predict",
    "kerasburst.models.sew_resnet.SEWResNet",
    "kerasburst.privacy.audited_run.AuditedRun",
    "kerasburst.privacy.signals.collect_signals",
    "kerasburst.profiling.bench.bench",
    "kerasburst.profiling.profiler.Profiler.callback",
    "kerasburst.training.fit.train",
}


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """Make long examples `thorough`, and the cases of a `sampled(n)` test, all but every n-th."""
    seen = {}
    for item in items:
        if (mark := item.get_closest_marker("sampled")) is not None:
            number = seen.setdefault(item.function, 0)
            seen[item.function] += 1
            if number % mark.args[0]:
                item.add_marker(pytest.mark.thorough)
        elif item.name in _LONG_EXAMPLES:
            item.add_marker(pytest.mark.thorough)
