# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Bytes to evidence: a package streamed to disk, hashed, checked, recorded, and only then given its final name."""

from __future__ import annotations

import hashlib
import os
import re
import threading
import typing as t
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ansible_collections.secops.defender.plugins.module_utils._evidence import custody, events, records
from ansible_collections.secops.defender.plugins.module_utils._evidence.custody import Custody, unwritable
from ansible_collections.secops.defender.plugins.module_utils._evidence.files import (
    Dir,
    NotOrdinary,
    hash_of,
    not_ordinary,
    warn_if_open,
)
from ansible_collections.secops.defender.plugins.module_utils._evidence.history import StoredPackage
from ansible_collections.secops.defender.plugins.module_utils._evidence.parts import Busy, Part, open_part
from ansible_collections.secops.defender.plugins.module_utils._evidence.seals import sealing
from ansible_collections.secops.defender.plugins.module_utils._evidence.zip_check import BrokenCopy, check_zip
from ansible_collections.secops.defender.plugins.module_utils._words.clock import Clock
from ansible_collections.secops.defender.plugins.module_utils._words.errors import (
    EvidenceError,
    NetworkError,
    ReplyLost,
    ServiceError,
)
from ansible_collections.secops.defender.plugins.module_utils._words.models import Action, Machine, iso
from ansible_collections.secops.defender.plugins.module_utils._words.version import USER_AGENT

__all__ = ["Busy", "DuplicatePackage", "Folder", "Package", "Stream", "place", "safe_name"]

# From a byte offset on: the offset the bytes really begin at, the package's size if known, the bytes.
Stream = t.Callable[[int], t.ContextManager["tuple[int, int | None, t.Iterator[bytes]]"]]

# Downloads that broke off and are held for another try; each is an open file.
_HELD = 8


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


class DuplicatePackage(EvidenceError):
    """A package has the very bytes of another action's; it is stored and recorded (C(package)), but proves nothing of its own."""

    default_code = "DuplicatePackage"

    def __init__(self, package: Package, action_id: str, other: StoredPackage) -> None:
        self.package = package
        super().__init__(
            f"The package of the action {action_id} has the same bytes as that of the action {other.action_id} ({other.path}): "
            f"SHA-256 {package.sha256}. It was kept as {package.path}.",
            advice="Two collections never give equal packages: one of them is not what its action collected. Collect anew, and ask "
            "Microsoft's support with both action IDs.",
        )


def safe_name(text: str) -> str:
    """A folder name for a device: never a path, never hidden, never the log's; DNS names stay as they are."""
    safe = re.sub(r"[^A-Za-z0-9._-]", "_", text).lstrip(".-")[:120].rstrip(".")
    if not safe or safe != text or safe.lower() in (custody.LOG_NAME, events.SEALS):
        # What was replaced made names alike that are not.
        safe = f"{safe or 'device'}-{hashlib.sha256(text.encode('utf-8', 'surrogatepass')).hexdigest()[:8]}"
    return safe


def place(machine: Machine, action: Action) -> Path:
    """Where an action's package belongs in an evidence folder. The service's own file name has no part in it."""
    moment = re.sub(r"[-:]", "", (action.created or "").split(".")[0].rstrip("Z")) or "unknown"
    name = machine.dns_name or action.dns_name or machine.id
    return Path(safe_name(name)) / f"{safe_name(moment)}Z_{safe_name(action.id)}.zip"


