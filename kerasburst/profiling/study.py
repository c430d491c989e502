"""`kerasburst profile`: the cost of each encoding, side by side.

    config.json, plan.json, splits.npz       what is trained and measured, on which examples; written first
    networks/NAME.keras, NAME.json           the trained network on spikes, its accuracy and its cost
    measurements/NAME-REPEAT.json            one measurement; NAME-encoded-REPEAT.json of encoded examples
    profile.json, power_trace.csv            the result; the trace only where power can be read

Each task runs in a fresh process: `teach` trains a network and counts its operations, `measure` measures it once. Its
JSON is written last, so a task is done when that file exists.
"""

from __future__ import annotations

import csv
import dataclasses
import io
from pathlib import Path

import numpy as np
import psutil
import tensorflow as tf
from keras import ops

from kerasburst import backend, files, records
from kerasburst.config import TrainConfig
from kerasburst.data.dataset import Dataset
from kerasburst.data.datasets import load_source
from kerasburst.data.events import Reading
from kerasburst.data.pipeline import make_dataset
from kerasburst.data.sources import Source
from kerasburst.data.splits import Splits, make_splits
from kerasburst.encoders.base import Encoder
from kerasburst.encoders.none import NoEncoder
from kerasburst.models.base import SpikingNetwork
from kerasburst.models.saving import load_model, save_model
from kerasburst.profiling.config import BASELINES, ProfileConfig, arm_name
from kerasburst.profiling.cost import ENERGY_SOURCE, network_cost
from kerasburst.profiling.host import free_memory, load_average, machine_facts
from kerasburst.profiling.profiler import Profiler, ProfilerCallback
from kerasburst.profiling.result import EncodingProfile, ProfileResult
from kerasburst.seeding import derive_seed
from kerasburst.study import FleetObserver, Stage, Study, Task
from kerasburst.training.evaluation import evaluate_network, load_network
from kerasburst.training.fit import run_epochs
from kerasburst.training.result import versions
from kerasburst.training.run_directory import RunDirectory, check_same_data
from kerasburst.training.setup import build, check_fits, is_trained, prepare
from kerasburst.validation import InputError

TEST_EXAMPLES = 2000  # at most, for accuracy, counts and a pass of inference
_ENDLESS = 1_000_000  # epochs


def profile(
    config: ProfileConfig,
    out: str | Path,
    *,
    resume: bool = False,
    force: bool = False,
    observer: FleetObserver | None = None,
) -> ProfileResult:
    """Measure what encodings cost and write the results to a directory.

    First the networks are trained side by side, and their operations on test examples are counted. Then epochs of
    training, or passes of inference, are measured one process at a time, in an order that rotates from repeat to
    repeat. The first epoch, or two passes, are the warm-up; the next ones fill the window.

    Args:
        config: what to profile.
        out: the profile's directory.
        resume: continue an unfinished profile in `out`; begin where there is none.
        force: replace a profile in `out`.
        observer: receives the progress of the trainings, then of the measurements.

    Returns:
        The result, which is also in `out`/profile.json.

    Raises:
        InputError: for bad input, or a profile in `out` without `resume` or `force`.
        FleetFailed: where a network could not be trained or measured.
    """
    return ProfileStudy(config, out).run(resume=resume, force=force, observer=observer)


