"""The base of all spiking networks: forward pass, encoder inside, readout, membrane trace, firing rates."""

from __future__ import annotations

import inspect
import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

import keras
from keras import ops

from kerasburst import backend
from kerasburst.encoders.base import Encoder
from kerasburst.models.forward import Fire, Leaf, Part, build_course, leaves, walk
from kerasburst.models.probing import Probed
from kerasburst.models.recomputing import in_chunks, walk_recomputed
from kerasburst.neurons.base import arguments_of
from kerasburst.neurons.layer import NeuronLayer
from kerasburst.neurons.lif import LIF
from kerasburst.neurons.surrogate import Surrogate, Tensor
from kerasburst.registry import NEURONS
from kerasburst.seeding import derive_seed
from kerasburst.validation import (
    LARGEST,
    InputError,
    check_bool,
    check_choice,
    check_dense,
    check_int,
    fail,
    known_keywords,
)

READOUTS = ("last", "mean", "count")


class SpikingNetwork(Probed, ABC):
    """A classifier over spike trains.

    A subclass creates its layers in `__init__`, each an attribute, and returns them in order from `course`, the neurons
    `output_lif` last; `_dense`, `_conv` and `_neurons` create layers with the network's seed and parameters.
    Constructor arguments that are kept as attributes of the same name are part of the config.

    Args:
        num_classes: C, at least 2.
        encoder: an encoder layer; the network then takes intensities `(batch, *features)` instead of
            spikes `(batch, num_steps, *features)`.
        readout: logits are the output neurons' membrane at the "last" step, its "mean" over time, or
            the "count" of their spikes.
        neuron: name of the hidden neurons, such as "lif", "synaptic" or "izhikevich"; the output neurons are LIF.
        neuron_options: further parameters of the hidden neurons, by name.
        beta: membrane decay per step of all neurons that have it, in [0, 1]; likewise the next six.
        threshold: firing threshold of all neurons, above 0.
        reset_mechanism: "subtract", "zero" or "none".
        surrogate: a name or a configured `Surrogate`.
        trainable_beta: whether beta is trained.
        trainable_threshold: whether the threshold is trained.
        per_neuron: whether trained parameters have a value for each neuron instead of one for each layer.
        recompute: compute the maps of convolutions again in the backward pass instead of keeping them: less memory per
            step, more time.
        recompute_steps: train in chunks of so many steps, of which the backward pass keeps the states between them and
            computes all else again: memory for one chunk instead of all steps. Same gradients, more time. None for
            all steps at once.
        seed: int of at least 0 that fixes the initial weights, or None. They are uniform within
            1 / sqrt(fan-in), the default of the framework that the authors' earlier code was written in.
        **kwargs: as for `keras.Model`. Under a 16-bit policy the membranes and logits stay float32.
    """

    supports_masking = True
    default_for: ClassVar[str | None] = None  # "image" or "tabular": the kind of data it is the first choice for
    steps_at_once: ClassVar[int] = 1  # training steps that one call may take, where a step is shorter than the call

    def __init__(
        self,
        num_classes: int,
        *,
        encoder: Encoder | None = None,
        readout: str = "last",
        neuron: str = "lif",
        neuron_options: Mapping[str, Any] | None = None,
        beta: float = 0.95,
        threshold: float = 1.0,
        reset_mechanism: str = "subtract",
        surrogate: str | Surrogate = "atan",
        trainable_beta: bool = False,
        trainable_threshold: bool = False,
        per_neuron: bool = False,
        recompute: bool = False,
        recompute_steps: int | None = None,
        seed: int | None = None,
        **kwargs,
    ):
        with known_keywords(self):
            super().__init__(**kwargs, autocast=False)
        self.num_classes = check_int("num_classes", num_classes, low=2)
        self.encoder = keras.saving.deserialize_keras_object(encoder) if isinstance(encoder, dict) else encoder
        if self.encoder is not None and not isinstance(self.encoder, Encoder):
            raise fail("encoder", "an encoder layer or None", encoder)
        self.readout = check_choice("readout", readout, READOUTS)
        self.recompute = check_bool("recompute", recompute)
        if recompute_steps is not None:
            recompute_steps = check_int("recompute_steps", recompute_steps, low=1, high=LARGEST)
            if self.recompute:
                raise InputError("recompute must be false with recompute_steps, which keeps less")
        self.recompute_steps = recompute_steps
        self.seed = None if seed is None else check_int("seed", seed, low=0)
        self.neuron = check_choice("neuron", neuron, NEURONS)
        self.neuron_options = dict(neuron_options or {})
        self._neuron: dict[str, Any] = {
            "beta": beta,
            "threshold": threshold,
            "reset_mechanism": reset_mechanism,
            "surrogate": surrogate,
            "trainable_beta": trainable_beta,
            "trainable_threshold": trainable_threshold,
            "per_neuron": per_neuron,
        }
        self.spikes_shape: Any = None  # until it is built
        self.output_dense = self._dense(self.num_classes, "output_dense")
        self.output_lif = LIF(**self._neuron, return_mem=True, dtype=self.dtype_policy, name="output_lif")

    # For subclasses -------------------------------------------------------------------------

    @abstractmethod
    def course(self) -> list[Part]:
        """Return the layers in order, `output_lif` last; see `kerasburst.models.forward.walk` for what may be there."""

    def build_synapses(self, input_shape: tuple[int | None, ...]) -> None:
        """Build the layers for spikes of shape `(batch, num_steps, *features)`."""
        build_course(self.course(), input_shape)

    def leaves(self) -> list[Leaf]:
        """Return the parts of the course in the order in which they run, those of branches in their place."""
        return list(leaves(self.course()))

    def _conv(self, filters: int, kernel_size: int, name: str, **options) -> keras.layers.Conv2D:
        options = {"padding": "same", "kernel_initializer": self._initializer(name), "name": name} | options
        return keras.layers.Conv2D(
            filters, kernel_size, data_format="channels_last", dtype=self.dtype_policy, **options
        )

    def _dense(self, units: int, name: str) -> keras.layers.Dense:
        return keras.layers.Dense(units, kernel_initializer=self._initializer(name), dtype=self.dtype_policy, name=name)

    def _neurons(self, name: str) -> NeuronLayer:
        """Create a layer of hidden neurons with those of the network's parameters that such neurons have."""
        cls = NEURONS[self.neuron]
        known = set(inspect.signature(cls).parameters) - {"kwargs"}
        if unknown := set(self.neuron_options) - known:
            raise fail("neuron_options", f"of {', '.join(sorted(known))}", ", ".join(sorted(unknown)))
        if not cls.fires:
            raise fail("neuron", "one that fires", self.neuron)
        options = {key: value for key, value in self._neuron.items() if key in known} | self.neuron_options
        if "recurrent_initializer" in known and self.seed is not None:
            rule = keras.initializers.get(options.get("recurrent_initializer", "orthogonal"))
            if "seed" in (config := rule.get_config()) and config["seed"] is None:
                rule = type(rule)(**config | {"seed": derive_seed(self.seed, "weights", name)})
            options["recurrent_initializer"] = rule
        return cls(**options, dtype=self.dtype_policy, name=name)

    def _initializer(self, name: str) -> keras.initializers.Initializer:
        """Uniform within 1 / sqrt(fan-in): smaller than Glorot's, it keeps the first epochs from overshooting."""
        seed = None if self.seed is None else derive_seed(self.seed, "weights", name)
        return keras.initializers.VarianceScaling(1 / 3, "fan_in", "uniform", seed=seed)

    # Forward pass ----------------------------------------------------------------------

    def simulate(self, spikes: Tensor, mask: Tensor | None = None) -> tuple[dict[str, Tensor], Tensor]:
        """Run the network over spikes in the compute dtype.

        Args:
            spikes: `(batch, num_steps, *features)`.
            mask: bool `(batch, num_steps)`, False at steps that are padding; None for none.

        Returns:
            The spikes of all neurons by layer name, in the order of the network and each
            `(batch, num_steps, *features)`, and the output membrane `(batch, num_steps, C)`.
        """
        activity = {}

        def fire(neurons, current):
            activity[neurons.name], states = _fire(neurons, current, mask)
            return activity[neurons.name], states

        return activity, self._run(spikes, fire, mask=mask)[1]["mem"]

    def _run(
        self, spikes: Tensor, fire: Fire, firing: bool = False, training: bool = False, mask: Tensor | None = None
    ):
        """Run the course, fast where possible; with `firing`, `fire` may miss neurons in convolutional stages."""

        def normalize(layer, x):
            return layer(x, training=training, mask=mask)

        course = self.course()
        if backend.runs_cpu_paths():
            from kerasburst.models.fast.stages import apply, begin

            begun = begin(course, spikes, firing=firing, recompute=self.recompute, training=training)
            if begun is not None:
                return walk(*begun, fire, apply)
        if self.recompute and (firing or training):
            return walk_recomputed(course, spikes, fire, training, mask)
        return walk(course, spikes, fire, normalize=normalize)

    # For users ----------------------------------------------------------------------------

    def build(self, input_shape):
        """Find the sizes of all layers from the input's shape."""
        shape = tuple(input_shape)
        if self.encoder is not None:
            if not self.encoder.built:
                self.encoder.build(shape)
            shape = tuple(self.encoder.compute_output_shape(shape))
        if len(shape) < 3 or None in shape[2:]:
            raise fail("inputs", "spikes of shape (batch, num_steps, *features) with known features", shape)
        if self.recompute_steps is not None:
            for part in self.leaves():
                if isinstance(part, keras.layers.BatchNormalization):
                    raise InputError(
                        f"recompute_steps must be None with {part.name}, whose statistics are over all steps"
                    )
        self.build_synapses(shape)
        self.spikes_shape = shape
        self.built = True

    def call(self, inputs, training=None, mask=None):
        """Compute logits `(batch, num_classes)`, float32.

        Args:
            inputs: as the class says. Spikes of int8 have -1 in all features of steps that are padding.
            training: whether to compute as in training.
            mask: bool `(batch, num_steps)`, False at steps that are padding, where all neurons hold their states and do
                not fire; None: as the inputs say.
        """
        return self.respond(inputs, training, mask)[0]

    def respond(self, inputs, training: bool | None = None, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return the logits, and the output membrane `(batch, num_steps, C)`; the arguments are those of `call`."""
        spikes, mask = self.spikes_of(inputs, mask)
        training = bool(training)
        if training and self.recompute_steps is not None:
            spk, mem = in_chunks(self._run, spikes, self.recompute_steps, mask)
            return self.read_out(spk, mem, **({} if mask is None else {"mask": mask})), mem
        fire = _fire if mask is None else lambda neurons, current: _fire(neurons, current, mask)
        spk, states = self._run(spikes, fire, firing=mask is None, training=training, mask=mask)
        return self.read_out(spk, states["mem"], **({} if mask is None else {"mask": mask})), states["mem"]

    def read_out(self, spk: Tensor, mem: Tensor, mask: Tensor | None = None) -> Tensor:
        """Compute the logits of the output neurons' spikes and membrane, each `(batch, num_steps, C)`."""
        if self.readout == "last":
            return mem[:, -1]
        if self.readout == "mean" and mask is None:
            return ops.mean(mem, axis=1)
        if self.readout == "mean":
            live = ops.cast(mask, mem.dtype)[:, :, None]
            return ops.sum(live * mem, axis=1) / ops.maximum(ops.sum(live, axis=1), 1.0)
        return ops.sum(ops.cast(spk, "float32"), axis=1)

    def spikes_of(self, inputs, mask=None) -> tuple[Tensor, Tensor | None]:
        """Return spikes in the compute dtype, and the mask of the steps that are no padding, or None."""
        check_dense("inputs", inputs)
        inputs = ops.convert_to_tensor(inputs)
        if keras.backend.standardize_dtype(inputs.dtype) == "int8" and len(inputs.shape) > 2:
            batch, steps = ops.shape(inputs)[:2]
            live = ops.reshape(inputs, (batch, steps, -1))[:, :, 0] >= 0
            mask = live if mask is None else ops.logical_and(live, ops.cast(mask, "bool"))
            inputs = inputs if self.encoder is not None else ops.maximum(inputs, 0)
        spikes = ops.convert_to_tensor(inputs if self.encoder is None else self.encoder(inputs))
        self.check_shape(spikes.shape)
        return ops.cast(spikes, self.compute_dtype), None if mask is None else ops.cast(mask, "bool")

    def check_shape(self, shape) -> None:
        """Check the shape of spikes against the one that the network was built for.

        Dense layers flatten features, so that these may have other axes.

        Raises:
            InputError: for another number of features, or spikes without time.
        """
        if not self.built or getattr(shape, "rank", 0) is None:
            return
        wanted, given = tuple(self.spikes_shape[2:]), tuple(shape)[2:]
        if not given or (None not in given and math.prod(given) != math.prod(wanted)):
            features = ", ".join(map(str, wanted))
            what = "inputs" if self.encoder is None else "the encoder's spikes"
            raise fail(what, f"spikes of shape (batch, num_steps, {features})", tuple(shape))

    def compute_mask(self, inputs, previous_mask):
        """Return no mask: logits have no time."""

    def compute_output_spec(self, inputs, training=None, mask=None):
        """Return the logits' shape and dtype."""
        return keras.KerasTensor((inputs.shape[0], self.num_classes), dtype="float32")

    def compute_output_shape(self, input_shape):
        """Return the logits' shape."""
        return (input_shape[0], self.num_classes)

    def with_encoder(self, encoder: Encoder | None) -> SpikingNetwork:
        """Return a copy with the same weights and another encoder inside, or none."""
        if not self.built:
            raise InputError("with_encoder needs a network that is built, received one without weights")
        config = self._own_config()
        changed = {name: type(layer).from_config(layer.get_config()) for name, layer in self._changed_layers(config)}
        copy = type(self).from_config({**config, "encoder": encoder, "layers": changed})
        spikes = self.spikes_shape
        copy.build(spikes if encoder is None or encoder.encoded else (spikes[0], *spikes[2:]))
        for part, copied in zip(self.leaves(), copy.leaves(), strict=True):
            if isinstance(part, keras.layers.Layer):
                for own, other in zip(part._flatten_layers(), copied._flatten_layers(), strict=True):
                    # By name: the order of a quantised layer's variables depends on when it was quantised.
                    store: dict = {}
                    own.save_own_variables(store)
                    other.load_own_variables(store)
        return copy

    def __setattr__(self, name, value):
        """Set an attribute; a layer that replaces another takes its place among the network's layers."""
        old = getattr(self, name, None) if isinstance(value, keras.layers.Layer) else None
        if isinstance(old, keras.layers.Layer) and old is not value and not self._tracker.locked:
            self._tracker.replace_tracked_value("layers", old, value)
        super().__setattr__(name, value)

    def save(self, filepath, *args, **kwargs):
        """Save as `keras.Model.save` does, to a .keras file; Keras' .h5 cannot hold a network that is a class."""
        if str(filepath).endswith((".h5", ".hdf5")):
            raise fail("filepath", "a .keras file; save_weights writes .weights.h5", str(filepath))
        super().save(filepath, *args, **kwargs)

    def get_config(self):
        """Return the constructor's arguments, and the layers that are no longer as the constructor makes them."""
        config = self._own_config()
        changed = {name: keras.saving.serialize_keras_object(layer) for name, layer in self._changed_layers(config)}
        for serialized in changed.values():
            serialized.pop("build_config", None)  # `build` builds all layers
        return {**config, "layers": changed} if changed else config

    def _own_config(self) -> dict:
        neuron = self.output_lif.get_config()
        return {
            **super().get_config(),
            **arguments_of(self),
            **{name: neuron[name] for name in self._neuron},
        }

    def _changed_layers(self, config: dict) -> Iterator[tuple[str, keras.layers.Layer]]:
        """Yield the layers, by attribute, that were quantised, adapted, frozen or replaced since they were made."""
        attributes = {id(getattr(self, name)): name for name in {*vars(self), *getattr(self, "_modules", ())}}
        for own, made in zip(self.leaves(), type(self)(**config).leaves(), strict=True):
            if not isinstance(own, keras.layers.Layer) or _described(own) == _described(made):
                continue
            if id(own) not in attributes:
                raise InputError(
                    f"layer {own.name} must be an attribute of the network to be saved as it is now: it was changed "
                    "after it was made"
                )
            yield attributes[id(own)], own

    @classmethod
    def from_config(cls, config, custom_objects=None):
        """Build from `get_config`."""
        config = dict(config)
        layers = config.pop("layers", {})
        network = cls(**config)
        for name, layer in layers.items():
            if isinstance(layer, dict):
                layer = keras.saving.deserialize_keras_object(layer, custom_objects)
            setattr(network, name, layer)
        return network


def shared_arguments(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return those of a network's arguments that `SpikingNetwork` has by name, of the `locals()` of an `__init__`."""
    names = inspect.getfullargspec(SpikingNetwork.__init__).kwonlyargs
    return {name: given[name] for name in names}


def _described(part) -> tuple:
    """Return what a layer is made from, without what Keras counts up."""

    def bare(value):
        if isinstance(value, dict):
            return {name: bare(each) for name, each in value.items() if name != "shared_object_id"}
        return value

    return type(part), {**bare(part.get_config()), "name": None} if isinstance(part, keras.layers.Layer) else part


def _fire(neurons: NeuronLayer, current: Tensor, mask: Tensor | None = None) -> tuple[Tensor, dict[str, Tensor]]:
    masked = {} if mask is None else {"mask": mask}
    if not neurons.return_mem:
        return neurons(current, **masked), {}
    spk, mem = neurons(current, **masked)
    return spk, {"mem": mem}
