# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Run the commands of the section "By hand" of the simulator's README: by_hand.py COLLECTION FOLDER; the folder takes the place of /tmp.

Left out are the two that make the environment: they need a package index, and this is one.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

BLOCK = re.compile(r"^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)
MAKES_ENVIRONMENT = ("python3 -m venv ", "pip install ")
WAIT = "for _try in $(seq 600); do [ -f /tmp/tenant/simulator.json ] && break; sleep 0.1; done"


def commands(collection: Path) -> list[str]:
    readme = (collection / "tests" / "simulator" / "README.md").read_text(encoding="utf-8")
    section = readme.partition("\n## By hand\n")[2].partition("\n## ")[0]
    blocks = [re.sub(r"^\$ ", "", block, flags=re.MULTILINE) for block in BLOCK.findall(section)]
    if len(blocks) != 3:
        sys.exit(f"The README has {len(blocks)} blocks of commands where three are known.")
    making, *others = blocks
    left_out = [line for line in making.splitlines() if line.startswith(MAKES_ENVIRONMENT)]
    for named in re.findall(r"-r (\S+)", " ".join(left_out)):
        if not (collection / named).exists():
            sys.exit(f"The README installs from {named}, which is not there.")
    kept = [line for line in making.splitlines() if line not in left_out]
    # It says so in words: as soon as the file is there.
    return ["\n".join(kept), others[0], WAIT, others[1]]


def main() -> None:
    collection, folder = sys.argv[1:]
    script = "\n".join(commands(Path(collection)))
    # Nothing of the test's own but where ansible-core is.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")}
    environment.update(HOME=folder, LC_ALL="C.UTF-8")
    # Each is shown, and the first that fails is the end.
    shell = ["bash", "-ex", "-c", script.replace("/tmp/", f"{folder}/")]
    sys.exit(subprocess.run(shell, cwd=collection, env=environment, stdin=subprocess.DEVNULL, check=False).returncode)


if __name__ == "__main__":
    main()
