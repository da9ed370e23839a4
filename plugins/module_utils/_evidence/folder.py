# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Bytes to evidence: a package streamed to disk, hashed, checked, recorded, and only then given its final name."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
import re
import typing as t
import zipfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ansible_collections.secops.defender.plugins.module_utils._evidence import custody
from ansible_collections.secops.defender.plugins.module_utils._evidence.custody import Custody, unwritable
from ansible_collections.secops.defender.plugins.module_utils._words.clock import Clock
from ansible_collections.secops.defender.plugins.module_utils._words.errors import (
    EvidenceError,
    PackageBroken,
    ReplyLost,
)
from ansible_collections.secops.defender.plugins.module_utils._words.models import Action, Machine, iso
from ansible_collections.secops.defender.plugins.module_utils._words.version import USER_AGENT

# From a byte offset on: the offset the bytes really begin at, the package's size if known, the bytes.
Stream = t.Callable[[int], t.ContextManager["tuple[int, int | None, t.Iterator[bytes]]"]]

_CHUNK = 1 << 20
# A zip that unpacks to more than this many times its size, and to more than so many bytes, is not unpacked to check it.
_BOMB_FACTOR, _BOMB_BYTES = 200, 16 << 30


@dataclass(frozen=True)
class Package:
    """A verified package under its final name."""

    path: Path
    size: int
    sha256: str
    downloaded: str

    def as_result(self) -> dict[str, t.Any]:
        """The C(package) of a device in a result."""
        return {"path": str(self.path), "size": self.size, "sha256": self.sha256, "downloaded": self.downloaded}


class Busy(Exception):
    """Another run is downloading this very package."""


def safe_name(text: str) -> str:
    """A folder name for a device: never a path, never hidden, never the log's; DNS names stay as they are."""
    safe = re.sub(r"[^A-Za-z0-9._-]", "_", text).lstrip(".-")[:120].rstrip(".")
    if not safe or safe != text or safe.lower() == custody.LOG_NAME:
        # What was replaced made names alike that are not.
        safe = f"{safe or 'device'}-{hashlib.sha256(text.encode('utf-8', 'surrogatepass')).hexdigest()[:8]}"
    return safe


def check_zip(path: Path) -> str:
    """Check structure and checksums. Returns C(crc), or C(structure) where the entries cannot be unpacked here.

    Raises PackageBroken.
    """
    try:
        with zipfile.ZipFile(path) as package:
            entries = package.infolist()
            unpacked = sum(entry.file_size for entry in entries)
            if unpacked > max(_BOMB_BYTES, _BOMB_FACTOR * path.stat().st_size):
                return "structure"
            damaged = package.testzip()
    except RuntimeError:
        # Encrypted, or packed by a method or for a version that Python does not know (NotImplementedError).
        return "structure"
    except Exception as failure:
        # Damage shows as almost anything: LZMAError, struct.error, a seek before the beginning (EINVAL).
        if isinstance(failure, OSError) and failure.errno not in (None, errno.EINVAL):
            raise
        raise PackageBroken(
            f"What was downloaded is no valid zip file: {str(failure).rstrip('.') or type(failure).__name__}.",
            advice="Run again; if it stays, collect anew: the package is damaged at the service.",
        ) from None
    if damaged is not None:
        raise PackageBroken(
            f"The package's entry {damaged[:200]!r} does not match its checksum.",
            advice="Run again; if it stays, collect anew: the package is damaged at the service.",
        )
    return "crc"


