# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A package's record: what is written beside it, and how it is read again, bounded."""

from __future__ import annotations

import hashlib
import json
import os
import typing as t

from ansible_collections.secops.defender.plugins.module_utils._evidence.chain import MAX_DEPTH, depth, parse_json
from ansible_collections.secops.defender.plugins.module_utils._evidence.files import Dir, read_all, sync_file, write_all
from ansible_collections.secops.defender.plugins.module_utils._words.models import Action

# No record is longer. Bytes.
MAX_RECORD = 4 << 20


def action_facts(action: Action) -> dict[str, t.Any]:
    """The action as the API gave it; only its main facts where that is more than a record holds."""
    if depth(action.raw) < MAX_DEPTH - 2 and len(json.dumps(action.raw)) < MAX_RECORD // 4:
        return {"action": action.raw}
    return {"action": action.as_result(), "action_cut": "the service's answer was too large or nested too deeply"}


def encoded(record: t.Mapping[str, t.Any]) -> bytes:
    """A record as it stands in its file."""
    # Half a character of two, as a cut-off comment may end with, is spelled out.
    return json.dumps(record, indent=2, ensure_ascii=False).encode("utf-8", "backslashreplace") + b"\n"


def store(folder: Dir, name: str, content: bytes) -> None:
    """On the disk under a name of its own, then under its final name. Raises OSError."""
    folder.rename(prepare(folder, name, content), name)


def prepare(folder: Dir, name: str, content: bytes) -> str:
    """On the disk under a name of its own, which is returned. Raises OSError."""
    part = f"{name}.part"
    if folder.stat(part):
        # A crash left it, or somebody put it there: nothing of it is used, and no link followed.
        folder.unlink(part)
    file = folder.open_file(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
    try:
        write_all(file, content)
        sync_file(file, folder.warn)
    finally:
        os.close(file)
    return part


def read(folder: Dir, name: str) -> tuple[str, dict[str, t.Any]]:
    """A record's SHA-256 and what it says; nothing (C({})) if it is no record. Raises OSError."""
    file = folder.open_file(name)
    try:
        content = read_all(file, MAX_RECORD)
    except ValueError:
        return "", {}
    finally:
        os.close(file)
    digest = hashlib.sha256(content).hexdigest()
    try:
        record = parse_json(content)
    except ValueError:
        return digest, {}
    return digest, record if isinstance(record, dict) else {}
