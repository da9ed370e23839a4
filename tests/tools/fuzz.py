# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Round after round of the parsers' property tests, with other inputs each time: fuzz.py COLLECTIONS WORK [SECONDS]

Ends at the first input that a parser stumbles over, which hypothesis has made as small as it can and keeps in WORK.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from pathlib import Path

_TESTS = "tests/unit/plugins/module_utils/test_fuzz.py"
# Hypothesis calls them examples, or test cases.
_COUNT = re.compile(r"(\d+) passing(?: examples)?, (\d+) failing")


def main() -> int:
    collections, work = Path(sys.argv[1]).resolve(), Path(sys.argv[2])
    seconds = float(sys.argv[3]) if len(sys.argv) > 3 else 600.0
    tree = collections / "ansible_collections/secops/defender"
    work.mkdir(parents=True, exist_ok=True)
    environment = {
        **os.environ,
        "PYTHONPATH": f"{collections}:{tree / 'tests'}",
        "PYTHONDONTWRITEBYTECODE": "1",
        "HYPOTHESIS_STORAGE_DIRECTORY": str(work.resolve()),
    }
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "--hypothesis-profile",
        "fuzz",
        "--hypothesis-show-statistics",
    ]
    until, inputs, rounds = time.monotonic() + seconds, 0, 0
    while time.monotonic() < until:
        rounds += 1
        seed = ["--hypothesis-seed", str(int.from_bytes(os.urandom(4), "big"))]
        done = subprocess.run(
            [*command, *seed, _TESTS], cwd=tree, env=environment, capture_output=True, text=True, check=False
        )
        inputs += sum(int(passed) + int(failed) for passed, failed in _COUNT.findall(done.stdout))
        if done.returncode:
            print(done.stdout[-8000:], done.stderr, sep="\n")
            break
    print(f"{inputs:,} inputs in {rounds} rounds: {'none was stumbled over' if not done.returncode else 'see above'}.")
    return done.returncode


if __name__ == "__main__":
    sys.exit(main())
