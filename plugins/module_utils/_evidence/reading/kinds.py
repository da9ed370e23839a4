# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is in packages, as data: kinds of artefact by the names of entries, and which kinds a package always has.

Names: the layouts that were seen and the documented ones (C(CollectionSummaryReport.xls), one Autoruns file a registry key);
neither is required. Folders' spelling, capitals and slashes vary, so names are compared without them. macOS and Linux: by the
labels of the documentation (Microsoft Learn, respond-machine-alerts); the names of files are published nowhere.
"""

from __future__ import annotations

import enum
import re
import typing as t

OTHER = "other"


class System(str, enum.Enum):
    """The operating system of the device that a package is from."""

    WINDOWS = "windows"
    MACOS = "macos"
    LINUX = "linux"
    UNKNOWN = "unknown"


# Kind to what the name of an entry has: without spaces, hyphens and underscores, small, with slashes. The first that fits counts.
_KINDS: dict[str, str] = {
    "collection_summary": r"(^|/)(collectionsummaryreport|forensicscollectionsummary)\.",
    "firewall_log": r"pfirewall[^/]*\.log",
    "prefetch": r"prefetch|\.pf$",
    "defender_logs": r"wdsupport|mpsupportfiles|(^|/)mp(log|detection|cmdrun|registry|preference|state|threat|operational)",
    "event_log": r"\.evtx?$|eventlog",
    "autoruns": r"autoruns?",
    "smb_sessions": r"smb|servermessageblock",
    "temp_directories": r"temp(orary)?dir|(^|/)temp/",
    "scheduled_tasks": r"scheduledtasks?|cron|schtasks",
    "shell_history": r"shellhistory|bashhistory|zshhistory|(^|/)(?!log[io]n|sign)[^/]*history(\.txt)?$",
    "certificates": r"certificate",
    "configuration_profiles": r"configurationprofile|(^|/)profiles?[./]",
    "security_information": r"security(info|system)|systemsecurity|(^|/)(efi|mrt|sip|xprotect|gatekeeper)[^/]*\.",
    "kernel_modules": r"kernel|kext|lsmod",
    "open_files": r"openfiles?|lsof",
    "disk_volumes": r"(^|/)(disk|volumes?|mounts?|df)",
    "hardware": r"hardware|(^|/)(cpu|lshw|dmidecode)",
    "installed_programs": r"installedprograms?|applications?|(^|/)packages?[./]",
    "services": r"services?[./]|services?$|launch(d|agents|daemons)",
    "processes": r"process",
    "users_and_groups": r"usersandgroups|users(,|&)?groups|localgroups|queryuser|sudoers|signin|logins?|(^|/)(users?|groups?)[./]",
    "network_connections": r"network|connections?|dnscache|ipconfig|(^|/)(arp|netstat|interfaces?|proxy|vpn|listeners?)[./]|firewall",
    "system_information": r"systeminfo|osinfo|osrelease|(^|/)uname",
    "system_log": r"systemlog|syslog|(^|/)system\.log",
}
KINDS: tuple[str, ...] = (*_KINDS, OTHER)
_COMPILED = [(kind, re.compile(pattern)) for kind, pattern in _KINDS.items()]
_BLANKS = re.compile(r"[\s_-]+")
# What macOS and Linux packages have in one folder (Microsoft Learn) is of many kinds, by its own name.
_GROUP = re.compile(r"(^|/)services(and|&)scheduledtasks/")

# Kinds that a package of such a device always has. Not what depends on the device's settings (the firewall's log, prefetch on
# servers), and not what one of the two layouts lacks.
ALWAYS: dict[System, tuple[str, ...]] = {
    System.WINDOWS: (
        "autoruns",
        "event_log",
        "installed_programs",
        "network_connections",
        "processes",
        "scheduled_tasks",
        "services",
        "system_information",
        "users_and_groups",
    ),
    System.MACOS: ("processes",),
    System.LINUX: ("processes",),
    System.UNKNOWN: (),
}

# What only one system's packages have.
_SIGNS: tuple[tuple[System, t.Pattern[str]], ...] = (
    (
        System.WINDOWS,
        re.compile(
            r"\.evtx$|\.pf$|autoruns|prefetch|wdsupport|smbinbound|forensicscollectionsummary|installedprograms\.csv"
        ),
    ),
    (
        System.MACOS,
        re.compile(
            r"(^|/)applications?[./]|launch(d|agents|daemons)|kext|configurationprofile|(^|/)(efi|mrt|sip|xprotect)[^/]*\.|shellhistory|\.plist$"
        ),
    ),
    (System.LINUX, re.compile(r"lsmod|osrelease|(^|/)cpu|osinfo|(^|/)(dpkg|rpm|systemd|iptables)|etc/passwd")),
)


def plain_name(name: str) -> str:
    """An entry's name as it is compared: small, with slashes, without blanks, hyphens and underscores."""
    return _BLANKS.sub("", name.replace("\\", "/").lower())


def kind_of(name: str) -> str:
    """The kind of artefact that an entry is, by its name; a container's members have their container's kind if none of their own."""
    container, separator, member = name.rpartition("!/")
    if separator:
        own = kind_of(member)
        return own if own != OTHER else kind_of(container)
    plain = plain_name(name)
    apart = _GROUP.sub(r"\1", plain)
    own = _first(apart)
    return own if own != OTHER or apart == plain else _first(plain)


def _first(plain: str) -> str:
    return next((kind for kind, pattern in _COMPILED if pattern.search(plain)), OTHER)


def system_of(names: t.Iterable[str]) -> System:
    """The system whose signs most of the names have; unknown where none has any."""
    votes = dict.fromkeys(System, 0)
    for name in names:
        plain = plain_name(name)
        for system, pattern in _SIGNS:
            votes[system] += bool(pattern.search(plain))
    best = max(votes, key=lambda system: votes[system])
    return best if votes[best] else System.UNKNOWN
