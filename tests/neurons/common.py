"""What tests that run under every KERAS_BACKEND share: all seven neurons, and gradients."""

import keras
import numpy as np
from keras import ops

import kerasburst as kb

BACKEND = keras.backend.backend()

# Name: layer, cell, arguments under which currents from -0.3 to 1.2 make neurons fire, and the names of the state.
NEURONS = {
    "LIF": (kb.LIF, kb.LIFCell, {"beta": 0.8}, ("mem",)),
    "Synaptic": (kb.Synaptic, kb.SynapticCell, {"alpha": 0.5, "beta": 0.8}, ("mem", "syn")),
    "AdaptiveLIF": (kb.AdaptiveLIF, kb.AdaptiveLIFCell, {"rho": 0.7, "kappa": 1.0}, ("mem", "adaptation")),
    "LeakyIntegrator": (kb.LeakyIntegrator, kb.LeakyIntegratorCell, {"beta": 0.7}, ("mem",)),
    "RecurrentLIF": (
        kb.RecurrentLIF,
        kb.RecurrentLIFCell,
        {"recurrent_initializer": keras.initializers.Constant(0.15), "use_bias": True},
        ("mem",),
    ),
    "Izhikevich": (kb.Izhikevich, kb.IzhikevichCell, {"input_scale": 40.0}, ("mem", "u")),
    "AdEx": (kb.AdEx, kb.AdExCell, {"input_scale": 6000.0, "sub_steps": 2}, ("mem", "w")),
}


def draw(*shape, seed=0):
    return np.random.default_rng(seed).uniform(-0.3, 1.2, shape).astype(np.float32)


def tensor(value, dtype=None):
    """Return a tensor: an array keeps its type, numbers are float32."""
    if dtype is None and not isinstance(value, np.ndarray | np.generic):
        dtype = "float32"
    return ops.convert_to_tensor(np.asarray(value) if isinstance(value, np.generic) else value, dtype)


def array(x):
    return ops.convert_to_numpy(x)


def kind(x):
    """Return a tensor's type by its name."""
    return keras.backend.standardize_dtype(x.dtype)


def arrays(outputs):
    return [array(x) for x in (outputs if isinstance(outputs, (list, tuple)) else [outputs])]


def _given(x):
    """Return an array or number of numpy's as a tensor of its type; a tensor as it is."""
    return ops.convert_to_tensor(np.asarray(x) if isinstance(x, np.generic) else x)


def gradients(loss, *inputs):
    """Return the gradients of a scalar function of arrays, by the backend's own differentiation."""
    if BACKEND == "jax":
        import jax

        return [np.asarray(g) for g in jax.grad(loss, tuple(range(len(inputs))))(*map(_given, inputs))]
    tensors = [_given(x) for x in inputs]
    if BACKEND == "tensorflow":
        import tensorflow as tf

        with tf.GradientTape() as tape:
            tape.watch(tensors)
            value = loss(*tensors)
        return [tf.convert_to_tensor(g).numpy() for g in tape.gradient(value, tensors, unconnected_gradients="zero")]
    tensors = [x.clone().requires_grad_() for x in tensors]
    loss(*tensors).backward()
    return [np.zeros(x.shape) if x.grad is None else x.grad.numpy() for x in tensors]


def weighted(layer, x, weights, **options):
    """Return sum(weights * every output) of a layer whose trained weights are arguments too, and those weights."""
    if not layer.built:
        layer.build(x.shape)
    trained = [array(v) for v in layer.trainable_variables]
    others = [ops.convert_to_tensor(array(v)) for v in layer.non_trainable_variables]

    def loss(x, *values):
        outputs, _ = layer.stateless_call(list(values), others, x, **options)
        outputs = outputs if isinstance(outputs, (list, tuple)) else [outputs]
        return sum(ops.sum(ops.cast(w, y.dtype) * y) for w, y in zip(weights, outputs, strict=True))

    return loss, trained