class ProfileStudy(Study):
    """A profile as a study: networks are trained side by side, then measured one at a time."""

    config_class = ProfileConfig
    result_name = "profile.json"
    own_names = (
        *("profile.json", "profile.png", "power.png", "power_trace.csv", "plan.json", "splits.npz", "config.json"),
        *("networks", "measurements"),
    )
    own_folders = ""

    def __init__(self, config: ProfileConfig, out: str | Path):
        super().__init__(config, out)
        self.load_before = load_average()

    def load(self):
        """Load the data set."""
        train = self.config.train
        return {"dataset": load_source(train.dataset, **train.reading(self.config.encodings))}

    def prepare(self, sources):
        """Resolve each encoding's training, and draw the splits or read those that are there."""
        source = sources["dataset"]
        self.trainings = self.config.trainings(source.kind)
        for training in self.trainings.values():
            check_fits(training, source.num_classes, source.x.shape[1:])
        self.splits = _splits(self.config, source, self.out if self.resumed else None)
        if "encoded" in self.config.feeds and not (self.resumed and self.finished):
            for training in self.trainings.values():
                _check_encoded(self.config.mode, training, source.x.shape[1:], self.splits)
        return {"trainings": records.to_json(self.trainings)}

    def write_inputs(self):
        """Write the splits."""
        self.splits.save(self.out / "splits.npz")

    def tasks(self):
        """Return a task for each encoding's network."""
        return [teaching(self.out, name) for name in self.trainings]

    def stages(self):
        """Yield the networks, then the measurements, one at a time."""
        yield from super().stages()
        yield Stage([measuring(self.out, *turn) for turn in turns(self.config)], jobs=1)

    def is_done(self, task):
        """Return whether a task's result is there."""
        return task_path(task).exists()

    def conclude(self, sources):
        """Summarise the measurements, and write power_trace.csv where there is power."""
        out, config, source = self.out, self.config, sources["dataset"]
        for folder in ("networks", "measurements"):
            files.remove_leftovers(out / folder)
        measured, found = {}, {}
        for name, feed in config.arms:
            arm = arm_name(name, feed)
            paths = [measurement_path(out, name, feed, repeat) for repeat in range(config.repeats)]
            measured[arm] = [files.read_json(path) for path in paths]
            found[arm] = EncodingProfile.of_measurements(files.read_json(record_path(out, name)), measured[arm])

        def baselines(feed: str) -> dict[str, EncodingProfile]:
            return {one.encoding: one for one in found.values() if one.feed == feed and one.encoding in BASELINES}

        examples = next(iter(found.values())).examples
        unit = {"train": "one epoch of training on", "infer": "inference, once over"}
        included = "encoding included" if config.feeds == ("pipeline",) else "encoding left out in /encoded"
        _write_traces(out / "power_trace.csv", measured)
        return ProfileResult(
            mode=config.mode,
            pass_is=f"{unit[config.mode]} {examples} examples, {included}",
            repeats=config.repeats,
            encodings={name: one.against(baselines(one.feed)) for name, one in found.items()},
            energy_source=ENERGY_SOURCE,
            load_average_before=self.load_before,
            data={
                "name": source.name,
                "note": source.note,
                "fingerprint": source.fingerprint,
                "sample_shape": list(source.x.shape[1:]),
                "num_classes": source.num_classes,
                "examples": {part: len(getattr(self.splits, part)) for part in ("train", "test")},
            },
            machine=machine_facts(),
            versions=versions(),
            config=records.to_json(config),
            trainings=records.to_json(self.trainings),
            seed=config.train.seed,
        )


def turns(config: ProfileConfig) -> list[tuple[str, str, int]]:
    """Return the measurements in their order, as encoding, feed and repeat: each repeat begins one further.

    Example:
        >>> config = ProfileConfig(train=TrainConfig(), encodings=("rate", "latency"), repeats=2, window_s=0.0)
        >>> [(name, repeat) for name, _, repeat in turns(config)]
        [('rate', 0), ('latency', 0), ('latency', 1), ('rate', 1)]
    """
    arms, count = config.arms, len(config.arms)
    return [(*arms[(i + repeat) % count], repeat) for repeat in range(config.repeats) for i in range(count)]


def _check_encoded(mode: str, training: TrainConfig, sample_shape: tuple[int, ...], splits: Splits) -> None:
    """Check that a training's examples can be encoded once, and then held in memory."""
    encoder = training.make_encoder()
    if is_trained(encoder) or training.adversary or training.epsilon is not None or Reading.of(training.data).augments:
        raise InputError(
            "feed must be pipeline where the encoder is trained, or the training is private, adversarial or changes "
            "its examples (data.flip, data.crop), received encoded"
        )
    examples = len(splits.train) if mode == "train" else min(TEST_EXAMPLES, len(splits.test))
    values = int(np.prod(encoder.compute_output_shape((1, *sample_shape)), dtype="int64"))
    needed = 2 * examples * values * (1 if encoder.spiking else 4)  # joining the batches holds them twice
    free = free_memory()
    if needed > free:
        smaller = "train_limit or num_steps" if mode == "train" else "num_steps"
        raise InputError(
            f"feed encoded must fit into memory: {examples:,} examples of {values:,} spikes take {needed / 1e9:.3g} GB "
            f"while they are encoded, and {free / 1e9:.3g} GB are free; reduce {smaller}"
        )


