# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""An evidence folder with packages of simulated devices, for the tests of what reads evidence."""

from __future__ import annotations

import hashlib
import json
import typing as t
from pathlib import Path

from ansible_collections.secops.defender.plugins.module_utils._evidence.custody import PACKAGE_STORED, Custody
from ansible_collections.secops.defender.plugins.module_utils._words.clock import Clock
from simulator import artefacts

NETWORK = "Network Connections/ActiveNetConnections.txt"
CREATED = "2026-11-23T10:15:00Z"
# What can be searched whole: no prefetch files.
WHOLE = {
    "Autoruns/Autoruns.txt": b"SecurityHealth",
    NETWORK: b"TCP 10.0.0.5:52344",
    "Processes/Processes.csv": b"4,System",
    "Services/Services.csv": b"Sense,Running",
    "Scheduled Tasks/ScheduledTasks.csv": b"Defrag,Ready",
    "Installed Programs/InstalledPrograms.csv": b"Edge",
    "Users and Groups/LocalGroups.txt": b"Administrators",
    "System Information/SystemInformation.txt": b"Windows 11",
    "Security Event Log/Security.evtx": artefacts.event_log([artefacts.Event(1, data={"A": "b"})], "pc"),
}


class Evidence:
    """An evidence folder with a custody log, as collecting leaves it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.path.mkdir(mode=0o700)
        custody = Custody(self.path, Clock())
        custody.begin(asked_by={}, comment="Incident 4711", devices=1)
        custody.close()

    def add(
        self,
        name: str,
        files: t.Mapping[str, bytes] | None = None,
        created: str = CREATED,
        recorded: bool = True,
        logged: bool = True,
    ) -> Path:
        """A device's package. logged: in the custody log as well, where it is recorded."""
        folder = self.path / name
        folder.mkdir(mode=0o700, exist_ok=True)
        package = folder / f"{created.replace(':', '').replace('-', '')}_{len(list(folder.iterdir()))}.zip"
        package.write_bytes(artefacts.zipped(WHOLE if files is None else files))
        if recorded:
            record = {
                "machine_id": hashlib.sha1(name.encode()).hexdigest(),
                "computer_dns_name": name,
                "sha256": hashlib.sha256(package.read_bytes()).hexdigest(),
                "action": {"creationDateTimeUtc": created},
                "custody_sha256": hashlib.sha256(
                    (self.path / "custody.jsonl").read_bytes().splitlines()[-1]
                ).hexdigest(),
            }
            package.with_suffix(".json").write_text(json.dumps(record), encoding="utf-8")
        if recorded and logged:
            self.log(package)
        return package

    def log(self, package: Path) -> None:
        """What collecting says of a package that it has stored."""
        custody = Custody(self.path, Clock())
        facts = {
            name: hashlib.sha256(path.read_bytes()).hexdigest()
            for name, path in (("sha256", package), ("record_sha256", package.with_suffix(".json")))
        }
        custody.append(PACKAGE_STORED, path=str(package.relative_to(self.path)), **facts)
        custody.close()

    def rewrite(self, package: Path, **changed: t.Any) -> None:
        """Another record for a package, which the log tells of as well."""
        path = package.with_suffix(".json")
        path.write_text(json.dumps({**json.loads(path.read_text()), **changed}))
        self.log(package)

    def lines(self) -> list[dict[str, t.Any]]:
        return [json.loads(line) for line in (self.path / "custody.jsonl").read_text().splitlines()]
