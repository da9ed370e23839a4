# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The layout of Windows packages that witnesses describe: other names than the documentation's, and any encoding."""

from __future__ import annotations

import random

# Path: (encoding, text). No two witnesses agree on the encodings; here every one of them occurs.
_TEXTS = {
    "Forensics Collection Summary.csv": (
        "utf-8-sig",
        '"Command","Start","End"\r\n"autoruns","2026-01-01T00:00:01Z","2026-01-01T00:00:09Z"\r\n',
    ),
    "Autoruns/Autoruns.txt": ("utf-16", "HKLM\\SOFTWARE\\Microsoft\\Windows\\CurrentVersion\\Run\r\n    SecurityHealth\r\n"),
    "Installed Programs/InstalledPrograms.csv": (
        "cp1252",
        '#TYPE Selected.System.Management.Automation.PSCustomObject\r\n"Name","Hersteller","Größe"\r\n"Edge","Microsoft","1"\r\n',
    ),
    "Network Connections/ActiveNetConnections.txt": (
        "cp850",
        "  TCP    10.0.0.5:52344    52.109.8.21:443    HERGESTELLT  (für {name})\r\n",
    ),
    "Network Connections/Arp.txt": ("cp437", "Interface: 10.0.0.5 --- 0x7\r\n  10.0.0.1    00-15-5d-01-02-03    dynamic\r\n"),
    "Network Connections/DnsCache.txt": ("utf-16-le", "    Record Name . . . . . : login.microsoftonline.com\r\n"),
    "Network Connections/IpConfig.txt": ("cp850", "Windows IP Configuration\r\n\r\n   Host Name . . . . : {name}\r\n"),
    "Prefetch Files/PrefetchFilesList.txt": ("utf-8", "AM_DELTA_PATCH_1.443.326.0.EX-8B3BB46B.pf\r\n"),
    "Processes/Processes.csv": ("utf-8-sig", '"Id","Name","Path"\r\n"1044","svchost","C:\\Windows\\System32\\svchost.exe"\r\n'),
    "Scheduled Tasks/ScheduledTasks.csv": ("utf-16", '"TaskName","State"\r\n"\\Microsoft\\Windows\\Defrag","Ready"\r\n'),
    "Services/Services.csv": ("cp1252", '"Name","State"\r\n"Sense","Running"\r\n'),
    "SMB Sessions/Summary.txt": ("utf-8", "There are no entries in the list.\r\n"),
    "System Information/SystemInformation.txt": ("cp850", "Host Name:    {name}\r\nAction:       {action}\r\n"),
    "Temp Directories/Public_TempDirFiles.txt": ("cp850", " Directory of C:\\Users\\Public\\AppData\\Local\\Temp\r\n"),
    "Users and Groups/LocalGroups.txt": ("utf-16-le", "Administrators\r\n    CONTOSO\\Domain Admins\r\n"),
    "Users and Groups/QueryUser.txt": ("cp437", " USERNAME    SESSIONNAME    ID  STATE\r\n"),
    "WdSupportLogs/MpCmdRunLog.txt": ("utf-16", "MpCmdRun: Command Line: \"MpCmdRun.exe\" GetFiles\r\n"),
}  # fmt: skip
# Path: the first bytes of the format, and how many follow that mean nothing.
_BINARIES = {
    "Security Event Log/Security.evtx": (b"ElfFile\x00", 6000),
    "Prefetch Files/AM_DELTA_PATCH_1.443.326.0.EX-8B3BB46B.pf": (b"MAM\x04", 900),
    "WdSupportLogs/MPSupportFiles.cab": (b"MSCF", 2000),
}


def seen(action_id: str, name: str, separator: str) -> dict[str, bytes]:
    noise = random.Random(action_id)
    files = {
        path: text.replace("{name}", name).replace("{action}", action_id).encode(encoding)
        for path, (encoding, text) in _TEXTS.items()
    }
    for path, (magic, size) in _BINARIES.items():
        files[path] = magic + noise.randbytes(size)
    return {path.replace("/", separator): data for path, data in files.items()}
