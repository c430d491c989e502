"""`TrainConfig`: what a training run is, and the parameters that its encoder, network and neuron take."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

from kerasburst.parameters import as_json, check_names, default_network, filled, parameters, refusing, with_trainable
from kerasburst.registry import ENCODERS, NETWORKS, NEURONS
from kerasburst.validation import (
    LARGEST,
    InputError,
    check_bool,
    check_choice,
    check_choices,
    check_float,
    check_int,
    fail,
    path_text,
    suggestion,
)

# What a study compares unless it is told otherwise: an encoder that is added changes no study that was begun before.
COMPARED_ENCODINGS = ("rate", "poisson_burst", "delayed_burst")
ENCODED = ("none", "event_burst")  # the encodings of data that holds spikes
PRECISIONS = ("float32", "mixed_bfloat16", "mixed_float16")
STRATEGIES = ("mirrored", "multi_worker")  # of tf.distribute


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """All that `kerasburst train` needs to train a network again.

    Args:
        dataset: a known data set's name, or a path that a reader reads, such as an .npz file.
        encoding: an encoder's name, such as "rate", "poisson_burst" or "delayed_burst".
        encoder: the encoder's parameters by name, beyond num_steps and seed.
        num_steps: T, time steps, at least 1.
        model: a network's name, or None for the one that is made for the kind of data.
        network: the network's parameters by name.
        neuron: the neurons' parameters by name.
        epochs: at least 1, or None for the data set's default.
        batch_size: at least 1.
        learning_rate: Adam's, above 0.
        seed: of splits, initial weights, shuffling and spikes; at least 0.
        train_limit: train on a stratified subset of this many examples; None for all.
        data_dir: folder of data files; None for KERASBURST_DATA.
        validation_split: share of the training part held out for validation, 0 to below 1.
        early_stopping: stop after this many epochs without a better validation loss; None for never.
        keep_best: keep the weights of the epoch with the best validation loss instead of the last.
        queries: K, encodings of each test example that the test accuracy is a mean over.
        precision: Keras' policy for the network: "float32", "mixed_bfloat16" (for CPUs and GPUs that compute in it),
            or "mixed_float16" (for GPUs). Membranes, logits and weights are float32 under each.
        epsilon: train with (epsilon, delta)-differential privacy, above 0 and up to 1000; needs Keras on JAX.
            Examples are then drawn into batches independently, `batch_size` of them in the mean. None for no guarantee.
        delta: of the guarantee, above 0 and below 1 / the number of training examples.
        clipping_norm: to which each example's gradient is clipped, above 0.
        data: how the data is read, by name: step_us, size, sensor, counts and sort of events, flip and crop of images.
        encodings_per_example: K, encodings of an example whose mean loss has the gradient that is clipped; above 1
            with `epsilon` alone.
        spike_cost: weight of a trained encoder's mean expected spike per feature and step in the loss, at least 0.
        firing_penalty: weight of the hidden neurons' mean squared firing rate in the loss, at least 0.
        adversary: weight of the attacker that is trained along, on membranes, to tell the training part from a
            reference part; at least 0, none for 0.
        reference_split: share of the training part, after validation, that is the reference part; above 0 and below 1.

    Raises:
        InputError: for a value outside its range.

    Example:
        >>> TrainConfig(encoding="delayed_burst", epochs=3).num_steps
        10
    """

    FORMAT: ClassVar[int] = 1

    dataset: str = "digits"
    encoding: str = "rate"
    encoder: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    num_steps: int = 10
    model: str | None = None
    network: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    neuron: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    epochs: int | None = None
    batch_size: int = 128
    learning_rate: float = 1e-3
    seed: int = 0
    train_limit: int | None = None
    data_dir: str | None = None
    validation_split: float = 0.0
    early_stopping: int | None = None
    keep_best: bool = False
    queries: int = 4
    precision: str = "float32"
    epsilon: float | None = None
    delta: float = 1e-5
    clipping_norm: float = 1.0
    encodings_per_example: int = 1
    data: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    spike_cost: float = 0.0
    firing_penalty: float = 0.0
    adversary: float = 0.0
    reference_split: float = 0.2

    def __post_init__(self):
        """Check every value that needs no data."""
        self._convert("dataset", path_text("dataset", self.dataset, "a name or a path"))
        check_choice("encoding", self.encoding, ENCODERS)
        check_choice("precision", self.precision, PRECISIONS)
        if self.model is not None:
            check_choice("model", self.model, NETWORKS)
        for name in ("encoder", "network", "neuron", "data"):
            if not isinstance(getattr(self, name), Mapping):
                raise fail(name, "a mapping of parameters", getattr(self, name))
        self._convert("encoder", with_trainable(self.encoder))
        for name in ("num_steps", "batch_size", "queries", "encodings_per_example"):
            self._convert(name, check_int(name, getattr(self, name), low=1, high=LARGEST))
        for name in ("epochs", "train_limit", "early_stopping"):
            if getattr(self, name) is not None:
                self._convert(name, check_int(name, getattr(self, name), low=1, high=LARGEST))
        self._convert("seed", check_int("seed", self.seed, low=0, high=LARGEST))
        self._convert("learning_rate", check_float("learning_rate", self.learning_rate, above=0.0))
        self._convert("validation_split", check_float("validation_split", self.validation_split, low=0.0, below=1.0))
        check_bool("keep_best", self.keep_best)
        if self.epsilon is not None:
            self._convert("epsilon", check_float("epsilon", self.epsilon, above=0.0, high=1000.0))
        self._convert("delta", check_float("delta", self.delta, above=0.0, below=1.0))
        self._convert("clipping_norm", check_float("clipping_norm", self.clipping_norm, above=0.0))
        if self.encodings_per_example > 1 and self.epsilon is None:
            raise InputError(f"encodings_per_example needs epsilon, received {self.encodings_per_example} without it")
        for name in ("spike_cost", "firing_penalty", "adversary"):
            self._convert(name, check_float(name, getattr(self, name), low=0.0))
        self._convert("reference_split", check_float("reference_split", self.reference_split, above=0.0, below=1.0))
        if self.adversary and self.encoding in ENCODED:
            raise fail("adversary", f"0 with the encoding {self.encoding}", self.adversary)
        if self.adversary and self.epsilon is not None:
            raise InputError(f"adversary and epsilon exclude each other, received {self.adversary} and {self.epsilon}")
        if self.precision == "mixed_float16" and self.epsilon is not None:
            raise fail("precision with epsilon", "float32 or mixed_bfloat16", self.precision)
        if self.data_dir is not None:
            self._convert("data_dir", path_text("data_dir", self.data_dir, "a path or null"))
        if (self.early_stopping or self.keep_best) and not self.validation_split:
            name = "early_stopping" if self.early_stopping else "keep_best"
            raise InputError(f"{name} needs a validation_split above 0, received 0")

    def _convert(self, name: str, value: Any) -> None:
        object.__setattr__(self, name, value)

    def resolved(self, kind: str, default_epochs: int) -> TrainConfig:
        """Fill in every default, so that the config says all even if defaults change one day.

        Args:
            kind: the data set's kind, "image" or "tabular".
            default_epochs: the data set's default number of epochs.

        Raises:
            InputError: for a parameter that the encoder, the neuron or the network does not have.
        """
        model = self.model or default_network(kind)
        return dataclasses.replace(
            self,
            model=model,
            epochs=self.epochs or default_epochs,
            encoder=filled("encoder", self.encoding, self.encoder),
            network=filled("model", model, self.network),
            neuron=filled("neuron", self.neuron_name, self.neuron),
        )

    @property
    def neuron_name(self) -> str:
        """Name of the hidden neurons, as `--set model.neuron=NAME` chooses them."""
        return check_choice("model.neuron", self.network.get("neuron", "lif"), NEURONS)

    def reading(self, encodings: Iterable[str] | None = None) -> dict[str, Any]:
        """Return the arguments of `load_source` besides the name, for these encodings or the config's own."""
        return {
            "data_dir": self.data_dir,
            "spikes": takes_spikes(encodings or [self.encoding]),
            "num_steps": self.num_steps,
            "options": self.data,
        }

    def make_encoder(self):
        """Build the encoder layer."""
        check_names("encoder", parameters("encoder", self.encoding), self.encoder)
        if self.data.get("counts") and not self.encoder.get("counts"):
            raise fail("encoding", "none with encoder.counts=true, where data.counts is true", self.encoding)
        with refusing("encoder", self.encoder):
            return ENCODERS[self.encoding](num_steps=self.num_steps, seed=self.seed, **self.encoder)

    def make_network(self, num_classes: int):
        """Build the network for spikes, without its weights; `model` must be set."""
        network = NETWORKS[str(self.model)]
        lif = parameters("neuron")
        given = {name: value for name, value in self.neuron.items() if name in lif or self.neuron_name == "lif"}
        options = {name: value for name, value in self.neuron.items() if name not in given}
        given |= {**self.network, **({"neuron_options": options} if options else {})}
        with refusing("model and neuron", given):
            return network(num_classes, seed=self.seed, dtype=self.precision, **given)


