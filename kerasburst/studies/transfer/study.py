"""Measure whether features carry over: pre-train, freeze, train a new head; against scratch and random features."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import keras

from kerasburst import files, records
from kerasburst.config import for_encodings
from kerasburst.data.datasets import known_dataset, load_source
from kerasburst.data.derived import with_sample_shape
from kerasburst.data.splits import make_splits
from kerasburst.models.saving import weights_hash
from kerasburst.studies.transfer.arms import ARMS, SCRATCH, TRANSFER, frozen_layers, record_path, task
from kerasburst.studies.transfer.config import TransferConfig
from kerasburst.studies.transfer.result import TransferResult, compare_arms
from kerasburst.study import FleetObserver, Study
from kerasburst.training.evaluation import load_network
from kerasburst.training.result import versions
from kerasburst.training.run_directory import RunDirectory, RunReference
from kerasburst.training.setup import DEFAULT_EPOCHS, check_fits, is_trained
from kerasburst.validation import InputError


def transfer(
    config: TransferConfig,
    out: str | Path,
    *,
    resume: bool = False,
    force: bool = False,
    jobs: int | None = None,
    backend: str = "loky",
    observer: FleetObserver | None = None,
) -> TransferResult:
    """Measure what carries over from one data set to another, by encoding, into a directory.

    For each encoding and seed three networks learn the target with one budget, one order and one draw of spikes: one
    from scratch, one on the source's frozen features, one on untrained frozen features. Each is trained in a process
    of its own and written down when it is done: what was killed goes on from there.

    Args:
        config: what to do.
        out: the experiment's directory.
        resume: go on with an experiment in `out`, with more seeds if wanted; begin where there is none.
        force: replace an experiment in `out`.
        jobs: networks trained side by side; None for the number of cores.
        backend: "loky" for processes on this machine, "dask" or "ray" for a cluster.
        observer: receives the progress.

    Returns:
        The result, which is also in `out`/transfer.json.

    Raises:
        InputError: for bad input, data sets whose shapes cannot be made to agree, an experiment in `out` without
            `resume` or `force`.
        FleetFailed: where a network could not be trained.
        ClusterLost: where a Dask cluster is gone.

    Example:
        >>> from kerasburst.config import TrainConfig
        >>> small = TrainConfig(dataset="digits:5-9", epochs=1, network={"filters": [2, 2], "hidden_units": 8})
        >>> transfer(TransferConfig(train=small), "runs/transfer")  # doctest: +SKIP
    """
    study = TransferStudy(config, out)
    return study.run(resume=resume, force=force, jobs=jobs, backend=backend, observer=observer)


class TransferStudy(Study):
    """A transfer as a study: its networks are the tasks."""

    config_class = TransferConfig
    result_name = "transfer.json"
    own_names = ("transfer.json", "transfer.png", "plan.json", "config.json")
    may_differ = ("seeds",)  # a seed more or less changes no other

    def load(self):
        """Load both data sets."""
        config = self.config
        return {
            "source": load_source(config.source, **config.of_source.reading(config.source_encodings)),
            "target": load_source(config.train.dataset, **config.of_target.reading(config.encodings)),
        }

    def prepare(self, sources):
        """Bring the target into the source's shape, or images into that of spikes, and resolve every training."""
        config, source, target = self.config, sources["source"], sources["target"]
        if target.encoded and not source.encoded:
            source = with_sample_shape(source, target.sample_shape[1:])
        else:
            frames = source.encoded and not target.encoded
            target = with_sample_shape(target, source.sample_shape[1:] if frames else source.sample_shape)
        parts = {}
        names = tuple(dict.fromkeys((*config.encodings, *config.source_encodings)))  # a parameter is of some encoder
        for part, data, training, encodings in (
            ("targets", target, config.of_target, config.encodings),
            ("sources", source, config.of_source, config.source_encodings),
        ):
            info = known_dataset(training.dataset)
            default = DEFAULT_EPOCHS if info is None else info.default_epochs
            each_own = for_encodings(training, names)
            parts[part] = {
                name: each_own[own].resolved(data.kind, default)
                for name, own in zip(config.encodings, encodings, strict=True)
            }
            for each in parts[part].values():
                check_fits(each, data.num_classes, data.sample_shape)
                if each.adversary or is_trained(each.make_encoder()):
                    raise InputError("a transfer needs an encoder that is not trained, and no adversary")
            for seed in config.seed_list:
                make_splits(data, seed, training.train_limit)
        training = parts["targets"][config.encodings[0]]
        network = training.make_network(target.num_classes)
        freeze = config.freeze or (
            "conv" if any(isinstance(each, keras.layers.Conv2D) for each in network.layers) else "hidden"
        )
        self.frozen = tuple(layer.name for layer in frozen_layers(network, freeze))
        self.plan = {
            "freeze": freeze,
            "sample_shape": list(target.sample_shape),
            "source_shape": list(source.sample_shape),
            **records.to_json(parts),
        }
        return self.plan

    def tasks(self):
        """Return a task for each arm, encoding and seed."""
        config = self.config
        return tuple(
            task(self.out, e, seed, arm) for seed in config.seed_list for e in config.encodings for arm in ARMS
        )

    def is_done(self, task):
        """Return whether an arm's record is there."""
        return record_path(**task.arguments).exists()

    def conclude(self, sources):
        """Compare the arms."""
        config, plan = self.config, self.plan
        for folder in self.out.glob("*/seed-*"):
            files.remove_leftovers(folder)
        arms = {
            (e, seed, arm): files.read_json(record_path(self.out, e, seed, arm))
            for e in config.encodings
            for seed in config.seed_list
            for arm in ARMS
        }

        def accuracies(encoding: str, arm: str) -> list[float]:
            return [arms[encoding, seed, arm]["test_accuracy"] for seed in config.seed_list]

        encodings = {}
        for encoding in config.encodings:
            begun = [arms[encoding, seed, TRANSFER]["source"] for seed in config.seed_list]
            warnings = [
                f"{arm}, seed {seed}: {text}"
                for (e, seed, arm), record in arms.items()
                if e == encoding
                for text in record["warnings"]
            ]
            encodings[encoding] = compare_arms(
                *(accuracies(encoding, arm) for arm in ARMS),
                source=None if config.run is not None else [record["test_accuracy"] for record in begun],
                rate=accuracies("rate", TRANSFER) if "rate" in config.encodings and encoding != "rate" else None,
                warnings=warnings,
            )
        privacy = None if config.run is None else RunDirectory.of_finished(config.run.path).result().privacy
        any_record = arms[config.encodings[0], config.seed_list[0], SCRATCH]
        first = next(iter(plan["sources"].values()))
        return TransferResult(
            encodings=encodings,
            freeze=plan["freeze"],
            frozen_layers=self.frozen,
            seeds=config.seed_list,
            data={
                part: {
                    "name": data.name,
                    "note": data.note,
                    "fingerprint": data.fingerprint,
                    "sample_shape": list(data.sample_shape),
                    "learnt_in": plan["sample_shape" if part == "target" else "source_shape"],
                    "num_classes": data.num_classes,
                }
                for part, data in sources.items()
            },
            budget={
                "source_epochs": first["epochs"],
                "target_epochs": any_record["epochs"],
                "target_train_examples": any_record["examples"]["train"],
                "target_test_examples": any_record["examples"]["test"],
                "test_queries": any_record["test_queries"],
            },
            config=records.to_json(config),
            versions=versions(),
            source_privacy=records.to_json(privacy),
        )


