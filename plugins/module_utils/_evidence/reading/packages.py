# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which packages are read: found below folders, chosen by device and age, and each held against its record before it is read."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import stat
import typing as t
from dataclasses import dataclass, field
from pathlib import Path

from ansible_collections.secops.defender.plugins.module_utils._words.errors import EvidenceError
from ansible_collections.secops.defender.plugins.module_utils._words.models import parse_time

LOG_NAME = "custody.jsonl"
_OPEN = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_MOST_RECORD = 16 << 20
_MOST_LINE = 4 << 20
_CHUNK = 1 << 20


@dataclass(frozen=True)
class Package:
    """A zip that was found. name: from its evidence folder. record: None where it has none that can be read.

    folder: the evidence folder, whose custody log tells of what is done here; None where the zip stands in none. is_logged: whether
    that log tells of it, as it does of all that was received. record_sha256: of the record's bytes.
    """

    path: Path
    name: str
    folder: Path | None
    record: t.Mapping[str, t.Any] | None
    is_logged: bool = True
    record_sha256: str = ""

    def _text(self, key: str) -> str | None:
        value = (self.record or {}).get(key)
        return value if isinstance(value, str) and value else None

    @property
    def machine_id(self) -> str | None:
        return (self._text("machine_id") or "").lower() or None

    @property
    def computer_dns_name(self) -> str | None:
        return self._text("computer_dns_name")

    @property
    def sha256(self) -> str | None:
        """What the record says."""
        return (self._text("sha256") or "").lower() or None

    @property
    def is_verified(self) -> bool:
        """Whether it may be called verified, once its bytes were held against record and log: anybody can write a zip and a record."""
        return self.sha256 is not None and self.is_logged

    @property
    def collected(self) -> str | None:
        """When the device collected it, as the service says."""
        action = (self.record or {}).get("action")
        created = action.get("creationDateTimeUtc") if isinstance(action, dict) else None
        return created if isinstance(created, str) else self._text("downloaded")

    @property
    def action_id(self) -> str | None:
        """The machine action that collected it."""
        action = (self.record or {}).get("action")
        found = action.get("id") if isinstance(action, dict) else None
        return found if isinstance(found, str) and found else None

    @property
    def device(self) -> str:
        """The same for all packages of one device; a package without a record is a device of its own."""
        return self.machine_id or str(self.path)

    @property
    def label(self) -> str:
        """How the device is named to a person."""
        return self.computer_dns_name or self.machine_id or self.name


@dataclass(frozen=True)
class Logged:
    """What a custody log says of one package: its SHA-256, and that of the record made for it. More than one are a contradiction."""

    digests: set[str] = field(default_factory=set)
    records: set[str] = field(default_factory=set)


@dataclass(frozen=True)
class Found:
    """What is to be read, and what is not. unread: package and why; they stand in C(not_searched)."""

    packages: list[Package]
    unread: list[tuple[Package, str]] = field(default_factory=list)
    older: int = 0


def find(paths: t.Sequence[Path], unrecorded: bool) -> tuple[list[Package], list[tuple[Package, str]]]:
    """All packages at and below the paths, each once, by name; and those that have no record, unless they are wanted.

    Raises EvidenceError for a path that is not there or cannot be read.
    """
    files: dict[Path, None] = {}
    for path in paths:
        files.update(dict.fromkeys(_zips_at(path)))
    packages, unread = [], []
    logs: dict[Path, dict[str, Logged]] = {}
    for file in files:
        package = _package(file, logs)
        if package.sha256 is None and not unrecorded:
            unread.append(
                (package, "it has no record, so nobody can say whose it is; unrecorded: true reads it all the same")
            )
        else:
            packages.append(package)
    return packages, unread


def _zips_at(path: Path) -> t.Iterator[Path]:
    try:
        mode = path.stat().st_mode
    except OSError as failure:
        raise _unreadable(path, failure) from None
    if not stat.S_ISDIR(mode):
        yield _place(path)
        return

    def refused(failure: OSError) -> None:
        raise _unreadable(Path(failure.filename or path), failure)

    for folder, folders, names in os.walk(_place(path), onerror=refused):
        folders.sort()
        for name in sorted(names):
            if name.lower().endswith(".zip"):
                yield Path(folder) / name


def _place(path: Path) -> Path:
    """The same for what is given twice, in two ways."""
    return Path(os.path.abspath(path))


def _unreadable(path: Path, failure: OSError) -> EvidenceError:
    gone = failure.errno == errno.ENOENT
    return EvidenceError(
        f"{path} cannot be read: {failure.strerror}.",
        advice="Give the folder that packages were collected into, or a package."
        if gone
        else "Run as a user that may read the evidence.",
        code="EvidenceMissing" if gone else "EvidenceUnreadable",
    )