def set_parameters(config: TrainConfig, assignments: Iterable[tuple[str, str, Any]]) -> TrainConfig:
    """Return a config with parameters set.

    Args:
        config: where to set them.
        assignments: (scope, name, value), scope one of "encoder", "model", "neuron", "data".

    Raises:
        InputError: for an unknown scope; names are checked when the config is resolved.
    """
    fields = {"encoder": "encoder", "model": "network", "neuron": "neuron", "data": "data"}
    for scope, name, value in assignments:
        field = fields[check_choice("--set", scope, fields)]
        changed: dict[str, Any] = {field: {**getattr(config, field), name: value}}
        config = dataclasses.replace(config, **changed)
    return config


def for_encodings(config: TrainConfig, encodings: Iterable[str]) -> dict[str, TrainConfig]:
    """Return a config for each encoding, with those of the encoder parameters that its encoder has.

    Args:
        config: its own encoding is not used.
        encodings: names of encoders.

    Raises:
        InputError: for a parameter that none of them has.

    Example:
        >>> config = TrainConfig(encoder={"mean_burst_size": 3.0})
        >>> {name: dict(one.encoder) for name, one in for_encodings(config, ["rate", "poisson_burst"]).items()}
        {'rate': {}, 'poisson_burst': {'mean_burst_size': 3.0}}
    """
    owned = {name: parameters("encoder", name) for name in encodings}
    known = {parameter for names in owned.values() for parameter in names}
    for name in config.encoder:
        if name not in known:
            raise InputError(
                f"encoder.{name} is unknown: {', '.join(owned)} {'has' if len(owned) == 1 else 'have'} "
                + (", ".join(sorted(known)) or "no parameters")
                + suggestion(name, known)
            )
    return {
        encoding: dataclasses.replace(
            config, encoding=encoding, encoder={n: value for n, value in config.encoder.items() if n in names}
        )
        for encoding, names in owned.items()
    }


