"""The page of many results: it finds the JSON of each kind in folders, and shows all of it."""

from __future__ import annotations

import os
import urllib.parse
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from kerasburst import files
from kerasburst.registry import STUDIES
from kerasburst.reports.palette import Drawing
from kerasburst.reports.table import Table
from kerasburst.reports.view import Item, StudyView, make_environment
from kerasburst.validation import InputError, is_number, user_path, visible
from kerasburst.version import __version__

MARK = '<meta name="generator" content="kerasburst report">'
_DAMAGED = (KeyError, TypeError, ValueError, AttributeError, IndexError, StopIteration)


def write_collection(folders: Sequence[str | Path], out: str | Path) -> tuple[Path, dict[str, int], list[str]]:
    """Write one page of all results below some folders.

    The page is one file and asks no other host for anything.

    Args:
        folders: where to look.
        out: path of the page; such a page there is replaced.

    Returns:
        the path, how many results of each kind it shows, and what could not be read, with its reason.

    Raises:
        InputError: for a folder that is none, folders without any result, or another file in the page's place.
    """
    out = user_path("--out", out)
    _check_place(out)
    items, problems = find(folders, out.parent)
    if not items:
        where, known = ", ".join(map(str, folders)), ", ".join(view.file for view in STUDIES.values())
        raise InputError(f"DIR must hold results ({known}), {where} has none")
    tables: dict[str, list[Table]] = {}
    drawings: dict[str, list[Drawing]] = {}
    shown = list(items)
    for kind, view in STUDIES.items():
        good = []
        for item in [item for item in shown if item.kind == kind]:
            try:  # a file of another version must not take the page with it
                view.tables([item])
                view.headline(item)
            except InputError as error:
                problems.append(f"{item.path}: {error}")
                shown.remove(item)
            except _DAMAGED as error:
                problems.append(f"{item.path}: of another version, or damaged ({type(error).__name__}: {error})")
                shown.remove(item)
            else:
                good.append(item)
        if good:
            tables[kind] = [table for table in view.tables(good) if table.rows]
            drawings[kind] = _drawn(view, good, problems)
    top = [(item, STUDIES[item.kind].headline(item)) for item in shown if not item.inside]
    counts = {kind: sum(item.kind == kind for item in shown) for kind in STUDIES}
    page = (
        make_environment()
        .get_template("collection.html.j2")
        .render(
            version=__version__,
            views=STUDIES,
            counts={kind: count for kind, count in counts.items() if count},
            top=sorted(top, key=lambda pair: list(STUDIES).index(pair[0].kind)),
            tables=tables,
            drawings=drawings,
            problems=problems,
        )
    )
    with files.new_directory("--out", out.parent):
        files.write_text(out, page)
    return out, counts, problems


def find(folders: Sequence[str | Path], page_folder: Path) -> tuple[list[Item], list[str]]:
    """Find results below folders; of a sweep the sweep alone, and not its points.

    Args:
        folders: where to look.
        page_folder: where the page will be, which links are relative to.

    Returns:
        the items, each once, in the order of their paths, and what could not be read.

    Raises:
        InputError: for a folder that is none.
    """
    items: dict[Path, Item] = {}
    problems: list[str] = []
    roots = [user_path("DIR", folder) for folder in folders]
    for root in roots:
        if not root.is_dir():
            raise InputError(f"DIR must be a folder, {root} is {'a file' if root.exists() else 'not there'}")
    above = os.path.commonpath([Path(os.path.abspath(root)).parent for root in roots])
    for root in roots:
        owners: list[Path] = []
        for place, names, here in os.walk(root):
            names[:] = sorted(name for name in names if name != "logs" and not name.startswith("."))
            path = Path(place)
            for kind, view in STUDIES.items():
                name = view.file
                if view.parts and name in here:
                    names[:] = [folder for folder in names if not folder.startswith(view.parts)]
                real = Path(os.path.realpath(path / name))  # of a link that leads nowhere, too
                if name not in (*here, *names) or real in items:
                    continue
                try:
                    value = visible(files.read_json(path / name))
                except InputError as error:
                    problems.append(str(error))
                    continue
                if not isinstance(value, dict) or any(field not in value for field in view.fields):
                    if "config.json" in here:  # else another program's
                        problems.append(f"{path / name}: no result of kerasburst, or damaged")
                    continue
                if wrong := next(_no_shares(value), None):
                    problems.append(f"{path / name}: {wrong}")
                    continue
                if view.owns_inside:
                    owners.append(path)
                items[real] = Item(
                    kind=kind,
                    path=path / name,
                    label=visible(os.path.relpath(path, above)),
                    link=urllib.parse.quote(os.fsencode(os.path.relpath(path / name, page_folder))),
                    value=value,
                    config=_config(path),
                    inside=any(owner in path.parents for owner in owners),
                )
    return list(items.values()), problems


def _no_shares(value: Any, name: str = "") -> Iterator[str]:
    """Yield what is wrong with a result's accuracies and AUCs: no share, or an accuracy outside its own interval."""
    if isinstance(value, dict):
        for key, each in value.items():
            if key in ("effects", "ratios"):
                continue
            yield from _no_shares(each, name if key == "mean" else key)
            ends = value.get(f"{key}_interval")
            known = key.endswith(("accuracy", "auc")) and isinstance(ends, list) and all(map(is_number, (each, *ends)))
            if known and not ends[0] - 1e-9 <= each <= ends[-1] + 1e-9:
                yield f"{key} must be in its interval {ends}, received {each}"
    elif isinstance(value, list):
        for each in value:
            yield from _no_shares(each, name)
    elif is_number(value) and name.endswith(("accuracy", "auc")) and not 0 <= value <= 1:
        yield f"{name} must be from 0 to 1, received {value}"


def _config(folder: Path) -> dict:
    try:
        value = visible(files.read_json(folder / "config.json"))
    except InputError:
        return {}
    return value if isinstance(value, dict) else {}


def _drawn(view: StudyView, items: list[Item], problems: list[str]) -> list[Drawing]:
    try:
        return [] if view.drawings is None else view.drawings(items)
    except _DAMAGED as error:
        problems.append(f"pictures, {view.title.lower()}: {type(error).__name__}: {error}")
        return []


def _check_place(out: Path) -> None:
    if out.is_dir():
        raise InputError(f"--out must be the path of a page, {out} is a folder")
    if not out.exists():
        return
    with files.reading(out) as file:
        beginning = file.read(2000).decode(errors="replace")
    if MARK not in beginning:
        raise InputError(f"--out must be new or a page of kerasburst report, {out} is another file")