class Folder:
    """An evidence folder on the control node, opened for one run. Safe for threads, and for several runs at once.

    Raises EvidenceError if it cannot be made or written, before anything is started. read_only: make and write nothing,
    but still find out whether one could (check mode). launched_by: see Custody.
    """

    def __init__(
        self, dest: str, clock: Clock, read_only: bool = False, launched_by: t.Mapping[str, str] | None = None
    ) -> None:
        self.path = Path(os.path.abspath(dest))
        self._clock = clock
        self._read_only = read_only
        # What the user must know of the folder: sentences.
        self.warnings: list[str] = []
        try:
            if read_only:
                _require_writable(self.path)
            else:
                self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as failure:
            raise unwritable(self.path / custody.LOG_NAME, failure) from None
        self.custody = Custody(self.path, clock, read_only, launched_by)

    def require_tenant(self, tenant: str | None) -> None:
        """Raises EvidenceError for a folder that belongs to another tenant."""

    def close(self) -> None:
        """Leave the folder: other runs see this one no more."""
        self.custody.close()

    def place(self, machine: Machine, action: Action) -> Path:
        """The final path of an action's package."""
        return self.path / place(machine, action)

    def existing(self, machine: Machine, action: Action) -> Package | None:
        """The package if an earlier run has stored it.

        What a crash left between the last steps is completed. Raises EvidenceError if the package is not what record
        and log say.
        """
        final = self.place(machine, action)
        try:
            if not final.exists():
                return None
            record = read_record(final.with_suffix(".json")) or {}
            digest, size = hash_file(final)
            name = str(final.relative_to(self.path))
            history = self.custody.history_of(name)
        except OSError as failure:
            raise EvidenceError(
                f"The package {final} cannot be read: {failure.strerror}.",
                advice="Check its owner and permissions, then run again.",
                code="EvidenceUnreadable",
            ) from None
        if (record.get("sha256"), record.get("size")) != (digest, size):
            wrong = "is not what its record says"
        elif name in history.stored_files:
            wrong = "" if history.stored_files[name] == digest else "is not what the custody log says"
        elif history.verified_files.get(name) == (digest, size):
            wrong = ""
            if not self._read_only:
                self._announce_stored(machine, action, final, digest)
        else:
            wrong = "is not in the custody log"
        if wrong:
            raise EvidenceError(
                f"The package {final} {wrong}; it was not touched.",
                advice="Run secops.defender.defender_verify_evidence on the folder, then move both files away.",
                code="EvidenceAltered",
            )
        return Package(final, size, digest, str(record.get("downloaded") or ""))

    def fetch(self, machine: Machine, action: Action, request: dict[str, t.Any], open_stream: Stream) -> Package:
        """Download, verify and store an action's package, continuing what an earlier run has downloaded of it.

        request: who asked for what, for the record. Raises ReplyLost, NetworkError, ServiceError from the stream,
        PackageBroken, EvidenceError, and Busy if another run is at it.
        """
        final = self.place(machine, action)
        try:
            final.parent.mkdir(mode=0o700, exist_ok=True)
            with _locked(final.with_suffix(".zip.part")) as (part, file):
                stored = self.existing(machine, action)
                if stored:
                    part.unlink()
                    return stored
                return self._fetch(machine, action, request, open_stream, final, part, file)
        except OSError as failure:
            raise unwritable(final, failure) from None

    def _fetch(
        self,
        machine: Machine,
        action: Action,
        request: dict[str, t.Any],
        open_stream: Stream,
        final: Path,
        part: Path,
        file: t.BinaryIO,
    ) -> Package:
        name = str(final.relative_to(self.path))
        facts = {"machine_id": machine.id, "action_id": action.id, "path": name}
        verified = self.custody.history.verified_files.get(name)
        if verified and hash_file(part) == verified:
            digest, size = verified
        else:
            self.custody.append(custody.DOWNLOAD_STARTED, **facts, offset=part.stat().st_size)
            digest, size = self._download(file, part, open_stream)
        checked = check_zip_or_drop(part, file)
        downloaded = iso(self._clock.wall())
        anchor = self.custody.append(custody.PACKAGE_VERIFIED, **facts, sha256=digest, size=size, zip_check=checked)
        record = {
            "machine_id": machine.id,
            "computer_dns_name": machine.dns_name,
            **request,
            "action": action.raw,
            "file": final.name,
            "size": size,
            "sha256": digest,
            "sha256_taken": "on the control node while downloading: the API gives no hash",
            "zip_check": checked,
            "downloaded": downloaded,
            "tool": USER_AGENT,
            "custody_sha256": anchor,
        }
        _write_record(final.with_suffix(".json"), record)
        os.rename(part, final)
        _sync_folder(final.parent)
        self._announce_stored(machine, action, final, digest)
        return Package(final, size, digest, downloaded)

    def _download(self, file: t.BinaryIO, part: Path, open_stream: Stream) -> tuple[str, int]:
        offset = part.stat().st_size
        with open_stream(offset) as (start, size, chunks):
            if start != offset:
                file.truncate(0)
            if start not in (0, offset):
                raise ReplyLost(f"The server sent the package from byte {start} on instead of {offset}.")
            hasher = hashlib.sha256()
            file.seek(0)
            while chunk := file.read(_CHUNK):
                hasher.update(chunk)
            written = start
            for chunk in chunks:
                self._clock.check()
                file.write(chunk)
                hasher.update(chunk)
                written += len(chunk)
            file.flush()
        if size is not None and written < size:
            raise ReplyLost(
                f"The download ended after {written} of {size} bytes.", advice="Run again: it goes on from there."
            )
        os.fsync(file.fileno())
        return hasher.hexdigest(), written

    def _announce_stored(self, machine: Machine, action: Action, final: Path, digest: str) -> None:
        record_sha256, _size = hash_file(final.with_suffix(".json"))
        self.custody.append(
            custody.PACKAGE_STORED,
            machine_id=machine.id,
            action_id=action.id,
            path=str(final.relative_to(self.path)),
            sha256=digest,
            record_sha256=record_sha256,
        )