class Folder:
    """An evidence folder on the control node, opened for one run. Safe for threads, and for several runs at once.

    It belongs to one tenant, and may hold packages for requests with a comment each; a run may have several folders open.
    Raises EvidenceError if it cannot be made or written, is somebody else's, or its log is not what was written: before anything is
    started. read_only: make and write nothing, but still find out whether one could (check mode). launched_by: see Custody.
    warnings: sentences for the user, each once; more may come while it is used.
    """

    def __init__(
        self, dest: str, clock: Clock, read_only: bool = False, launched_by: t.Mapping[str, str] | None = None
    ) -> None:
        self.path = Path(os.path.abspath(dest))
        self._clock = clock
        self._read_only = read_only
        self.custody = _with_whole_seals(Custody(self.path, clock, read_only, launched_by))
        self.warnings = self.custody.warnings
        self._held: dict[str, Part] = {}
        self._lock = threading.Lock()

    def require_tenant(self, tenant: str | None) -> None:
        """Raises EvidenceError (C(WrongTenantFolder)) for a folder that belongs to another tenant. Writes nothing."""
        self.custody.require_tenant(tenant)

    def close(self) -> None:
        """Leave the folder: other runs see this one no more, and downloads that broke off are removed. May be called twice."""
        with self._lock:
            held, self._held = self._held, {}
        for name, part in held.items():
            self._drop(name, part)
        self.custody.close()

    def __enter__(self) -> Folder:
        return self

    def __exit__(self, *_args: object) -> None:
        self.close()

    def place(self, machine: Machine, action: Action) -> Path:
        """The final path of an action's package."""
        return self.path / place(machine, action)

    # ---- what is there ----

    def existing(self, machine: Machine, action: Action) -> Package | None:
        """The package if an earlier run has stored it.

        What a crash left between the last steps is completed. Raises EvidenceError if log, record and bytes disagree, and
        DuplicatePackage.
        """
        final = self.place(machine, action)
        if self.custody.dir is None:
            return None
        try:
            with self.custody.dir.folder(final.parent.name) as device:
                found = self._read(device, final.name)
        except NotOrdinary as failure:
            raise not_ordinary(failure) from None
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as failure:
            raise EvidenceError(
                f"The package {final} cannot be read: {failure.strerror}.",
                advice="Check its owner and permissions, then run again.",
                code="EvidenceUnreadable",
            ) from None
        return self._agreed(machine, action, final, *found)

    def _read(self, device: Dir, name: str) -> tuple[str, int, str, dict[str, t.Any]]:
        """SHA-256 and size of the package, SHA-256 and content of its record."""
        file = device.open_file(name)
        try:
            digest, size = hash_of(file)
        finally:
            os.close(file)
        try:
            record_sha256, record = records.read(device, _record_of(name))
        except OSError:
            record_sha256, record = "", {}
        return digest, size, record_sha256, record

    def _agreed(
        self, machine: Machine, action: Action, final: Path, digest: str, size: int, record_sha256: str, record: t.Any
    ) -> Package:
        name = str(final.relative_to(self.path))
        history = self.custody.history
        if name not in history.stored:
            # Another run may just have stored it.
            history = self.custody.refresh()
        stored, verified = history.stored.get(name), history.verified.get(name)
        wrong = ""
        if (record.get("sha256"), record.get("size")) != (digest, size):
            wrong = "is not what its record says"
        elif stored and stored.sha256 != digest:
            wrong = "is not what the custody log says"
        elif not stored and (verified is None or (verified.sha256, verified.size) != (digest, size)):
            wrong = "is not in the custody log"
        elif record_sha256 != (stored or t.cast(t.Any, verified)).record_sha256:
            wrong = "has a record that is not the one that was written"
        if wrong:
            raise EvidenceError(
                f"The package {final} {wrong}; it was not touched.",
                advice="Run secops.defender.defender_verify_evidence on the folder, then move both files away.",
                code="EvidenceAltered",
            )
        if not stored and not self._read_only:
            self._announce_stored(machine, action, name, digest, record_sha256)
        package = Package(final, size, digest, str(record.get("downloaded") or ""))
        self._require_own_bytes(action, name, package)
        return package

    def _require_own_bytes(self, action: Action, name: str, package: Package) -> None:
        other = self.custody.history.duplicate_of(name)
        if other:
            raise DuplicatePackage(package, action.id, other)

    # ---- what comes ----

    def fetch(self, machine: Machine, action: Action, request: dict[str, t.Any], open_stream: Stream) -> Package:
        """Download, verify and store an action's package.

        A download that broke off (ReplyLost, NetworkError, ServiceError) is continued when this is called again for the same
        package before close; what an earlier process has left of one is not. request: who asked for what, for the record.

        Raises ReplyLost, NetworkError, ServiceError from the stream; BrokenCopy (a PackageBroken); Busy if another run is at it;
        DuplicatePackage after storing it; EvidenceError, with C(RecordedOtherwise) where the package was recorded with other bytes.
        """
        final = self.place(machine, action)
        name = str(final.relative_to(self.path))
        with self._device(final) as device:
            part = self._part(device, final, name)
            try:
                stored = self.existing(machine, action)
                if stored:
                    part.drop(device)
                    return stored
                package = self._fetch(machine, action, request, open_stream, final, part, device)
            except (ReplyLost, NetworkError, ServiceError):
                self._hold(name, part)
                raise
            except Exception:
                part.drop(device)
                raise
            finally:
                # Not by garbage collection: its lock ends here, also when the process is about to.
                if name not in self._held:
                    part.close()
        self._require_own_bytes(action, name, package)
        return package

    @contextmanager
    def _device(self, final: Path) -> t.Iterator[Dir]:
        """The device's folder, made and looked at."""
        if self.custody.dir is None:
            raise EvidenceError(f"The evidence folder {self.path} was closed already.", code="EvidenceClosed")
        try:
            with self.custody.dir.folder(final.parent.name, make=True) as device:
                if os.fstat(device.file).st_uid not in self._owners():
                    raise EvidenceError(
                        f"The folder {device.path} belongs to another user, who could replace what is in it.",
                        advice="Find out who made it, and verify the folder with secops.defender.defender_verify_evidence.",
                        code="EvidenceAltered",
                    )
                warn_if_open(device, "The device's folder")
                yield device
        except OSError as failure:
            raise unwritable(final, failure) from None

    def _owners(self) -> tuple[int, ...]:
        """Whose files are this run's own: some file systems make one owner of all."""
        return (os.geteuid(), 0, os.fstat(t.cast(Dir, self.custody.dir).file).st_uid)

    def _part(self, device: Dir, final: Path, name: str) -> Part:
        with self._lock:
            held = self._held.pop(name, None)
        part_name = f"{final.name}.part"
        if held:
            if device.is_same(part_name, held.file.fileno()):
                return held
            held.close()
        verified = self.custody.history.verified.get(name)
        return open_part(device, part_name, (verified.sha256, verified.size) if verified else None, self._owners())

    def _hold(self, name: str, part: Part) -> None:
        with self._lock:
            self._held[name] = part
            oldest = next(iter(self._held)) if len(self._held) > _HELD else None
            dropped = self._held.pop(oldest) if oldest else None
        if oldest and dropped:
            self._drop(oldest, dropped)

    def _drop(self, name: str, part: Part) -> None:
        try:
            with t.cast(Dir, self.custody.dir).folder(Path(name).parent.name) as device:
                part.drop(device)
        except OSError:
            part.close()

    def _fetch(
        self,
        machine: Machine,
        action: Action,
        request: dict[str, t.Any],
        open_stream: Stream,
        final: Path,
        part: Part,
        device: Dir,
    ) -> Package:
        name = str(final.relative_to(self.path))
        facts: dict[str, t.Any] = {"machine_id": machine.id, "action_id": action.id, "path": name}
        recorded = self.custody.history.stored.get(name)
        has_record = bool(recorded) and self._has_record(device, final, t.cast(StoredPackage, recorded))
        if not part.vouched:
            more = {"discarded_bytes": part.discarded} if part.discarded else {}
            self.custody.append(custody.DOWNLOAD_STARTED, **facts, offset=part.written, **more)
            self._download(part, open_stream)
        digest, size = part.complete(device)
        if recorded and digest != recorded.sha256:
            raise self._differs(facts, final, part, device, recorded, digest)
        try:
            checked = check_zip(part.file, self._clock).value
        except BrokenCopy as failure:
            failure.sha256 = digest
            raise
        facts.update(sha256=digest, size=size, zip_check=checked)
        record = self._record(machine, action, request, final, facts)
        event = custody.PACKAGE_RESTORED if recorded else custody.PACKAGE_VERIFIED
        if has_record:
            stored = t.cast(StoredPackage, recorded)
            self.custody.append(event, **facts, record_sha256=stored.record_sha256, record_rewritten=False)
        else:
            content = self._announce(event, facts, record)
            records.store(device, _record_of(final.name), content)
        part.put(device, final.name)
        device.sync()
        if not recorded:
            self._announce_stored(machine, action, name, digest, hashlib.sha256(content).hexdigest())
        return Package(final, size, digest, record["downloaded"])

    def _has_record(self, device: Dir, final: Path, recorded: StoredPackage) -> bool:
        """Whether the record of a package that is missing is still there. Raises EvidenceError if it is another one."""
        try:
            found = records.read(device, _record_of(final.name))[0]
        except FileNotFoundError:
            return False
        if found != recorded.record_sha256:
            raise EvidenceError(
                f"The package {final} is missing, and its record is not the one that was written; neither was touched.",
                advice="Run secops.defender.defender_verify_evidence on the folder, then move the record away.",
                code="EvidenceAltered",
            )
        return True

    def _download(self, part: Part, open_stream: Stream) -> None:
        offset = part.written
        with open_stream(offset) as (start, size, chunks):
            if start != offset:
                part.restart()
            if start not in (0, offset):
                raise ReplyLost(f"The server sent the package from byte {start} on instead of {offset}.")
            for chunk in chunks:
                self._clock.check()
                part.write(chunk)
        if size is not None and part.written < size:
            raise ReplyLost(
                f"The download ended after {part.written} of {size} bytes.",
                advice="Run again: the package is downloaded anew.",
            )

    def _record(
        self, machine: Machine, action: Action, request: dict[str, t.Any], final: Path, facts: t.Mapping[str, t.Any]
    ) -> dict[str, t.Any]:
        now, skew = self._clock.wall(), self.custody.skew
        record = {
            "tenant": self.custody.tenant,
            "machine_id": machine.id,
            "computer_dns_name": machine.dns_name,
            **request,
            **records.action_facts(action),
            "file": final.name,
            "size": facts["size"],
            "sha256": facts["sha256"],
            "sha256_taken": "on the control node while downloading: the API gives no hash",
            "zip_check": facts["zip_check"],
            "downloaded": iso(now),
            "clock_skew_seconds": request.get("clock_skew_seconds", None if skew is None else round(skew, 1)),
            "tool": USER_AGENT,
        }
        if now < action.created_at - 1:
            record["clock_contradiction"] = (
                f"By the control node's clock the package was downloaded before its action was created ({action.created})."
            )
            self.custody.warn(
                f"The clock of this computer is behind: by it, the package of the action {action.id} was downloaded at "
                f"{iso(now)}, before the action was created ({action.created}). Set the clock; the record says so."
            )
        return record

    def _announce(self, event: str, facts: t.Mapping[str, t.Any], record: dict[str, t.Any]) -> bytes:
        """Write the event with its record's SHA-256, the record bound to the line that it follows. Returns the record's bytes."""
        content = b""

        def make(head: str) -> dict[str, t.Any]:
            nonlocal content
            content = records.encoded({**record, "custody_sha256": head})
            more = {"record_rewritten": True} if event == custody.PACKAGE_RESTORED else {}
            return {**facts, "record_sha256": hashlib.sha256(content).hexdigest(), **more}

        self.custody.append_upon(event, make)
        return content

    def _differs(
        self,
        facts: t.Mapping[str, t.Any],
        final: Path,
        part: Part,
        device: Dir,
        recorded: StoredPackage,
        digest: str,
    ) -> EvidenceError:
        """Other bytes for a recorded package: kept beside it, in the log, and never in its place."""
        kept = f"{final.stem}.differs-{digest[:16]}.zip"
        if device.stat(kept) is None:
            self.custody.append(
                custody.PACKAGE_DIFFERS,
                **facts,
                sha256=recorded.sha256,
                downloaded_sha256=digest,
                kept=f"{device.path.name}/{kept}",
            )
            part.put(device, kept)
            device.sync()
        return EvidenceError(
            f"The package {final} was recorded at {recorded.time} with the SHA-256 {recorded.sha256} and is missing; the service now "
            f"gives other bytes (SHA-256 {digest}), which were kept as {device.path / kept}.",
            advice="Look for a copy of what was recorded. Collect anew if you need a package of this device; the record stays.",
            code="RecordedOtherwise",
        )

    def _announce_stored(self, machine: Machine, action: Action, name: str, digest: str, record_sha256: str) -> None:
        self.custody.append(
            custody.PACKAGE_STORED,
            machine_id=machine.id,
            action_id=action.id,
            path=name,
            sha256=digest,
            record_sha256=record_sha256,
        )


def _with_whole_seals(opened: Custody) -> Custody:
    """Raises EvidenceError."""
    try:
        sealing.check(opened)
    except BaseException:
        opened.close()
        raise
    return opened


def _record_of(package: str) -> str:
    return f"{package.removesuffix('.zip')}.json"
