# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the guides say, against the code's own tables."""

from __future__ import annotations

import ast
import itertools
import pathlib
import re

import pytest
import yaml

from ansible_collections.secops.defender.plugins.module_utils._fleet.failures import OUTCOMES
from ansible_collections.secops.defender.plugins.module_utils._service import sources as _sources
from ansible_collections.secops.defender.plugins.module_utils._service.clouds import CLOUDS, DEFENDER_APP_ID, REGIONS
from ansible_collections.secops.defender.plugins.module_utils._service.settings import SOURCES, connection_spec
from ansible_collections.secops.defender.plugins.module_utils._service.sign_in.refusals import SIGN_IN_ADVICE
from ansible_collections.secops.defender.plugins.module_utils._words import errors as _errors

TOP = pathlib.Path(_errors.__file__).parents[3]
DOCS = TOP / "docs"
GUIDES = ("alerts", "authentication", "devices", "troubleshooting")


def text(guide: str) -> str:
    return (DOCS / f"{guide}.md").read_text(encoding="utf-8")


def rows(guide: str) -> list[list[str]]:
    """Cells of all tables, without heads and rulers."""
    found = []
    lines = text(guide).splitlines()
    for before, line in itertools.pairwise(lines):
        if line.startswith("|") and not line.startswith("|---") and before.startswith("|"):
            found.append([cell.strip() for cell in line.strip("|").split("|")])
    return found


def raised() -> set[str]:
    """Codes that stand in the code: class defaults, and whatever is given as C(code)."""
    kinds: list[type[_errors.DefenderError]] = [_errors.DefenderError, *subclasses(_errors.DefenderError)]
    codes = {kind.default_code for kind in kinds}
    for path in (TOP / "plugins").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            value = None
            if (isinstance(node, ast.keyword) and node.arg == "code") or (
                isinstance(node, ast.Assign)
                and any(isinstance(target, ast.Name) and target.id == "code" for target in node.targets)
            ):
                value = node.value
            if value is not None and not isinstance(value, ast.Call):
                codes |= constants(value)
    return codes


def constants(value: ast.expr) -> set[str]:
    if isinstance(value, ast.IfExp):
        return constants(value.body) | constants(value.orelse)
    if isinstance(value, ast.Constant) and isinstance(value.value, str):
        return {value.value}
    return set()


def subclasses(kind: type[_errors.DefenderError]) -> list[type[_errors.DefenderError]]:
    return [each for direct in kind.__subclasses__() for each in (direct, *subclasses(direct))]


def test_every_code_is_explained_and_none_that_does_not_exist() -> None:
    documented = [match[1] for row in rows("troubleshooting") if (match := re.fullmatch(r"`(\w+)`", row[0]))]
    assert len(documented) == len(set(documented))
    known = raised() | set(_errors.ADVICE) | set(SIGN_IN_ADVICE) | set(OUTCOMES)
    known |= set(_errors._STATUS_CODES.values())
    assert len(known) > 60
    assert set(documented) == known


def test_every_code_has_a_meaning_and_a_remedy() -> None:
    for row in rows("troubleshooting"):
        assert len(row) == 3
        assert all(cell for cell in row), row
        assert row[1].endswith(".")
        assert row[2].endswith((".", "?"))


def test_codes_are_in_order() -> None:
    for part in text("troubleshooting").split("\n### ")[1:]:
        codes = re.findall(r"^\| `(\w+)` \|", part, re.MULTILINE)
        if codes[0] != "Failed":
            number = [(len(code), code) if code.startswith("AADSTS") else (0, code) for code in codes]
            assert number == sorted(number)


def test_clouds() -> None:
    documented = {
        row[0].strip("`"): [cell.strip("`") for cell in row[1:]] for row in rows("authentication") if len(row) == 4
    }
    assert documented == {name: [cloud.login_url, cloud.api_url, cloud.audience] for name, cloud in CLOUDS.items()}
    assert ", ".join(f"`{region}`" for region in REGIONS) in text("authentication")


def test_sign_ins() -> None:
    chosen = {row[-1].strip("`") for row in rows("authentication")} & set(SOURCES)
    assert chosen == set(SOURCES)
    assert ", ".join(f"`{option}`" for option in _sources.PROOFS.values()) in " ".join(text("authentication").split())


def test_identifiers() -> None:
    """Of the API and its permissions: whoever copies a command must not grant something else."""
    guids = set(re.findall(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", text("authentication")))
    assert guids == {
        DEFENDER_APP_ID,
        "15405ab2-2103-4a3c-ad80-e829841cedcc",
        "ea8291d3-4b9a-44b5-bc3a-6cea3026dc79",
        "aa027352-232b-4ed4-b963-a705fc4d6d2c",
        "5eb7b9dc-cbce-4c7e-9d73-5be248260ae6",
        "fbd3d33a-b1f5-4573-906c-51b39682fbcf",
        "00000000-0000-0000-0000-000000000000",
    }


@pytest.mark.parametrize("guide", GUIDES)
def test_variables_exist(guide: str) -> None:
    read = {name for option in connection_spec().values() for name in option.get("fallback", ((), ()))[1]}
    named = set(re.findall(r"\b(?:DEFENDER|AZURE)_[A-Z_]+\b", text(guide)))
    assert named - read <= {"AZURE_SUBSCRIPTION_ID", "AZURE_AD_USER", "AZURE_PASSWORD"}


@pytest.mark.parametrize("guide", GUIDES)
def test_links_lead_somewhere(guide: str) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", text(guide)):
        if target.startswith("https://"):
            continue
        path, _hash, anchor = target.partition("#")
        linked = DOCS / path if path else DOCS / f"{guide}.md"
        assert linked.exists(), target
        if anchor:
            heads = re.findall(r"^#+ (.+)$", linked.read_text(encoding="utf-8"), re.MULTILINE)
            assert anchor in [re.sub(r"[^\w -]", "", head.lower()).replace(" ", "-") for head in heads], target


@pytest.mark.parametrize("guide", GUIDES)
def test_yaml_is_yaml(guide: str) -> None:
    for block in re.findall(r"^```yaml\n(.*?)^```$", text(guide), re.MULTILINE | re.DOTALL):
        assert yaml.safe_load(block)
