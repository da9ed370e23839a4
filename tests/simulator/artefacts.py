# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What stands in real packages: event logs, MSZIP cabinets, prefetch files, texts in many encodings; anything can be planted.

Names and encodings are those of witnesses and of the documentation; macOS and Linux by the documentation's labels. Event logs
are as Windows writes them (templates with literals, values one behind the other, EventData as binary XML within), so that other
readers read them.
"""

from __future__ import annotations

import argparse
import io
import json
import struct
import typing as t
import zipfile
import zlib
from dataclasses import dataclass, field
from pathlib import Path

# Windows' time of 2026-11-23 09:00 UTC, in hundreds of nanoseconds since 1601.
EPOCH = (1795424400 + 11644473600) * 10_000_000

# ---- event logs ----

_CHUNK, _FIRST = 1 << 16, 512
_FULL = 4096


@dataclass(frozen=True)
class Event:
    """filetime: hundreds of nanoseconds since 1601. data: names to texts, as EventData has them."""

    number: int
    filetime: int = EPOCH
    data: t.Mapping[str, str] = field(default_factory=dict)
    event_id: int = 4624


def event_log(events: t.Sequence[Event], computer: str) -> bytes:
    """A whole .evtx file."""
    chunks: list[bytes] = []
    chunk = _Chunk(computer)
    for event in events:
        if not chunk.take(event):
            chunks.append(chunk.whole())
            chunk = _Chunk(computer)
            if not chunk.take(event):
                raise ValueError("an event that no chunk has room for")
    chunks.append(chunk.whole())
    last = events[-1].number if events else 0
    head = struct.pack("<8sQQQIHHHH", b"ElfFile\0", 0, len(chunks) - 1, last + 1, 128, 1, 3, 4096, len(chunks))
    head = head.ljust(120, b"\0")
    return (head + struct.pack("<II", 0, zlib.crc32(head))).ljust(4096, b"\0") + b"".join(chunks)


class _Chunk:
    def __init__(self, computer: str) -> None:
        self._computer = computer
        self._data = bytearray(_FIRST)
        self._names: dict[str, int] = {}
        self._templates: dict[t.Any, int] = {}
        self._events: list[int] = []
        self._last = 0

    def take(self, event: Event) -> bool:
        """False where it has no room left."""
        before = bytes(self._data), dict(self._names), dict(self._templates)
        start = len(self._data)
        self._data += struct.pack("<4sIQQ", b"**\0\0", 0, event.number, event.filetime)
        self._system(event)
        self._data += b"\0" * (-(len(self._data) + 4 - start) % 8)
        size = len(self._data) + 4 - start
        self._data += struct.pack("<I", size)
        struct.pack_into("<I", self._data, start + 4, size)
        if len(self._data) > _CHUNK:
            self._data, self._names, self._templates = bytearray(before[0]), before[1], before[2]
            return False
        self._events.append(event.number)
        self._last = start
        return True

    def whole(self) -> bytes:
        free = len(self._data)
        data = bytearray(self._data.ljust(_CHUNK, b"\0"))
        first, last = (self._events[0], self._events[-1]) if self._events else (0, 0)
        struct.pack_into(
            "<8sQQQQIIII",
            data,
            0,
            b"ElfChnk\0",
            first,
            last,
            first,
            last,
            128,
            self._last,
            free,
            zlib.crc32(data[_FIRST:free]),
        )
        struct.pack_into("<I", data, 124, zlib.crc32(bytes(data[:120] + data[128:512])))
        return bytes(data)

    # Binary XML, written where it stands: names and templates are referred to by their offsets in the chunk.

    def _system(self, event: Event) -> None:
        def definition() -> None:
            with_close = [
                ("EventID", 0, 0x06),
                ("EventRecordID", 1, 0x0A),
            ]
            self._open("Event")
            self._open("System")
            for name, number, kind in with_close:
                self._open(name)
                self._data += struct.pack("<BHB", 0x0D, number, kind)
                self._close()
            self._open("Computer")
            text = self._computer.encode("utf-16-le")
            self._data += struct.pack("<BBH", 0x05, 0x01, len(text) // 2) + text
            self._close()
            self._close()
            self._data += struct.pack("<BHB", 0x0D, 2, 0x21)
            self._close()

        values = [(0x06, struct.pack("<H", event.event_id)), (0x0A, struct.pack("<Q", event.number))]
        self._instance(("system", self._computer), definition, values, lambda: self._event_data(event))

    def _event_data(self, event: Event) -> None:
        names = tuple(event.data)

        def definition() -> None:
            self._open("EventData")
            for number, name in enumerate(names):
                self._open("Data", {"Name": name})
                self._data += struct.pack("<BHB", 0x0E, number, 0x01)
                self._close()
            self._close()

        values = [(0x01, text.encode("utf-16-le")) for text in event.data.values()]
        self._instance(("data", names), definition, values, None)

    def _instance(
        self,
        key: t.Any,
        definition: t.Callable[[], None],
        values: list[tuple[int, bytes]],
        nested: t.Callable[[], None] | None,
    ) -> None:
        self._data += b"\x0f\x01\x01\x00\x0c\x01" + struct.pack("<I", zlib.crc32(repr(key).encode()))
        known = self._templates.get(key)
        self._data += struct.pack("<I", known or len(self._data) + 4)
        if known is None:
            at = self._templates[key] = len(self._data)
            self._data += struct.pack("<I16sI", 0, struct.pack("<IIII", zlib.crc32(repr(key).encode()), 1, 2, 3), 0)
            begun = len(self._data)
            self._data += b"\x0f\x01\x01\x00"
            self._opened: list[int] = []
            definition()
            self._data += b"\0"
            struct.pack_into("<I", self._data, at + 20, len(self._data) - begun)
        count = len(values) + bool(nested)
        self._data += struct.pack("<I", count)
        for kind, data in values:
            self._data += struct.pack("<HBB", len(data), kind, 0)
        place = len(self._data)
        if nested:
            self._data += struct.pack("<HBB", 0, 0x21, 0)
        for _kind, data in values:
            self._data += data
        if nested:
            begun = len(self._data)
            nested()
            struct.pack_into("<H", self._data, place, len(self._data) - begun)

    def _open(self, name: str, attributes: t.Mapping[str, str] | None = None) -> None:
        self._data += struct.pack("<BHI", 0x41 if attributes else 0x01, 0xFFFF, 0)
        self._opened.append(len(self._data))
        self._name(name)
        if attributes:
            self._data += struct.pack("<I", 0)
            begun = len(self._data)
            for key, value in attributes.items():
                self._data += b"\x06"
                self._name(key)
                text = value.encode("utf-16-le")
                self._data += struct.pack("<BBH", 0x05, 0x01, len(text) // 2) + text
            struct.pack_into("<I", self._data, begun - 4, len(self._data) - begun)
        self._data += b"\x02"

    def _close(self) -> None:
        self._data += b"\x04"
        begun = self._opened.pop()
        struct.pack_into("<I", self._data, begun - 4, len(self._data) - begun)

    def _name(self, name: str) -> None:
        known = self._names.get(name)
        self._data += struct.pack("<I", known or len(self._data) + 4)
        if known is None:
            self._names[name] = len(self._data)
            text = name.encode("utf-16-le")
            self._data += struct.pack("<IHH", 0, zlib.crc32(text) & 0xFFFF, len(name)) + text + b"\0\0"


# ---- cabinets and prefetch files ----

_BLOCK = 1 << 15


def cabinet(files: t.Mapping[str, bytes], kind: int = 1) -> bytes:
    """A cabinet of one folder. kind: of compression, as the format numbers it; only 1 (MSZIP) and 0 are really packed so."""
    whole = b"".join(files.values())
    blocks, before = [], b""
    for at in range(0, len(whole), _BLOCK):
        data = whole[at : at + _BLOCK]
        packed = data
        if kind == 1:
            deflate = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS, zdict=before)
            packed = b"CK" + deflate.compress(data) + deflate.flush()
            before = (before + data)[-_BLOCK:]
        blocks.append(struct.pack("<IHH", 0, len(packed), len(data)) + packed)
    listed, at = b"", 0
    for name, data in files.items():
        listed += (
            struct.pack("<IIHHHH", len(data), at, 0, 0x5B77, 0x4800, 0x20) + name.encode("cp1252", "replace") + b"\0"
        )
        at += len(data)
    first = 36 + 8
    start = first + len(listed)
    size = start + sum(map(len, blocks))
    head = struct.pack("<4sIIIIIBBHHHHH", b"MSCF", 0, size, 0, first, 0, 3, 1, 1, len(files), 0, 4711, 0)
    return head + struct.pack("<IHH", start, len(blocks), kind) + listed + b"".join(blocks)


def prefetch(size: int = 20_000) -> bytes:
    """A compressed prefetch file, as far as one can tell without unpacking it."""
    return b"MAM\x04" + struct.pack("<I", size) + zlib.compress(b"\\DEVICE\\HARDDISKVOLUME3\\WINDOWS\\SYSTEM32" * 50)


def ran(name: str, filetimes: t.Sequence[int], version: int = 30, compressed: bool = True) -> bytes:
    """A prefetch file that tells when its program ran, as Windows writes it but for what the test needs not.

    Compressed by Xpress Huffman with nothing but literals: each byte is its own code of eight bits, in words of 16 bits.
    """
    header = struct.pack("<I4sII60sII", version, b"SCCA", 17, 1 << 16, name[:29].encode("utf-16-le"), 0x4A81B364, 0)
    times = struct.pack("<8Q", *(list(filetimes) + [0] * 8)[:8])
    plain = header + bytes(44) + times + bytes(16) + struct.pack("<I", len(filetimes)) + bytes(20_000)
    if not compressed:
        return plain
    words = bytearray(plain)
    words[0::2], words[1::2] = plain[1::2], plain[0::2]
    return b"MAM\x04" + struct.pack("<I", len(plain)) + b"\x88" * 128 + bytes(128) + bytes(words) + bytes(4)


# ---- packages ----

UTF16, UTF16_BOM, UTF8, UTF8_BOM, ANSI, OEM = "utf-16-le", "utf-16", "utf-8", "utf-8-sig", "cp1252", "cp850"

_ERROR = "ERROR: The system was unable to find the specified registry key or value.\r\n"
_TRACES = "ROBOCOPY.EXE", "XCOPY.EXE", "SENSESAMPLEUPLOADER.EXE", "SENSEIR.EXE"


def _computer(name: str) -> str:
    return name.partition(".")[0].upper()[:15]


def seen(name: str) -> dict[str, bytes]:
    """A Windows package in the layout of the witnesses, on a German Windows: OEM and ANSI texts, UTF-16, CSV in their ways."""
    texts: dict[str, tuple[str, str]] = {
        "Forensics Collection Summary.csv": (UTF8_BOM, '"Command","Start","End"\r\n"reg query","10:15:01","10:15:02"\r\n'),
        "Autoruns/Autoruns.txt": (UTF16, "HKLM\\SOFTWARE\\Microsoft\\Windows\\CurrentVersion\\Run\r\n  SecurityHealth\r\n"),
        "Autoruns/HKCU_Run.txt": (OEM, _ERROR),
        "Installed Programs/InstalledPrograms.csv": (UTF16_BOM, '#TYPE Selected\r\n"Name","Version"\r\n"Edge","120.0"\r\n'),
        "Network Connections/ActiveNetConnections.txt": (OEM, "  TCP    10.0.0.5:52344    52.109.8.21:443    HERGESTELLT\r\n"),
        "Network Connections/Arp.txt": (OEM, "Schnittstelle: 10.0.0.5 --- 0x7\r\n"),
        "Network Connections/DnsCache.txt": (OEM, "    Eintragsname  . . . . : login.microsoftonline.com\r\n"),
        "Network Connections/IpConfig.txt": (OEM, f"\r\nWindows-IP-Konfiguration\r\n\r\n   Hostname  . . . . . . : {name.partition('.')[0]}\r\n"),
        "Network Connections/FirewallExecutionLog.txt": (OEM, "OK.\r\n"),
        "Prefetch Files/PrefetchFilesList.txt": (ANSI, "".join(f"{each}-4A81B364.pf\r\n" for each in _TRACES)),
        "Processes/Processes.csv": (UTF16_BOM, '#TYPE System.Diagnostics.Process\r\n"Prozess-ID","Name"\r\n"4","System"\r\n"1044","SenseIR"\r\n'),
        "Scheduled Tasks/ScheduledTasks.csv": (OEM, '"Aufgabenname","Nächste Laufzeit"\r\n"\\Defrag","Läuft"\r\n'),
        "Services/Services.csv": (ANSI, '"Name","Status"\r\n"Sense","Läuft"\r\n"WinDefend","Läuft"\r\n'),
        "SMB Sessions/Summary.txt": (OEM, "Es sind keine Einträge in der Liste.\r\n"),
        "System Information/SystemInformation.txt": (OEM, f"\r\nHostname:                  {_computer(name)}\r\nBetriebssystemname:        Windows 11\r\n"),
        "Temp Directories/admin_TempDirFiles.txt": (UTF16, " Verzeichnis von C:\\Users\\admin\\AppData\\Local\\Temp\r\n"),
        "Users and Groups/LocalGroups.txt": (OEM, "*Administratoren\r\n"),
        "Users and Groups/QueryUser.txt": (OEM, " BENUTZERNAME  SITZUNGSNAME\r\n"),
    }  # fmt: skip
    files = {path: text.encode(codec) for path, (codec, text) in texts.items()}
    files["Prefetch Files/POWERSHELL.EXE-920BBA2A.pf"] = prefetch()
    files.update({f"Prefetch Files/{each}-4A81B364.pf": prefetch() for each in _TRACES})
    files["Security Event Log/Security.evtx"] = event_log(_events(), name)
    files["WdSupportLogs/MpCmdRunLog.txt"] = "MpCmdRun: Command Line: MpCmdRun.exe -GetFiles\r\n".encode(UTF16_BOM)
    files["WdSupportLogs/MPSupportFiles.cab"] = cabinet(_support())
    return files


def _events(more: t.Sequence[t.Mapping[str, str]] = ()) -> list[Event]:
    common = {"TargetUserName": "SYSTEM", "WorkstationName": "-", "IpAddress": "127.0.0.1", "IpPort": "0"}
    return [
        Event(100 + number, EPOCH + number * 10_000_000, {**common, **each})
        for number, each in enumerate(({}, {}, *more, {}))
    ]


def _support(line: str = "") -> dict[str, bytes]:
    log = "".join(
        f"2026-11-23T09:{number // 60:02}:{number % 60:02}.123Z Engine: looked at C:\\Windows\\System32\\{number}.dll\r\n"
        for number in range(900)
    )
    return {
        "MPLog-20261123-090000.log": f"{log}{line}".encode(UTF16_BOM),
        "MPDetection-20261123-090000.log": "2026-11-23T09:00:00.000Z MPDetection\r\n".encode(UTF16_BOM),
        "MPRegistry.txt": b"Current configuration options\r\n",
    }


def documented(name: str) -> dict[str, bytes]:
    """A Windows package as Microsoft documents it."""
    files = {
        "CollectionSummaryReport.xls": "Data point\tCommand\tStatus\tError code\r\nAutoruns\treg query\tSucceeded\t0\r\n",
        "Autoruns/HKLM_Run.txt": "HKLM\\SOFTWARE\\Microsoft\\Windows\\CurrentVersion\\Run\r\n    SecurityHealth\r\n",
        "Autoruns/HKLM_RunOnce.txt": _ERROR,
        "Installed programs/InstalledPrograms.csv": "Name,Version,Publisher\r\nEdge,120.0.2210.91,Microsoft\r\n",
        "Network connections/ActiveNetConnections.txt": "  TCP    10.0.0.5:52344    52.109.8.21:443    ESTABLISHED\r\n",
        "Network connections/IpConfig.txt": f"\r\nWindows IP Configuration\r\n\r\n   Host Name . . . . . . : {name.partition('.')[0]}\r\n",
        "Network connections/pfirewall.log": "#Version: 1.5\r\n#Software: Microsoft Windows Firewall\r\n",
        "Prefetch files/PrefetchFilesList.txt": "CMD.EXE-4A81B364.pf\r\n",
        "Processes/Processes.csv": "Id,Name,Path\r\n4,System,\r\n",
        "Scheduled tasks/ScheduledTasks.csv": "TaskName,State\r\n\\Defrag,Ready\r\n",
        "Services/Services.csv": "Name,State\r\nSense,Running\r\n",
        "SMB sessions/SMBInboundSessions.txt": "There are no entries in the list.\r\n",
        "SMB sessions/SMBOutboundSession.txt": "There are no entries in the list.\r\n",
        "System Information/SystemInformation.txt": f"\r\nHost Name:                 {_computer(name)}\r\nOS Name:    Windows 10\r\n",
        "Temp Directories/TempDirectories.txt": " Directory of C:\\Users\\Public\\AppData\\Local\\Temp\r\n",
        "Users and Groups/UsersAndGroups.txt": "Administrators\r\n",
    }  # fmt: skip
    packed = {path: text.encode() for path, text in files.items()}
    packed["Security event log/Security.evtx"] = event_log(_events(), name)
    packed["WdSupportLogs/MPSupportFiles.cab"] = cabinet(_support())
    return packed


def unix(name: str, system: str) -> dict[str, bytes]:
    """A package of macOS or Linux, by the documentation's labels; the names of files are invented."""
    files = {
        "Processes/processes.txt": "  PID  PPID USER     COMMAND\n    1     0 root     init\n",
        "Network/connections.txt": "tcp4  0  0  10.0.0.5.52344  52.109.8.21.443  ESTABLISHED\n",
        "Users and Groups/sudoers.txt": "root ALL=(ALL) ALL\n",
        "Open files/open_files.txt": "COMMAND  PID USER   FD   TYPE NAME\nwdavdaemon 312 root cwd DIR /\n",
        "Disk volumes/volumes.txt": "/dev/disk1s1 on / (apfs, local)\n",
    }
    own = {
        "macos": {
            "Applications/applications.txt": "Safari 17.0\n",
            "Shell history/admin_zsh_history.txt": ": 1795424400:0;ls\n",
            "Configuration profiles/profiles.txt": "There are no configuration profiles installed\n",
            "System security information/SIP.txt": "System Integrity Protection status: enabled.\n",
        },
        "linux": {"OS information/os_release.txt": f"NAME=Ubuntu\nHOSTNAME={name}\n", "CPU/cpu.txt": "model name: x\n"},
    }
    return {path: text.encode() for path, text in {**files, **own[system]}.items()}


