# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Check an evidence folder with nothing of the collection: usage check_evidence.py FOLDER [--served-by TESTS] [--unfinished].

Prints what is in it as JSON, and ends with 1 if anything is wrong: a hash, a record, the chain of the log, a permission, a
file that does not belong there. --served-by: the folder with the package "simulator", to compare every byte with what it
serves. --unfinished: a run was killed here, so what it left half done (.part files, no record yet) is no fault.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import sys
import zipfile
from pathlib import Path
from typing import Any

DIGEST = re.compile(rb'^(\{.*),"digest":"([0-9a-f]{64})"\}$')
NAME = re.compile(r"^\d{8}T\d{6}Z_([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})\.(zip|json|zip\.part|json\.part)$")


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


class Check:
    def __init__(self, folder: Path, unfinished: bool) -> None:
        self.folder = folder
        self.unfinished = unfinished
        self.complaints: list[str] = []
        self.events: list[dict[str, Any]] = []
        self.packages: dict[str, dict[str, Any]] = {}
        self.parts: list[str] = []

    def complain(self, text: str) -> None:
        self.complaints.append(text)

    def log(self) -> None:
        path = self.folder / "custody.jsonl"
        data = path.read_bytes()
        self.mode(path, 0o600)
        if not data.endswith(b"\n") and not self.unfinished:
            self.complain("the log's last line has no end")
        before, number, torn = "0" * 64, 0, False
        for line in data.removesuffix(b"\n").split(b"\n"):
            match = DIGEST.match(line)
            entry = json.loads(line) if match else {}
            if torn and entry.get("event") != "log_repaired":
                self.complain(f"a torn line is not announced as repaired after line {number}")
            torn = not match
            if match:
                number += 1
                if sha256(match[1] + b"}") != match[2].decode():
                    self.complain(f"line {number} does not match its digest")
                if entry["seq"] != number:
                    self.complain(f"line {number} says it is {entry['seq']}")
                if entry["previous_sha256"] != before:
                    self.complain(f"line {number} does not follow the line before")
                self.events.append(entry)
            before = sha256(line)
        if torn and not self.unfinished:
            self.complain("the log's last line is torn")

    def mode(self, path: Path, expected: int) -> None:
        found = path.stat().st_mode & 0o777
        if found != expected:
            self.complain(f"{path.name} has mode {found:o} instead of {expected:o}")

    def files(self) -> None:
        self.mode(self.folder, 0o700)
        for folder in sorted(self.folder.iterdir()):
            if folder.name == "custody.jsonl" or (folder.name == ".runs" and self.unfinished):
                continue
            if not folder.is_dir():
                self.complain(f"{folder.name} does not belong here")
                continue
            self.mode(folder, 0o700)
            for path in sorted(folder.iterdir()):
                self.mode(path, 0o600)
                match = NAME.match(path.name)
                if not match:
                    self.complain(f"{path.relative_to(self.folder)} does not belong here")
                elif match[2].endswith("part"):
                    self.parts.append(str(path.relative_to(self.folder)))
                elif match[2] == "zip":
                    self.package(path, match[1])
                elif not path.with_suffix(".zip").exists() and not self.unfinished:
                    self.complain(f"the record {path.name} has no package")
        if self.parts and not self.unfinished:
            self.complain(f"half files are left: {', '.join(self.parts)}")

    def package(self, path: Path, action_id: str) -> None:
        name = str(path.relative_to(self.folder))
        data = path.read_bytes()
        digest = sha256(data)
        with zipfile.ZipFile(path) as archive:
            if archive.testzip():
                self.complain(f"{name} is damaged")
        record_path = path.with_suffix(".json")
        if not record_path.exists():
            self.complain(f"{name} has no record")
            return
        text = record_path.read_bytes()
        record = json.loads(text)
        expected = {"sha256": digest, "size": len(data), "file": path.name, "computer_dns_name": path.parent.name}
        for key, value in expected.items():
            if record.get(key) != value:
                self.complain(f"the record of {name} says {key} {record.get(key)}, but it is {value}")
        if record["action"]["id"] != action_id or record["action"]["machineId"] != record["machine_id"]:
            self.complain(f"the record of {name} is of another action or device")
        told = [event for event in self.events if event.get("path") == name]
        kinds = [event["event"] for event in told]
        stored = [event for event in told if event["event"] == "package_stored"]
        if [event["sha256"] for event in stored] != [digest] and not (self.unfinished and not stored):
            self.complain(f"the log says {len(stored)} times that {name} was stored, or with another hash")
        if stored and stored[0]["record_sha256"] != sha256(text):
            self.complain(f"the record of {name} is not the one that the log knows")
        # Written ahead of what it announces.
        order = [kind for kind in kinds if kind in ("download_started", "package_verified", "package_stored")]
        if order[:1] != ["download_started"] or "package_verified" not in order:
            self.complain(f"the log does not tell how {name} came: {', '.join(kinds)}")
        self.packages[action_id] = {
            "path": str(path),
            "size": len(data),
            "sha256": digest,
            "machine_id": record["machine_id"],
            "computer_dns_name": record["computer_dns_name"],
            "custody_sha256": record["custody_sha256"],
        }

    def served(self, tests: str) -> None:
        sys.path.insert(0, tests)
        from simulator.packages import package

        for action_id, found in self.packages.items():
            content = package(1, action_id, found["computer_dns_name"], "Windows11", None)
            if sha256(b"".join(content.chunks())) != found["sha256"]:
                self.complain(f"the package of {found['computer_dns_name']} is not what was served")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--served-by")
    parser.add_argument("--unfinished", action="store_true")
    options = parser.parse_args()
    check = Check(options.folder, options.unfinished)
    check.log()
    check.files()
    if options.served_by:
        check.served(options.served_by)
    report = {
        "complaints": check.complaints,
        "packages": check.packages,
        "parts": check.parts,
        "events": [event["event"] for event in check.events],
        "runs": len({event["run"] for event in check.events}),
    }
    json.dump(report, sys.stdout)
    sys.exit(1 if check.complaints else 0)


if __name__ == "__main__":
    main()
