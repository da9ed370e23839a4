# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Files that a sign-in takes its proof from."""

from __future__ import annotations

import os
from pathlib import Path

from ansible_collections.secops.defender.plugins.module_utils._words.errors import OptionsError


def read(option: str, path: str) -> bytes:
    """What is in the file that an option names. Raises OptionsError."""
    try:
        return Path(path).read_bytes()
    except OSError as failure:
        raise OptionsError(
            f"{option} {path} cannot be read: {failure.strerror}.",
            advice=f"Check the path and its permissions for the user {os.environ.get('USER') or os.getuid()}.",
        ) from None
