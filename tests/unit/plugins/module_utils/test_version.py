# Copyright: (c) 2026, secops.defender contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pathlib

import yaml

from ansible_collections.secops.defender.plugins.module_utils._version import USER_AGENT, VERSION

TOP = pathlib.Path(__file__).resolve().parents[4]


def test_version_is_that_of_the_collection() -> None:
    galaxy = yaml.safe_load((TOP / "galaxy.yml").read_text(encoding="utf-8"))
    assert galaxy["version"] == VERSION


def test_user_agent_names_collection_and_version() -> None:
    assert USER_AGENT.startswith(f"secops.defender/{VERSION}")
