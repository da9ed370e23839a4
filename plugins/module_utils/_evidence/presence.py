# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which runs are going on in an evidence folder: each holds a lock on a file of its own, which ends with its process.

The files are C(.runs/<run>.lock) in the folder, empty, and are removed when a run leaves. What a crash leaves is removed by the
next run.
"""

from __future__ import annotations

import fcntl
import os
import re
import threading

from ansible_collections.secops.defender.plugins.module_utils._evidence.files import Dir, lock

FOLDER = ".runs"
_SUFFIX = ".lock"
_RUN = re.compile(r"^[0-9a-f-]{36}\Z")
# The folder may be removed by a run that leaves while another one enters.
_TRIES = 20


def run_of(name: str) -> str | None:
    """The run whose lock this is, by its path in the evidence folder."""
    run = name.removeprefix(f"{FOLDER}/").removesuffix(_SUFFIX)
    return run if name == f"{FOLDER}/{run}{_SUFFIX}" and _RUN.match(run) else None


class Presence:
    """This run's own lock, and whether others hold theirs. Raises OSError."""

    def __init__(self, folder: Dir, run: str) -> None:
        self._folder = folder
        self._run = run
        self._file = -1
        self._guard = threading.Lock()
        # Whether locks work here; None until it was tried.
        self.works: bool | None = None

    def enter(self) -> None:
        """Be seen by others until leave, and remove what runs that are gone have left. May be called again.

        Call it with the log locked: nobody else enters then.
        """
        with self._guard:
            if self._file < 0:
                self._file = self._made()
                self.works = lock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB, self._folder.warn)
                self._sweep()

    def _made(self) -> int:
        for left in reversed(range(_TRIES)):
            try:
                with self._folder.folder(FOLDER, make=True) as runs:
                    return runs.open_file(f"{self._run}{_SUFFIX}", os.O_RDWR | os.O_CREAT | os.O_EXCL)
            except FileNotFoundError:
                if not left:
                    raise
        raise AssertionError  # pragma: no cover

    def leave(self) -> None:
        """Be seen no more; may be called twice, and never fails."""
        with self._guard:
            if self._file < 0:
                return
            self._remove(f"{self._run}{_SUFFIX}")
            os.close(self._file)
            self._file = -1

    def is_alive(self, run: str) -> bool:
        """Whether the run's process is still there; False where nobody can tell."""
        if run == self._run:
            return True
        try:
            with self._folder.folder(FOLDER) as runs:
                file = runs.open_file(f"{run}{_SUFFIX}") if _RUN.match(run) else -1
        except OSError:
            return False
        if file < 0:
            return False
        try:
            lock(file, fcntl.LOCK_SH | fcntl.LOCK_NB, self._folder.warn)
        except BlockingIOError:
            return True
        except OSError:
            return False
        finally:
            os.close(file)
        return False

    def _sweep(self) -> None:
        """Never fails."""
        try:
            with self._folder.folder(FOLDER) as runs:
                names = os.listdir(runs.file)
        except OSError:
            return
        for name in names:
            run = run_of(f"{FOLDER}/{name}")
            if run and self.works and not self.is_alive(run):
                self._remove(name)

    def _remove(self, name: str) -> None:
        try:
            with self._folder.folder(FOLDER) as runs:
                runs.unlink(name)
            os.rmdir(FOLDER, dir_fd=self._folder.file)
        except OSError:
            # Another run is there, or nothing is left.
            pass