def check_encodings(encodings: object) -> tuple[str, ...]:
    """Return names of encoders as a tuple, each known and named once.

    Raises:
        InputError: for anything else.
    """
    names = check_choices("encoding", encodings, ENCODERS)
    takes_spikes(names)
    return names


def takes_spikes(encodings: Iterable[str]) -> bool:
    """Return whether data is loaded as spikes for these encodings.

    Raises:
        InputError: where some do and some do not.

    Example:
        >>> takes_spikes(["none", "event_burst"]), takes_spikes(["rate", "direct"])
        (True, False)
    """
    names = list(dict.fromkeys(encodings))
    taking = [name for name in names if name in ENCODED]
    if 0 < len(taking) < len(names):
        raise fail("encoding", f"of {', '.join(ENCODED)} alone, since the others do not take spikes", ", ".join(names))
    return bool(taking)


def same_config(one: Any, other: Any) -> bool:
    """Return whether two configs, or two of their values, are the same, wherever the data lies.

    It does not matter which version wrote them: a parameter that one of them lacks, as it was added
    later, has its default there.

    Args:
        one: a `TrainConfig`, or the config of a study.
        other: another of the same class.

    Example:
        >>> done = TrainConfig(model="SNNFCNet", epochs=3, neuron={"beta": 0.9}, data_dir="elsewhere")
        >>> same_config(done, done.resolved("tabular", 3)), same_config(done, TrainConfig())
        (True, False)
    """
    if type(one) is not type(other) or not dataclasses.is_dataclass(one):
        return one == other
    if isinstance(one, TrainConfig):
        return set(differing_fields(one, other)) <= {"data_dir"}
    return all(
        same_config(getattr(one, field.name), getattr(other, field.name))
        for field in dataclasses.fields(one)
        if field.compare and field.name != "data_dir"
    )


def differing_fields(one: TrainConfig, other: TrainConfig) -> list[str]:
    """Return the names of the fields in which two trainings differ; a parameter that one lacks has its default there.

    Example:
        >>> differing_fields(TrainConfig(epochs=3, neuron={"beta": 0.9}), TrainConfig(neuron={"threshold": 1.0}))
        ['neuron', 'epochs']
    """
    one, other = _complete(one), _complete(other)
    fields = (field.name for field in dataclasses.fields(TrainConfig))
    return [name for name in fields if getattr(one, name) != getattr(other, name)]


def _complete(config: TrainConfig) -> TrainConfig:
    """Return a config with every default filled in that is known without its data."""
    scopes = {"encoder": ("encoder", config.encoding), "neuron": ("neuron", config.neuron_name)}
    if config.model is not None:
        scopes["network"] = ("model", config.model)
    filled: dict[str, Any] = {}
    for field, (scope, name) in scopes.items():
        values = {**parameters(scope, name), **getattr(config, field)}
        filled[field] = {name: as_json(f"{scope}.{name}", value) for name, value in values.items()}
    return dataclasses.replace(config, **filled)
