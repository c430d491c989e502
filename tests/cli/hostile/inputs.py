"""Bad values of every option of every command, and of every parameter that `--set` takes."""

import os

import click
import numpy as np
from kerasburst_cli.main import COMMANDS, cli
from kerasburst_cli.options import all_parameters

from tests.cli.hostile.case import Case

HUGE = "9" * 400
# What a call needs beside the option that is tried; nothing of it is reached where the option is refused.
BASES = {
    "train": ("--dataset", "iris", "--epochs", "1", "--out", "new"),
    "evaluate": ("run",),
    "predict": ("run", "--input", "x.npy"),
    "export": ("run", "--out", "new"),
    "attack": ("--dataset", "iris", "--out", "new"),
    "profile": ("--dataset", "iris", "--out", "new"),
    "transfer": ("--source", "iris", "--target", "wine", "--out", "new"),
    "sweep": ("--dataset", "iris", "--param", "neuron.threshold=0.5,0.9", "--out", "new"),
    "reproduce": ("--out", "new"),
    "report": ("run", "--out", "page.html"),
    "encode": ("--dataset", "iris", "--out", "new"),
    "bench": (),
    "datasets": (),
}
BAD_VALUES = {
    "integer": ("x", "", "none", "nan", "inf", "1.5", "[1]", "é", HUGE, "-1"),
    "float": ("x", "", "none", "nan", "inf", "-inf", "[1]", "é", "1e999", "-1"),
    "choice": ("x", "", "none", "[1]", "é"),
}
# Whole trainings or models, of which a slip of the keyboard must not ask for thousands of millions.
_COUNTS = ("shadows", "targets", "pools", "seeds", "samples", "repeats", "canaries")
BAD_PATHS = ("", "x" * 300, "dangling", "circle", "/dev/null/x", "~nosuchuser/x", "pipe")
BAD_INPUTS = (*BAD_PATHS, "absent", "folder", "/dev/zero", "text")
BAD_TEXTS = {
    "assignments": (
        *("", "x", "=", "x=1", "encoder.=1", ".x=1", "encoder.x=1", "neuron.x", "é.x=1", "neuron.beta=x" + HUGE),
        *("neuron.beta=" + "[" * 100_000, "neuron.beta={}", "neuron.beta=", "encoder.gain=1e999"),
    ),
    "parameters": (
        *("", "x", "=", "neuron.beta", "neuron.beta=", "neuron.beta=x", "neuron.beta=1:0", "neuron.beta=0:1:0"),
        *("neuron.beta=nan", "neuron.beta=0:inf", "neuron.beta=0:1:1e-30", "neuron.beta=" + "[" * 100_000),
        *("x.beta=1", "neuron.x=1", "train.x=1", "train.dataset=wine", "é=1", "neuron.beta=0.5,0.5", "encoder.gain=x"),
    ),
    "searches": (
        *("", "x", "=", "neuron.beta", "neuron.beta=", "neuron.beta=x", "neuron.beta=1:0", "neuron.beta=nan:1"),
        *("neuron.beta=0:inf", "neuron.beta=" + "[" * 100_000, "x.beta=0:1", "neuron.x=0:1", "é=0:1"),
    ),
    "snapshots": ("", "x", ",", "1,", "0", "-1", "1.5", "nan", "1,x", "[1]", HUGE),
    "arms": (
        *("", "x", ":", "é", "rate:x", "rate:=1", "rate:x=1", "rate:gain=x", "rate:gain=nan", "input_noise:sd=x"),
        *("input_noise:sd=-1", "input_noise:sd=nan", "input_noise:x=1", "input_noise:encoding=x", "none"),
        "private:epsilon=0",
    ),
    "attacks": ("", "x", "é", "none", "[1]"),
    "metrics": ("", "x", "none", ",", "test_accuracy,x", "é"),
    "dataset": ("", "x", "é", "digits:", "digits:x", "digits:0", "digits:5-1", "digits:0,0", "digits:0-99", "iris:8,9"),
}
BAD_TEXTS |= dict.fromkeys(("source", "target"), BAD_TEXTS["dataset"])


