# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The packages of a whole estate of Windows devices: builds, languages, habits of users, and what differs without telling anything.

What a device has is settled by its number; what changes between two collections (process IDs, times, ports, names of temporary
files, suffixes of per-user services) by the moment as well.
"""

from __future__ import annotations

import functools
import random
import typing as t
import uuid
from dataclasses import dataclass, field

from simulator import artefacts

# What one device has and no other: artefact to what stands there.
Oddity = tuple[str, str]
ODDITIES: tuple[Oddity, ...] = (
    ("processes", r"C:\ProgramData\rsvc\winupd.exe|winupd.exe -c 203.0.113.7 -p 8443"),
    ("processes", r"C:\Windows\System32\rundll32.exe|rundll32.exe C:\Users\Public\l.dll,Start"),
    ("processes", r"C:\Windows\Temp\svchost.exe|svchost.exe -k netsvcs"),
    ("services", r"PSEXESVC|C:\Windows\PSEXESVC.exe"),
    ("services", r"RemoteHelp_3a2f1|C:\ProgramData\rh\rh.exe"),
    ("services", r"WinDefendUpdate|C:\Windows\Fonts\wdu.exe -service"),
    ("scheduled_tasks", r"\Updater|powershell.exe -w hidden -enc SQBFAFgA"),
    ("scheduled_tasks", r"\Microsoft\Windows\Defrag\Nightly|C:\Users\Public\n.exe"),
    ("autoruns", r"Sync|C:\Users\Public\Libraries\sync.exe"),
    ("autoruns", r"Userinit|C:\Windows\system32\userinit.exe,C:\ProgramData\u.exe"),
    ("installed_programs", "AnyDesk|8.0.6|AnyDesk Software GmbH"),
    ("installed_programs", "Nmap 7.94|7.94|Nmap Project"),
    ("users_and_groups", r"CONTOSO\svc-backup2"),
    ("users_and_groups", "support_388945a0"),
    ("network_connections", "203.0.113.7:8443"),
    ("network_connections", "[2001:db8:7::7]:443"),
    ("dns_cache", "cdn7.evil.example"),
    ("arp", "10.9.9.9|02-00-5e-10-00-01"),
    ("prefetch", "MIMIKATZ.EXE"),
    ("temp_directories", "beacon.exe"),
)


@dataclass(frozen=True)
class _Words:
    """What a language calls it: headings, states, groups."""

    running: str
    stopped: str
    manual: str
    ready: str
    processes: str
    services: str
    tasks: str
    programs: str
    groups: tuple[str, ...]
    members: str
    done: str
    record: str
    folder: str
    files: str
    listening: str
    established: str
    dynamic: str
    interface: str
    none: str
    time: str


_LANGUAGES = {
    "en": _Words(
        "Running", "Stopped", "Manual", "Ready",
        '"ProcessId","Name","ExecutablePath","CommandLine","CreationDate","WorkingSetSize"',
        '"Name","DisplayName","State","StartMode","PathName","ProcessId"',
        '"HostName","TaskName","Next Run Time","Status","Last Run Time","Last Result","Author","Task To Run","Run As User"',
        '"DisplayName","DisplayVersion","Publisher","InstallDate","EstimatedSize","PSChildName"',
        ("Administrators", "Remote Desktop Users", "Users"), "Members", "The command completed successfully.",
        "Record Name", "Directory of", "File(s)", "LISTENING", "ESTABLISHED", "dynamic", "Interface", "There are no entries in the list.",
        "{month:02}/{day:02}/2026 {hour:02}:{minute:02}:{second:02}"),
    "de": _Words(
        "Wird ausgeführt", "Beendet", "Manuell", "Bereit",
        '"Prozess-ID","Name","Pfad","Befehlszeile","Erstellt am","Arbeitsseiten"',
        '"Name","Anzeigename","Status","Startmodus","Pfadname","Prozess-ID"',
        '"Hostname","Aufgabenname","Nächste Laufzeit","Status","Letzte Laufzeit","Letztes Ergebnis","Autor","Auszuführende Aufgabe","Als Benutzer ausführen"',
        '"Anzeigename","Version","Herausgeber","Installationsdatum","Geschätzte Größe","Schlüssel"',
        ("Administratoren", "Remotedesktopbenutzer", "Benutzer"), "Mitglieder", "Der Befehl wurde erfolgreich ausgeführt.",
        "Eintragsname", "Verzeichnis von", "Datei(en)", "ABHÖREN", "HERGESTELLT", "dynamisch", "Schnittstelle",
        "Es sind keine Einträge in der Liste.", "{day:02}.{month:02}.2026 {hour:02}:{minute:02}:{second:02}"),
}  # fmt: skip
_BUILDS = ("19045", "22631", "20348")
_SYSTEM = r"C:\Windows\System32"
_APPS = ("chrome", "teams", "outlook", "winword", "excel", "acrobat", "zoom", "code", "slack", "notepad++", "7zfm", "putty",
         "vlc", "firefox", "onenote", "sap", "citrix", "keepass", "greenshot", "paint.net")  # fmt: skip


@functools.cache
def _common() -> t.Mapping[str, bytes]:
    """What is the same in all packages: logs, and prefetch files' contents are left out."""
    files = artefacts.seen("pc")
    own = ("SystemInformation.txt", "HKCU_Run.txt", "admin_TempDirFiles.txt", "QueryUser.txt")
    return {path: data for path, data in files.items() if not path.endswith((*own, ".pf"))}


