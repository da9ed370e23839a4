# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Copy what git knows or would add into a folder of the shape that ansible-test demands.

Uncommitted work is copied too; files that are gone, go. What ansible-test itself writes there stays.
"""

from __future__ import annotations

import filecmp
import os
import shutil
import subprocess
import sys


def git_files(top: str) -> set[str]:
    command = ["git", "-C", top, "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout.decode().split("\0")
    return {name for name in listed if name and os.path.lexists(os.path.join(top, name))}


def copy(source: str, destination: str) -> None:
    same_mode = os.path.exists(destination) and os.stat(source).st_mode == os.stat(destination).st_mode
    if same_mode and filecmp.cmp(source, destination, shallow=False):
        return
    os.makedirs(os.path.dirname(destination), exist_ok=True)
    # Somebody may be running tests there: at no time is a file missing or half written.
    partial = f"{destination}.{os.getpid()}.part"
    shutil.copy2(source, partial)
    os.replace(partial, destination)


def main() -> None:
    source = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))
    destination = sys.argv[1]
    if not os.path.isdir(os.path.join(destination, ".git")):
        # Tools ask git for the list of files; without a repository of its own, git would answer that all is ignored.
        subprocess.run(["git", "init", "--quiet", destination], check=True)
    wanted = git_files(source)
    for name in git_files(destination) - wanted:
        os.remove(os.path.join(destination, name))
        folder = os.path.dirname(os.path.join(destination, name))
        while not os.listdir(folder):
            os.rmdir(folder)
            folder = os.path.dirname(folder)
    for name in sorted(wanted):
        copy(os.path.join(source, name), os.path.join(destination, name))


if __name__ == "__main__":
    main()