def _require_writable(path: Path) -> None:
    existing = next(each for each in (path, *path.parents) if each.exists())
    if not existing.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
    if not os.access(existing, os.W_OK | os.X_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))


def place(machine: Machine, action: Action) -> Path:
    """Where an action's package belongs in an evidence folder. The service's own file name has no part in it."""
    moment = re.sub(r"[-:]", "", (action.created or "").split(".")[0].rstrip("Z")) or "unknown"
    name = machine.dns_name or action.dns_name or machine.id
    return Path(safe_name(name)) / f"{safe_name(moment)}Z_{safe_name(action.id)}.zip"


def read_record(path: Path) -> dict[str, t.Any] | None:
    """A package's record, or None where there is none that can be read."""
    try:
        record = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None
    return record if isinstance(record, dict) else None


def hash_file(path: Path) -> tuple[str, int]:
    """SHA-256 and size of a file."""
    hasher = hashlib.sha256()
    size = 0
    with open(path, "rb") as file:
        while chunk := file.read(_CHUNK):
            hasher.update(chunk)
            size += len(chunk)
    return hasher.hexdigest(), size


def check_zip_or_drop(part: Path, file: t.BinaryIO) -> str:
    """check_zip; a broken package is emptied, so that nothing of it is continued."""
    try:
        return check_zip(part)
    except PackageBroken:
        file.truncate(0)
        raise


@contextmanager
def _locked(part: Path) -> t.Iterator[tuple[Path, t.BinaryIO]]:
    """The .part file, opened for this run alone; raises Busy."""
    while True:
        file = os.fdopen(os.open(part, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600), "r+b")
        with file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as failure:
                if failure.errno in (errno.EAGAIN, errno.EACCES):
                    raise Busy from None
                raise
            # Between opening and locking another run may have finished and renamed it.
            try:
                same = os.path.samestat(os.fstat(file.fileno()), os.stat(part))
            except FileNotFoundError:
                same = False
            if same:
                yield part, file
                return


def _write_record(path: Path, record: dict[str, t.Any]) -> None:
    temporary = path.with_suffix(".json.part")
    file = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    # Half a character of two, as a cut-off comment may end with, is spelled out.
    with os.fdopen(file, "w", encoding="utf-8", errors="backslashreplace") as text:
        json.dump(record, text, indent=2, ensure_ascii=False)
        text.write("\n")
        text.flush()
        os.fsync(text.fileno())
    os.rename(temporary, path)


def _sync_folder(path: Path) -> None:
    folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
