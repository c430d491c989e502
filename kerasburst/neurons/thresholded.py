"""What neurons with a decay, a threshold and a reset share: their parameters."""

from __future__ import annotations

from keras import ops

from kerasburst.neurons import surrogate as surrogates
from kerasburst.neurons.base import Neuron
from kerasburst.neurons.functional import RESET_MECHANISMS
from kerasburst.neurons.surrogate import Surrogate, Tensor
from kerasburst.validation import InputError, check_bool, check_choice


class Thresholded(Neuron):
    """Neurons that fire above a threshold and are then reset. The first argument of each cell is its `units`."""

    def _set_threshold(
        self,
        beta: object,
        threshold: object,
        reset_mechanism: str,
        surrogate: str | Surrogate,
        trainable_beta: bool,
        trainable_threshold: bool,
        per_neuron: bool,
        **others: tuple,
    ) -> None:
        """Keep the parameters; `others` are decays in [0, 1] by name, each a value and whether it is trained."""
        trained = {name: trainable for name, (_, trainable) in others.items()}
        trained |= {"beta": trainable_beta, "threshold": trainable_threshold}
        for name, trainable in trained.items():
            setattr(self, f"trainable_{name}", check_bool(f"trainable_{name}", trainable))
        self.per_neuron = check_bool("per_neuron", per_neuron)
        if per_neuron and not any(trained.values()):
            names = [f"trainable_{name}" for name in trained]
            raise InputError(f"per_neuron must be false unless {', '.join(names[:-1])} or {names[-1]} is set")
        for name, (value, trainable) in {**others, "beta": (beta, trainable_beta)}.items():
            self.add_parameter(name, value, trainable=trainable, per_neuron=per_neuron, low=0.0, high=1.0)
        self.add_parameter("threshold", threshold, trainable=trainable_threshold, per_neuron=per_neuron, above=0.0)
        self.reset_mechanism = check_choice("reset_mechanism", reset_mechanism, RESET_MECHANISMS)
        self.surrogate = surrogates.get(surrogate)

    def neuron_parameters(self, dtype="float32"):
        """Return the parameters of the equation, a trained decay clipped to [0, 1]."""
        values = super().neuron_parameters(dtype)
        return {**values, "reset_mechanism": self.reset_mechanism, "surrogate": self.surrogate}


def after_reset(mem: Tensor, before: Tensor, threshold: float | Tensor, reset_mechanism: str) -> Tensor:
    """Return a new membrane after the reset of neurons that fired at the step before.

    Args:
        mem: the new membrane without its reset.
        before: the membrane of the step before, which fired above `threshold`.
        threshold: of the neurons.
        reset_mechanism: "subtract" takes the threshold away, "zero" makes the whole new membrane 0, "none" keeps it.
    """
    if reset_mechanism == "none":
        return mem
    fired = ops.stop_gradient(ops.cast(before > threshold, mem.dtype))
    return mem - threshold * fired if reset_mechanism == "subtract" else mem * (1.0 - fired)