def _splits(config: ProfileConfig, source: Source, begun: Path | None) -> Splits:
    """Return the splits of a profile that is resumed, of the run, or new ones."""
    if begun is not None and (begun / "plan.json").exists():
        return Splits.load(begun / "splits.npz")
    if config.run is not None:
        directory = RunDirectory(config.run)
        check_same_data(source, directory)
        splits = directory.splits()
        if splits is None:
            raise InputError(f"run must have a record of its splits, {config.run}/splits.npz does not exist")
        return splits
    return make_splits(source, config.train.seed, config.train.train_limit, config.train.validation_split)


def _write_traces(path: Path, measured: dict[str, list[dict]]) -> None:
    rows = [
        (name, m["repeat"], device, f"{seconds:.4f}", f"{power:.3f}")
        for name, measurements in measured.items()
        for m in measurements
        for device, trace in m["region"]["power_trace"].items()
        for seconds, power in trace
    ]
    if rows:
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(("encoding", "repeat", "device", "seconds", "power_w"))
        writer.writerows(rows)
        files.write_text(path, text.getvalue())


def teaching(folder: Path, name: str) -> Task:
    """Return the task that trains an encoding's network."""
    return Task(f"{name}/network", "kerasburst.profiling.study:teach", {"folder": str(folder), "name": name})


def measuring(folder: Path, name: str, feed: str, repeat: int) -> Task:
    """Return the task of one measurement."""
    arguments = {"folder": str(folder), "name": name, "feed": feed, "repeat": repeat}
    return Task(f"{arm_name(name, feed)}/measurement-{repeat}", "kerasburst.profiling.study:measure", arguments)


def task_path(task: Task) -> Path:
    """Return the path of a task's JSON."""
    folder, name = Path(task.arguments["folder"]), task.arguments["name"]
    if "repeat" not in task.arguments:
        return record_path(folder, name)
    return measurement_path(folder, name, task.arguments["feed"], task.arguments["repeat"])


def record_path(folder: Path, name: str) -> Path:
    """Return the path of the record of an encoding's network."""
    return folder / "networks" / f"{name}.json"


def measurement_path(folder: Path, name: str, feed: str, repeat: int) -> Path:
    """Return the path of a measurement."""
    return folder / "measurements" / f"{arm_name(name, feed).replace('/', '-')}-{repeat}.json"


def teach(folder: str, name: str) -> None:
    """Train an encoding's network, or copy a run's, and count its operations on test examples.

    Args:
        folder: the profile's directory.
        name: the encoding.
    """
    config, training, data = _plan(Path(folder), name)
    network, encoder = build(training, data)
    if config.run is None:
        run_epochs(network, encoder, training, data)
    else:
        network = load_network(config.run)
        network, encoder = network.with_encoder(None), network.encoder
    x, y = data.x_test, data.y_test
    how = {"seed": derive_seed(training.seed, "test"), "batch_size": training.batch_size}
    evaluation = evaluate_network(network, encoder, x, y, queries=training.queries, **how)
    cost = network_cost(network, x, encoder=encoder, **how)
    record = record_path(Path(folder), name)
    record.parent.mkdir(parents=True, exist_ok=True)
    copy = network.with_encoder(encoder if is_trained(encoder) else None)  # without optimizer
    save_model(copy, record.with_suffix(".keras"))
    files.write_json(record, {"evaluation": records.to_json(evaluation), "cost": records.to_json(cost)})


