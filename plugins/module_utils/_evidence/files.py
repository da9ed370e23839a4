# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Files below an evidence folder: opened from its own descriptor, without following links, and without waiting for a pipe.

Whoever can write next to the evidence can put a link or a pipe where a file belongs. So every file is opened relative to an open
folder (C(dir_fd)), with C(O_NOFOLLOW) and C(O_NONBLOCK), and is used only if it is an ordinary file.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import stat
import typing as t
from dataclasses import dataclass
from pathlib import Path

from ansible_collections.secops.defender.plugins.module_utils._words.errors import EvidenceError

_CHUNK = 1 << 20
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
# A file system that cannot do a thing at all says one of these.
_CANNOT = frozenset({errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOLCK})

Warn = t.Callable[[str], None]

# What the folder of a file is called in messages.
EVIDENCE = "evidence folder"


class NotOrdinary(OSError):
    """A link, a pipe or a device stands where a file or a folder belongs. kind: which of them."""

    def __init__(self, path: Path, kind: str) -> None:
        self.kind = kind
        super().__init__(errno.ELOOP, f"{kind} is in its place", str(path))


class Dir:
    """An open folder. path: what it is called, for messages alone. Raises OSError, and NotOrdinary for what is none."""

    def __init__(self, path: Path, file: int, warn: Warn) -> None:
        self.path = path
        self.file = file
        self.warn = warn

    @classmethod
    def open(cls, path: Path, warn: Warn) -> Dir:
        """An evidence folder. The path to it is its owner's to arrange; the folder itself is looked at by open_dest."""
        return cls(path, os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC), warn)

    def close(self) -> None:
        if self.file >= 0:
            os.close(self.file)
            self.file = -1

    def __enter__(self) -> Dir:
        return self

    def __exit__(self, *_args: object) -> None:
        self.close()

    def folder(self, name: str, make: bool = False) -> Dir:
        """A folder in this one."""
        if make:
            try:
                os.mkdir(name, 0o700, dir_fd=self.file)
            except FileExistsError:
                pass
        try:
            return Dir(self.path / name, os.open(name, _FOLDER, dir_fd=self.file), self.warn)
        except OSError as failure:
            self._named(name, failure)
            raise

    def open_file(self, name: str, flags: int = os.O_RDONLY) -> int:
        """An ordinary file, as a descriptor. One that is appended to has one name: under another it may be anything of anybody."""
        try:
            file = os.open(name, flags | _FILE, 0o600, dir_fd=self.file)
        except OSError as failure:
            self._named(name, failure)
            raise
        try:
            found = os.fstat(file)
            kind = _kind(found.st_mode)
            if not kind and flags & os.O_APPEND and found.st_nlink > 1:
                kind = "a file that has another name elsewhere (a hard link)"
            if kind:
                raise NotOrdinary(self.path / name, kind)
        except OSError:
            os.close(file)
            raise
        return file

    def stat(self, name: str) -> os.stat_result | None:
        """What stands under a name, links not followed; None if nothing does."""
        try:
            return os.stat(name, dir_fd=self.file, follow_symlinks=False)
        except FileNotFoundError:
            return None

    def is_same(self, name: str, file: int) -> bool:
        """Whether the name still stands for the open file."""
        found = self.stat(name)
        return found is not None and os.path.samestat(found, os.fstat(file))

    def rename(self, old: str, new: str) -> None:
        os.rename(old, new, src_dir_fd=self.file, dst_dir_fd=self.file)

    def unlink(self, name: str) -> None:
        os.unlink(name, dir_fd=self.file)

    def sync(self) -> None:
        """Its entries to the disk, where the file system can do that."""
        try:
            os.fsync(self.file)
        except OSError as failure:
            if failure.errno not in _CANNOT:
                raise
            self.warn(
                "The file system of the evidence folder cannot sync a folder: after a power cut, files that were just stored "
                "may have lost their names. Verify the folder after one."
            )

    def _named(self, name: str, failure: OSError) -> None:
        """A link or a wrong kind says itself so by many numbers (ELOOP, ENOTDIR, EMLINK, ENXIO): look what it is."""
        if failure.errno in (errno.ELOOP, errno.ENOTDIR, errno.EMLINK, errno.ENXIO, errno.EISDIR, errno.EOPNOTSUPP):
            found = self.stat(name)
            kind = _kind(found.st_mode) if found else ""
            if kind:
                raise NotOrdinary(self.path / name, kind) from None


