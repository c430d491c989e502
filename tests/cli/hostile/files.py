"""Damaged files: of runs, data sets, examples, studies and exports."""

import json
import os
import shutil
import zipfile
from pathlib import Path

import numpy as np

from tests.cli.hostile.case import Case


def _replaced(make):
    def damage(path):
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()
        make(path)

    return damage


def _json(change):
    def damage(path):
        path.write_text(json.dumps(change(json.loads(path.read_text()))))

    return damage


def _array(change):
    def damage(path):
        with np.load(path) as stored:
            arrays = {name: stored[name] for name in stored.files}
        np.savez(path, **change(arrays))

    return damage


def _bomb(path):
    """Replace an archive by one whose members claim to be of a terabyte."""
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
    with zipfile.ZipFile(path, "w") as archive:
        for name in names:
            archive.writestr(name, b"\x93NUMPY" + bytes(100))
    content = bytearray(path.read_bytes())
    at = content.find(b"PK\x01\x02")
    while at >= 0:  # sizes in the central directory, which readers go by
        content[at + 24 : at + 28] = (0xF0000000).to_bytes(4, "little")
        at = content.find(b"PK\x01\x02", at + 1)
    path.write_bytes(content)


ANY = {
    "empty": lambda path: path.write_bytes(b""),
    "cut": lambda path: path.write_bytes(path.read_bytes()[: -(path.stat().st_size // 3) - 1]),
    "noise": lambda path: path.write_bytes(bytes(range(256)) * 40),
    "pipe": _replaced(os.mkfifo),
    "folder": _replaced(Path.mkdir),
    "circle": _replaced(lambda path: path.symlink_to(path.name)),
    "device": _replaced(lambda path: path.symlink_to("/dev/zero")),
}
JSON = ANY | {
    "nested": lambda path: path.write_text("[" * 100_000 + "]" * 100_000),
    "nested fields": lambda path: path.write_text('{"a":' * 100_000 + "1" + "}" * 100_000),
    "list": lambda path: path.write_text("[1, 2]"),
    "null": lambda path: path.write_text("null"),
    "no UTF-8": lambda path: path.write_bytes(b'{"dataset": "\xff\xfe"}'),
    "twice": lambda path: path.write_text('{"format": 1, "format": 1, ' + path.read_text().lstrip()[1:]),
    "huge": _json(lambda value: {name: 10**300 for name in value}),
    "nulls": _json(lambda value: dict.fromkeys(value)),
    "texts": _json(lambda value: dict.fromkeys(value, "x")),
    "lists": _json(lambda value: {name: [each] for name, each in value.items()}),
    "objects": _json(lambda value: {name: {"a": each} for name, each in value.items()}),
    "not a number": _json(lambda value: dict.fromkeys(value, float("nan"))),
    "fields gone": lambda path: path.write_text("{}"),
    "half of the fields": _json(lambda value: dict(list(value.items())[::2])),
}
ARRAYS = ANY | {
    "bomb": _bomb,
    "no arrays": _array(lambda arrays: {}),
    "one array": _array(lambda arrays: dict(list(arrays.items())[:1])),
    "other types": _array(lambda arrays: {name: np.array("x") for name in arrays}),
    "objects": _array(lambda arrays: {name: np.array([{}], object) for name in arrays}),
    "not numbers": _array(lambda arrays: {name: np.full(np.shape(each), np.nan) for name, each in arrays.items()}),
    "other shapes": _array(lambda arrays: {name: np.zeros((3, 3, 3)) for name in arrays}),
}


def _network(change):
    """Change the JSON of the network in a model file."""

    def damage(path):
        with zipfile.ZipFile(path) as archive:
            members = {name: archive.read(name) for name in archive.namelist()}
        members["config.json"] = change(members["config.json"])
        with zipfile.ZipFile(path, "w") as archive:
            for name, content in members.items():
                archive.writestr(name, content)

    return damage


def _field(name, value):
    def change(text):
        config = json.loads(text)
        config["config"][name] = value
        return json.dumps(config)

    return _network(change)


MODEL = ANY | {
    "bomb": _bomb,
    "nested": _network(lambda text: b"[" * 100_000),
    "no JSON": _network(lambda text: b"{"),
    "list": _network(lambda text: b"[]"),
    "null": _network(lambda text: b"null"),
    "no fields": _network(lambda text: b"{}"),
    "unknown class": _network(lambda text: text.replace(b"SNNFCNet", b"Nothing")),
    "huge": _field("hidden_units", 2_000_000_000),
    "infinite": _field("hidden_units", 10**400),
    "text": _field("hidden_units", "x"),
    "nested units": _field("hidden_units", [[[[1]]]]),
    "no encoder": _field("encoder", {"class_name": "x"}),
    "beta": _field("beta", "x"),
    "steps": _field("num_classes", -1),
}
RUN_FILES = {
    "config.json": JSON,
    "splits.npz": ARRAYS,
    "data.json": JSON,
    "model.keras": MODEL,
    "result.json": JSON,
    "checkpoint.npz": ARRAYS,
}
_WHOLE = ("config.json", "splits.npz", "data.json", "result.json")
# Which files of a run each command reads, and how it is called.
RUN_READERS = {
    "evaluate": (("run", "--queries", "1"), (*_WHOLE, "model.keras")),
    "predict": (("run", "--input", "x.npy", "--queries", "1"), (*_WHOLE, "model.keras")),
    "export": (("run", "--out", "new"), (*_WHOLE, "model.keras")),
    "attack": (("--run", "run", "--out", "new"), (*_WHOLE, "model.keras")),
    "profile": (("--run", "run", "--out", "new"), _WHOLE),
    "transfer": (("--from-run", "run", "--target", "iris:0,1", "--out", "new"), (*_WHOLE, "model.keras")),
    "train": (("--resume", "--epochs", "3", "--out", "run", "--quiet"), (*_WHOLE, "checkpoint.npz")),
}


def run_cases():
    """Yield a case for each damage to each file of a run, given to each command that reads it."""
    for command, (arguments, files) in RUN_READERS.items():
        for file in files:
            for name, damage in RUN_FILES[file].items():
                yield Case(
                    f"{command}: {file}: {name}",
                    (command, *arguments),
                    needs=("run", "examples"),
                    prepare=lambda folder, damage=damage, file=file: damage(folder / "run" / file),
                    mentions=("run",),
                )


def data_cases():
    """Yield a case for each damage to a file of data, given to each command that reads data."""
    readers = {
        "train": ("--dataset", "data.npz", "--out", "new"),
        "attack": ("--dataset", "data.npz", "--out", "new"),
        "profile": ("--dataset", "data.npz", "--out", "new"),
        "transfer": ("--source", "iris", "--target", "data.npz", "--out", "new"),
        "sweep": ("--dataset", "data.npz", "--param", "neuron.beta=0.5,0.9", "--out", "new"),
        "encode": ("--dataset", "data.npz", "--out", "new"),
    }
    for command, arguments in readers.items():
        for name, damage in ARRAYS.items():
            yield Case(
                f"{command}: data.npz: {name}",
                (command, *arguments),
                needs=("data",),
                prepare=lambda folder, damage=damage: damage(folder / "data.npz"),
                mentions=() if name == "device" else ("data.npz",),  # what a link leads to is named
            )
    for name, damage in {**ANY, **EXAMPLES}.items():
        for suffix in (".npy", ".npz", ".png"):
            if name in ANY or name.startswith(suffix):
                yield Case(
                    f"predict: x{suffix}: {name}",
                    ("predict", "run", "--input", f"x{suffix}"),
                    needs=("run", "examples"),
                    prepare=lambda folder, damage=damage, suffix=suffix: damage(folder / f"x{suffix}"),
                    mentions=(f"x{suffix}",) if name in ANY else (),
                )


def _npy(header, content=b""):
    text = header.encode() + b" " * (-(len(header) + 11) % 64) + b"\n"
    return lambda path: path.write_bytes(b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + content)


def _png_bomb(path):
    import struct
    import zlib

    def chunk(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    head = struct.pack(">IIBBBBB", 12_000, 12_000, 8, 0, 0, 0, 0)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", b"") + chunk(b"IEND", b""))


EXAMPLES = {
    ".npy of 10^12 numbers": _npy("{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000000,), }"),
    ".npy of 10^30 numbers": _npy("{'descr': '<f8', 'fortran_order': False, 'shape': (1" + "0" * 30 + ",), }"),
    ".npy header that does not parse": _npy("{'descr': (((("),
    ".npy header of code": _npy("__import__('os').getpid()"),
    ".npy header nested": _npy("[" * 5_000),
    ".npy of objects": lambda path: np.save(path, np.array([{}], object), allow_pickle=True),
    ".npy of text": lambda path: np.save(path, np.array(["a"] * 4)),
    ".npy of complex numbers": lambda path: np.save(path, np.ones((1, 4), complex)),
    ".npy of NaN": lambda path: np.save(path, np.full((1, 4), np.nan)),
    ".npy of no examples": lambda path: np.save(path, np.ones((0, 4))),
    ".npy of another shape": lambda path: np.save(path, np.ones((2, 5))),
    ".npz of objects": lambda path: np.savez(path, x=np.array([{}], object)),
    ".npz of nothing": lambda path: np.savez(path),
    ".npz bomb": _bomb,
    ".png bomb": _png_bomb,
}


STUDIES = {
    "attack": (
        "audit",
        "audit.json",
        "--dataset iris --encoding rate --members 20 --population 10 --shadows 2 --queries 1",
    ),
    "transfer": ("transfer", "transfer.json", "--source iris --target iris:0,1 --encoding rate --seeds 1"),
    "sweep": ("sweep", "sweep.json", "--dataset iris --param neuron.beta=0.5,0.9 --seeds 1"),
    "profile": ("profile", "profile.json", "--dataset iris --encoding rate --repeats 1"),
    "reproduce": ("reproduce", "", ""),
}


def study_cases():
    """Yield a case for each damage to a study's own files, given to the study that is resumed and to the report."""
    for command, (folder, result, _) in STUDIES.items():
        for name, damage in JSON.items():
            if command == "reproduce" and name == "half of the fields":  # another question, whose answer takes minutes
                continue
            yield Case(
                f"{command} --resume: config.json: {name}",
                (command, "--resume", "--out", folder, "--quiet"),
                needs=(folder,),
                prepare=lambda where, damage=damage, folder=folder: damage(where / folder / "config.json"),
                mentions=(folder,),
            )
            if result:
                yield Case(
                    f"report: {result}: {name}",
                    ("report", folder, "run", "--out", "page.html", "--quiet"),
                    needs=(folder, "run"),
                    prepare=lambda where, damage=damage, folder=folder, result=result: damage(where / folder / result),
                    mentions=(result,),
                    codes=(0,),
                    refused=False,
                )
        if command in ("attack", "profile"):
            for file, damages in (("plan.json", JSON), ("splits.npz", ARRAYS)):
                for name, damage in damages.items():
                    yield Case(
                        f"{command} --resume: {file}: {name}",
                        (command, "--resume", "--out", folder, "--quiet"),
                        needs=(folder,),
                        prepare=lambda where, damage=damage, folder=folder, file=file: damage(where / folder / file),
                        mentions=(folder,),
                        codes=(0, 2) if name == "half of the fields" else (2,),  # plans of older versions have fewer
                    )
    for name, damage in JSON.items():
        yield Case(
            f"report: result.json: {name}",
            ("report", "run", "audit", "--out", "page.html", "--quiet"),
            needs=("audit", "run"),
            prepare=lambda where, damage=damage: damage(where / "run" / "result.json"),
            mentions=("result.json",),
            codes=(0,),
            refused=False,
        )


def export_cases():
    """Yield a case for each damage to the files of an export."""
    for name, damage in JSON.items():
        yield Case(
            f"predict export: manifest.json: {name}",
            ("predict", "export", "--input", "x.npy"),
            needs=("export", "examples"),
            prepare=lambda where, damage=damage: damage(where / "export" / "manifest.json"),
            mentions=("export",),
        )
    variables = ("variables/variables.index", "variables/variables.data-00000-of-00001")
    for file in ("saved_model.pb", *variables):
        for name, damage in ANY.items():
            yield Case(
                f"predict export: {file}: {name}",
                ("predict", "export", "--input", "x.npy"),
                needs=("export", "examples"),
                prepare=lambda where, damage=damage, file=file: damage(where / "export" / file),
                mentions=("export",),
            )
