# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The rooms of the house, and the one way between them; read from the imports, and held against docs/architecture.md."""

from __future__ import annotations

import ast
import pathlib
import re
from collections.abc import Iterator

import pytest

from ansible_collections.secops.defender.plugins.module_utils._words import errors

PLUGINS = pathlib.Path(errors.__file__).parents[2]
PREFIX = "ansible_collections.secops.defender.plugins."
# What each room may import besides itself.
ALLOWED = {
    "_words": set(),
    "_service": {"_words"},
    "_evidence": {"_words"},
    "_fleet": {"_words", "_service", "_evidence"},
    "_tasks": {"_words", "_service", "_evidence", "_fleet"},
}


def imported(path: pathlib.Path) -> Iterator[str]:
    """The files of this collection that a file imports, as dotted paths below plugins."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: relative import"
            names = [node.module or ""] + [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        yield from (name.removeprefix(PREFIX) for name in names if name.startswith(PREFIX))


def files(folder: str) -> list[pathlib.Path]:
    return sorted((PLUGINS / folder).rglob("*.py"))


def dotted(path: pathlib.Path) -> str:
    return ".".join(path.relative_to(PLUGINS).with_suffix("").parts)


GRAPH = {dotted(path): sorted(set(imported(path))) for path in files("module_utils")}


def trespasses(graph: dict[str, list[str]]) -> list[str]:
    """Imports against the one way."""
    found = []
    for source, targets in graph.items():
        room = source.split(".")[1]
        for target in targets:
            folder, _dot, rest = target.partition(".")
            other = rest.split(".")[0]
            if folder != "module_utils" or other not in {room, *ALLOWED[room]}:
                found.append(f"{source} -> {target}")
    return found


def circle(graph: dict[str, list[str]]) -> list[str]:
    """Files that import each other in a ring, if there are any."""
    done: set[str] = set()

    def visit(name: str, way: list[str]) -> list[str]:
        if name in way:
            return [*way[way.index(name) :], name]
        if name in done or name not in graph:
            return []
        for target in graph[name]:
            ring = visit(target, [*way, name])
            if ring:
                return ring
        done.add(name)
        return []

    return next((ring for name in graph if (ring := visit(name, []))), [])


def test_every_file_is_in_a_room() -> None:
    assert {name.split(".")[1] for name in GRAPH} == set(ALLOWED)
    assert not [path for path in files("module_utils") if path.name == "__init__.py" and path.read_text().strip()]


def test_imports_go_one_way() -> None:
    assert trespasses(GRAPH) == []


def test_the_drawing_is_true() -> None:
    text = (PLUGINS.parent / "docs" / "architecture.md").read_text(encoding="utf-8")
    drawn = set(re.findall(r"^ +(_\w+) --> (_\w+)$", text, re.MULTILINE))
    ways = {(name.split(".")[1], target.split(".")[1]) for name, targets in GRAPH.items() for target in targets}
    assert drawn == {way for way in ways if way[0] != way[1]}


def test_nothing_goes_in_circles() -> None:
    assert circle(GRAPH) == []


@pytest.mark.parametrize(
    ("source", "target"),
    [
        ("module_utils._words.errors", "module_utils._service.api"),
        ("module_utils._service.api", "module_utils._evidence.custody"),
        ("module_utils._evidence.custody", "module_utils._fleet.run"),
        ("module_utils._fleet.run", "module_utils._tasks.door"),
        ("module_utils._tasks.door", "plugin_utils._action"),
    ],
)
def test_one_wrong_import_would_show(source: str, target: str) -> None:
    assert trespasses({**GRAPH, source: [*GRAPH[source], target]}) == [f"{source} -> {target}"]


def test_a_circle_would_show() -> None:
    assert circle({"a": ["b"], "b": ["c"], "c": ["b"]}) == ["b", "c", "b"]


@pytest.mark.parametrize("path", files("modules"), ids=lambda path: path.stem)
def test_a_module_is_a_door(path: pathlib.Path) -> None:
    rooms = {name.split(".")[1] for name in imported(path)}
    assert rooms <= {"_tasks"}