def _kind(mode: int) -> str:
    """What a thing is that is no ordinary file; empty for one, and for a folder where the caller asks for folders."""
    if stat.S_ISREG(mode):
        return ""
    names = (
        (stat.S_ISLNK, "a symbolic link"),
        (stat.S_ISDIR, "a folder"),
        (stat.S_ISFIFO, "a pipe"),
        (stat.S_ISSOCK, "a socket"),
    )
    return next((name for test, name in names if test(mode)), "a device file")


def lock(file: int, operation: int, warn: Warn) -> bool:
    """flock; False where the file system has no locks. Raises BlockingIOError (C(LOCK_NB)) and OSError."""
    try:
        fcntl.flock(file, operation)
    except OSError as failure:
        if failure.errno in (errno.EAGAIN, errno.EACCES):
            raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN)) from None
        if failure.errno not in _CANNOT:
            raise
        warn(
            "The file system of the evidence folder has no locks, so runs there cannot see each other: let only one at a time "
            "use the folder."
        )
        return False
    return True


def sync_file(file: int, warn: Warn) -> None:
    """A file's content to the disk, where the file system can do that."""
    try:
        os.fsync(file)
    except OSError as failure:
        if failure.errno not in _CANNOT:
            raise
        warn(
            "The file system of the evidence folder cannot sync files: what was just written may be lost in a power cut."
        )


def hash_of(file: int) -> tuple[str, int]:
    """SHA-256 and size of an open file."""
    hasher, size = hashlib.sha256(), 0
    while chunk := os.pread(file, _CHUNK, size):
        hasher.update(chunk)
        size += len(chunk)
    return hasher.hexdigest(), size


def read_all(file: int, most: int) -> bytes:
    """The content of an open file, of which no more than C(most) bytes are wanted. Raises ValueError for more."""
    content = b""
    while chunk := os.pread(file, most + 1 - len(content), len(content)):
        content += chunk
        if len(content) > most:
            raise ValueError(f"longer than {most} bytes")
    return content


def write_all(file: int, data: bytes) -> None:
    """All of it, however little a write takes."""
    while data:
        data = data[os.write(file, data) :]


# ---- the evidence folder itself ----


def open_dest(path: Path, read_only: bool, warn: Warn, what: str = EVIDENCE) -> Dir | None:
    """The evidence folder, made if it is not there. read_only: made and written is nothing; None if it is not there.

    what: the folder is called in messages. Raises OSError, and EvidenceError where the folder is somebody else's.
    """
    _require_own_link(path, what)
    if read_only:
        _require_writable(path)
        if not path.exists():
            return None
    else:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder = Dir.open(path, warn)
    try:
        _require_own(folder, read_only, what)
    except BaseException:
        folder.close()
        raise
    return folder


def _require_writable(path: Path) -> None:
    existing = next(each for each in (path, *path.parents) if each.exists())
    if not existing.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
    if not os.access(existing, os.W_OK | os.X_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))


def _require_own_link(path: Path, what: str) -> None:
    """A link to the evidence folder is fine if it is one's own: whoever made it chooses where evidence goes."""
    if path.is_symlink() and os.lstat(path).st_uid not in (os.geteuid(), 0):
        raise EvidenceError(
            f"The {what} {path} is a symbolic link that another user has made.",
            advice="Give the folder that it should lead to as dest.",
            code="DestNotOwn",
        )


def _require_own(folder: Dir, read_only: bool, what: str) -> None:
    found = os.fstat(folder.file)
    if found.st_uid not in (os.geteuid(), 0) and (read_only or not _is_mapped(folder, found.st_uid)):
        raise EvidenceError(
            f"The {what} {folder.path} belongs to another user (uid {found.st_uid}), who could replace what is in it.",
            advice=f"Give a dest of your own, or change its owner to uid {os.geteuid()}.",
            code="DestNotOwn",
        )
    warn_if_open(folder, f"The {what}")


