"""`kerasburst profile`: what each encoding costs, side by side."""

from __future__ import annotations

import csv
import dataclasses
import io
from pathlib import Path

from kerasburst import files, records
from kerasburst.data.datasets import load_source
from kerasburst.data.sources import Source
from kerasburst.data.splits import Splits, make_splits
from kerasburst.profiling import tasks
from kerasburst.profiling.cost import ENERGY_SOURCE
from kerasburst.profiling.encoding_profile import EncodingProfile
from kerasburst.profiling.machine import load_average, machine_facts
from kerasburst.profiling.plan import BASELINES, ProfileConfig
from kerasburst.study import FleetObserver, Stage, Study
from kerasburst.training.fit import check_fits
from kerasburst.training.result import versions
from kerasburst.training.resume import check_same_data
from kerasburst.training.run_directory import RunDirectory
from kerasburst.validation import InputError


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
        return {**fields, "encodings": {name: records.to_json(profile) for name, profile in self.encodings.items()}}


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
    return ProfileStudy(config, out).run(resume=resume, force=force, observer=observer)


class ProfileStudy(Study):
    """A profile as a study: first the networks are trained side by side, then one process at a time measures.

    Args:
        config: what to profile.
        out: the profile's directory.
    """

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
        return {"dataset": load_source(self.config.train.dataset, self.config.train.data_dir)}

    def prepare(self, sources):
        """Resolve each encoding's training, and draw the splits or read those that are there."""
        source = sources["dataset"]
        self.trainings = self.config.trainings(source.kind)
        for training in self.trainings.values():
            check_fits(training, source.num_classes, source.x.shape[1:])
        self.splits = _splits(self.config, source, self.out if self.resumed else None)
        return {"trainings": records.to_json(self.trainings)}

    def write_inputs(self):
        """Write the splits."""
        self.splits.save(self.out / "splits.npz")

    def tasks(self):
        """Return a task for each encoding's network."""
        return [tasks.teaching(self.out, name) for name in self.trainings]

    def stages(self):
        """Yield the networks, then the measurements, one at a time."""
        yield from super().stages()
        yield Stage([tasks.measuring(self.out, name, repeat) for name, repeat in turns(self.config)], jobs=1)

    def is_done(self, task):
        """Return whether a task's result is there."""
        return tasks.is_done(task)

    def conclude(self, sources):
        """Summarise the measurements, and write power_trace.csv where there is power."""
        for folder in ("networks", "measurements"):
            files.remove_leftovers(self.out / folder)
        return _summarise(self, sources["dataset"])


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


def _summarise(study: ProfileStudy, source: Source) -> ProfileResult:
    out, config, splits = study.out, study.config, study.splits
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
    _write_traces(out / "power_trace.csv", measured)
    return ProfileResult(
        mode=config.mode,
        pass_is=f"{unit[config.mode]} {examples} examples, encoding included",
        repeats=config.repeats,
        encodings={name: one.against(baselines) for name, one in found.items()},
        energy_source=ENERGY_SOURCE,
        load_average_before=study.load_before,
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
        config=records.to_json(config),
        trainings={name: records.to_json(training) for name, training in study.trainings.items()},
        seed=config.train.seed,
    )


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
