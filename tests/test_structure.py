"""The way of the data is the architecture: imports only point left."""

import ast
import functools
from pathlib import Path

import kerasburst

ROOT = Path(__file__).parents[1]
ORDER = [
    *("version", "quiet", "validation", "backend", "intervals", "files", "pictures", "process"),
    *("seeding", "registry", "records", "parameters", "config", "study"),
    *(
        "encoders",
        "data",
        "losses",
        "neurons",
        "models",
        "layers",
        "training",
        "privacy",
        "profiling",
        "studies",
        "export",
        "paper",
    ),
    *("reports", "cli"),
]


@functools.cache
def _nodes(path):
    return list(ast.walk(ast.parse(path.read_text())))


def _imported(path):
    for node in _nodes(path):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "kerasburst":
            names = node.module.split(".")[1:]
            yield from [names[0]] if names else [alias.name for alias in node.names]
        elif isinstance(node, ast.Import):
            yield from (a.name.split(".")[1] for a in node.names if a.name.startswith("kerasburst."))


def test_imports_point_left():
    wrong = []
    sources = [(path, path.relative_to(ROOT / "kerasburst").parts[0]) for path in ROOT.glob("kerasburst/**/*.py")]
    sources += [(path, "cli") for path in ROOT.glob("cli/*.py")]
    for path, place in sources:
        place = place.removesuffix(".py")
        if place == "__init__":
            continue
        for name in _imported(path):
            if ORDER.index(name) > ORDER.index(place):
                wrong.append(f"{path.relative_to(ROOT)} imports {name}")
    assert not wrong


def test_everything_public_can_be_imported_from_the_top():
    for name in kerasburst.__all__:
        assert getattr(kerasburst, name) is not None
    assert {"RateEncoder", "PoissonBurstEncoder", "DelayedBurstEncoder", "LIF", "LIFCell"} < set(dir(kerasburst))


def test_files_are_packaged():
    import configparser

    parser = configparser.ConfigParser()
    parser.read(ROOT / "setup.cfg")
    listed = set(parser["options"]["packages"].split())
    found = {".".join(path.parent.relative_to(ROOT).parts) for path in ROOT.glob("kerasburst/**/__init__.py")}
    assert listed == found | {"kerasburst_cli"}


def _modules(path):
    for node in _nodes(path):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


def test_only_pages_and_commands_know_of_the_paper():
    sources = [*ROOT.glob("kerasburst/**/*.py"), *ROOT.glob("cli/*.py")]
    allowed = ("kerasburst/paper", "kerasburst/reports", "cli")
    wrong = [
        str(path.relative_to(ROOT))
        for path in sources
        if any(module.startswith("kerasburst.paper") for module in _modules(path))
        and not str(path.relative_to(ROOT)).startswith(allowed)
    ]
    assert not wrong


def test_private_parts_of_other_packages_are_not_imported():
    private = ("tensorflow.python", "tensorflow.compiler", "keras.src", "joblib.externals")
    sources = [*ROOT.glob("kerasburst/**/*.py"), *ROOT.glob("cli/*.py")]
    assert not [str(path.relative_to(ROOT)) for path in sources for m in _modules(path) if m.startswith(private)]