@dataclass
class Device:
    """number: of the device. moment: of the collection. language, build: by the number, unless given. oddities: planted in it."""

    number: int
    moment: int = 0
    language: str = ""
    build: str = ""
    oddities: t.Sequence[Oddity] = ()
    _has: random.Random = field(init=False)
    _now: random.Random = field(init=False)

    def __post_init__(self) -> None:
        self._has = random.Random(f"{self.number}")
        self._now = random.Random(f"{self.number}/{self.moment}")
        self.language = self.language or ("de" if self.number % 3 == 0 else "en")
        self.build = self.build or _BUILDS[0 if self.number % 10 < 5 else 1 if self.number % 10 < 9 else 2]
        self.name = f"pc{self.number:03}.contoso.com"
        self.user = f"{self._has.choice('abcdefghijklmnop')}{self._has.choice(('meier', 'smith', 'jones', 'weber', 'brown'))}{self.number}"
        self.sid = f"S-1-5-21-{self._has.getrandbits(31)}-{self._has.getrandbits(31)}-{self._has.getrandbits(31)}-1001"
        self.suffix = f"{self._now.getrandbits(20) | 1 << 18:x}"
        self.words = _LANGUAGES[self.language]

    def files(self) -> dict[str, bytes]:
        """The package's entries."""
        files = dict(_common())
        label = self.name.partition(".")[0]
        files["Network Connections/IpConfig.txt"] = f"\r\n   Host Name . . . . . . : {label}\r\n".encode()
        texts: dict[str, tuple[str, list[str]]] = {
            "Processes/Processes.csv": (artefacts.UTF16_BOM, self._processes()),
            "Services/Services.csv": (artefacts.ANSI, self._services()),
            "Scheduled Tasks/ScheduledTasks.csv": (artefacts.OEM, self._tasks()),
            "Autoruns/Autoruns.txt": (artefacts.UTF16, self._autoruns()),
            "Installed Programs/InstalledPrograms.csv": (artefacts.UTF8_BOM, self._programs()),
            "Users and Groups/LocalGroups.txt": (artefacts.OEM, self._groups()),
            "Network Connections/ActiveNetConnections.txt": (artefacts.OEM, self._connections()),
            "Network Connections/DnsCache.txt": (artefacts.OEM, self._dns()),
            "Network Connections/Arp.txt": (artefacts.OEM, self._arp()),
            "Prefetch Files/PrefetchFilesList.txt": (artefacts.ANSI, self._prefetch()),
            "SMB Sessions/Summary.txt": (artefacts.OEM, [self.words.none]),
            f"Temp Directories/{self.user}_TempDirFiles.txt": (artefacts.UTF16, self._temp()),
        }
        for path, (codec, lines) in texts.items():
            files[path] = "".join(f"{line}\r\n" for line in lines).encode(codec)
        return files

    # ---- what there is ----

    def _odd(self, artefact: str) -> list[str]:
        return [what for where, what in self.oddities if where == artefact]

    def _likely(self, share: float) -> bool:
        return self._has.random() < share

    def _id(self) -> str:
        return str(self._now.randrange(1, 6000) * 4)

    def _time(self) -> str:
        chance = self._now
        return self.words.time.format(day=chance.randint(1, 22), month=11, hour=chance.randrange(24), minute=chance.randrange(60),
                                      second=chance.randrange(60))  # fmt: skip

    def _row(self, *cells: str) -> str:
        return ",".join(f'"{cell}"' for cell in cells)

    def _processes(self) -> list[str]:
        own = [
            (f"{_SYSTEM}\\{each}", each)
            for each in ("csrss.exe", "lsass.exe", "winlogon.exe", "dwm.exe", "spoolsv.exe")
        ]
        own += [(f"{_SYSTEM}\\svchost.exe", f"svchost.exe -k {each} -p -s S{number}")
                for number, each in enumerate(("netsvcs", "LocalService", "NetworkService", "DcomLaunch") * 12)]  # fmt: skip
        own += [(rf"C:\ProgramData\Microsoft\Windows Defender\Platform\{self._version()}-0\MsMpEng.exe", "MsMpEng.exe")]
        own += [
            (rf"{_SYSTEM}\conhost.exe", "conhost.exe 0x4"),
            (rf"{_SYSTEM}\taskhostw.exe", "taskhostw.exe {" + self._guid() + "}"),
        ]
        for number, app in enumerate(_APPS):
            if self._likely(0.9 / (1 + number / 4)):
                path = (
                    rf"C:\Users\{self.user}\AppData\Local\{app}\{app}.exe"
                    if number % 3
                    else rf"C:\Program Files\{app}\{app}.exe"
                )
                own += [(path, f"{app}.exe")]
                own += [
                    (
                        path,
                        f"{app}.exe --type=renderer --handle={self._id()} --pid={self._id()} /prefetch:{self._now.randint(1, 9)}",
                    )
                ] * 4
        own += [
            (rf"{_SYSTEM}\xcopy.exe", "xcopy.exe"),
            (r"C:\Program Files\Windows Defender Advanced Threat Protection\SenseIR.exe", "SenseIR.exe"),
        ]
        own += [tuple(each.split("|")) for each in self._odd("processes")]  # type: ignore[misc]
        self._now.shuffle(own)
        return ["#TYPE System.Management.ManagementObject#root\\cimv2\\Win32_Process", self.words.processes] + [
            self._row(
                self._id(),
                path.rpartition("\\")[2],
                path,
                line,
                self._time(),
                str(self._now.randrange(1 << 20, 1 << 29)),
            )
            for path, line in own
        ]

    def _version(self) -> str:
        return f"4.18.{23100 + self._has.randrange(4)}.{self._has.randint(1, 5)}"

    def _guid(self) -> str:
        return str(uuid.UUID(int=self._now.getrandbits(128)))

    def _services(self) -> list[str]:
        words, lines = self.words, [self.words.services]
        for number in range(120):
            if number % 12 == 11 and str(number % 3) != str(_BUILDS.index(self.build)):
                continue
            runs = number % 5 < 3 or (number % 5 == 3 and self._likely(0.05 + 0.9 * (number % 7) / 7))
            start = "Auto" if number % 5 < 3 else words.manual
            lines.append(self._service(f"Svc{number:03}", f"{'Dienst' if self.language == 'de' else 'Service'} {number}", runs, start,
                                       f"{_SYSTEM}\\svchost.exe -k group{number % 9} -p"))  # fmt: skip
        for name in ("CDPUserSvc", "OneSyncSvc", "WpnUserService", "cbdhsvc", "UserDataSvc"):
            lines.append(
                self._service(
                    f"{name}_{self.suffix}",
                    f"{name}_{self.suffix}",
                    True,
                    "Auto",
                    f"{_SYSTEM}\\svchost.exe -k UnistackSvcGroup",
                )
            )
        driver = f"MpKsl{self._now.getrandbits(32):08x}"
        lines.append(self._service(driver, driver, True, words.manual,
                                   rf"C:\ProgramData\Microsoft\Windows Defender\Definition Updates\{{{self._guid().upper()}}}\MpKslDrv.sys"))  # fmt: skip
        for odd in self._odd("services"):
            name, path = odd.split("|")
            lines.append(self._service(name, name, True, "Auto", path))
        return lines

    def _service(self, name: str, shown: str, runs: bool, start: str, path: str) -> str:
        return self._row(
            name, shown, self.words.running if runs else self.words.stopped, start, path, self._id() if runs else "0"
        )

    def _tasks(self) -> list[str]:
        words, lines, host = self.words, [], self.name.partition(".")[0].upper()
        tasks = [
            (rf"\Microsoft\Windows\Area{number % 20}\Task{number}", rf"%windir%\system32\task{number}.exe /run")
            for number in range(70)
        ]
        tasks += [(rf"\OneDrive Standalone Update Task-{self.sid}", r"%localappdata%\Microsoft\OneDrive\OneDriveStandaloneUpdater.exe"),
                  (rf"\User_Feed_Synchronization-{{{uuid.uuid5(uuid.NAMESPACE_DNS, self.name)}}}", r"C:\Windows\system32\msfeedssync.exe sync"),
                  (r"\GoogleUpdateTaskMachineUA{" + str(uuid.uuid5(uuid.NAMESPACE_URL, self.name)) + "}",
                   rf"C:\Program Files\Google\Update\{self._browser()}\u.exe")]  # fmt: skip
        tasks += [tuple(each.split("|")) for each in self._odd("scheduled_tasks")]  # type: ignore[misc]
        for number, (name, what) in enumerate(tasks):
            if number % 15 == 0:
                # schtasks writes its heading anew for each folder.
                lines.append(words.tasks)
            state = words.running if number % 30 == 7 else words.ready
            lines.append(self._row(host, name, self._time(), state, self._time(), str(self._now.choice((0, 267009, -2147024894))),
                                   "Microsoft Corporation", what, rf"CONTOSO\{self.user}" if number % 9 == 0 else "SYSTEM"))  # fmt: skip
        return lines

    def _browser(self) -> str:
        return f"{119 + self._has.randrange(3)}.0.{self._has.randint(6000, 6100)}.{self._has.randint(1, 200)}"

    def _autoruns(self) -> list[str]:
        run = r"SOFTWARE\Microsoft\Windows\CurrentVersion\Run"
        unnamed = "(Standard)" if self.language == "de" else "(Default)"
        odd = [each.split("|") for each in self._odd("autoruns")]
        lines = [f"HKEY_LOCAL_MACHINE\\{run}", rf"    {unnamed}    REG_SZ    ",
                 r"    SecurityHealth    REG_EXPAND_SZ    %windir%\system32\SecurityHealthSystray.exe",
                 *(f"    {name}    REG_SZ    {path}" for name, path in odd if name != "Userinit"), ""]  # fmt: skip
        for app in _APPS[:8]:
            if self._likely(0.6):
                lines.insert(3, rf"    {app}    REG_SZ    C:\Program Files\{app}\{app}.exe /background")
        lines += [rf"HKEY_USERS\{self.sid}\{run}",
                  rf"    OneDrive    REG_SZ    C:\Users\{self.user}\AppData\Local\Microsoft\OneDrive\OneDrive.exe /background", ""]  # fmt: skip
        for number in range(30):
            lines += [rf"HKEY_LOCAL_MACHINE\SOFTWARE\Microsoft\Active Setup\Installed Components\{{{uuid.uuid5(uuid.NAMESPACE_OID, str(number))}}}",
                      rf"    StubPath    REG_SZ    C:\Windows\stub{number}.exe", ""]  # fmt: skip
        init = next((path for name, path in odd if name == "Userinit"), r"C:\Windows\system32\userinit.exe,")
        return [
            *lines,
            r"HKEY_LOCAL_MACHINE\SOFTWARE\Microsoft\Windows NT\CurrentVersion\Winlogon",
            f"    Userinit    REG_SZ    {init}",
        ]

    def _programs(self) -> list[str]:
        lines = [self.words.programs]
        rows = [(f"{app.title()} {self._browser()}" if number % 4 == 0 else app.title(), self._browser(), f"{app.title()} Inc.")
                for number, app in enumerate(_APPS) if self._likely(0.9 / (1 + number / 6))]  # fmt: skip
        rows += [(f"Update for Windows {self.build} (KB50{number:04})", "1.0", "Microsoft") for number in range(12)]
        # The long tail: what a handful of people have.
        rows += [(f"Tool {number}", "1.2.3", "Somebody") for number in range(40) if self._likely(0.006)]
        rows += [tuple(each.split("|")) for each in self._odd("installed_programs")]  # type: ignore[misc]
        return lines + [self._row(name, version, who, f"2026{self._has.randint(1, 11):02}{self._has.randint(1, 28):02}",
                                  str(self._has.randrange(100, 99999)), "{" + self._guid().upper() + "}")
                        for name, version, who in rows]  # fmt: skip

    def _groups(self) -> list[str]:
        lines = []
        for number, group in enumerate(self.words.groups):
            members = [
                ("Administrator", rf"CONTOSO\{self.user}", r"CONTOSO\Domain Admins"),
                (),
                (rf"CONTOSO\{self.user}", "NT AUTHORITY\\SYSTEM"),
            ][number]
            odd = self._odd("users_and_groups") if number == 0 else []
            lines += [f"Alias     {group}", "", self.words.members, "", "-" * 79, *members, *odd, self.words.done, ""]
        return lines

    def _connections(self) -> list[str]:
        words, own = self.words, f"10.{self.number // 200}.{self.number % 200 // 20}.{self.number % 20 + 10}"
        lines = ["", "  Proto  Lokale Adresse         Remoteadresse          Status           PID"]
        lines += [
            f"  TCP    0.0.0.0:{port}            0.0.0.0:0              {words.listening}       {self._id()}"
            for port in (135, 445, 5040, 7680)
        ]
        lines += [
            f"  TCP    0.0.0.0:{self._now.randint(49664, 49700)}          0.0.0.0:0              {words.listening}       {self._id()}"
        ]
        far = [f"52.109.8.{number}:443" for number in range(30) if self._likely(0.3)] + [
            "10.0.0.10:389",
            "10.0.0.11:88",
        ]
        far += [f"[2603:1006:1400::{number:x}]:443" for number in range(6) if self._likely(0.5)]
        far += self._odd("network_connections")
        lines += [f"  TCP    {'[fe80::1]' if each.startswith('[') else own}:{self._now.randint(49700, 65000)}  {each}   {words.established}  {self._id()}"
                  for each in far]  # fmt: skip
        return [
            *lines,
            "  TCP    127.0.0.1:49701    127.0.0.1:49702   " + words.established,
            f"  UDP    0.0.0.0:{self._now.randint(50000, 65000)}  *:*   {self._id()}",
        ]

    def _dns(self) -> list[str]:
        names = [f"host{number}.microsoft.com" for number in range(60) if self._likely(0.8 / (1 + number / 10))]
        names += [f"site{number}.example.org" for number in range(25) if self._likely(0.008)]
        names += [f"{self._now.getrandbits(64):016x}.cloudfront.net", self.name, "wpad", *self._odd("dns_cache")]
        lines = []
        for name in names:
            lines += [
                f"    {name}",
                "    " + "-" * 40,
                f"    {self.words.record}  . . . . . : {name}",
                f"    TTL . . . . . : {self._now.randrange(9999)}",
                "",
            ]
        return lines

    def _arp(self) -> list[str]:
        net = f"10.{self.number // 200}.{self.number % 200 // 20}"
        lines = [f"{self.words.interface}: {net}.{self.number % 20 + 10} --- 0x{self._now.randint(2, 30):x}"]
        lines += [
            f"  {net}.{last}   00-1b-21-{self.number // 20:02x}-00-{last:02x}   {self.words.dynamic}"
            for last in (1, 2, 3)
        ]
        lines += [f"  {each.replace('|', '   ')}   {self.words.dynamic}" for each in self._odd("arp")]
        return [*lines, f"  {net}.255   ff-ff-ff-ff-ff-ff   static"]

    def _prefetch(self) -> list[str]:
        names = [f"{app.upper()}.EXE" for app in _APPS if self._likely(0.7)] + [
            "SVCHOST.EXE",
            "DLLHOST.EXE",
            "RUNDLL32.EXE",
        ]
        names += [f"AM_DELTA_PATCH_1.{443 + self.moment}.{self._now.randrange(999)}.0.EX", *self._odd("prefetch")]
        # The collecting itself leaves its traces for the next one.
        names += ["ROBOCOPY.EXE", "XCOPY.EXE"] if self.moment else []
        return [f"{name}-{self._has.getrandbits(32):08X}.pf" for name in names]

    def _temp(self) -> list[str]:
        lines = [" Volume in drive C is OS", f" {self.words.folder} C:\\Users\\{self.user}\\AppData\\Local\\Temp", ""]
        lines += [f"{self._time()[:16]}    <DIR>          {each}" for each in (".", "..", "Low")]
        lines += [f"{self._time()[:16]}             {self._now.randrange(9999)} {name}"
                  for name in (*(f"tmp{self._now.getrandbits(16):04X}.tmp" for _each in range(20)), f"wct{self._now.getrandbits(16):04x}.tmp",
                               f"aria-debug-{self._now.randrange(9999)}.log", *self._odd("temp_directories"))]  # fmt: skip
        return [*lines, f"              22 {self.words.files}      {self._now.randrange(99999)} bytes"]


def planted(devices: int, seed: int = 4711) -> dict[int, list[Oddity]]:
    """Where the oddities are: each on a device of its own."""
    chosen = random.Random(seed).sample(range(devices), len(ODDITIES))
    return {number: [oddity] for number, oddity in zip(chosen, ODDITIES, strict=True)}
