"""`AuditedRun`: a finished training run whose network is audited."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np

from kerasburst.config import TrainConfig
from kerasburst.data.sources import Source
from kerasburst.data.splits import Splits
from kerasburst.models.base import SpikingNetwork
from kerasburst.models.weights import weights_hash
from kerasburst.privacy.plan import AuditConfig
from kerasburst.privacy.splits import AuditSplits
from kerasburst.training.evaluation import load_network
from kerasburst.training.run_directory import RunDirectory, RunReference, check_same_data
from kerasburst.validation import InputError


@dataclasses.dataclass(frozen=True, eq=False)
class AuditedRun:
    """A finished training run as an audit sees it; `load` reads one.

    Args:
        directory: of the run.
        training: the run's training as its shadow models repeat it. They know no validation part, so that early
            stopping and the choice of the best epoch become a number: `epochs` is that of the epoch whose weights
            the run has kept, or of those it has finished.
        splits: which examples the run trained, validated and tested on.
        network: the trained network, on spikes.

    Example:
        >>> import tempfile
        >>> from kerasburst.training.fit import train
        >>> small = {"dataset": "iris", "epochs": 2, "train_limit": 48, "network": {"hidden_units": 8}}
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = train(TrainConfig(**small), folder)
        ...     config = AuditedRun.load(folder).config(shadows=4)
        >>> config.targets, config.encodings, config.train.epochs
        (1, ('rate',), 2)
    """

    directory: RunDirectory
    training: TrainConfig
    splits: Splits
    network: SpikingNetwork

    @classmethod
    def load(cls, path: str | Path) -> AuditedRun:
        """Read a run.

        Args:
            path: its directory.

        Raises:
            InputError: where it is not a finished run, or has no record of its splits.
        """
        directory = RunDirectory.of_finished(path)
        config, splits = directory.config(), directory.splits()
        if splits is None or splits.pool_size is None:
            raise InputError(f"run must have a record of its splits and their pool's size, {path}/splits.npz has none")
        result = directory.result()
        training = dataclasses.replace(
            config,
            epochs=result.get("best_epoch") or result["epochs"],
            train_limit=None,  # the recorded splits say who was taken
            validation_split=0.0,
            early_stopping=None,
            keep_best=False,
        )
        return cls(directory, training, splits, load_network(path).with_encoder(None))

    @property
    def seed(self) -> int:
        """The seed that the run trained with."""
        return self.training.seed

    def reference(self) -> RunReference:
        """Say which run this is."""
        return RunReference(str(self.directory.path.resolve()), weights_hash(self.network))

    def config(self, *, seed: int | None = None, data_dir: str | None = None, **options) -> AuditConfig:
        """Give the config of an audit of this run.

        Args:
            seed: of the audit's own draws: the audited points, the shadows' halves, fillers, initial weights and
                orders, and the queries' encodings. None: the run's; what is drawn differs from what the run drew
                all the same. The run itself is not drawn anew by it.
            data_dir: folder of data files, if it is not the one the run was trained from.
            **options: shadows, queries, members and population of `AuditConfig`, which refuses others.

        Raises:
            InputError: for an option out of its range.
        """
        changes = {"seed": self.seed if seed is None else seed}
        if data_dir is not None:
            changes["data_dir"] = data_dir
        training = dataclasses.replace(self.training, **changes)
        return AuditConfig(train=training, encodings=(training.encoding,), run=self.reference(), **options)

    def check(self, config: AuditConfig, source: Source) -> None:
        """Check that a config is of this run as it is now, and the data what it was trained on.

        Raises:
            InputError: where the run's weights or the data are others by now, or the config trains otherwise.
        """
        if config.run != self.reference():
            raise InputError(f"run must be the one that the audit was begun with, {self.directory.path} has changed")
        mine = dataclasses.replace(self.training, seed=config.train.seed, data_dir=config.train.data_dir)
        for field in dataclasses.fields(TrainConfig):
            have, wanted = getattr(config.train, field.name), getattr(mine, field.name)
            if have != wanted:
                raise InputError(
                    f"{field.name} must be that of the run {self.directory.path}, {wanted!r}, received {have!r}"
                )
        check_same_data(source, self.directory)
        if self.splits.pool_size != len(source.y):
            raise InputError(f"dataset must be the data that the run was trained on, {source.name} has changed")

    def check_splits(self, splits: AuditSplits) -> None:
        """Check that an audit's target is who this run trained on.

        Raises:
            InputError: where it is not.
        """
        if not np.array_equal(np.sort(splits.target_train(0)), np.sort(self.splits.train)):
            raise InputError(
                f"run must be the one that the audit was begun with, the splits of {self.directory.path} have changed"
            )
