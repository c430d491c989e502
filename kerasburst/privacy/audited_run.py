"""`AuditedRun`: a finished training run whose network is audited, and the parts that an audit draws around it.

Members come from the run's training part, all other parts from the examples that it left unused. The training part must
be a random part of one pool, stratified or not, as `train_limit` draws it. Given the class, membership is then random,
as in `draw_audit_splits`.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np

from kerasburst.config import TrainConfig
from kerasburst.data.sources import Source
from kerasburst.data.splits import Splits
from kerasburst.encoders.base import Encoder
from kerasburst.models.base import SpikingNetwork
from kerasburst.models.saving import weights_hash
from kerasburst.privacy.config import AuditConfig
from kerasburst.privacy.splits import (
    LARGEST_DEFAULT,
    AuditSplits,
    canary_halves,
    check_shadows,
    complementary_halves,
    default_canaries,
    digests,
)
from kerasburst.seeding import derive_seed
from kerasburst.training.evaluation import load_network
from kerasburst.training.run_directory import RunDirectory, RunReference, check_same_data
from kerasburst.validation import InputError, check_int


@dataclasses.dataclass(frozen=True, eq=False)
class AuditedRun:
    """A finished training run for an audit; `load` reads one.

    Args:
        directory: of the run.
        training: the training that the shadow models repeat. They have no validation part, so early stopping and
            the choice of the best epoch become a fixed `epochs`: the epoch whose weights the run kept, or the number
            of epochs that it finished.
        splits: which examples the run trained, validated and tested on.
        network: the trained network, on spikes.
        encoder: its encoder.

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
    encoder: Encoder

    @classmethod
    def load(cls, path: str | Path) -> AuditedRun:
        """Read a run.

        Args:
            path: its directory.

        Raises:
            InputError: if it is not a finished run, or has no record of its splits.
        """
        directory = RunDirectory.of_finished(path)
        config, splits = directory.config(), directory.splits()
        if splits is None or splits.pool_size is None:
            raise InputError(f"run must have a record of its splits and their pool's size, {path}/splits.npz has none")
        result = directory.result()
        training = dataclasses.replace(
            config,
            epochs=result.best_epoch or result.epochs,
            train_limit=None,  # the recorded splits have the training part
            validation_split=0.0,
            early_stopping=None,
            keep_best=False,
        )
        network = load_network(path)
        return cls(directory, training, splits, network.with_encoder(None), network.encoder)

    @property
    def seed(self) -> int:
        """The seed that the run trained with."""
        return self.training.seed

    def reference(self) -> RunReference:
        """Return the reference to this run."""
        return RunReference(str(self.directory.path.resolve()), weights_hash(self.network))

    def config(self, *, seed: int | None = None, data_dir: str | None = None, **options) -> AuditConfig:
        """Build the config of an audit of this run.

        Args:
            seed: of the audit's own draws: the audited points, the shadows' halves, fillers, initial weights and
                orders, and the queries' encodings. None for the run's seed; the draws still differ from the run's.
                The seed does not change the run.
            data_dir: folder of data files; None for the one that the run was trained from.
            **options: shadows, queries, members, population, canaries, snapshots and attacks of `AuditConfig`.

        Raises:
            InputError: for an option outside its range.
        """
        changes = {"seed": self.seed if seed is None else seed}
        if data_dir is not None:
            changes["data_dir"] = data_dir
        training = dataclasses.replace(self.training, **changes)
        return AuditConfig(train=training, encodings=(training.encoding,), run=self.reference(), **options)

    def check(self, config: AuditConfig, source: Source) -> None:
        """Check that a config matches this run as it is now, and that the data is what it was trained on.

        Raises:
            InputError: if the run's weights or the data have changed, or the config trains differently.
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
        """Check that an audit's target has the training examples of this run.

        Raises:
            InputError: if it has others.
        """
        if not np.array_equal(np.sort(splits.target_train(0)), np.sort(self.splits.train)):
            raise InputError(
                f"run must be the one that the audit was begun with, the splits of {self.directory.path} have changed"
            )


def draw_run_splits(
    source: Source,
    splits: Splits,
    *,
    seed: int,
    members: int | None = None,
    shadows: int = 8,
    population: int | None = None,
    canaries: int | None = 0,
) -> AuditSplits:
    """Draw members, non-members, shadow pool and population for the audit of a run's network.

    Members are some of the run's training examples, non-members as many of the unused ones, with the class counts of a
    random split of both together. Each shadow trains on half of the audited points, in complementary pairs, and on
    fillers from the shadow pool, drawn for each shadow, up to the size of the run's training part. So the run must have
    left as many examples unused as it trained on, plus the population.

    An example with an equal among the run's training, validation and unused examples is in no part but `target_only`:
    members would have more than their share of such examples, since one copy is enough to be a member.

    Args:
        source: the run's data.
        splits: which examples the run trained, validated and tested on. The audit does not use the validation part,
            which may have decided when to stop, nor any official test example.
        seed: int of at least 0.
        members: audited members; None for half of the training part, at most 1,000. With all of it, the class counts
            are the run's own, which stratification keeps from varying by chance.
        shadows: N, even, at least 2.
        population: None for a fifth of the pool, at most 1,000 and at most what the fillers leave, which may be 0.
        canaries: as for `draw_audit_splits`; None for as many, or what the fillers and the population leave.

    Raises:
        InputError: for an argument outside its range, or a run that leaves too few examples unused.

    Example:
        >>> source = Source.from_arrays("mine", {"x": np.arange(100.0)[:, None], "y": np.arange(100) % 2})
        >>> splits = draw_run_splits(source, Splits(range(30), [], range(80, 100), pool_size=100), seed=0)
        >>> len(splits.members(0)), len(splits.target_train(0)), len(splits.shadow_train(0)), len(splits.population)
        (15, 30, 30, 16)
    """
    seed = check_int("seed", seed, low=0)
    shadows = check_shadows(shadows)
    untouched = splits.unused
    if source.test_start is not None:
        untouched = untouched[untouched < source.test_start]
    used = np.concatenate([splits.train, splits.validation])
    pool = np.concatenate([used, untouched])
    single = np.zeros(len(source.y), bool)
    _, inverse, counts = np.unique(digests(source.x[pool]), return_inverse=True, return_counts=True)
    single[pool] = counts[inverse] == 1
    own, rest = splits.train[single[splits.train]], untouched[single[untouched]]

    spare = len(rest) - len(splits.train)  # beyond non-members and fillers, which make up a training part
    default_population = min(LARGEST_DEFAULT, (len(own) + len(rest)) // 5)
    wanted = default_population if population is None else check_int("population", population, low=0)
    if spare < (0 if population is None else wanted):
        raise _too_small(source, splits, len(untouched), len(rest), int(single.sum()), population)
    default_members = min(LARGEST_DEFAULT, len(own) // 2)
    members = check_int("members", default_members if members is None else members, low=4, high=len(own))

    rng = np.random.default_rng(derive_seed(seed, "audit", "run"))
    chosen, others = _draw_alike(source.y, own, rest, members, rng)
    order = rng.permutation(2 * members)  # a point's position does not reveal its side
    audited = np.concatenate([chosen, others])[order]
    population_part, shadow_pool = np.split(rng.permutation(np.setdiff1d(rest, others)), [min(wanted, spare)])
    beyond = 2 * (len(shadow_pool) - (len(splits.train) - members))  # a canary takes a filler's place in half of them
    count = default_canaries(members, beyond) if canaries is None else check_int("canaries", canaries, low=0)
    if count > max(0, beyond):
        raise InputError(f"canaries must be at most {max(0, beyond)} in the audit of this run, received {count}")
    shadow_pool, canary_part = np.split(shadow_pool, [len(shadow_pool) - count])
    return AuditSplits(
        audited=audited,
        shadow_pool=shadow_pool,
        population=population_part,
        test=splits.test,
        targets=(order < members)[None],
        reference=audited,
        shadows=np.array(complementary_halves(2 * members, shadows, seed)),
        fillers=_fillers(shadow_pool, len(splits.train) - members - count // 2, shadows, seed),
        pool_size=len(source.y),
        duplicates_removed=len(splits.train) - len(own) + len(untouched) - len(rest),
        target_only=np.setdiff1d(splits.train, chosen),
        canaries=canary_part,
        canary_members=canary_halves(count, shadows, seed),
    )


def _fillers(shadow_pool: np.ndarray, count: int, shadows: int, seed: int) -> np.ndarray:
    # One stream for each shadow: adding shadows does not change the others.
    streams = [np.random.default_rng(derive_seed(seed, "audit", "fillers", j)) for j in range(shadows)]
    return np.stack([rng.choice(shadow_pool, count, replace=False) for rng in streams])


def _draw_alike(
    y: np.ndarray, own: np.ndarray, rest: np.ndarray, size: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Draw members from `own` and non-members from `rest`, `size` of each, of classes drawn from both together.

    The class counts of a stratified part vary less than chance would have them. If we used them as they are, or made
    them equal, a classifier's folds would be balanced against each other, and a blind baseline would fall below 0.5.
    """
    labels = rng.permutation(y[np.concatenate([own, rest])])
    members, taken = _follow(labels, y, rng.permutation(own), size)
    non_members, _ = _follow(np.roll(labels, -taken), y, rng.permutation(rest), size)
    return members, non_members


