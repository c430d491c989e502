"""kerasburst encode, evaluate, datasets, --version, --help."""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import textwrap

import numpy as np
import pytest
from kerasburst_cli.main import COMMANDS

from kerasburst import __version__
from tests.cli.conftest import TINY

pytestmark = pytest.mark.usefixtures("eagerly")

PLUGIN = """
from kerasburst.encoders.rate import RateEncoder
from kerasburst.registry import register


class HalfRate(RateEncoder):
    pass


register("encoder", "half_rate", HalfRate)
"""


def test_datasets(kerasburst, tmp_path, monkeypatch):
    outcome = kerasburst("datasets")
    assert outcome.code == 0
    rows = {line.split()[0]: line for line in outcome.out.splitlines() if line}
    assert "1,797" in rows["digits"] and "yes" in rows["digits"] and "8x8x1" in rows["digits"]
    assert "60,000 + 10,000" in rows["mnist"] and " no " in rows["mnist"]
    (tmp_path / "data").mkdir()
    np.savez(tmp_path / "data" / "mnist.npz", x_train=[0])
    listed = {row["name"]: row for row in json.loads(kerasburst("datasets", "--data-dir", "data", "--json").out)}
    assert listed["mnist"]["available"] and "mnist.npz" in listed["mnist"]["where"]
    assert not listed["cifar100"]["available"]
    assert not listed["nmnist"]["available"] and "NMNIST/Train/0/*.bin" in rows["nmnist"]
    (tmp_path / "data" / "cifar10_subset.npz").write_bytes(b"")
    (cifar,) = (
        r
        for r in json.loads(kerasburst("datasets", "--data-dir", "data", "--json").out)
        if r["num_test"] == 10_000 and r["name"] == "cifar10"
    )
    assert cifar["note"] == "a subset of CIFAR-10" and listed["mnist"]["note"] == ""
    (line,) = (line for line in kerasburst("datasets", "--data-dir", "data").out.splitlines() if "cifar10 " in line)
    assert " part " in line and "(a subset of CIFAR-10)" in line


def test_encode(kerasburst, tmp_path):
    arguments = ("--encoding", "delayed_burst", "--index", "3", "--feature", "12", "--feature", "20", "--draws", "20")
    outcome = kerasburst("encode", *arguments, "--set", "encoder.mean_burst_size=4", "--out", "picture")
    assert outcome.code == 0 and "firing rate" in outcome.out and "standard errors" in outcome.out
    assert {path.name for path in (tmp_path / "picture").iterdir()} == {"encoding.png", "encoding.json"}
    assert json.loads((tmp_path / "picture" / "encoding.json").read_text())["features_drawn"] == [12, 20]


def test_names_that_a_terminal_would_obey_are_escaped(kerasburst, tmp_path):
    names = np.array(["\x1b[31mred\x07", "a\u202eb"])
    np.savez(tmp_path / "mine.npz", x=np.random.default_rng(0).random((40, 4)), y=np.arange(40) % 2, class_names=names)
    outcome = kerasburst("encode", "--dataset", "mine.npz", "--draws", "2", "--out", "p\x1b[1m")
    assert outcome.code == 0 and outcome.out.replace("\n", "").isprintable()
    assert re.search(r"\\x1b\[31mred\\x07|a\\u202eb", outcome.out) and "p\\x1b[1m" in outcome.out


def test_encode_with_several_encoders(kerasburst, tmp_path):
    both = ("--encoding", "rate", "--encoding", "poisson_burst", "--dataset", "iris", "--draws", "5")
    shown = json.loads(kerasburst("encode", *both, "--out", "pictures", "--json").out)
    assert list(shown["encodings"]) == ["rate", "poisson_burst"]
    assert {path.name for path in (tmp_path / "pictures").iterdir()} == {"rate", "poisson_burst"}
    assert shown["encodings"]["poisson_burst"]["encoder"] == "PoissonBurstEncoder"
    assert (tmp_path / "pictures" / "poisson_burst" / "encoding.png").exists()
    refused = kerasburst("encode", *both, "--set", "encoder.gain=0.5", "--out", "no")
    assert refused.code == 2 and "encoder.gain is unknown" in refused.err
    assert not (tmp_path / "no").exists()