def measure(folder: str, name: str, feed: str, repeat: int) -> None:
    """Measure an encoding's training or inference once.

    Args:
        folder: the profile's directory.
        name: the encoding.
        feed: "pipeline" or "encoded".
        repeat: number of the measurement, from 0.
    """
    config, training, data = _plan(Path(folder), name)
    fed = data if feed == "pipeline" else encoded(config.mode, training, data)
    held_mb = psutil.Process().memory_info().rss / 1e6  # libraries and data
    profiler = Profiler()
    if config.mode == "train":
        network, encoder = build(training, data)
        encoder = encoder if feed == "pipeline" else HeldEncoder(training.num_steps)
        callback = ProfilerCallback(profiler, window_s=config.window_s)
        run_epochs(network, encoder, dataclasses.replace(training, epochs=_ENDLESS), fed, callbacks=[callback])
        passes, examples = callback.epochs, len(data.x_train)
    else:
        network = load_model(record_path(Path(folder), name).with_suffix(".keras"))
        encoder = network.encoder or training.make_encoder()
        encoder = encoder if feed == "pipeline" else HeldEncoder(training.num_steps)
        network = network if network.encoder is None else network.with_encoder(None)
        passes = _infer(network, encoder, training, fed, profiler, config.window_s)
        examples = len(fed.x_test)
    path = measurement_path(Path(folder), name, feed, repeat)
    path.parent.mkdir(parents=True, exist_ok=True)
    measured = {"held_mb": held_mb, "passes": passes, "examples": examples, "region": records.to_json(profiler.result)}
    files.write_json(path, {"name": name, "feed": feed, "repeat": repeat, **measured})


class HeldEncoder(NoEncoder):
    """Pass on examples that were encoded before, unchecked.

    Args:
        num_steps: T, time steps, at least 1.
    """

    def check(self, inputs, argument: str = "inputs"):
        """Return the tensor as it is."""
        return inputs

    def encode(self, x, seed):
        """Return the tensor as it is; the seed is not used."""
        return x


def encoded(mode: str, training: TrainConfig, data: Dataset) -> Dataset:
    """Return a copy of the data whose examples to measure are what the encoder makes of them, in the host's memory."""
    part = {"train": "train", "infer": "test"}[mode]
    seed = training.seed if mode == "train" else derive_seed(training.seed, "test")
    x, y = getattr(data, f"x_{part}"), getattr(data, f"y_{part}")
    pipeline = make_dataset(x, y, training.make_encoder(), training.batch_size, seed)
    with tf.device("cpu:0"):
        spikes = tf.concat([batch for batch, _ in pipeline], axis=0)
    return dataclasses.replace(data, **{f"x_{part}": spikes})


def _infer(
    network: SpikingNetwork,
    encoder: Encoder,
    training: TrainConfig,
    data: Dataset,
    profiler: Profiler,
    window_s: float,
) -> int:
    """Repeat passes over test examples, pipeline included, until the window is filled; return their number."""
    x, y = data.x_test, data.y_test
    seed = derive_seed(training.seed, "test")
    batches = iter(make_dataset(x, y, encoder, training.batch_size, seed, num_epochs=_ENDLESS))
    forward = backend.jit(lambda spikes: network(spikes, training=False), network)

    def one_pass() -> None:
        for _ in range(-(-len(x) // training.batch_size)):
            spikes, _ = next(batches)
            ops.convert_to_numpy(forward(spikes if backend.name == "tensorflow" else np.asarray(spikes)))

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
    """Read what an encoding's tasks need: no validation part, by which nothing is chosen, and part of a large test."""
    plan = files.read_json(folder / "plan.json")
    training = records.from_json(TrainConfig, plan["trainings"][name], name)
    training, data = prepare(training, Splits.load(folder / "splits.npz"))
    without = {f"{axis}_validation": getattr(data, f"{axis}_validation")[:0] for axis in "xy"}
    without |= {f"{axis}_test": getattr(data, f"{axis}_test")[:TEST_EXAMPLES] for axis in "xy"}
    return records.load(ProfileConfig, folder / "config.json"), training, dataclasses.replace(data, **without)
