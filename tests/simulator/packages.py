# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Investigation packages: small realistic archives, or archives of any size that cost next to nothing to serve."""

from __future__ import annotations

import functools
import io
import random
import struct
import zipfile
import zlib

from .layouts import seen
from .messages import Content

_BLOCK = 8 * 1024 * 1024
_DATE = (46 << 9) | (1 << 5) | 1
_MAX32 = 0xFFFFFFFF
_MAX16 = 0xFFFF

_UNIX = {
    "Processes/processes.txt": "  PID  PPID USER     COMMAND\n    1     0 root     /sbin/launchd\n",
    "Network/connections.txt": "tcp4  0  0  10.0.0.5.52344  52.109.8.21.443  ESTABLISHED\n",
    "Users and Groups/sudoers.txt": "root ALL=(ALL) ALL\n%admin ALL=(ALL) ALL\n",
    "Open files/open_files.txt": "COMMAND  PID USER   FD   TYPE NAME\nwdavdaemon 312 root cwd DIR /\n",
}
_WINDOWS = {
    "Autoruns/HKLM_Run.txt": "HKLM\\SOFTWARE\\Microsoft\\Windows\\CurrentVersion\\Run\n    SecurityHealth\n",
    "Installed programs/InstalledPrograms.csv": "Name,Version,Publisher\nEdge,120.0.2210.91,Microsoft\n",
    "Network connections/ActiveNetConnections.txt": "  TCP    10.0.0.5:52344    52.109.8.21:443    ESTABLISHED\n",
    "Network connections/Arp.txt": "Interface: 10.0.0.5 --- 0x7\n  10.0.0.1    00-15-5d-01-02-03    dynamic\n",
    "Network connections/DnsCache.txt": "    Record Name . . . . . : login.microsoftonline.com\n",
    "Network connections/IpConfig.txt": "Windows IP Configuration\n\n   Host Name . . . . : {name}\n",
    "Network connections/pfirewall.log": "#Version: 1.5\n#Software: Microsoft Windows Firewall\n",
    "Prefetch files/PrefetchFilesList.txt": "CMD.EXE-4A81B364.pf\nPOWERSHELL.EXE-920BBA2A.pf\n",
    "Processes/Processes.csv": "Id,Name,Path\n4,System,\n1044,svchost,C:\\Windows\\System32\\svchost.exe\n",
    "Scheduled tasks/ScheduledTasks.csv": "TaskName,State\n\\Microsoft\\Windows\\Defrag\\ScheduledDefrag,Ready\n",
    "Services/Services.csv": "Name,State\nSense,Running\nWinDefend,Running\n",
    "System Information/SystemInformation.txt": "Host Name:    {name}\nAction:       {action}\n",
    "Temp Directories/TempDirectories.txt": "Directory of C:\\Users\\Public\\AppData\\Local\\Temp\n",
    "Users and Groups/UsersAndGroups.txt": "Administrators\n    CONTOSO\\Domain Admins\n",
}


@functools.lru_cache(maxsize=4)
def _noise(seed: int) -> bytes:
    return random.Random(seed).randbytes(_BLOCK)


LAYOUTS = ("documented", "seen", "backslashes")


def package(
    seed: int, action_id: str, name: str, os_platform: str, size: int | None, layout: str = "documented"
) -> Content:
    """The same bytes for the same action, every time. layout: of a Windows package without a given size."""
    if size is None and layout != "documented" and os_platform.startswith("Windows"):
        return _deflated(seen(action_id, name, "/" if layout == "seen" else "\\"))
    listed = _WINDOWS if os_platform.startswith("Windows") else _UNIX
    files = {path: text.format(name=name, action=action_id).encode() for path, text in listed.items()}
    log = "Security event log/Security.evtx" if listed is _WINDOWS else "System log/system.log.gz"
    files[log] = b"ElfFile\x00" + random.Random(action_id).randbytes(6000)
    files["CollectionSummaryReport.xls"] = (
        b"Data point\tCommand\tStatus\tError code\nAutoruns\treg query\tSucceeded\t0\n"
    )
    if size is None:
        return _deflated(files)
    return _stored({"System Information/SystemInformation.txt": f"{name} {action_id}\n".encode()}, _noise(seed), size)


def _deflated(files: dict[str, bytes]) -> Content:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, data in files.items():
            archive.writestr(zipfile.ZipInfo(path, (2026, 1, 1, 0, 0, 0)), data, zipfile.ZIP_DEFLATED)
    return Content([buffer.getvalue()])


def _stored(files: dict[str, bytes], block: bytes, size: int) -> Content:
    """zipfile would compute checksums over gigabytes; here the members repeat one block, and so its checksum."""
    members = list(files.items())
    overhead = sum(len(data) + _member_overhead(path) for path, data in members) + _END
    left = size - overhead
    while left > 0:
        path = f"Prefetch files/Volume{len(members):06d}.bin"
        length = min(left - _member_overhead(path), len(block))
        if length < 0:
            break
        members.append((path, block if length == len(block) else block[:length]))
        left -= length + _member_overhead(path)
    checksum = zlib.crc32(block)
    parts: list[bytes] = []
    directory: list[bytes] = []
    offset = 0
    for path, data in members:
        crc = checksum if data is block else zlib.crc32(data)
        name = path.encode()
        header = struct.pack(
            "<4sHHHHHIIIHH", b"PK\x03\x04", 45, 0, 0, 0, _DATE, crc, len(data), len(data), len(name), 0
        )
        extra = struct.pack("<HHQ", 1, 8, offset)
        directory.append(
            struct.pack(
                "<4sHHHHHHIIIHHHHHII", b"PK\x01\x02", 45, 45, 0, 0, 0, _DATE, crc, len(data), len(data), len(name),
                len(extra), 0, 0, 0, 0, _MAX32,
            )
            + name
            + extra
        )  # fmt: skip
        parts += [header + name, data]
        offset += len(header) + len(name) + len(data)
    end = _end_records(len(members), sum(map(len, directory)), offset, comment=max(left, 0))
    return Content([*parts, *directory, end])


def _member_overhead(path: str) -> int:
    return 30 + 46 + 12 + 2 * len(path)


_END = 56 + 20 + 22


def _end_records(count: int, size: int, offset: int, comment: int) -> bytes:
    zip64 = struct.pack("<4sQHHIIQQQQ", b"PK\x06\x06", 44, 45, 45, 0, 0, count, count, size, offset)
    locator = struct.pack("<4sIQI", b"PK\x06\x07", 0, offset + size, 1)
    short = min(count, _MAX16)
    end = struct.pack("<4sHHHHIIH", b"PK\x05\x06", 0, 0, short, short, min(size, _MAX32), _MAX32, comment)
    return zip64 + locator + end + b" " * comment


def corrupted(content: Content) -> Content:
    """The length stays right and the structure readable: only a checksum shows that a member is not what was packed."""
    index = max(range(len(content.parts)), key=lambda number: len(content.parts[number]))
    part = bytearray(content.parts[index])
    middle = len(part) // 2
    part[middle : middle + 8] = bytes(byte ^ 0xFF for byte in part[middle : middle + 8])
    return Content([*content.parts[:index], bytes(part), *content.parts[index + 1 :]])
