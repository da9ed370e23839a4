# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A package on its way: the C(.part) file, locked for one run, and hashed while it is written.

What is hashed is what was received, never what was read back: bytes that somebody else has put into the file do not become evidence.
So a download is continued only by the process that began it, while it holds the file; everybody else begins anew.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import typing as t

from ansible_collections.secops.defender.plugins.module_utils._evidence.files import Dir, hash_of, lock, sync_file
from ansible_collections.secops.defender.plugins.module_utils._words.errors import EvidenceError

# A file that vanishes as often as this under our hands is removed by somebody.
_TRIES = 20
# Some file systems rename no file that is open.
_IN_USE = (errno.EACCES, errno.EPERM, errno.EBUSY, errno.ETXTBSY)


class Busy(Exception):
    """Another run is downloading this very package."""


class Part:
    """One C(.part) file, open and locked. written: bytes that this process has received and written; discarded: bytes of an earlier

    download that were thrown away. vouched: the log has the SHA-256 of its whole content.
    """

    def __init__(self, name: str, file: t.BinaryIO, discarded: int, vouched: bool) -> None:
        self.name = name
        self.file = file
        self.discarded = discarded
        self.vouched = vouched
        self.written = 0
        self._hasher = hashlib.sha256()

    def write(self, chunk: bytes) -> None:
        self.file.write(chunk)
        self._hasher.update(chunk)
        self.written += len(chunk)

    def restart(self) -> None:
        """Nothing of what came is kept."""
        self.file.seek(0)
        self.file.truncate(0)
        self.written, self._hasher = 0, hashlib.sha256()

    def complete(self, folder: Dir) -> tuple[str, int]:
        """Through to the disk; returns SHA-256 and size of what was received."""
        if self.vouched:
            return hash_of(self.file.fileno())
        self.file.flush()
        sync_file(self.file.fileno(), folder.warn)
        return self._hasher.hexdigest(), self.written

    def put(self, folder: Dir, name: str) -> None:
        """Give it its final name. Raises EvidenceError if it is not there any more, or not the same."""
        self._require_same(folder)
        try:
            folder.rename(self.name, name)
        except OSError as failure:
            if failure.errno not in _IN_USE:
                raise
            self.file.close()
            folder.rename(self.name, name)
            return
        if not folder.is_same(name, self.file.fileno()):
            raise _replaced(folder, name)

    def _require_same(self, folder: Dir) -> None:
        if folder.stat(self.name) is None:
            raise _removed(folder, self.name)
        if not folder.is_same(self.name, self.file.fileno()):
            raise _replaced(folder, self.name)

    def close(self) -> None:
        """Let it go; it stays on the disk."""
        try:
            self.file.close()
        except OSError:
            # What is left in the buffer cannot be written any more; it was not said that it was.
            pass

    def drop(self, folder: Dir) -> None:
        """Let it go, and remove it: nobody could continue it."""
        try:
            if not self.file.closed and folder.is_same(self.name, self.file.fileno()):
                folder.unlink(self.name)
        except OSError:
            pass
        self.close()


def open_part(folder: Dir, name: str, vouched: tuple[str, int] | None, owners: t.Container[int]) -> Part:
    """The C(.part) file for this run alone: a new one, or what an earlier run has left if the log vouches for it.

    vouched: SHA-256 and size that the log has for it. owners: whose files may be taken over. Raises Busy, OSError, and NotOrdinary
    for a link or a pipe in its place.
    """
    discarded = 0
    for _try in range(_TRIES):
        try:
            file = os.fdopen(folder.open_file(name, os.O_RDWR | os.O_CREAT | os.O_EXCL), "r+b")
            new = True
        except FileExistsError:
            try:
                file = os.fdopen(folder.open_file(name, os.O_RDWR), "r+b")
            except FileNotFoundError:
                continue
            new = False
        try:
            _lock(folder, file)
            # Between opening and locking another run may have finished and renamed it.
            if folder.is_same(name, file.fileno()):
                if new:
                    return Part(name, file, discarded, False)
                if vouched and _is_own(file, owners) and hash_of(file.fileno()) == vouched:
                    return Part(name, file, 0, True)
                discarded = os.fstat(file.fileno()).st_size
                folder.unlink(name)
        except BaseException:
            file.close()
            raise
        file.close()
    raise _removed(folder, name)


def _lock(folder: Dir, file: t.BinaryIO) -> None:
    try:
        lock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB, folder.warn)
    except BlockingIOError:
        raise Busy from None


def _is_own(file: t.BinaryIO, owners: t.Container[int]) -> bool:
    """Whether nobody else has written it, or can still write to it under another name."""
    found = os.fstat(file.fileno())
    return found.st_uid in owners and found.st_nlink == 1 and not found.st_mode & 0o022


def _removed(folder: Dir, name: str) -> EvidenceError:
    return EvidenceError(
        f"The download {folder.path / name} was removed while it was written.",
        advice="A virus scanner or a clean-up job does that: packages hold what was on the device. Exclude the evidence folder from it, "
        "then run again.",
        code="PartRemoved",
    )


def _replaced(folder: Dir, name: str) -> EvidenceError:
    return EvidenceError(
        f"{folder.path / name} was replaced while this run wrote it.",
        advice="Find out who else writes in the evidence folder, then run again.",
        code="EvidenceAltered",
    )
