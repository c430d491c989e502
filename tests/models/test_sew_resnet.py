import sys
import types

import keras
import numpy as np
import pytest
from keras import ops

import kerasburst as kb
from kerasburst.models.forward import Residual, leaves
from kerasburst.validation import InputError

from ..neurons.common import weighted
from ..neurons.reference import forward
from .common import draw_spikes, enliven, weight_gradients

pytestmark = pytest.mark.usefixtures("eagerly")

JOIN = {"ADD": lambda a, s: a + s, "AND": lambda a, s: a * s, "IAND": lambda a, s: (1 - a) * s}


def small(**options):
    return kb.SEWResNet(**{"num_classes": 3, "depth": 8, "width": 2, "seed": 0, "beta": 0.8} | options)


def convolve(x, kernel, stride):
    """Correlate (..., height, width, channels), zeros around the image as PyTorch pads it."""
    side = len(kernel)
    around = [(side // 2, side // 2)] * 2
    padded = np.pad(x, [(0, 0)] * (x.ndim - 3) + around + [(0, 0)])
    height, width = x.shape[-3:-1]
    out = sum(padded[..., i : i + height, j : j + width, :] @ kernel[i, j] for i in range(side) for j in range(side))
    return out[..., ::stride, ::stride, :]


def unit(network, name, x, stride=1):
    """Convolution, normalisation by moving averages, LIF, all in float64."""
    conv, bn = getattr(network, f"{name}_conv"), getattr(network, f"{name}_bn", None)
    weights = [w.astype("float64") for w in conv.get_weights()]
    current = convolve(x, weights[0], stride) + (weights[1] if bn is None else 0)
    if bn is not None:
        gamma, beta, mean, variance = bn.get_weights()
        current = (current - mean) / np.sqrt(variance + 1e-5) * gamma + beta
    return forward(current, 0.8)[0]


@pytest.mark.sampled(2)
@pytest.mark.parametrize(("connect", "normalization"), [("ADD", "batch"), ("AND", "none"), ("IAND", "tdbn")])
def test_forward_pass_by_hand(connect, normalization):
    network, x = small(connect=connect, normalization=normalization), draw_spikes(3, 4, 4, 4, 1)
    network.build((None, *x.shape[1:]))
    enliven(network)
    spikes, activity = unit(network, "stem", x.astype("float64")), {}
    for stage in (1, 2, 3):
        stride, name = 1 + (stage > 1), f"stage{stage}_block1"
        inner = unit(network, f"{name}_1", spikes, stride)
        body = activity[f"{name}_2_lif"] = unit(network, f"{name}_2", inner)
        shortcut = spikes if stage == 1 else unit(network, f"{name}_shortcut", spikes, stride)
        spikes = JOIN[connect](body, shortcut)
    kernel, bias = network.output_dense.get_weights()
    _, mem = forward(spikes.mean((2, 3)) @ kernel.astype("float64") + bias, 0.8)
    found, trace = network.simulate(ops.convert_to_tensor(x.astype("float32")))
    for name, want in activity.items():
        np.testing.assert_array_equal(ops.convert_to_numpy(found[name]), want)
    assert sum(each.sum() for each in activity.values()) > 0
    np.testing.assert_allclose(ops.convert_to_numpy(trace), mem, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(ops.convert_to_numpy(network(x)), mem[:, -1], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("depth", "blocks"),
    [
        (18, (2, 2, 2, 2)),
        (20, (3, 3, 3)),
        pytest.param(34, (3, 4, 6, 3), marks=pytest.mark.thorough),
        pytest.param(50, (3, 4, 6, 3), marks=pytest.mark.thorough),
    ],
)
def test_depth_counts_the_layers_with_weights_on_the_way(depth, blocks):
    network = kb.SEWResNet(3, depth=depth, width=1, normalization="none")
    course = network.course()
    assert len([part for part in course if isinstance(part, Residual)]) == sum(blocks)
    way = [part for part in course if not isinstance(part, Residual)]
    way += [part for each in course if isinstance(each, Residual) for part in leaves(each.body)]
    assert sum(isinstance(part, (keras.layers.Conv2D, keras.layers.Dense)) for part in way) == depth
    assert network.get_layer(f"stage{len(blocks)}_block1_shortcut_conv").filters == (
        2 ** (len(blocks) - 1) * (4 if depth == 50 else 1)
    )


def test_the_stem_for_larger_images_and_bottlenecks_reduce_as_published():
    network = kb.SEWResNet(3, depth=10, width=1, stem="imagenet", normalization="none")
    network.build((None, 2, 64, 64, 3))
    assert network.stem_conv.kernel.shape == (7, 7, 3, 1)
    assert network.stage4_block1_1_conv.kernel.shape == (3, 3, 4, 8)
    sizes = [network.stem_pool.compute_output_shape((1, 34, 34, 1))[1]]
    assert sizes == [16]  # 64, halved by the convolution, padded, and halved by the pooling


@pytest.mark.thorough
def test_gradients_reach_the_first_layers_of_twenty():
    """The norm of a layer's gradient over the norm of its weights neither vanishes nor explodes."""
    network = kb.SEWResNet(3, depth=20, width=2, seed=0, readout="mean")
    x = draw_spikes(4, 2, 4, 4, 1).astype("float32")
    network.build(x.shape)
    loss, weights = weighted(network, x, [np.float32([1.0, -0.7, 0.4])], training=True)
    found = dict(zip([w.path for w in network.trainable_weights], weight_gradients(loss, x, weights), strict=True))
    norms = [np.linalg.norm(g) for path, g in found.items() if path.endswith("conv/kernel") and "shortcut" not in path]
    assert len(norms) == 19
    assert 1e-3 < norms[0] / norms[-1] < 1e3 and min(norms) > 1e-4 * max(norms) and np.isfinite(max(norms))


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({"depth": 19}, "depth must be one of 10, 18, 34, 50, 101, 152, or 6 n + 2, received 19"),
        ({"depth": 1208}, "depth must be an integer from 8 to 1202, received 1208"),
        ({"width": 0}, "width must be an integer from 1 to 2147483647, received 0"),
        ({"connect": "add"}, "connect must be one of ADD, AND, IAND, received 'add'"),
        ({"stem": "mnist"}, "stem must be one of cifar, imagenet, received 'mnist'"),
        ({"normalization": "layer"}, "normalization must be one of batch, tdbn, none, received 'layer'"),
        ({"recompute": True, "recompute_steps": 2}, "recompute must be false with recompute_steps"),
    ],
    ids=str,
)
def test_bad_parameter(bad, message):
    with pytest.raises(InputError) as error:
        small(**bad)
    assert str(error.value).startswith(message)


def test_bad_input():
    with pytest.raises(InputError, match=r"inputs must be spikes \(batch, num_steps, height, width, channels\)"):
        small().build((None, 3, 5))
    with pytest.raises(InputError, match="recompute_steps must be None with stem_bn, whose statistics are over all"):
        small(recompute_steps=2).build((None, 3, 4, 4, 1))


@pytest.mark.thorough
def test_spikingjelly_fires_the_same(monkeypatch):
    torch = pytest.importorskip("torch")
    for name in ("torchvision", "torchvision.models", "torchvision.models.utils"):  # for pretrained weights alone
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    sys.modules["torchvision.models.utils"].load_state_dict_from_url = None
    model = pytest.importorskip("spikingjelly.activation_based.model.sew_resnet")
    from spikingjelly.activation_based import functional, neuron, surrogate

    for connect in JOIN:
        peer = model.sew_resnet18(
            cnf=connect,
            spiking_neuron=neuron.IFNode,
            num_classes=3,
            v_reset=None,
            surrogate_function=surrogate.ATan(),
            detach_reset=True,
        ).eval()
        functional.set_step_mode(peer, "m")
        network = kb.SEWResNet(3, depth=18, stem="imagenet", connect=connect, beta=1.0)
        x = draw_spikes(1, 3, 32, 32, 3).astype("float32")
        network.build(x.shape)
        enliven(network)
        names = {"stem": ("conv1", "bn1")}
        for i, j in np.ndindex(4, 2):
            ours, theirs = f"stage{i + 1}_block{j + 1}", f"layer{i + 1}.{j}"
            names |= {f"{ours}_{k}": (f"{theirs}.conv{k}", f"{theirs}.bn{k}") for k in (1, 2)}
            if i and not j:
                names[f"{ours}_shortcut"] = (f"{theirs}.downsample.0", f"{theirs}.downsample.1")
        state = peer.state_dict()
        for ours, (conv, bn) in names.items():
            kernel = ops.convert_to_numpy(getattr(network, f"{ours}_conv").kernel)
            state[f"{conv}.weight"] = torch.tensor(kernel.transpose(3, 2, 0, 1).copy())
            values = getattr(network, f"{ours}_bn").get_weights()
            for name, value in zip(("weight", "bias", "running_mean", "running_var"), values, strict=True):
                state[f"{bn}.{name}"] = torch.tensor(value)
        peer.load_state_dict(state)
        fired = {}
        peer.layer4[1].register_forward_hook(lambda layer, given, out, fired=fired: fired.update(out=out))
        with torch.no_grad():
            peer(torch.tensor(x.transpose(1, 0, 4, 2, 3).copy()))
        activity, _ = network.simulate(ops.convert_to_tensor(x))
        last, before = (ops.convert_to_numpy(activity[f"stage4_block{j}_2_lif"]) for j in (2, 1))
        first = JOIN[connect](before, ops.convert_to_numpy(activity["stage4_block1_shortcut_lif"]))
        want = fired["out"].numpy().transpose(1, 0, 3, 4, 2)
        assert 0 < want.mean()
        assert (JOIN[connect](last, first) == want).mean() > 0.99  # rounding may move a spike near its threshold
