# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pathlib
import subprocess
import sys

from ansible_collections.secops.defender.plugins.module_utils._service import clouds

SERVICE = pathlib.Path(clouds.__file__).parent
HEAVY = ("requests", "msal", "ssl", "sqlite3")
# Imports a file by its path and prints which of the heavy libraries came with it.
_PROBE = """
import importlib, sys
sys.path[:0] = sys.argv[1].split(":")
for name in sys.argv[3:]:
    importlib.import_module(name)
    came = [heavy for heavy in sys.argv[2].split(",") if heavy in sys.modules]
    if came:
        print(name, *came)
        break
"""


def test_no_file_loads_a_heavy_library_when_it_is_imported() -> None:
    """A module's argument spec and ansible-doc must not wait for them, and say nothing where one is missing."""
    names = [
        ".".join(("ansible_collections.secops.defender.plugins.module_utils._service", *path.with_suffix("").parts))
        for path in sorted(each.relative_to(SERVICE) for each in SERVICE.rglob("*.py"))
    ]
    assert len(names) > 15
    above = str(SERVICE.parents[5])
    asked = [sys.executable, "-c", _PROBE, above, ",".join(HEAVY), *names]
    done = subprocess.run(asked, capture_output=True, text=True, check=False, timeout=120)
    assert (done.returncode, done.stdout) == (0, ""), done.stdout + done.stderr
