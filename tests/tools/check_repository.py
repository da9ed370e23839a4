# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What no other tool checks: the action group is complete, the version stands everywhere, no sanity test is ignored, nothing
ignored is tracked, no body is only an ellipsis. With C(--write) the version is carried from galaxy.yml to where it must stand as well.
"""

from __future__ import annotations

import ast
import pathlib
import re
import subprocess
import sys

import yaml

TOP = pathlib.Path(__file__).resolve().parents[2]

# Modules run without galaxy.yml, so the Python code needs a copy of the version.
VERSION_COPY = TOP / "plugins" / "module_utils" / "_words" / "version.py"
VERSION_LINE = re.compile(r'^VERSION = "(.*)"$', re.MULTILINE)


def task_of(module: pathlib.Path) -> pathlib.Path:
    """Where a module's options are described; those that serve the role alone have none."""
    described = TOP / "plugins" / "module_utils" / "_tasks" / f"{module.stem.removeprefix('defender_')}.py"
    return described if described.exists() else module


def action_group() -> list[str]:
    groups = yaml.safe_load((TOP / "meta" / "runtime.yml").read_text(encoding="utf-8"))["action_groups"]
    listed = [name for name in groups["defender"] if isinstance(name, str)]
    # Defaults for all, such as credentials, would break a module that has no options for the connection.
    modules = sorted(
        path.stem
        for path in (TOP / "plugins" / "modules").glob("*.py")
        if "connection_spec()" in task_of(path).read_text(encoding="utf-8")
    )
    if listed == modules:
        return []
    return [f"meta/runtime.yml: action group defender lists {listed}, but {modules} connect to the service"]


def collection_version() -> str:
    return str(yaml.safe_load((TOP / "galaxy.yml").read_text(encoding="utf-8"))["version"])


def write_version() -> None:
    text = VERSION_COPY.read_text(encoding="utf-8")
    VERSION_COPY.write_text(VERSION_LINE.sub(f'VERSION = "{collection_version()}"', text), encoding="utf-8")


def version() -> list[str]:
    copies = VERSION_LINE.findall(VERSION_COPY.read_text(encoding="utf-8"))
    if copies == [collection_version()]:
        return []
    return [f"{VERSION_COPY.relative_to(TOP)}: not the version of galaxy.yml; make format carries it over"]


def sanity_ignores() -> list[str]:
    return [
        f"{path.relative_to(TOP)}: mend the cause instead of ignoring a sanity test"
        for path in (TOP / "tests" / "sanity").glob("ignore*")
    ]


def tracked_although_ignored() -> list[str]:
    command = ["git", "-C", str(TOP), "ls-files", "--cached", "--ignored", "--exclude-standard"]
    listed = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    return [f"{name}: is in .gitignore, yet tracked" for name in listed.splitlines()]


def empty_bodies() -> list[str]:
    """What pycodestyle of ansible-core 2.16 refuses (E704), and ruff's formatter makes of a body that is only an ellipsis."""
    return [
        f"{path.relative_to(TOP)}:{node.lineno}: a body that is only an ellipsis; make it a docstring"
        for folder in ("plugins", "tests")
        for path in sorted((TOP / folder).rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and isinstance(node.body[0], ast.Expr)
        if isinstance(node.body[0].value, ast.Constant) and node.body[0].value.value is ...
    ]


def main() -> None:
    if sys.argv[1:] == ["--write"]:
        write_version()
        return
    complaints = action_group() + version() + sanity_ignores() + tracked_although_ignored() + empty_bodies()
    sys.exit("\n".join(complaints) or 0)


if __name__ == "__main__":
    main()
