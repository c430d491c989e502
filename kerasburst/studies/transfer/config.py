"""`TransferConfig`: what a transfer experiment is, before anything is trained."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

from kerasburst import config as configs
from kerasburst.config import TrainConfig
from kerasburst.training.run_directory import RunReference
from kerasburst.validation import LARGEST, check_choice, check_int, fail, path_text

FREEZES = ("conv", "hidden")
SOURCE, TARGET = "digits:0-4", "digits:5-9"  # what ships with scikit-learn, two tasks on images of one kind


@dataclasses.dataclass(frozen=True, kw_only=True)
class TransferConfig:
    """Everything that `kerasburst transfer` needs to repeat an experiment.

    Args:
        train: how the target is learnt, by every arm alike: its dataset is the target, its epochs the fine-tuning's,
            its seed the first one. Its encoding is not used; its encoder parameters go to the encodings that have them.
        source: the data set that features are learnt on.
        source_epochs: of pre-training, at least 1; None for the source's default.
        encodings: names of encoders.
        source_encoding: name of the source's encoder, where one of the two holds images and the other spikes; None for
            the target's.
        freeze: "conv" (the convolutions) or "hidden" (all but the output layer); None for the first where the
            network has convolutions.
        seeds: number of seeds, at least 1: the first is `train.seed`, the others follow it. Intervals say little
            below three.
        run: a finished training run whose network is the source for every seed; None to pre-train.

    Raises:
        InputError: for a value outside its range.

    Example:
        >>> TransferConfig(train=TrainConfig(dataset="fashion_mnist"), source="mnist").freeze is None
        True
    """

    FORMAT: ClassVar[int] = 1
    WHAT: ClassVar[str] = "a transfer"

    train: TrainConfig
    source: str = SOURCE
    source_epochs: int | None = None
    encodings: tuple[str, ...] = configs.COMPARED_ENCODINGS
    freeze: str | None = None
    seeds: int = 3
    run: RunReference | None = None
    source_encoding: str | None = None

    def __post_init__(self):
        """Check every value that needs no data."""
        if not isinstance(self.train, TrainConfig):
            raise fail("train", "a TrainConfig", self.train)
        if self.train.validation_split:
            raise fail("validation_split", "0 in a transfer", self.train.validation_split)
        object.__setattr__(self, "source", path_text("source", self.source, "a name or a path"))
        if self.train.epsilon is not None:
            raise fail("epsilon", "None in a transfer; a source run may be private", self.train.epsilon)
        if self.source_epochs is not None:
            check_int("source_epochs", self.source_epochs, low=1, high=LARGEST)
        if self.freeze is not None:
            check_choice("freeze", self.freeze, FREEZES)
        check_int("seeds", self.seeds, low=1, high=1000)
        object.__setattr__(self, "encodings", configs.check_encodings(self.encodings))
        if self.source_encoding is not None:
            configs.check_encodings((self.source_encoding,))
            if self.run is not None:
                raise fail("source_encoding", "None, since the source is a run", self.source_encoding)
        if self.run is not None and self.encodings != (self.train.encoding,):
            raise fail("encoding", f"the run's, {self.train.encoding}", ", ".join(self.encodings))

    @property
    def source_encodings(self) -> tuple[str, ...]:
        """The encoders of the source, one for each of the target's."""
        return self.encodings if self.source_encoding is None else (self.source_encoding,) * len(self.encodings)

    @property
    def of_source(self) -> TrainConfig:
        """How the source is learnt."""
        training = dataclasses.replace(self.train, dataset=self.source, epochs=self.source_epochs)
        return _read_alone(training, self.train.dataset)

    @property
    def of_target(self) -> TrainConfig:
        """How the target is learnt."""
        return _read_alone(self.train, self.source)

    @property
    def seed_list(self) -> tuple[int, ...]:
        """The seeds."""
        return tuple(range(self.train.seed, self.train.seed + self.seeds))


def _read_alone(training: TrainConfig, other: str) -> TrainConfig:
    """Leave out how events are read, such as data.size, where only the other data set holds any."""
    from kerasburst.data.datasets import holds_events
    from kerasburst.data.events import Reading

    if holds_events(training.dataset) or not holds_events(other):
        return training
    of_events = Reading.of(training.data).of_events
    return dataclasses.replace(training, data={k: v for k, v in training.data.items() if k not in of_events})