def _follow(labels: np.ndarray, y: np.ndarray, candidates: np.ndarray, size: int) -> tuple[np.ndarray, int]:
    """Take the next candidate of each label in turn, if one is left, until there are `size`.

    Returns:
        The candidates taken, and how many labels were used.
    """
    waiting = {label: iter(candidates[y[candidates] == label]) for label in np.unique(labels)}
    found: list[int] = []
    position = 0
    while len(found) < size:
        candidate = next(waiting[labels[position]], None)
        if candidate is not None:
            found.append(candidate)
        position += 1
    return np.array(found, np.int64), position


def _too_small(
    source: Source, splits: Splits, untouched: int, left: int, distinct: int, population: int | None
) -> InputError:
    """Return the error that says what the run leaves, what an audit needs, and which numbers would work."""
    size = len(splits.train)
    takes = f"the {size} that it trained on to fill its shadow models"
    if population is not None:
        takes += f", and {population} for the population"
    equal = f" ({untouched - left} more have an equal)" if left < untouched else ""
    ways = []
    if population is not None and left - size >= 2:
        ways.append(f"give --population {left - size} or fewer")
    # If the pool were split again, at least this many would be left, whichever examples have an equal.
    share = len(splits.validation) / (size + len(splits.validation))
    kept = min(LARGEST_DEFAULT, distinct // 5) if population is None else population
    limit = int((distinct - kept - 1) / (2 - share))
    if limit >= 2 * source.num_classes:
        ways.append(f"train the run with --train-limit {limit} or fewer")
    ways.append("attack --dataset, which trains its target itself")
    return InputError(
        f"run must leave as many training examples of {source.name} untouched as {takes}, it leaves {left}{equal}: "
        + ", or ".join(ways)
    )
