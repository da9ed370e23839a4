# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The chosen artefacts of one package, as files: under names of our own, without following links, nothing ever overwritten."""

from __future__ import annotations

import hashlib
import os
import typing as t
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from ansible_collections.secops.defender.plugins.module_utils._evidence.extracting.manifest import FOLDER
from ansible_collections.secops.defender.plugins.module_utils._evidence.extracting.names import Names
from ansible_collections.secops.defender.plugins.module_utils._evidence.files import (
    Dir,
    NotOrdinary,
    hash_of,
    sync_file,
    unwritable,
    write_all,
)
from ansible_collections.secops.defender.plugins.module_utils._evidence.reading.entries import MAM_WHY, Member, walk
from ansible_collections.secops.defender.plugins.module_utils._evidence.reading.limits import Meter
from ansible_collections.secops.defender.plugins.module_utils._words.errors import EvidenceError


@dataclass(frozen=True)
class File:
    """An entry as a file. name: in the package's folder. written: by this run; else it was there with the same bytes."""

    entry: str
    kind: str
    name: str
    size: int
    sha256: str
    written: bool


@dataclass
class Extracted:
    """What came of one package. left: entry, kind and why. occupied: names of files that hold something else."""

    files: list[File] = field(default_factory=list)
    left: list[tuple[str | None, str | None, str]] = field(default_factory=list)
    occupied: list[str] = field(default_factory=list)


class Target:
    """The folder that a package's files go to, C(<device>/<action>), made when the first of them comes.

    path: of dest, for messages. dest: None where there is none. dry: nothing is made and written.
    """

    def __init__(self, path: Path, dest: Dir | None, place: tuple[str, str], dry: bool) -> None:
        self.dry = dry
        self._path = path
        self._dest = dest
        self._place = place
        self._open: list[Dir] = []

    def folder(self) -> Dir | None:
        """None where it is not there and is not made. Raises OSError."""
        while self._dest is not None and len(self._open) < len(self._place):
            above = self._open[-1] if self._open else self._dest
            try:
                self._open.append(above.folder(self._place[len(self._open)], make=not self.dry))
            except FileNotFoundError:
                return None
        return self._open[-1] if self._open else None

    @contextmanager
    def reached(self) -> t.Iterator[Dir | None]:
        """The folder for one step; what the file system refuses becomes an error with advice."""
        try:
            yield self.folder()
        except NotOrdinary as failure:
            raise EvidenceError(
                f"{failure.filename} is no folder or ordinary file: {failure.strerror}. It was not touched.",
                advice="Find out who put it there, and move it away, or give another dest.",
                code="NotOverwritten",
            ) from None
        except OSError as failure:
            raise unwritable(self._path / "file", failure, what=FOLDER) from None

    def close(self) -> None:
        while self._open:
            self._open.pop().close()


def extract(file: t.BinaryIO, meter: Meter, wanted: frozenset[str], target: Target) -> Extracted:
    """wanted: kinds of artefact. Raises zips.NoZip, OSError for a package that cannot be read, EvidenceError for a full disk."""
    found = Extracted()
    visitor = _Visitor(found, wanted, target)
    try:
        walk(file, meter, visitor)
    finally:
        visitor.close()
    # Of a package that was not read to its end, nobody can say what it lacks.
    if not any(entry is None for entry, _kind, _why in found.left):
        found.left += [(None, kind, f"the package has no {kind}") for kind in sorted(wanted - visitor.kinds)]
    return found


class _Visitor:
    def __init__(self, found: Extracted, wanted: frozenset[str], target: Target) -> None:
        self._found = found
        self._wanted = wanted
        self._target = target
        self._names = Names()
        self._begun: list[_Entry] = []
        self.kinds: set[str] = set()

    def begin(self, names: t.Sequence[str]) -> None:
        pass

    def open(self, member: Member, first: bytes, container: bool) -> _Entry | None:
        self.kinds.add(member.kind)
        # Names are given to what is not wanted as well, so that they do not depend on what is.
        name = self._names.of(member.name, member.path[-1])
        if member.kind not in self._wanted:
            return None
        entry = _Entry(member, name, self._target, self._found)
        # A container is open while its members are.
        self._begun = [each for each in self._begun if each.is_open]
        self._begun.append(entry)
        return entry

    def left_out(self, name: str | None, kind: str | None, why: str) -> None:
        if why != MAM_WHY and (kind is None or kind in self._wanted):
            self._found.left.append((name, kind, why))

    def close(self) -> None:
        for entry in self._begun:
            entry.drop()
        self._target.close()


class _Entry:
    """Writes an entry to a hidden file, which gets its name when all of it was right; or compares it with what is there."""

    def __init__(self, member: Member, name: str, target: Target, found: Extracted) -> None:
        self._member = member
        self._name = name
        self._target = target
        self._found = found
        self._hasher = hashlib.sha256()
        self._size = 0
        self._begun = False
        self._there = False
        self._out: int | None = None

    @property
    def is_open(self) -> bool:
        return self._out is not None

    @property
    def _part(self) -> str:
        # No entry's name begins with a dot.
        return f".{self._name}.part"

    def feed(self, block: bytes) -> None:
        with self._target.reached() as folder:
            self._begin(folder)
            if self._out is not None:
                write_all(self._out, block)
        self._hasher.update(block)
        self._size += len(block)

    def end(self, why: str | None) -> None:
        if why is not None:
            self.drop()
            return
        with self._target.reached() as folder:
            self._begin(folder)
            if self._there and folder is not None and not self._is_same(folder):
                self._found.occupied.append(self._name)
                return
            if self._out is not None and folder is not None:
                self._put(folder)
        self._found.files.append(
            File(
                self._member.name,
                self._member.kind,
                self._name,
                self._size,
                self._hasher.hexdigest(),
                written=not self._there,
            )
        )

    def drop(self) -> None:
        """Takes back what was written of it."""
        if self._out is None:
            return
        os.close(self._out)
        self._out = None
        folder = self._target.folder()
        if folder is not None:
            with suppress(FileNotFoundError):
                folder.unlink(self._part)

    def _begin(self, folder: Dir | None) -> None:
        if self._begun:
            return
        self._begun = True
        if folder is None:
            return
        self._there = folder.stat(self._name) is not None
        if self._there or self._target.dry:
            return
        if folder.stat(self._part) is not None:
            # Of a run that was killed: nobody else is here, for the folder is held by one run at a time.
            folder.unlink(self._part)
        self._out = folder.open_file(self._part, os.O_WRONLY | os.O_CREAT | os.O_EXCL)

    def _is_same(self, folder: Dir) -> bool:
        try:
            file = folder.open_file(self._name)
        except NotOrdinary:
            return False
        try:
            return hash_of(file) == (self._hasher.hexdigest(), self._size)
        finally:
            os.close(file)

    def _put(self, folder: Dir) -> None:
        out = t.cast(int, self._out)
        sync_file(out, folder.warn)
        os.close(out)
        self._out = None
        folder.rename(self._part, self._name)
