"""`ProfileConfig`: what a profile measures and how."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any, ClassVar

from kerasburst import config as configs
from kerasburst.config import TrainConfig
from kerasburst.profiling.gpu import Gpu, find_gpu
from kerasburst.registry import ENCODERS
from kerasburst.training.run_directory import RunDirectory
from kerasburst.validation import MOST, InputError, check_choice, check_choices, check_float, check_int, fail, path_text

DEFAULT_EPOCHS = 5  # of a network that is trained to be profiled
WINDOW_S = 2.0
GPU_WINDOW_S = 20.0  # power sensors and energy counters of GPUs are coarse
FEEDS = ("pipeline", "encoded")
MODES = ("train", "infer")
BASELINES = ("rate", "rate_regular")  # what the others are compared with

# Each profiled encoding: its encoder, and the parameters that its name implies.
ENCODINGS: dict[str, tuple[str, dict[str, Any]]] = {
    "rate": ("rate", {"mode": "bernoulli"}),
    "rate_regular": ("rate", {"mode": "regular"}),
    **{name: (name, {}) for name in ENCODERS if name != "rate"},
}


DEFAULT_ENCODINGS = ("rate", "rate_regular", *(name for name in configs.COMPARED_ENCODINGS if name != "rate"))


def default_window_s() -> float:
    """Return the least length of a measurement, seconds: more where NVML finds the GPU."""
    found = find_gpu()
    if not isinstance(found, Gpu):
        return WINDOW_S
    found.close()
    return GPU_WINDOW_S


def arm_name(encoding: str, feed: str) -> str:
    """Return the name of an encoding that is fed in one of `FEEDS`, as results and tables have it.

    Example:
        >>> arm_name("rate", "pipeline"), arm_name("rate", "encoded")
        ('rate', 'rate/encoded')
    """
    return encoding if feed == FEEDS[0] else f"{encoding}/{feed}"


@dataclasses.dataclass(frozen=True, kw_only=True)
class ProfileConfig:
    """What `kerasburst profile` needs to run again.

    Args:
        train: how the networks are trained. Its encoding is not used; its encoder parameters go to the encodings that
            have them; epochs default to `DEFAULT_EPOCHS`.
        encodings: names in `ENCODINGS`: "rate" is Bernoulli, "rate_regular" deterministic.
        mode: "train" measures epochs of training, "infer" passes over test examples.
        repeats: R, measurements of each encoding, each in a fresh process; at least 1.
        run: directory of a finished training run to profile, with its encoding; None to train. `of_run` fills `train`
            from it.
        window_s: least length of a measurement, seconds, at least 0; epochs or passes are repeated to fill it. Default:
            2, or 20 where there is a GPU that NVML finds.
        feeds: what is measured of each encoding. "pipeline" encodes each batch as it is needed; "encoded" encodes all
            examples once, before the measurement, so that the network alone is measured.

    Raises:
        InputError: for a value outside its range.

    Example:
        >>> config = ProfileConfig(train=TrainConfig(dataset="iris"), encodings=("rate", "delayed_burst"))
        >>> [(training.encoding, training.epochs) for training in config.trainings("tabular").values()]
        [('rate', 5), ('delayed_burst', 5)]
    """

    FORMAT: ClassVar[int] = 1
    WHAT: ClassVar[str] = "a profile"

    train: TrainConfig
    encodings: tuple[str, ...] = DEFAULT_ENCODINGS
    mode: str = "train"
    repeats: int = 3
    run: str | None = None
    window_s: float = dataclasses.field(default_factory=default_window_s)
    feeds: tuple[str, ...] = FEEDS[:1]

    def __post_init__(self):
        """Check every value that needs no data."""
        if not isinstance(self.train, TrainConfig):
            raise fail("train", "a TrainConfig", self.train)
        object.__setattr__(self, "encodings", check_choices("encoding", self.encodings, ENCODINGS))
        configs.takes_spikes(self.encodings)
        check_choice("mode", self.mode, MODES)
        check_int("repeats", self.repeats, low=1, high=MOST)
        check_float("window_s", self.window_s, low=0.0, high=86_400.0)
        object.__setattr__(self, "feeds", check_choices("feed", self.feeds, FEEDS))
        if self.run is not None:
            object.__setattr__(self, "run", path_text("run", self.run, "the path of a run directory"))
        if self.run is None and "mode" in self.train.encoder:
            raise InputError("encoder.mode must not be set: rate is Bernoulli and rate_regular is regular, by name")

    @property
    def arms(self) -> list[tuple[str, str]]:
        """What is measured: each encoding with each feed."""
        return [(name, feed) for name in self.encodings for feed in self.feeds]

    @classmethod
    def of_run(cls, run: str | Path, *, data_dir: str | Path | None = None, **options) -> ProfileConfig:
        """Return the config of a profile of a run's network.

        Args:
            run: directory of a finished training run.
            data_dir: folder of data files, if it is not the one the run was trained from.
            **options: mode, repeats, window_s and feeds.

        Raises:
            InputError: where there is no finished run.
        """
        directory = RunDirectory.of_finished(run)
        train = directory.config()
        if data_dir is not None:
            train = dataclasses.replace(train, data_dir=data_dir)
        name = "rate_regular" if train.encoder.get("mode") == "regular" else train.encoding
        return cls(train=train, encodings=(name,), run=str(directory.path.resolve()), **options)

    def trainings(self, kind: str) -> dict[str, TrainConfig]:
        """Return each encoding's training, every default filled in.

        Args:
            kind: the data set's kind, "image" or "tabular".

        Raises:
            InputError: for a parameter that no encoder, or not the neuron or network, has.
        """
        shared = configs.for_encodings(self.train, dict.fromkeys(ENCODINGS[name][0] for name in self.encodings))
        found = {}
        for name in self.encodings:
            encoding, fixed = ENCODINGS[name]
            training = shared[encoding]
            encoder = {**training.encoder, **fixed}
            found[name] = dataclasses.replace(training, encoder=encoder).resolved(kind, DEFAULT_EPOCHS)
        return found
