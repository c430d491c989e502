"""`AuditConfig`: everything that determines an audit."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

from kerasburst import config as configs
from kerasburst.config import TrainConfig
from kerasburst.privacy.arms import Arm, arms_of
from kerasburst.privacy.splits import PROTOCOLS, check_shadows
from kerasburst.registry import ATTACKS
from kerasburst.training.run_directory import RunReference
from kerasburst.validation import LARGEST, MOST, check_bool, check_choice, check_int, fail

TEST_EXAMPLES = 2000  # at most, for an accuracy
SNAPSHOT_QUERIES = 4  # at most, before the end of a training
MATCHES = ("accuracy", "none")
TARGET_QUERIES = 4  # a target's accuracy is the mean over this many encodings; other models have one


@dataclasses.dataclass(frozen=True, kw_only=True)
class AuditConfig:
    """Everything that determines an audit; config.json holds these fields.

    Args:
        train: how targets and shadows are trained; its encoding is ignored, its encoder parameters go to the encodings
            that have them, and its default epochs give as many updates as `train` makes on the data set.
        encodings: names of encoders, compared on the same splits and seeds.
        protocol: "audit", "paper" or "paper-overlapping".
        targets: target models of each encoding, at least 1.
        shadows: N, shadow models of each encoding, even, at least 2.
        queries: K, numbers of encodings of each example that the attacker sees; each at least 1.
        members: members of each target that are audited, at least 4, and as many non-members; without `run` a target
            trains on nothing else. None for a share of the pool, at most 1,000.
        population: points that no model trains on; None for a share of the pool.
        run: the training run whose network is the one target, by the protocol "audit" and with its own encoding;
            None to train the targets. `AuditedRun.config` fills `train` from it.
        arms: what else is compared on the same splits and seeds: encoders with parameters, and defences.
        pools: disjoint random parts of the data, each with its own audited points and shadows; the first also has the
            targets and the controls.
        canaries: points that shadows train on with a wrong label; None for a twentieth of the members, 8 to 64.
        snapshots: epochs after which every model is attacked, ascending; empty for a quarter and half of the
            training. The last epoch is always one of them.
        match: "accuracy" to compare arms at equal test accuracy, or "none".
        attacks: names of attacks with queries of their own that also run: "input_dropout", "replay".
        flips: choose the targets' members by independent fair coin flips, not as halves of a fixed size; epsilon is
            then also bounded from one run.
        tf_privacy: also run tensorflow-privacy's attacks; a resumed audit may change it.
        half: 0 or 1 for one half of the data alone, which is the same at any seed; None for all.

    Raises:
        InputError: for a value outside its range, or one that contradicts `run`.

    Example:
        >>> AuditConfig(train=TrainConfig(dataset="digits"), encodings=("rate", "poisson_burst")).queries
        (1, 4, 16)
    """

    FORMAT: ClassVar[int] = 1
    WHAT: ClassVar[str] = "an audit"

    train: TrainConfig
    encodings: tuple[str, ...] = configs.COMPARED_ENCODINGS
    protocol: str = "audit"
    targets: int = 1
    shadows: int = 8
    queries: tuple[int, ...] = (1, 4, 16)
    members: int | None = None
    population: int | None = None
    run: RunReference | None = None
    tf_privacy: bool = False
    arms: tuple[Arm, ...] = ()
    pools: int = 1
    canaries: int | None = None
    snapshots: tuple[int, ...] = ()
    match: str = "accuracy"
    attacks: tuple[str, ...] = ()
    flips: bool = False
    half: int | None = None

    def __post_init__(self):
        """Check every value that needs no data."""
        if not isinstance(self.train, TrainConfig):
            raise fail("train", "a TrainConfig", self.train)
        if self.train.validation_split:
            raise fail("validation_split", "0 in an audit", self.train.validation_split)
        encodings = configs.check_encodings(self.encodings) if self.encodings or not self.arms else ()
        if not isinstance(self.arms, tuple | list) or not all(isinstance(arm, Arm) for arm in self.arms):
            raise fail("arms", "a list of arms", self.arms)
        object.__setattr__(self, "arms", tuple(self.arms))
        arms_of(encodings, self.arms)
        if not isinstance(self.queries, tuple | list):
            raise fail("queries", "a list of numbers", self.queries)
        queries = tuple(sorted({check_int("queries", k, low=1, high=MOST) for k in self.queries}))
        if not queries:
            raise fail("queries", "one or more numbers", self.queries)
        check_choice("protocol", self.protocol, PROTOCOLS)
        check_int("targets", self.targets, low=1, high=MOST)
        check_shadows(self.shadows)
        for name, low in (("members", 4), ("population", 2)):  # the blind baseline is judged on half of the members
            if getattr(self, name) is not None:
                check_int(name, getattr(self, name), low=low, high=LARGEST)
        check_bool("tf_privacy", self.tf_privacy)
        check_bool("flips", self.flips)
        check_int("pools", self.pools, low=1, high=99)
        if self.pools > 1 and self.protocol != "audit":
            raise fail("pools", f"1 by the protocol {self.protocol}", self.pools)
        if self.half is not None:
            check_int("half", self.half, low=0, high=1)
        check_canaries(self.canaries)
        if not isinstance(self.snapshots, tuple | list):
            raise fail("snapshots", "a list of epochs", self.snapshots)
        snapshots = tuple(sorted({check_int("snapshots", epoch, low=1, high=LARGEST) for epoch in self.snapshots}))
        object.__setattr__(self, "snapshots", snapshots)
        if snapshots and self.train.epochs is not None and snapshots[-1] > self.train.epochs:
            raise fail("snapshots", f"at most the {self.train.epochs} epochs of the training", snapshots[-1])
        check_choice("match", self.match, MATCHES)
        if not isinstance(self.attacks, tuple | list):
            raise fail("attacks", "a list of names", self.attacks)
        if self.attacks:
            from kerasburst.privacy.attacks.attack import OWN_QUERIES  # and SciPy, which --help need not wait for

            for name in self.attacks:
                check_choice("attack", name, [n for n in ATTACKS if set(ATTACKS[n].needs) & set(OWN_QUERIES)])
        object.__setattr__(self, "attacks", tuple(dict.fromkeys(self.attacks)))
        object.__setattr__(self, "encodings", encodings)
        object.__setattr__(self, "queries", queries)
        if self.run is not None:
            self._check_run()

    @property
    def seed(self) -> int:
        """The seed of all draws."""
        return self.train.seed

    @property
    def compared(self) -> dict[str, Arm]:
        """All arms by name: the encodings, then the others."""
        return {arm.name: arm for arm in arms_of(self.encodings, self.arms)}

    def _check_run(self) -> None:
        if not isinstance(self.run, RunReference):
            raise fail("run", "a RunReference", self.run)
        of_the_run = {"protocol": "audit", "targets": 1, "encodings": (self.train.encoding,), "arms": (), "pools": 1}
        for name, value in {**of_the_run, "flips": False, "half": None}.items():
            if getattr(self, name) != value:
                raise fail(name, f"{value!r} in the audit of a run", getattr(self, name))


def check_canaries(canaries: int | None) -> None:
    """Check a number of canaries: even; None for the default."""
    if canaries is not None and (check_int("canaries", canaries, low=0, high=LARGEST) % 2):
        raise fail("canaries", "even, so that each model trains on half of them", canaries)
