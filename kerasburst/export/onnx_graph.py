"""Our networks as an ONNX graph, written node by node: spikes in, logits and membrane trace out."""

from __future__ import annotations

import keras
import numpy as np

from kerasburst.export.formats import Format, Written, require
from kerasburst.export.network import course_of
from kerasburst.models.forward import Pool
from kerasburst.neurons.lif import LIF
from kerasburst.validation import InputError, one_line
from kerasburst.version import __version__

# What onnxruntime has taken since 1.12.
_OPSET, _IR = 17, 8
_CALL = {
    "python": [
        "import onnxruntime",
        "session = onnxruntime.InferenceSession('model.onnx')",
        "logits, trace = session.run(None, {'spikes': spikes})  # float32 (n, T, *features)",
    ]
}


class ONNX(Format):
    """Writes model.onnx and runs it by onnxruntime; see `kerasburst.export.onnx`."""

    file = "model.onnx"
    modules = ("onnx",)
    extra = "onnx"

    def write(self, network, folder):
        """Write model.onnx; see `Format.write`."""
        import onnx
        from onnx import helper

        graph = _Graph()
        graph.lead = graph.add("Shape", ["spikes"], start=0, end=2)
        graph.now, graph.features = "spikes", network.spike_features
        for part in course_of(network, "onnx"):
            graph.append(part)
        graph.add("Identity", [graph.read_out(network.readout)], name="logits")
        graph.add("Identity", [graph.mem], name="trace")
        time, classes = network.num_steps or "time", network.num_classes
        shapes = {
            "spikes": ["batch", time, *network.spike_features],
            "logits": ["batch", classes],
            "trace": ["batch", time, classes],
        }
        spikes, *outputs = (helper.make_tensor_value_info(name, graph.float, shape) for name, shape in shapes.items())
        model = helper.make_model(
            helper.make_graph(graph.nodes, "kerasburst", [spikes], outputs, graph.constants),
            opset_imports=[helper.make_opsetid("", _OPSET)],
            ir_version=_IR,
            producer_name="kerasburst",
            producer_version=__version__,
        )
        onnx.checker.check_model(model, full_check=True)
        onnx.save(model, folder / self.file)
        described = {
            name: {"dtype": "float32", "shape": [n if isinstance(n, int) else None for n in shape]}
            for name, shape in shapes.items()
        }
        spikes, does = described.pop("spikes"), "class scores and the output neurons' membrane of spikes"
        no_encoder = "ONNX has no counter-based random numbers: encode outside"
        return Written(
            {"encoded": {"does": does, "inputs": {"spikes": spikes}, "outputs": described}},
            {"serving_default": no_encoder, "seeded": no_encoder, "step": "the SavedModel and LiteRT have it"},
            _CALL,
            {"opset": _OPSET, "onnx": onnx.__version__},
        )

    def run(self, folder, manifest):
        """Return a function that runs the model in onnxruntime; see `Format.run`."""
        path = self.path(folder)
        require("onnxruntime", "onnx")
        import onnxruntime

        try:
            session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime's exceptions share no other base class
            raise InputError(f"{path} cannot be loaded: {one_line(error)}") from None
        return lambda spikes: session.run(["logits"], {"spikes": spikes})[0]