LAYOUTS: dict[str, t.Callable[[str], dict[str, bytes]]] = {
    "seen": seen,
    "documented": documented,
    "backslashes": lambda name: {path.replace("/", "\\"): data for path, data in seen(name).items()},
    "macos": lambda name: unix(name, "macos"),
    "linux": lambda name: unix(name, "linux"),
}


def planted(files: dict[str, bytes], path: str, text: str, codec: str | None = None) -> dict[str, bytes]:
    """The files with a line more in one of them: an event of an event log, a line of the log in the cabinet, or a line of text.

    codec: of the text, the file's own unless it is new. The last line ends the file, so that nothing is cut.
    """
    changed = dict(files)
    if path.endswith(".evtx"):
        changed[path] = event_log(_events([{"IpAddress": text}]), "planted.contoso.com")
    elif path.endswith(".cab"):
        changed[path] = cabinet(_support(f"2026-11-23T09:30:00.000Z {text}\r\n"))
    else:
        changed[path] = files.get(path, b"") + f"{text}\r\n".encode(codec or UTF8)
    return changed


def zipped(files: t.Mapping[str, bytes]) -> bytes:
    """The same bytes for the same files."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, data in files.items():
            entry = zipfile.ZipInfo("x", (2026, 11, 23, 10, 15, 2))
            # As Windows' tools write them, backslashes included.
            entry.filename = path
            archive.writestr(entry, data, zipfile.ZIP_DEFLATED)
    return buffer.getvalue()


def main() -> None:
    """Writes packages for C(package_file) of a device: a JSON list of path, name, layout, and plants (path, text, codec)."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("wanted", type=Path, help="the JSON file")
    parser.add_argument("below", type=Path, help="the folder of relative paths")
    given = parser.parse_args()
    for each in json.loads(given.wanted.read_text(encoding="utf-8")):
        files = LAYOUTS[each.get("layout", "seen")](each["name"])
        for plant in each.get("plants", ()):
            files = planted(files, **plant)
        (given.below / each["path"]).write_bytes(zipped(files))


if __name__ == "__main__":
    main()