def option_cases():
    """Yield a case for each bad value of each option of each command."""
    for command in COMMANDS:
        for option in cli.get_command(None, command).params:
            if not isinstance(option, click.Option) or option.is_flag or not option.opts[0].startswith("--"):
                continue
            flag = option.opts[0]
            needs = ("run", "examples") if "run" in BASES[command] or flag in ("--run", "--from-run") else ()
            for value in _bad_values(command, option):
                arguments = _without(BASES[command], flag)
                yield Case(
                    f"{command} {flag} {value[:20]!r}",
                    (command, *arguments, f"{flag}={value}"),
                    needs=needs,
                    prepare=_places,
                )


def _bad_values(command, option):
    if option.name in BAD_TEXTS and not isinstance(option.type, click.Choice):
        return BAD_TEXTS[option.name]
    if isinstance(option.type, click.Path):
        if option.name == "out":  # predict replaces the file that it is told to write
            return (
                *BAD_PATHS,
                *(() if command == "bench" else ("folder",)),
                *(() if command == "predict" else ("text",)),
            )
        return BAD_INPUTS if option.name != "data_dir" else tuple(each for each in BAD_INPUTS if each != "folder")
    if isinstance(option.type, click.Choice):
        return tuple(value for value in BAD_VALUES["choice"] if value not in option.type.choices)
    return (*BAD_VALUES[option.type.name], *(["2000000000"] if option.name in _COUNTS else []))


def _without(arguments, flag):
    if flag not in arguments:
        return arguments
    at = arguments.index(flag)
    return arguments[:at] + arguments[at + 2 :]


def _places(folder):
    """Make what no option takes: links to nothing and to themselves, a pipe, another program's folder, a text."""
    (folder / "dangling").symlink_to("nowhere")
    (folder / "circle").symlink_to("circle")
    os.mkfifo(folder / "pipe")
    (folder / "folder").mkdir()
    (folder / "folder" / "thesis.tex").write_text("mine")
    (folder / "text").write_text("mine")


IMAGES = {"SNNConvNet": 8, "SEWResNet": 8, "SpikingVGG": 32}  # networks of images, with the least size of these


def _image_file(size):
    def prepare(folder):
        x = np.random.default_rng(0).random((20, size, size, 1), dtype="float32")
        np.savez(folder / "images.npz", x=x, y=np.arange(20) % 2)

    return prepare


BAD_PARAMETERS = ("x", "", "[1]", "{}", "nan", "inf", "-1", "1e999", HUGE, "é", "none", "2000000000")


def parameter_cases():
    """Yield a case for each bad value of each parameter that `--set` takes."""
    for owner, name, default in all_parameters():
        scope, _, parameter = name.partition(".")
        if owner == "leaky_integrator":  # a readout, which no network takes in the place of its neurons
            continue
        for value in BAD_PARAMETERS:
            if scope == "encoder":
                data = "moving_digits" if owner == "event_burst" else "iris"
                arguments = ("encode", "--dataset", data, "--encoding", owner, "--draws", "2", "--out", "new")
            else:
                model = ("--model", owner) if scope == "model" else ()
                data = "images.npz" if owner in IMAGES else "iris"
                small = "--train-limit 10 --epochs 1 --num-steps 2 --queries 1 --quiet --out new".split()
                neuron = ("--set", f"model.neuron={owner}") if scope == "neuron" else ()
                arguments = ("train", "--dataset", data, *small, *model, *neuron)
            yield Case(
                f"{owner} {name}={value[:20]!r}",
                (*arguments, "--set", f"{name}={value}"),
                prepare=_image_file(IMAGES[owner]) if owner in IMAGES else lambda folder: None,
                mentions=(parameter,),
                codes=(2,) if not _may_be_fine(owner, parameter, default, value) else (0, 2),
                refused=False,
            )


def _may_be_fine(owner, parameter, default, value):
    """Return whether some parameter of that type takes the value."""
    if value == "none":
        return default is None or parameter in ("reset_mechanism", "normalization", "silence")
    number = isinstance(default, float | int) and not isinstance(default, bool)
    if value == "[1]":  # the same for each neuron, or one for each; one layer of one
        return number or isinstance(default, tuple)
    if value == "-1":  # of millivolts and currents
        return number and owner in ("izhikevich", "adex")
    return value == "2000000000" and (number or parameter == "recompute_steps")  # more steps than there are: all