class _Graph:
    """Nodes and constants; `now` is the name of the course's current tensor and `features` its shape after the lead."""

    def __init__(self, prefix: str = ""):
        from onnx import TensorProto, helper, numpy_helper

        self.helper, self.to_tensor, self.float = helper, numpy_helper.from_array, TensorProto.FLOAT
        self.prefix = prefix  # names must be unique in the whole file, bodies of loops included
        self.nodes, self.constants = [], []
        self.lead = self.now = self.spk = self.mem = None
        self.features: tuple[int, ...] = ()
        self.folded = False  # into (batch * time, channels, height, width)

    def add(self, op: str, inputs: list[str], name: str | None = None, **attributes) -> str:
        """Append a node with one output; return the output's name."""
        name = name or f"{self.prefix}{op.lower()}_{len(self.nodes)}"
        self.nodes.append(self.helper.make_node(op, inputs, [name], name=name, **attributes))
        return name

    def constant(self, value, dtype="float32") -> str:
        """Add a constant; return its name."""
        name = f"{self.prefix}constant_{len(self.constants)}"
        self.constants.append(self.to_tensor(np.array(value, dtype, order="C"), name))
        return name

    def append(self, part) -> None:
        """Append a part of a network's course."""
        match part:
            case keras.layers.Conv2D():
                self._fold()
                self._convolve(part)
            case Pool():
                self._fold()
                height, width, channels = self.features
                self.now = self.add("MaxPool", [self.now], kernel_shape=[2, 2], strides=[2, 2])
                self.features = (height // 2, width // 2, channels)
                if part.relu:
                    self.now = self.add("Relu", [self.now])
            case keras.layers.Dense():
                self._unfold()
                if len(self.features) > 1:
                    self._reshape((int(np.prod(self.features)),))
                product = self.add("MatMul", [self.now, self.constant(part.kernel)])
                self.now = self.add("Add", [product, self.constant(part.bias)])
                self.features = (part.units,)
            case LIF():
                self._unfold()
                self._fire(part)
            case _:
                raise InputError(f"model must be of layers that onnx knows, received a {type(part).__name__}")

    def _reshape(self, features: tuple[int, ...]) -> None:
        shape = self.add("Concat", [self.lead, self.constant(features, "int64")], axis=0)
        self.now, self.features = self.add("Reshape", [self.now, shape]), features

    def _fold(self) -> None:
        if not self.folded:
            folded = self.add("Reshape", [self.now, self.constant((-1, *self.features), "int64")])
            self.now, self.folded = self.add("Transpose", [folded], perm=[0, 3, 1, 2]), True

    def _unfold(self) -> None:
        if self.folded:
            self.now, self.folded = self.add("Transpose", [self.now], perm=[0, 2, 3, 1]), False
            self._reshape(self.features)

    def _convolve(self, layer: keras.layers.Conv2D) -> None:
        kernel = np.transpose(layer.kernel, (3, 2, 0, 1))
        before = [(side - 1) // 2 for side in layer.kernel_size]
        after = [side - 1 - b for side, b in zip(layer.kernel_size, before, strict=True)]
        inputs = [self.now, self.constant(kernel), self.constant(layer.bias)]
        self.now = self.add("Conv", inputs, kernel_shape=list(layer.kernel_size), pads=[*before, *after])
        self.features = (*self.features[:2], layer.filters)

    def _fire(self, layer: LIF) -> None:
        """Append a Scan over time with the LIF equation as its body."""
        parameters = layer.neuron_parameters()
        beta, threshold = (self.constant(parameters[name]) for name in ("beta", "threshold"))
        body = _Graph(f"{layer.name}/")
        kept = body.add("Mul", ["mem", beta])
        if layer.reset_mechanism == "none":
            new = body.add("Add", [kept, "current"])
        else:
            fired = body.add("Cast", [body.add("Greater", ["mem", threshold])], to=self.float)
            if layer.reset_mechanism == "subtract":
                new = body.add("Sub", [body.add("Add", [kept, "current"]), body.add("Mul", [fired, threshold])])
            else:
                stayed = body.add("Sub", [body.constant(1.0), fired])
                new = body.add("Add", [body.add("Mul", [kept, stayed]), "current"])
        above = body.add("Greater", [body.add("Sub", [new, threshold]), body.constant(0.0)])
        body.add("Cast", [above], name="spk", to=self.float)
        for copy in ("new_mem", "mem_now"):
            body.add("Identity", [new], name=copy)
        inputs, outputs = (
            [self.helper.make_tensor_value_info(name, self.float, [None, *self.features]) for name in names]
            for names in (("mem", "current"), ("new_mem", "spk", "mem_now"))
        )
        step = self.helper.make_graph(body.nodes, f"{layer.name}_step", inputs, outputs, body.constants)
        batch = self.add("Slice", [self.lead, self.constant([0], "int64"), self.constant([1], "int64")])
        shape = self.add("Concat", [batch, self.constant(self.features, "int64")], axis=0)
        start = self.add("ConstantOfShape", [shape], value=self.to_tensor(np.zeros(1, "float32")))
        last, self.spk, self.mem = (f"{layer.name}_{what}" for what in ("last", "spk", "mem"))
        axes = {"num_scan_inputs": 1, "scan_input_axes": [1], "scan_output_axes": [1, 1]}
        self.nodes.append(
            self.helper.make_node(
                "Scan", [start, self.now], [last, self.spk, self.mem], name=layer.name, body=step, **axes
            )
        )
        self.now = self.spk

    def read_out(self, readout: str) -> str:
        """Append the readout; return the name of the logits."""
        if readout == "last":
            return self.add("Gather", [self.mem, self.constant(-1, "int64")], axis=1)
        if readout == "mean":
            return self.add("ReduceMean", [self.mem], axes=[1], keepdims=0)
        return self.add("ReduceSum", [self.spk, self.constant([1], "int64")], keepdims=0)
