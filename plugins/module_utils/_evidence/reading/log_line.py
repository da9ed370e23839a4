# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The line that reading adds to the custody log: who has read what, and when; never what was looked for."""

from __future__ import annotations

import hashlib
import json
import typing as t
from pathlib import Path

from ansible_collections.secops.defender.plugins.module_utils._evidence.custody import Custody
from ansible_collections.secops.defender.plugins.module_utils._evidence.events import EVIDENCE_READ
from ansible_collections.secops.defender.plugins.module_utils._words.clock import Clock
from ansible_collections.secops.defender.plugins.module_utils._words.errors import DefenderError


def write(
    folders: t.Iterable[Path], clock: Clock, launched_by: t.Mapping[str, str], facts: t.Mapping[str, t.Any]
) -> list[str]:
    """Append the line to each folder's log, before anything is read. Returns why it could not be, one sentence a folder."""
    troubles = []
    for folder in folders:
        try:
            custody = Custody(folder, clock, launched_by=launched_by)
            try:
                custody.append(EVIDENCE_READ, asked_by=custody.asked_by, **facts)
            finally:
                custody.close()
        except DefenderError as failure:
            troubles.append(f"That {folder} was read is not in its custody log: {failure.message}")
    return troubles


def digest(values: t.Iterable[t.Any]) -> str:
    """The SHA-256 by which the log names what was looked for: of the sorted JSON texts, one a line."""
    lines = sorted(json.dumps(value, ensure_ascii=True, sort_keys=True) for value in values)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()