def _is_mapped(folder: Dir, owner: int) -> bool:
    """Whether the file system makes that owner of whatever this user writes (root_squash, a mount's uid=): then it is ours."""
    name = f".owner-{os.getpid()}-{os.urandom(4).hex()}"
    file = folder.open_file(name, os.O_RDWR | os.O_CREAT | os.O_EXCL)
    try:
        return os.fstat(file).st_uid == owner
    finally:
        os.close(file)
        folder.unlink(name)


def warn_if_open(folder: Dir, what: str) -> None:
    """Say so if others may write to a folder."""
    mode = os.fstat(folder.file).st_mode
    others = [word for bit, word in ((stat.S_IWGRP, "its group"), (stat.S_IWOTH, "every user")) if mode & bit]
    if others:
        folder.warn(
            f"{what} {folder.path} (mode {stat.S_IMODE(mode):04o}) can be written by {' and '.join(others)}: they could remove "
            "or add evidence. Take that away (chmod go-w)."
        )


# ---- what to say of a file system that refuses ----

_FULL = "Free space there, then run again: what was begun is picked up."
_OWNER = "Check that dest is a folder, its owner and permissions."


@dataclass(frozen=True)
class _Said:
    """What an error number means here, if the system's own word for it is not enough; what to do, and the code."""

    what: str
    advice: str
    code: str


_SAID = {
    errno.ENOSPC: _Said("", _FULL, code="DiskFull"),
    errno.EDQUOT: _Said("the disk quota of this user is used up", _FULL, code="DiskFull"),
    errno.EFBIG: _Said(
        "",
        "Raise the limit (ulimit -f), or use another file system.",
        code="DestNotWritable",
    ),
    errno.EROFS: _Said(
        "the file system is mounted read-only",
        "Mount it writable, or give another dest.",
        code="DestNotWritable",
    ),
    errno.EIO: _Said(
        "the disk or its network share reports an input/output error",
        "Look at the system's log; do not use this disk for evidence until it is mended.",
        code="DestNotWritable",
    ),
    errno.ESTALE: _Said(
        "the network share has changed under its mount (stale file handle)",
        "Mount the share again, then run again: what was begun is picked up.",
        code="DestNotWritable",
    ),
    errno.ETXTBSY: _Said(
        "a file there is in use by another program",
        "End that program (a scanner, a synchronisation), then run again.",
        code="DestNotWritable",
    ),
    errno.EBUSY: _Said(
        "a file there is in use by another program",
        "End that program (a scanner, a synchronisation), then run again.",
        code="DestNotWritable",
    ),
    errno.ENAMETOOLONG: _Said(
        "a name is too long for the file system",
        "Give a dest with a shorter path, or one on another file system.",
        code="DestNotWritable",
    ),
    errno.EACCES: _Said("", _OWNER, code="DestNotWritable"),
    errno.EPERM: _Said("", _OWNER + " A file may be immutable (lsattr).", code="DestNotWritable"),
    errno.EMFILE: _Said(
        "too many files are open",
        "Raise the limit (ulimit -n), or use fewer folders at once.",
        code="TooManyFiles",
    ),
    errno.ENFILE: _Said(
        "too many files are open on this computer", "Raise the limit (fs.file-max).", code="TooManyFiles"
    ),
}


def unwritable(path: Path, failure: OSError, what: str = EVIDENCE) -> EvidenceError:
    """The error for a file that cannot be written. what: its folder is called."""
    if isinstance(failure, NotOrdinary):
        return not_ordinary(failure)
    said = _SAID.get(failure.errno or 0) or _Said(
        "", f"{_OWNER[:-1]}, and the file system it is on.", code="DestNotWritable"
    )
    reason = failure.strerror or str(failure) or type(failure).__name__
    why = f"{reason}: {said.what}" if said.what else reason
    return EvidenceError(f"The {what} {path.parent} cannot be written: {why}.", advice=said.advice, code=said.code)


def not_ordinary(failure: NotOrdinary) -> EvidenceError:
    """The error for a link or another thing in a file's place."""
    return EvidenceError(
        f"{failure.filename} is no ordinary file: {failure.strerror}. It was not touched.",
        advice="Find out who put it there (evidence is never reached through links), move it away, then verify the folder with "
        "secops.defender.defender_verify_evidence.",
        code="EvidenceAltered",
    )
