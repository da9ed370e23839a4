# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The folder that files are extracted into: never one with evidence, and with a manifest that C(sha256sum -c) takes."""

from __future__ import annotations

import fcntl
import os
import re
import typing as t
from pathlib import Path

from ansible_collections.secops.defender.plugins.module_utils._evidence.extracting.names import MARKS
from ansible_collections.secops.defender.plugins.module_utils._evidence.files import (
    Dir,
    Warn,
    lock,
    open_dest,
    read_all,
    unwritable,
    write_all,
)
from ansible_collections.secops.defender.plugins.module_utils._words.errors import EvidenceError

MANIFEST = "manifest-sha256.txt"
# What the folder is called in messages.
FOLDER = "folder for extracted files"
_LINE = re.compile(r"^([0-9a-f]{64})  ([^/\\\n]+/[^/\\\n]+/[^/\\\n]+)$")
_MOST = 256 << 20


def require_outside(folder: Path) -> None:
    """Raises EvidenceError where a folder is, or lies in, an evidence folder or a bag, also by way of a link."""
    for path in (Path(os.path.abspath(folder)), Path(os.path.realpath(folder))):
        for each in (path, *path.parents):
            for mark, what in MARKS.items():
                if os.path.lexists(each / mark):
                    raise EvidenceError(
                        f"{folder} is within {what}: {each} holds {mark}. Nothing was read or written.",
                        advice="Give a dest elsewhere: what nobody has recorded must not lie between the evidence.",
                        code="DestInEvidence",
                    )


class Dest:
    """The folder, held by one run at a time. dir: None where it is not there and nothing is to be written."""

    def __init__(self, folder: Dir | None, read_only: bool, warn: Warn) -> None:
        self.dir = folder
        self._file: int | None = None
        self._read_only = read_only
        self._warn = warn
        self._known: dict[str, str] = {}

    @classmethod
    def open(cls, path: Path, read_only: bool, warn: Warn) -> Dest:
        """read_only: made and written is nothing. Raises EvidenceError."""
        try:
            folder = open_dest(path, read_only, warn, what=FOLDER)
        except OSError as failure:
            raise unwritable(path / MANIFEST, failure, what=FOLDER) from None
        dest = cls(folder, read_only, warn)
        try:
            dest._open(path)
        except OSError as failure:
            dest.close()
            raise unwritable(path / MANIFEST, failure, what=FOLDER) from None
        except EvidenceError:
            dest.close()
            raise
        return dest

    def _open(self, path: Path) -> None:
        if self.dir is None or (self._read_only and self.dir.stat(MANIFEST) is None):
            return
        flags = os.O_RDONLY if self._read_only else os.O_RDWR | os.O_CREAT | os.O_APPEND
        self._file = self.dir.open_file(MANIFEST, flags)
        if not self._read_only:
            try:
                lock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB, self._warn)
            except BlockingIOError:
                raise EvidenceError(
                    f"Another run is extracting to {path}.", advice="Run again when it has ended.", code="DestBusy"
                ) from None
        self._read(path, self._file)

    def _read(self, path: Path, file: int) -> None:
        try:
            text = read_all(file, _MOST).decode("ascii")
            whole = text[: text.rfind("\n") + 1]
            found = [_LINE.match(line) for line in whole.splitlines()]
            self._known = {line[2]: line[1] for line in found}  # type: ignore[index]
        except (ValueError, TypeError):
            raise EvidenceError(
                f"{path / MANIFEST} is not a manifest of extracted files; it was not touched.",
                advice="Give another dest.",
                code="NotOverwritten",
            ) from None
        if len(whole) < len(text) and not self._read_only:
            # A run was killed while it wrote its last line; the file that it is of gets it again.
            os.ftruncate(file, len(whole))

    def add(self, lines: t.Mapping[str, str]) -> list[str]:
        """Path in the folder to SHA-256. Returns the paths of which the manifest says something else. Raises OSError."""
        differing = [path for path, digest in lines.items() if self._known.get(path, digest) != digest]
        fresh = {path: digest for path, digest in lines.items() if path not in self._known}
        if self._file is not None and fresh and not self._read_only:
            write_all(self._file, "".join(f"{digest}  {path}\n" for path, digest in fresh.items()).encode("ascii"))
        self._known.update(fresh)
        return differing

    def close(self) -> None:
        if self._file is not None:
            if self.dir is not None and not self._read_only and os.fstat(self._file).st_size == 0:
                self.dir.unlink(MANIFEST)
            os.close(self._file)
            self._file = None
        if self.dir is not None:
            self.dir.close()

    def __enter__(self) -> Dest:
        return self

    def __exit__(self, *_args: object) -> None:
        self.close()
