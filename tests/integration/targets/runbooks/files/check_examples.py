# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Let ansible-playbook check the syntax of every YAML example in the documentation: usage check_examples.py COLLECTION.

Playbooks are checked as they are; tasks and parts of plays are put into a play. What is neither is data, such as a result or a
requirements file, and must not name anything of this collection as a key.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, cast

import yaml

FENCE = re.compile(r"^```ya?ml\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PLAY_KEYS = {"module_defaults", "vars", "roles", "tasks"}
OURS = re.compile(r"^\s*(- )?\"?(secops\.defender\.|group/secops\.defender)", re.MULTILINE)


class Loader(yaml.SafeLoader):
    """Knows Ansible's own tags."""


for tag in ("!unsafe", "!vault"):
    Loader.add_constructor(tag, lambda loader, node: loader.construct_scalar(cast(yaml.ScalarNode, node)))


def as_playbook(text: str) -> str | None:
    """The example as something that can be checked; None for data."""
    content: Any = yaml.load(text, Loader)
    if isinstance(content, list) and all(isinstance(each, dict) for each in content):
        keys = {key for each in content for key in each}
        if keys & {"hosts", "import_playbook", "ansible.builtin.import_playbook"}:
            return text
        if any("." in key for key in keys):
            return "- hosts: localhost\n  tasks:\n" + _indented(text, 4)
    if isinstance(content, dict) and content.keys() <= PLAY_KEYS:
        return "- hosts: localhost\n" + _indented(text, 2)
    return None


def _indented(text: str, by: int) -> str:
    return "".join(" " * by + line for line in text.splitlines(keepends=True) if line.strip() != "---")


def main() -> int:
    top = Path(sys.argv[1]).resolve()
    wrong = checked = 0
    for page in sorted([top / "README.md", *top.glob("docs/*.md"), *top.glob("roles/*/README.md")]):
        text = page.read_text(encoding="utf-8")
        for match in FENCE.finditer(text):
            where = f"{page.relative_to(top)}:{text.count(chr(10), 0, match.start()) + 1}"
            playbook = as_playbook(match[1])
            if "awx_setup" in match[1]:
                print(f"{where}: left to tests/awx, which have the collection awx.awx")
                continue
            if playbook is None:
                if OURS.search(match[1]):
                    print(f"{where}: names something of this collection, but is no play and no task")
                    wrong += 1
                continue
            checked += 1
            with tempfile.NamedTemporaryFile("w", suffix=".yml", encoding="utf-8") as file:
                file.write(playbook)
                file.flush()
                command = ["ansible-playbook", "--syntax-check", "-i", "localhost,", file.name]
                done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                print(f"{where}: {done.stderr}")
                wrong += 1
    print(f"{checked} examples checked, {wrong} wrong")
    return 1 if wrong or not checked else 0


if __name__ == "__main__":
    sys.exit(main())
