"""`kerasburst profile`: what each encoding costs, side by side."""

from __future__ import annotations

import csv
import dataclasses
import io
import shutil
from pathlib import Path

from kerasburst import files
from kerasburst.config import TrainConfig
from kerasburst.data.datasets import load_source
from kerasburst.data.sources import Source
from kerasburst.data.splits import Splits, make_splits
from kerasburst.fleet import FleetObserver, goes_on, run_fleet
from kerasburst.profiling import tasks
from kerasburst.profiling.cost import ENERGY_SOURCE
from kerasburst.profiling.encoding_profile import EncodingProfile
from kerasburst.profiling.machine import load_average, machine_facts
from kerasburst.profiling.plan import BASELINES, ProfileConfig
from kerasburst.training.fit import check_fits
from kerasburst.training.result import versions
from kerasburst.training.resume import check_same_data
from kerasburst.training.run_directory import RunDirectory
from kerasburst.validation import InputError, user_path


@dataclasses.dataclass(frozen=True, kw_only=True)
class ProfileResult:
    """What `profile` measured.

    Args:
        mode: "train" or "infer".
        pass_is: what one pass is, in words: the unit of times and energies.
        repeats: R.
        encodings: by name.
        energy_source: where the energy estimate's constants are from.
        load_average_before: processes that wanted to run in the minute before; above 0.5 the times are doubtful.
        data: name, note, fingerprint and sizes.
        machine: see `kerasburst.profiling.machine.machine_facts`.
        versions: of kerasburst and what it stands on.
        config: the profile's.
        trainings: by encoding, the training that it resolved to.
        seed: of splits, weights and spikes.
    """

    mode: str
    pass_is: str
    repeats: int
    encodings: dict[str, EncodingProfile]
    energy_source: str
    load_average_before: float | None
    data: dict
    machine: dict
    versions: dict[str, str]
    config: dict
    trainings: dict[str, dict]
    seed: int

    def to_json(self) -> dict:
        """Give the result as JSON values."""
        fields = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return {**fields, "encodings": {name: profile.to_json() for name, profile in self.encodings.items()}}


def profile(
    config: ProfileConfig,
    out: str | Path,
    *,
    resume: bool = False,
    force: bool = False,
    observer: FleetObserver | None = None,
) -> ProfileResult:
    """Profile encodings into a directory.

    First each encoding's network is trained, side by side, and its operations on test examples are counted. Then
    epochs of training, or passes of inference, are measured one process at a time, in an order that rotates from
    repeat to repeat: the first epoch, or two passes, warm up, and the next ones fill the window.

    Args:
        config: what to profile.
        out: the profile's directory.
        resume: go on with an unfinished profile in `out`; begins where there is none.
        force: replace a profile in `out`.
        observer: is told the progress, of the trainings and then of the measurements.

    Returns:
        The result, which stands in `out`/profile.json too.

    Raises:
        InputError: for bad input, or a profile in `out` without `resume` or `force`.
        FleetFailed: where a network could not be trained, or not be measured.
    """
    out = user_path("out", out)
    going_on = goes_on(
        out, "a profile", ProfileConfig.load, config, (out / "profile.json").exists(), resume=resume, force=force
    )
    load = load_average()
    source = load_source(config.train.dataset, config.train.data_dir)
    trainings = config.trainings(source.kind)
    for training in trainings.values():
        check_fits(training, source.num_classes, source.x.shape[1:])
    splits = _splits(config, source, out if going_on else None)
    with files.new_directory("out", out):
        if force:
            _clear(out)
        files.write_json(out / "config.json", config.to_json())
        files.remove_leftovers(out)
        splits.save(out / "splits.npz")
        plan = {"data": source.fingerprint, "trainings": {name: t.to_json() for name, t in trainings.items()}}
        files.write_json(out / "plan.json", plan)
    around = {"is_done": tasks.is_done, "observer": observer, "log_dir": out / "logs"}
    run_fleet([tasks.teaching(out, name) for name in trainings], **around)
    run_fleet([tasks.measuring(out, name, r) for name, r in turns(config)], jobs=1, **around)
    for folder in ("networks", "measurements"):
        files.remove_leftovers(out / folder)
    return _summarise(out, config, source, splits, trainings, load)


def turns(config: ProfileConfig) -> list[tuple[str, int]]:
    """Give the measurements in their order: each repeat begins one encoding further.

    Example:
        >>> config = ProfileConfig(train=TrainConfig(), encodings=("rate", "poisson_burst"), repeats=2)
        >>> turns(config)
        [('rate', 0), ('poisson_burst', 0), ('poisson_burst', 1), ('rate', 1)]
    """
    names, count = config.encodings, len(config.encodings)
    return [(names[(i + repeat) % count], repeat) for repeat in range(config.repeats) for i in range(count)]


def _splits(config: ProfileConfig, source: Source, begun: Path | None) -> Splits:
    """Give the splits of a profile that goes on, of the run, or new ones."""
    if begun is not None and (begun / "plan.json").exists():
        plan = files.read_json(begun / "plan.json")
        if not isinstance(plan, dict) or plan.get("data") != source.fingerprint:
            raise InputError(f"dataset must be the data that the profile was begun with, {source.name} has changed")
        return Splits.load(begun / "splits.npz")
    if config.run is not None:
        directory = RunDirectory(config.run)
        check_same_data(source, directory)
        splits = directory.splits()
        if splits is None:
            raise InputError(f"run must have a record of its splits, {config.run}/splits.npz does not exist")
        return splits
    return make_splits(source, config.train.seed, config.train.train_limit, config.train.validation_split)


def _summarise(
    out: Path,
    config: ProfileConfig,
    source: Source,
    splits: Splits,
    trainings: dict[str, TrainConfig],
    load: float | None,
) -> ProfileResult:
    """Write power_trace.csv, where there is power, and profile.json."""
    measured = {
        name: [files.read_json(tasks.measurement_path(out, name, repeat)) for repeat in range(config.repeats)]
        for name in config.encodings
    }
    found = {
        name: EncodingProfile.of_measurements(files.read_json(tasks.record_path(out, name)), measurements)
        for name, measurements in measured.items()
    }
    baselines = {name: found[name] for name in BASELINES if name in found}
    examples = next(iter(found.values())).examples
    unit = {"train": "one epoch of training on", "infer": "inference, once over"}
    result = ProfileResult(
        mode=config.mode,
        pass_is=f"{unit[config.mode]} {examples} examples, encoding included",
        repeats=config.repeats,
        encodings={name: one.against(baselines) for name, one in found.items()},
        energy_source=ENERGY_SOURCE,
        load_average_before=load,
        data={
            "name": source.name,
            "note": source.note,
            "fingerprint": source.fingerprint,
            "sample_shape": list(source.x.shape[1:]),
            "num_classes": source.num_classes,
            "examples": {part: len(getattr(splits, part)) for part in ("train", "test")},
        },
        machine=machine_facts(),
        versions=versions(),
        config=config.to_json(),
        trainings={name: training.to_json() for name, training in trainings.items()},
        seed=config.train.seed,
    )
    _write_traces(out / "power_trace.csv", measured)
    files.write_json(out / "profile.json", result.to_json())
    return result


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


_FILES = ("profile.json", "profile.png", "power.png", "power_trace.csv", "plan.json", "splits.npz", "config.json")
_FOLDERS = ("networks", "measurements", "logs")


def _clear(out: Path) -> None:
    for path in out.iterdir():
        if path.name in _FOLDERS:
            shutil.rmtree(path)
        elif path.name in _FILES or files.is_leftover(path):
            path.unlink()