@pytest.mark.thorough
def test_a_moved_file_of_data_is_still_the_runs(kerasburst, images, tmp_path):
    arguments = ("--epochs", "1", "--num-steps", "2", "--set", "model.filters=2,2", "--set", "model.hidden_units=4")
    assert kerasburst("train", "--dataset", images(), *arguments, "--out", "run").code == 0
    before = json.loads(kerasburst("evaluate", "run", "--queries", "2", "--json").out)
    assert json.loads((tmp_path / "run" / "data.json").read_text())["where"] == str(tmp_path / "mine.npz")
    (tmp_path / "mine.npz").rename(tmp_path / "moved.npz")
    lost = kerasburst("evaluate", "run")
    assert lost.code == 2 and "mine.npz does not exist" in lost.err
    moved = kerasburst("evaluate", "run", "--queries", "2", "--dataset", "moved.npz", "--json")
    assert json.loads(moved.out) == before
    more = ("--resume", "--out", "run", "--epochs", "2", "--dataset")
    assert kerasburst("train", *more, "moved.npz").code == 0
    assert json.loads((tmp_path / "run" / "config.json").read_text())["dataset"] == str(tmp_path / "moved.npz")
    other = images("other.npz", y=np.arange(40) % 2 ^ 1)
    refused = kerasburst("train", "--resume", "--out", "run", "--epochs", "3", "--dataset", other)
    assert refused.code == 2 and "has changed" in refused.err


def test_evaluate_agrees_with_the_run(kerasburst, run):
    trained = json.loads((run / "result.json").read_text())
    same = json.loads(kerasburst("evaluate", "run", "--queries", "2", "--json").out)
    assert same["accuracies"] == trained["test_accuracies"]
    assert same["accuracy_interval"] == trained["test_accuracy_interval"]
    more = json.loads(kerasburst("evaluate", "run", "--queries", "6", "--batch-size", "7", "--json").out)
    assert more["queries"] == 6 and more["accuracies"][:2] == same["accuracies"]
    assert more["accuracy"] == pytest.approx(np.mean(more["accuracies"]))
    text = kerasburst("evaluate", "run").out
    assert "accuracy of mean logits" in text and "encodings of each (K)     16" in text


@pytest.mark.thorough
def test_a_deterministic_encoder_is_asked_once(kerasburst):
    assert kerasburst("train", *TINY, "--set", "encoder.mode=regular", "--out", "run").code == 0
    assert json.loads(kerasburst("evaluate", "run", "--json").out)["queries"] == 1


def test_version_and_help(kerasburst):
    assert __version__ in kerasburst("--version").out
    bare = kerasburst()
    assert bare.code == 0 and "train" in bare.out
    for name in ("train", "evaluate", "encode", "bench", "datasets"):
        assert "Usage: kerasburst " + name in kerasburst(name, "--help").out


def test_help_waits_for_nothing_slow():
    """Each command's help, in a fork of a process that has imported the command line alone."""
    code = """
import os, sys
from kerasburst_cli.main import main
for name in sys.argv[1:]:
    if os.fork() == 0:
        try:
            main([name, "--help"])
        finally:
            slow = {"tensorflow", "keras", "scipy", "sklearn", "matplotlib"} & set(sys.modules)
            print("imported:", sorted(slow), flush=True)
            os._exit(0)
    os.wait()
"""
    done = subprocess.run([sys.executable, "-c", code, *COMMANDS], capture_output=True, text=True, check=True)
    shown = done.stdout.split("imported: ")
    assert shown.pop() == "[]\n" and len(shown) == len(COMMANDS) and done.stderr == ""
    for name, text in zip(COMMANDS, shown, strict=True):
        assert text.removeprefix("[]\n").startswith(f"Usage: kerasburst {name} "), text


@pytest.mark.thorough
def test_a_plugin_is_among_the_choices_and_its_parameters_can_be_set(tmp_path):
    (tmp_path / "mine.py").write_text(PLUGIN)
    around = os.environ | {"KERASBURST_PLUGINS": "mine", "PYTHONPATH": str(tmp_path)}
    code = "import sys; from kerasburst_cli.main import main; main(sys.argv[1:])"
    command = [
        sys.executable,
        "-c",
        code,
        "encode",
        "--dataset",
        "iris",
        "--draws",
        "10",
        "--encoding",
        "half_rate",
        "--out",
        "pictures",
    ]
    done = subprocess.run(
        [*command, "--set", "encoder.gain=0.5"], cwd=tmp_path, env=around, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "pictures" / "encoding.json").read_text())["encoder"] == "HalfRate"


