"""The nodes, edges and numbers of a NIR file, checked."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from kerasburst.export.formats import require
from kerasburst.validation import InputError, one_line


def read_file(path: Path):
    """Read a `nir.NIRGraph`.

    Raises:
        InputError: for a file that cannot be read as one.
    """
    require("nir", "nir")
    import nir

    if not path.is_file():
        raise InputError(
            f"{path} is not a readable NIR file (it {'is no file' if path.exists() else 'does not exist'})"
        )
    try:
        graph = nir.read(str(path))
    except Exception as error:  # whatever nir, h5py and numpy raise for what is in the file
        raise InputError(f"{path} is not a readable NIR file ({one_line(error)})") from None
    if not isinstance(graph, nir.NIRGraph):
        raise InputError(f"{path} must hold a graph, it holds a {type(graph).__name__}")
    return graph


def flat(graph, prefix: str = "") -> tuple[dict, list[tuple[str, str]]]:
    """Return the nodes and edges of a graph, with the graphs inside it put in their places."""
    nodes, edges, inner = {}, [], {}
    for name, node in graph.nodes.items():
        if kind_of(node) != "NIRGraph":
            nodes[prefix + name] = node
            continue
        own, within = flat(node, f"{prefix}{name}.")
        ends = [[key for key, each in own.items() if kind_of(each) == kind] for kind in ("Input", "Output")]
        if [len(each) for each in ends] != [1, 1]:
            raise InputError(f"{prefix}{name} must have one input and one output")
        (start,), (end,) = ends
        inner[prefix + name] = [b for a, b in within if a == start], [a for a, b in within if b == end]
        edges += [(a, b) for a, b in within if start not in (a, b) and end not in (a, b)]
        nodes |= {key: each for key, each in own.items() if key not in (start, end)}
    for a, b in graph.edges:
        starts = inner[prefix + a][1] if prefix + a in inner else [prefix + a]
        edges += [(s, e) for s in starts for e in (inner[prefix + b][0] if prefix + b in inner else [prefix + b])]
    return nodes, edges


def check_numbers(name: str, node) -> None:
    """Raise for parameters that are missing, empty or not finite."""
    for argument, value in vars(node).items():
        if argument in ("input_type", "output_type", "metadata", "input_shape", "padding", "bias"):
            continue
        value = as_text(value)
        if isinstance(value, str):
            continue
        array = np.asarray(value)
        if array.dtype.kind not in "iufb" or array.size == 0:
            raise InputError(f"{name}.{argument} must hold numbers, received {one_line(repr(value), 60)}")
        if not np.isfinite(array).all():
            raise InputError(f"{name}.{argument} must hold finite numbers, received NaN or infinity")
    bias = getattr(node, "bias", None)
    if bias is not None and not np.isfinite(np.asarray(bias, "float64")).all():
        raise InputError(f"{name}.bias must hold finite numbers, received NaN or infinity")


def shape_of(name: str, types) -> tuple[int, ...]:
    """Return the shape of one step that the types of an input or output node say."""
    sizes = np.ravel([] if not types or types.get("input") is None else types["input"])
    if sizes.size == 0 or sizes.dtype.kind not in "iu" or (sizes < 1).any():
        raise InputError(f"{name} must have a shape of whole numbers of at least 1, received {sizes.tolist()}")
    return tuple(int(n) for n in sizes)


def as_text(value):
    """Return a text that HDF5 may have read as bytes; anything else as it is."""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


def kind_of(node) -> str:
    """Return the name of a node's class, as NIR calls it."""
    return type(node).__name__