def config_of_run(run: str | Path, target: str | Path, target_epochs: int | None = None, **options) -> TransferConfig:
    """Return the config of a transfer whose source is a finished training run.

    Args:
        run: the run's directory. Where it was trained privately, the target is learnt without: its examples are not
            protected.
        target: the data set to learn.
        target_epochs: of learning it; None for its default.
        **options: freeze and seeds of `TransferConfig`; seed, train_limit, data_dir, batch_size, learning_rate and
            queries of `TrainConfig`; the rest is the run's.

    Raises:
        InputError: where `run` is not a finished run.
    """
    directory = RunDirectory.of_finished(run)
    # What becomes of private weights stays private: the target is learnt without noise, on any backend.
    path, training = directory.path, directory.config()
    reference = RunReference(str(path.resolve()), weights_hash(load_network(path).with_encoder(None)))
    mine = {name: options.pop(name) for name in ("freeze", "seeds") if name in options}
    train = dataclasses.replace(
        training,
        **{
            **dict(dataset=target, epochs=target_epochs, train_limit=None, validation_split=0.0, early_stopping=None),
            **dict(keep_best=False, epsilon=None, encodings_per_example=1),
            **options,
        },
    )
    return TransferConfig(
        train=train,
        source=training.dataset,
        source_epochs=directory.result().epochs,
        encodings=(training.encoding,),
        run=reference,
        **mine,
    )