@pytest.mark.parametrize(
    "arguments",
    [
        ["attack", "--shadows", "3"],
        ["attack", "--attack", "replay", "--set", "encoder.mode=regular", "--shadows", "3"],
        ["train", "--epochs", "0"],
        ["transfer", "--seeds", "0"],
        ["sweep", "--param", "encoder.margin=1:2", "--seeds", "0"],
        ["profile", "--repeats", "0"],
        ["reproduce", "--seeds", "0"],
    ],
    ids=" ".join,
)
@pytest.mark.sampled(4)
def test_a_wrong_argument_waits_for_nothing_slow(arguments, tmp_path):
    code = f"""
        import atexit, sys
        atexit.register(lambda: print(sorted({{"tensorflow", "keras"}} & set(sys.modules))))
        from kerasburst_cli.main import main
        main({arguments!r})
    """
    code = textwrap.dedent(code)
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, "[]\n") and "received" in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.thorough
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits a process's address space")
@pytest.mark.parametrize("megabytes", [300, 600])
def test_a_memory_limit_below_the_libraries_is_one_line(tmp_path, megabytes):
    code = f"""
        import resource, sys
        resource.setrlimit(resource.RLIMIT_AS, ({megabytes} << 20, {megabytes} << 20))
        from kerasburst_cli.main import main
        main(["train", "--dataset", "iris", "--out", "run"])
    """
    command = [sys.executable, "-c", textwrap.dedent(code)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 1 and done.stderr.count("\n") == 1, done.stderr
    assert done.stderr.startswith("kerasburst: out of memory")
    assert list(tmp_path.iterdir()) == []


def test_list_parameters(kerasburst):
    sections = dict(part.split(":\n", 1) for part in kerasburst("train", "--list-parameters").out.split("\n\n"))
    assert "encoder.silence=0.0" in sections["encoder delayed_burst"]
    assert "encoder.trainable=False" in sections["encoder poisson_burst"]  # which stands for two
    assert "encoder.trainable=" not in sections["encoder rate"]
    assert "neuron.beta=0.95" in sections["neuron lif"]
    assert "model.conv_activation='relu'" in sections["model SNNConvNet"]
    assert "model.neuron='lif'" in sections["model SNNConvNet"]
    # A parameter's meaning and range stand in its class' docstring.
    assert re.search(r"encoder.gain=1.0 +factor on the intensity, at least 0(\n|$)", sections["encoder rate"])
    assert "membrane decay per step, in [0, 1]" in sections["neuron lif"]


def test_list_models(kerasburst):
    lines = kerasburst("train", "--list-models").out.splitlines()
    found = {line.split()[0]: line.split(maxsplit=1)[1] for line in lines[1:] if not line.startswith("    ")}
    assert list(found)[:5] == ["SNNConvNet", "SNNFCNet", "SEWResNet", "SpikingVGG", "RecurrentSNN"]
    assert found["SNNConvNet"] == "Convolutional spiking network for images."


def test_every_parameter_has_a_meaning():
    from kerasburst_cli.cmd_train import parameters_text
    from kerasburst_cli.options import all_parameters

    text = parameters_text(width=2000)
    for _, name, default in all_parameters():
        assert re.search(rf"^  {re.escape(name)}={re.escape(repr(default))}\s+\w?[^.=]+ ", text, re.MULTILINE), name


@pytest.mark.parametrize(
    "text, expected",
    [
        ("encoder.margin=none", None),
        ("encoder.mean_burst_size=2.5", 2.5),
        ("neuron.trainable_beta=True", True),
        ("model.filters=8,16", [8, 16]),
        ("neuron.surrogate=atan(alpha=4)", "atan(alpha=4)"),
    ],
)
def test_values_of_assignments(text, expected):
    from kerasburst_cli.options import parse_assignment

    value = parse_assignment(text)[2]
    assert value == expected and type(value) is type(expected)


def test_an_interrupt_that_is_lost_is_raised_again():
    """A finaliser swallows the KeyboardInterrupt; the next epoch's end raises it."""
    from kerasburst_cli.progress import Silent
    from kerasburst_cli.running import noted_interrupts

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with noted_interrupts():
            Silent().epoch({})  # none came
            with contextlib.suppress(KeyboardInterrupt):
                signal.raise_signal(signal.SIGINT)
            with pytest.raises(KeyboardInterrupt):
                Silent().epoch({})
            Silent().epoch({})  # once
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before)


FEWER = "--xla_gpu_experimental_enable_fusion_autotuner=false"
NO_TRITON = "--xla_gpu_enable_triton_gemm=false"


@pytest.mark.parametrize(
    "version, gpu, backend, given, expected",
    [
        ("2.21.0", {"name": "Stand-In"}, None, None, f"{FEWER} {NO_TRITON}"),
        ("2.21.0", {"name": "Stand-In"}, "tensorflow", "--mine=1", f"--mine=1 {FEWER} {NO_TRITON}"),
        (
            *("2.21.1", {"name": "Stand-In"}, None),
            *("--xla_gpu_enable_triton_gemm=true", f"--xla_gpu_enable_triton_gemm=true {FEWER}"),
        ),
        ("2.22.0", {"name": "Stand-In"}, None, None, None),  # which may not know them, and would end
        ("2.21.0", None, None, None, None),
        ("2.21.0", {"name": "Stand-In"}, "jax", "--mine=1", "--mine=1"),
    ],
)
def test_xla_compiles_less_on_a_gpu(monkeypatch, version, gpu, backend, given, expected):
    from kerasburst_cli import running

    monkeypatch.setattr(running, "gpu_facts", lambda: gpu)
    monkeypatch.setattr("importlib.metadata.version", lambda name: version)
    for name, value in (("KERAS_BACKEND", backend), ("XLA_FLAGS", given)):
        monkeypatch.delenv(name, raising=False) if value is None else monkeypatch.setenv(name, value)
    running.compile_faster()
    assert os.environ.get("XLA_FLAGS") == expected