def _package(path: Path, logs: dict[Path, dict[str, Logged]]) -> Package:
    """logs: what the custody logs say, each of which is read once."""
    folder = next((each for each in path.parents[:2] if (each / LOG_NAME).is_file()), None)
    record, digest = _record(path.with_suffix(".json"))
    if folder is None:
        return Package(path, path.name, None, record, is_logged=False)
    if folder not in logs:
        logs[folder] = logged(folder)
    name = str(path.relative_to(folder))
    return Package(path, name, folder, record, name in logs[folder], digest)


def _record(path: Path) -> tuple[dict[str, t.Any] | None, str]:
    """With the SHA-256 of its bytes."""
    try:
        with open_ordinary(path) as file:
            content = file.read(_MOST_RECORD)
        record = json.loads(content)
    except (OSError, ValueError, RecursionError):
        return None, ""
    return (record if isinstance(record, dict) else None), hashlib.sha256(content).hexdigest()


def open_ordinary(path: Path) -> t.BinaryIO:
    """A file that is neither a link nor a pipe. Raises OSError."""
    file = os.open(path, _OPEN)
    if not stat.S_ISREG(os.fstat(file).st_mode):
        os.close(file)
        raise OSError(errno.EINVAL, "it is no ordinary file", str(path))
    return os.fdopen(file, "rb")


def newest(packages: t.Sequence[Package]) -> list[Package]:
    """Of each device the package that was collected last, in the order given; one that the log knows before one that it does not."""
    best: dict[str, Package] = {}
    for package in packages:
        other = best.get(package.device)
        if other is None or _rank(package) > _rank(other):
            best[package.device] = package
    chosen = {id(package) for package in best.values()}
    return [package for package in packages if id(package) in chosen]


def _rank(package: Package) -> tuple[bool, float]:
    return package.is_logged, parse_time(package.collected)


def of_machines(packages: t.Sequence[Package], wanted: t.Sequence[str]) -> tuple[list[Package], list[str]]:
    """The packages of the devices that were named (by device ID or DNS name, full or short), and the names without any."""
    chosen: dict[int, Package] = {}
    missing = []
    for name in wanted:
        mine = [package for package in packages if _is_of(package, name.strip().lower().rstrip("."))]
        if not mine:
            missing.append(name)
        chosen.update((id(package), package) for package in mine)
    return [package for package in packages if id(package) in chosen], missing


def _is_of(package: Package, name: str) -> bool:
    known = (package.computer_dns_name or "").lower()
    short = "." not in name or "." not in known
    return name in (package.machine_id, known) or (
        bool(known) and short and name.partition(".")[0] == known.partition(".")[0]
    )


def logged(folder: Path) -> dict[str, Logged]:
    """What an evidence folder's custody log says of its packages, by name. Not whether the log is whole."""
    found: dict[str, Logged] = {}
    try:
        with open_ordinary(folder / LOG_NAME) as log:
            while line := log.readline(_MOST_LINE):
                if b"package_stored" not in line and b"package_restored" not in line:
                    continue
                try:
                    entry = json.loads(line)
                except (ValueError, RecursionError):
                    continue
                if isinstance(entry, dict):
                    _take(entry, found)
    except OSError:
        return {}
    return found


def _take(entry: dict[str, t.Any], found: dict[str, Logged]) -> None:
    name, event = str(entry.get("path")), entry.get("event")
    if event == "package_stored":
        found.setdefault(name, Logged()).digests.add(str(entry.get("sha256")))
    elif event != "package_restored" or name not in found:
        return
    # What came back may have come with a record made anew.
    found[name].records.add(str(entry.get("record_sha256")))


def check(package: Package, file: t.BinaryIO, log: t.Mapping[str, Logged]) -> tuple[str, str | None]:
    """The file's SHA-256, and why it must not be read: it is not what its record or the custody log says. Raises OSError."""
    hasher = hashlib.sha256()
    file.seek(0)
    while chunk := file.read(_CHUNK):
        hasher.update(chunk)
    file.seek(0)
    digest = hasher.hexdigest()
    if package.sha256 is not None and digest != package.sha256:
        return digest, f"its SHA-256 is {digest}, but its record says {package.sha256}"
    said = log.get(package.name)
    if package.sha256 is None or said is None:
        return digest, None
    if digest not in said.digests:
        return digest, f"its SHA-256 is {digest}, but the custody log says {', '.join(sorted(said.digests))}"
    if package.record_sha256 not in said.records:
        return digest, "the SHA-256 of its record is not the one in the custody log, so nobody can say whose it is"
    return digest, None
