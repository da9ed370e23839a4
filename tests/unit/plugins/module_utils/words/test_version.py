# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pathlib

import yaml

from ansible_collections.secops.defender.plugins.module_utils._words.version import USER_AGENT, VERSION

TOP = pathlib.Path(__file__).resolve().parents[5]


def test_version_is_that_of_the_collection() -> None:
    galaxy = yaml.safe_load((TOP / "galaxy.yml").read_text(encoding="utf-8"))
    assert galaxy["version"] == VERSION


def test_user_agent_names_collection_and_version() -> None:
    assert USER_AGENT.startswith(f"secops.defender/{VERSION}")
