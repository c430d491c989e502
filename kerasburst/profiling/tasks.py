"""The works of a profile, each in a fresh process: teach a network and count what it does, or measure it once.

    plan.json, splits.npz                    what is trained and measured, on which examples; written first
    networks/NAME.keras, NAME.json           the trained network on spikes, its accuracy and its cost
    measurements/NAME-REPEAT.json            one measurement

Each result's file appears whole and last, so that its presence means done.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

import psutil
import tensorflow as tf

from kerasburst import files, records
from kerasburst.config import TrainConfig
from kerasburst.data.dataset import Dataset
from kerasburst.data.pipeline import make_dataset
from kerasburst.data.splits import Splits
from kerasburst.models.base import SpikingNetwork
from kerasburst.models.loading import load_model
from kerasburst.profiling.callback import ProfilerCallback
from kerasburst.profiling.cost import network_cost
from kerasburst.profiling.plan import ProfileConfig
from kerasburst.profiling.profiler import Profiler
from kerasburst.seeding import derive_seed
from kerasburst.study import Task
from kerasburst.training.evaluate import load_network
from kerasburst.training.evaluation import evaluate_network
from kerasburst.training.fit import build, prepare, run_epochs

TEST_EXAMPLES = 2000  # at most, of the accuracy, the counts and a pass of inference
_ENDLESS = 1_000_000  # epochs


def teaching(folder: Path, name: str) -> Task:
    """Give the fleet's task that trains an encoding's network."""
    return Task(f"{name}/network", "kerasburst.profiling.tasks:teach", {"folder": str(folder), "name": name})


def measuring(folder: Path, name: str, repeat: int) -> Task:
    """Give the fleet's task of one measurement."""
    arguments = {"folder": str(folder), "name": name, "repeat": repeat}
    return Task(f"{name}/measurement-{repeat}", "kerasburst.profiling.tasks:measure", arguments)


def is_done(task: Task) -> bool:
    """Tell whether a task's result is there; it is written last."""
    folder, name = Path(task.arguments["folder"]), task.arguments["name"]
    repeat = task.arguments.get("repeat")
    return (record_path(folder, name) if repeat is None else measurement_path(folder, name, repeat)).exists()


def record_path(folder: Path, name: str) -> Path:
    """Give the path of what is known of an encoding's network."""
    return folder / "networks" / f"{name}.json"


def measurement_path(folder: Path, name: str, repeat: int) -> Path:
    """Give the path of a measurement."""
    return folder / "measurements" / f"{name}-{repeat}.json"


def teach(folder: str, name: str) -> None:
    """Train an encoding's network, or copy a run's, and count what it does on test examples.

    Args:
        folder: the profile's directory.
        name: the encoding's.
    """
    config, training, data = _plan(Path(folder), name)
    network, encoder = build(training, data)
    if config.run is None:
        run_epochs(network, encoder, training, data)
    else:
        network = load_network(config.run).with_encoder(None)
    x, y = data.x_test[:TEST_EXAMPLES], data.y_test[:TEST_EXAMPLES]
    how = {"seed": derive_seed(training.seed, "test"), "batch_size": training.batch_size}
    evaluation = evaluate_network(network, encoder, x, y, queries=training.queries, **how)
    cost = network_cost(network, x, encoder=encoder, **how)
    record = record_path(Path(folder), name)
    record.parent.mkdir(parents=True, exist_ok=True)
    with files.replacing(record.with_suffix(".keras")) as temporary:
        network.with_encoder(None).save(temporary)  # a copy without optimizer
    files.write_json(record, {"evaluation": records.to_json(evaluation), "cost": records.to_json(cost)})


def measure(folder: str, name: str, repeat: int) -> None:
    """Measure an encoding's training or inference once.

    Args:
        folder: the profile's directory.
        name: the encoding's.
        repeat: the measurement's number, from 0.
    """
    config, training, data = _plan(Path(folder), name)
    held_mb = psutil.Process().memory_info().rss / 1e6  # libraries and data
    profiler = Profiler()
    if config.mode == "train":
        network, encoder = build(training, data)
        callback = ProfilerCallback(profiler, window_s=config.window_s)
        run_epochs(network, encoder, dataclasses.replace(training, epochs=_ENDLESS), data, callbacks=[callback])
        passes, examples = callback.epochs, len(data.x_train)
    else:
        network = load_model(record_path(Path(folder), name).with_suffix(".keras"))
        passes = _infer(network, training, data, profiler, config.window_s)
        examples = min(TEST_EXAMPLES, len(data.x_test))
    path = measurement_path(Path(folder), name, repeat)
    path.parent.mkdir(parents=True, exist_ok=True)
    measured = {"held_mb": held_mb, "passes": passes, "examples": examples, "region": records.to_json(profiler.result)}
    files.write_json(path, {"name": name, "repeat": repeat, **measured})


def _infer(network: SpikingNetwork, training: TrainConfig, data: Dataset, profiler: Profiler, window_s: float) -> int:
    """Pass over test examples, through the pipeline, until the window is filled; give how many passes that took."""
    x, y = data.x_test[:TEST_EXAMPLES], data.y_test[:TEST_EXAMPLES]
    seed = derive_seed(training.seed, "test")
    batches = iter(make_dataset(x, y, training.make_encoder(), training.batch_size, seed, num_epochs=_ENDLESS))
    forward = tf.function(lambda spikes: network(spikes, training=False), reduce_retracing=True, autograph=False)

    def one_pass() -> None:
        for _ in range(-(-len(x) // training.batch_size)):
            forward(next(batches)[0]).numpy()

    profiler.rest()
    for _ in range(2):  # the first pass compiles for the last, smaller batch; the second for the others again
        one_pass()
    profiler.start()
    passes = 0
    while passes == 0 or profiler.seconds() < window_s:
        one_pass()
        passes += 1
    profiler.stop()
    return passes


def _plan(folder: Path, name: str) -> tuple[ProfileConfig, TrainConfig, Dataset]:
    """Read what an encoding's works need; its validation part is left out, as nothing is chosen by it."""
    plan = files.read_json(folder / "plan.json")
    training = records.from_json(TrainConfig, plan["trainings"][name], name)
    training, data = prepare(training, Splits.load(folder / "splits.npz"))
    without = {f"{axis}_validation": getattr(data, f"{axis}_validation")[:0] for axis in "xy"}
    return records.load(ProfileConfig, folder / "config.json"), training, dataclasses.replace(data, **without)
