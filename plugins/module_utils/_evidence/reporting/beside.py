# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Files of what was read in evidence, beside its folder: within it they would be files that nobody has recorded."""

from __future__ import annotations

import os
from datetime import datetime, timezone
from pathlib import Path


def folder_beside(evidence: Path, now: float, what: str) -> Path:
    """A new folder beside the evidence, with what it is of in its name. now: seconds since 1970. Raises OSError."""
    moment = datetime.fromtimestamp(now, timezone.utc).strftime("%Y%m%dT%H%M%SZ")
    beside = evidence.with_name(f"{evidence.name}-{what}-{moment}-{os.urandom(4).hex()}")
    beside.mkdir(mode=0o700)
    return beside


def write_file(path: Path, content: str) -> str:
    """A new file that only its owner may read; returns its path. Raises OSError."""
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    # Half a character of two, which only a strange record can have, is spelled out.
    with os.fdopen(file, "w", encoding="utf-8", errors="backslashreplace", newline="") as text:
        text.write(content)
    return str(path)
