"""The pages: their Python runs, their commands exist, and the reference has every public name."""

import copy
import re
import shlex
import subprocess
import sys
from pathlib import Path

import click
import pytest
from kerasburst_cli.main import COMMANDS, cli

import kerasburst as kb

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), *sorted((ROOT / "docs/tutorials").glob("*.md"))]
RUN = [  # those of README.md run in tests/test_examples.py
    *(ROOT / f"docs/{name}.md" for name in ("index", "package", "profiles", "events", "networks")),
    *sorted((ROOT / "docs/tutorials").glob("*.md"), key=lambda page: "own" in page.stem),  # which register, at last
]


def name_of(page):
    return page.relative_to(ROOT).as_posix()


def blocks(page):
    """Return the Python blocks of a page, but for those that the line above calls not run, with a reason."""
    found = re.findall(r"(<!-- not run: .+? -->\n)?```python\n(.*?)```", page.read_text(), re.DOTALL)
    return [code for left_out, code in found if not left_out]


ONE_BY_ONE = """
import importlib, os, sys
top = os.getcwd()
for name in sys.argv[1:]:
    os.chdir(os.path.join(top, name))
    importlib.invalidate_caches()
    importlib.import_module(name)
"""


@pytest.mark.thorough
def test_python_runs_in_the_order_of_each_page(tmp_path):
    """A page's blocks are a module in a folder of its own. One process, not this one, runs all: they may register."""
    names = [f"page_{page.stem}" for page in RUN]
    for name, page in zip(names, RUN, strict=True):
        (tmp_path / name).mkdir()
        (tmp_path / name / f"{name}.py").write_text("\n".join(blocks(page)))
    run = [sys.executable, "-c", ONE_BY_ONE, *names]
    done = subprocess.run(run, cwd=tmp_path, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr[-2000:]


@pytest.mark.parametrize("page", sorted((ROOT / "docs/tutorials").glob("*.md")), ids=name_of)
def test_no_two_steps_of_a_tutorial_write_to_one_directory(page):
    text = page.read_text()
    written = re.findall(r"--out (\S+)", text) + re.findall(r'kb\.[^\n"]*\([^\n]*?"((?:served|runs)/[^"]+)"', text)
    assert len(set(written)) == len(written)


def test_the_page_of_examples_shows_every_script():
    """The fence is not "```python", in which a formatter breaks the line that includes the file."""
    page = (ROOT / "docs/examples.md").read_text()
    shown = re.findall(r'^``` \{ \.python \}\n--8<-- "examples/(\w+\.py)"\n```$', page, re.MULTILINE)
    assert sorted(shown) == sorted(path.name for path in (ROOT / "examples").glob("*.py"))


def commands():
    """Yield each command line of our own on a page, without what comes before it on its line."""
    for page in PAGES:
        text = re.sub(r"\\\n\s*", "", page.read_text())
        for line in re.findall(r"^(?:    |> ?)?(?:\S+=\S+ )?(kerasburst .*)$", text, re.MULTILINE):
            for part in re.split(r"&&", line):
                words = ["0" if word == "S" else word for word in shlex.split(part.partition("  #")[0])]
                known = words[:1] == ["kerasburst"] and words[1:2] and words[1] in COMMANDS
                if known and not {"...", "|"} & set(re.findall(r"\.\.\.|\|", part)):
                    yield pytest.param(words[1:], id=f"{name_of(page)}: {' '.join(words[1:])[:70]}")


@pytest.mark.parametrize("words", list(commands()))
def test_commands_are_as_the_command_line_takes_them(words):
    command = copy.deepcopy(cli.get_command(None, words[0]))
    for parameter in command.params:
        parameter.is_eager = False
        parameter.callback = None  # which prints a list and ends
        if parameter.name in ("encoding", "encodings"):  # the pages have some from outside the package
            parameter.type = click.STRING
    context = command.make_context(words[0], words[1:])
    assert context.params.keys() >= {parameter.name for parameter in command.params if parameter.expose_value}
    with pytest.raises(click.UsageError):  # and does not take just anything
        command.make_context(words[0], [*words[1:], "--no-such-option"])


def test_the_reference_has_every_public_name_once():
    pages = "\n".join(page.read_text() for page in (ROOT / "docs/reference").glob("*.md"))
    listed = re.findall(r"^::: kerasburst\.(\w+)$", pages, re.MULTILINE)
    assert sorted(listed) == sorted(set(kb.__all__) - {"__version__", "export"})
    exports = re.findall(r"^::: kerasburst\.export\.(\w+)$", pages, re.MULTILINE)
    assert {"savedmodel", "onnx", "litert", "nir", "from_nir"} <= set(exports)


def test_the_version_is_the_same_everywhere():
    citation = re.search(r"^version: (.+)\ndate-released: (.+)$", (ROOT / "CITATION.cff").read_text(), re.MULTILINE)
    newest = re.search(r"^## (\d\S+) - (\d{4}-\d\d-\d\d)$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert citation.groups() == newest.groups() and newest[1] == kb.__version__


def test_the_page_of_the_package_has_no_relative_links():
    page = (ROOT / "docs/package.md").read_text()
    assert not re.search(r"\]\((?!https://)|<(?:a|img)\b", page)


LINKED = [*PAGES, ROOT / "ARCHITECTURE.md", ROOT / "CONTRIBUTING.md"]


@pytest.mark.parametrize("page", LINKED, ids=name_of)
def test_links_lead_to_files(page):
    """The site's build checks those between its pages; README and the like are not on the site."""
    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        if not re.match(r"https?://|#", link):
            assert (page.parent / link.partition("#")[0]).exists(), link
