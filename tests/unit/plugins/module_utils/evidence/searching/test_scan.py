# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import base64
import functools
import gzip
import io
import typing as t

import pytest

from ansible_collections.secops.defender.plugins.module_utils._evidence.reading.limits import Limits, Meter
from ansible_collections.secops.defender.plugins.module_utils._evidence.searching import plan as plans
from ansible_collections.secops.defender.plugins.module_utils._evidence.searching.indicators import Indicator, told
from ansible_collections.secops.defender.plugins.module_utils._evidence.searching.scan import Found, Scope, search
from ansible_collections.secops.defender.plugins.module_utils._words.clock import Clock
from simulator import artefacts

# Indicator, how it stands in an artefact, and what stands there that is not it.
TYPES: dict[str, tuple[str, str, str]] = {
    "ip": ("203.0.113.7", "TCP 203.0.113.7:443 open", "203.0.113.70 1203.0.113.7 203.0.113.7.5x 203.0.113.71"),
    "ip6": ("2001:db8::7", "[2001:0DB8:0:0:0:0:0:7%12]:443", "2001:db8::70 2001:db8::7:443 12001:db8::7 2001:db8:7::"),
    "ip_range": ("198.51.100.0/26", "to 198.51.100.63.", "198.51.100.64 198.51.100.640 1198.51.100.1"),
    "ip_range6": ("2001:db8:7::/48", "to 2001:db8:0007:ffff::1", "2001:db8:8::1 2001:db8:70::1"),
    "hash": ("D41D8CD98F00B204E9800998ECF8427E", "md5=d41d8cd98f00b204e9800998ecf8427e;", "ad41d8cd98f00b204e9800998ecf8427e"),
    "domain": ("evil[.]example", "www.EVIL.example. A", "evil.example.net notevil.example not-evil.example evil.examples"),
    "url": ("hxxps://bad[.]example/stage2", "GET http://bad.example/stage2?x=1", "xbad.example/stage2 bad.example/stage22 bad.example/"),
    "file_name": ("mimikatz.exe", "C:\\Temp\\MIMIKATZ.EXE -x", "notmimikatz.exe mimikatz.exe.config my_mimikatz.exe"),
    "text": ("Invoke-Thing", "powershell invoke-thing", "invoke thing"),
    "text_accents": ("Grüße aus Köln", "viele GRÜßE AUS KÖLN!", "Grusse aus Koln"),
}  # fmt: skip
ENCODINGS = ("utf-8", "utf-8-sig", "cp1252", "cp1250", "cp850", "cp437", "cp852", "utf-16-le", "utf-16", "utf-16-be")
TEXTS = {
    "autoruns": "Autoruns/Autoruns.txt",
    "collection_summary": "Forensics Collection Summary.csv",
    "defender_logs": "WdSupportLogs\\MpCmdRunLog.txt",
    "firewall_log": "Network connections/pfirewall.log",
    "installed_programs": "Installed Programs/InstalledPrograms.csv",
    "network_connections": "Network Connections/DnsCache.txt",
    "prefetch": "Prefetch files/PrefetchFilesList.txt",
    "processes": "Processes/Processes.csv",
    "scheduled_tasks": "Scheduled tasks/ScheduledTasks.csv",
    "services": "Services/Services.csv",
    "smb_sessions": "SMB sessions/SMBInboundSessions.txt",
    "system_information": "System Information/SystemInformation.txt",
    "temp_directories": "Temp Directories/admin_TempDirFiles.txt",
    "users_and_groups": "Users and Groups/LocalGroups.txt",
    "shell_history": "Shell history/admin_zsh_history.txt",
    "open_files": "Open files/open_files.txt",
    "other": "Something new.dat",
}
CONTAINERS = ("event_log", "cabinet", "gzip", "zip")


made = functools.lru_cache(maxsize=200)(lambda given, together: plans.make(given, together=together))


def found_in(
    files: t.Mapping[str, bytes], *indicators: str | Indicator, scope: Scope | None = None, **options: t.Any
) -> Found:
    """What a search of a package with these files finds, by both ways of finding."""
    given = [each for value in indicators for each in ([value] if isinstance(value, Indicator) else told(value))]
    package = artefacts.zipped(files)
    results = []
    for together in (True, False):
        plan = plans.make(given, together=together, **options) if options else made(tuple(given), together)
        meter = Meter(Limits(), Clock())
        results.append(search(io.BytesIO(package), meter, {False: plan, True: plan}, scope or Scope()))
    assert results[0] == results[1]
    return results[0]


def encoded(text: str, codec: str) -> bytes:
    data = f"line one\r\n{text}\r\nline three\r\n".encode(codec)
    return b"\xfe\xff" + data if codec == "utf-16-be" else data


def contained(text: str, how: str) -> dict[str, bytes]:
    if how == "event_log":
        return artefacts.planted({}, "Security Event Log/Security.evtx", text)
    if how == "cabinet":
        return artefacts.planted({}, "WdSupportLogs/MPSupportFiles.cab", text)
    if how == "gzip":
        return {"System log/system.log.gz": gzip.compress(text.encode())}
    return {"Other/inner.zip": artefacts.zipped({"a.txt": text.encode()})}


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("codec", ENCODINGS)
@pytest.mark.parametrize("artefact", TEXTS)
def test_a_text_shows_it_and_not_its_neighbours(kind: str, codec: str, artefact: str) -> None:
    indicator, written, neighbours = TYPES[kind]
    found = found_in({TEXTS[artefact]: encoded(f"{neighbours}\r\n{written}", codec)}, indicator)
    (hit,) = found.hits
    assert (hit.entry, hit.artefact, hit.line, hit.record) == (TEXTS[artefact], artefact, 3, None)
    assert found.counts == {0: 1}
    assert not found_in({TEXTS[artefact]: encoded(neighbours, codec)}, indicator).hits


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("how", CONTAINERS)
def test_a_container_shows_it_and_not_its_neighbours(kind: str, how: str) -> None:
    indicator, written, neighbours = TYPES[kind]
    found = found_in(contained(written, how), indicator)
    (hit,) = found.hits
    if how == "event_log":
        assert (hit.record, hit.time) == (102, "2026-11-23T09:00:02.000000Z")
        assert hit.excerpt == written
    else:
        assert "!/" in hit.entry and hit.line is not None
    assert not found_in(contained(neighbours, how), indicator).hits


SPELLINGS = [
    "2001:db8::7", "2001:DB8::7", "2001:0db8:0000:0000:0000:0000:0000:0007", "2001:db8:0:0:0:0:0:7", "[2001:db8::7]:443", "2001:db8::7%eth0",
    "2001:db8::0007", "2001:db8::0.0.0.7", "2001:db8:0::7.",
]  # fmt: skip


@pytest.mark.parametrize("asked", ["2001:db8::7", "[2001:DB8::7]", "2001:0db8:0::7%eth0", "2001[:]db8[:][:]7"])
@pytest.mark.parametrize("written", SPELLINGS)
def test_ipv6_in_every_spelling(asked: str, written: str) -> None:
    assert found_in({"a.txt": f"x {written} y".encode()}, asked).counts == {0: 1}


@pytest.mark.parametrize("asked", ["203.0.113.7", "::ffff:203.0.113.7", "203[.]0[.]113[.]7", "::ffff:cb00:7107"])
@pytest.mark.parametrize(
    "written", ["203.0.113.7", "::ffff:203.0.113.7", "::FFFF:CB00:7107", "0:0:0:0:0:ffff:cb00:7107"]
)
def test_ipv4_within_ipv6(asked: str, written: str) -> None:
    assert found_in({"a.txt": f"x {written} y".encode()}, asked).counts == {0: 1}


@pytest.mark.parametrize("asked", ["::1", "fe80::7", "::7:0", "64:ff9b::203.0.113.7", "1::"])
def test_other_ipv6_addresses(asked: str) -> None:
    text = f"12:34:56 {asked} fe80::8 ::2 64:ff9b::203.0.113.8 ::7:1 1::2".encode()
    assert found_in({"a.txt": text}, asked).counts == {0: 1}


@pytest.mark.parametrize(
    ("asked", "written", "not_written"),
    [
        ("10.0.0.0/8", "10.255.0.1", "11.0.0.1 110.0.0.1"),
        ("172.16.0.0/12", "172.31.255.255", "172.32.0.0"),
        ("203.0.112.0/22", "203.0.115.1", "203.0.116.1"),
        ("203.0.113.7/32", "203.0.113.7", "203.0.113.8"),
        ("2001:db8::/32", "2001:db8:1::", "2001:db9::"),
        ("2001::/16", "2001:db8::1", "2002::1"),
        ("10.10.10.0/24", "10.10.10.10", "10.10.100.10"),
    ],
)
def test_ranges(asked: str, written: str, not_written: str) -> None:
    assert found_in({"a.txt": f"x {written} y".encode()}, asked).counts == {0: 1}
    assert found_in({"a.txt": f"x {not_written} y".encode()}, asked).counts == {}


@pytest.mark.parametrize("inner", ["utf-8", "utf-16-le"])
@pytest.mark.parametrize("outer", ["utf-8", "utf-16-le"])
@pytest.mark.parametrize("shift", [0, 1, 2, 3, 4])
@pytest.mark.parametrize("kind", ["domain", "url", "text"])
def test_base64(kind: str, shift: int, outer: str, inner: str) -> None:
    indicator = {"domain": "evil.example", "url": "https://bad.example/stage2", "text": "Invoke-Thing"}[kind]
    around = "," * shift

    def hidden(text: str) -> dict[str, bytes]:
        data = base64.b64encode(f"{around}{text} ".encode(inner)).decode()
        return {
            "a.txt": f"powershell -enc {data} \r\n".encode(outer),
            **artefacts.planted({}, "Security.evtx", f"-enc {data}"),
        }

    found = found_in(hidden(indicator), indicator)
    assert {hit.artefact for hit in found.hits} == {"other", "event_log"}
    assert found.counts == {0: 2}
    if kind != "text":
        assert not found_in(hidden(f"x{indicator.replace('https://', '')}x"), indicator).hits


@pytest.mark.parametrize("shift", range(6))
@pytest.mark.parametrize("inner", ["utf-8", "utf-16-le"])
def test_base64_of_the_shortest_text(inner: str, shift: int) -> None:
    data = base64.b64encode(f"{',' * shift}abcd tail".encode(inner))
    assert found_in({"a.txt": b"-enc " + data}, "abcd").counts == {0: 1}
    assert not found_in({"a.txt": b"-enc " + data}, "abce").counts


@pytest.mark.parametrize("kind", ["ip", "hash", "file_name"])
def test_base64_is_not_promised_for_other_types(kind: str) -> None:
    indicator = TYPES[kind][0]
    assert not found_in({"a.txt": base64.b64encode(indicator.encode())}, indicator).hits


LONG = "AM_DELTA_PATCH_1.443.326.0.EXAMPLE.exe"


@pytest.mark.parametrize(
    ("asked", "name", "is_it"),
    [
        ("mimikatz.exe", "Prefetch Files/MIMIKATZ.EXE-4A81B364.pf", True),
        ("mimikatz.exe", "Prefetch Files\\MIMIKATZ.EXE-4A81B364.pf", True),
        ("mimikatz.exe", "Prefetch Files/NOTMIMIKATZ.EXE-4A81B364.pf", False),
        ("mimikatz.exe", "Prefetch Files/MIMIKATZ.EXE.CONFIG-4A81B364.pf", False),
        ("mimikatz.exe", "Temp/mimikatz.exe", True),
        (LONG, f"Prefetch Files/{LONG[:29].upper()}-8B3BB46B.pf", True),
        (LONG, f"Prefetch Files/{LONG[:28].upper()}-8B3BB46B.pf", False),
        (LONG, f"Prefetch Files/{LONG[:29].upper()}X-8B3BB46B.pf", False),
    ],
)
def test_names_of_entries(asked: str, name: str, is_it: bool) -> None:
    found = found_in({name: artefacts.prefetch()}, asked)
    assert [(hit.entry, hit.offset, hit.line) for hit in found.hits] == ([(name, None, None)] if is_it else [])


def test_prefetch_names_in_a_list() -> None:
    listed = f"{LONG[:29].upper()}-8B3BB46B.pf\r\nMIMIKATZ.EXE-4A81B364.pf\r\n"
    assert found_in({"Prefetch files/PrefetchFilesList.txt": listed.encode("utf-16")}, LONG, "mimikatz.exe").counts == {
        0: 1,
        1: 1,
    }


def test_the_port_behind_a_dot_that_macos_writes() -> None:
    files = {"Network/connections.txt": b"tcp4  0  0  203.0.113.7.443  203.0.113.7.99999.1"}
    assert found_in(files, "203.0.113.7", dotted_ports=True).counts == {0: 1}
    assert found_in(files, "203.0.113.7").counts == {}


def test_an_idn_domain_in_both_forms() -> None:
    files = {
        "a.txt": "xn--bcher-kva.example bücher.example BÜCHER.EXAMPLE".encode(),
        "b.txt": "bücher.example".encode("cp850"),
    }
    assert found_in(files, "bücher.example").counts == found_in(files, "xn--bcher-kva.example").counts == {0: 4}
    urls = {"a.txt": b"http://xn--bcher-kva.example/x", "b.txt": "http://bücher.example/x".encode("cp1252")}
    assert (
        found_in(urls, "http://bücher.example/x").counts
        == found_in(urls, "http://xn--bcher-kva.example/x").counts
        == {0: 2}
    )


def test_values_of_an_event_stand_one_behind_the_other_and_are_still_told_apart() -> None:
    event = {"TargetUserName": "evil", "WorkstationName": ".example", "IpAddress": "203.0.113.7", "IpPort": "49152"}
    log = artefacts.event_log([artefacts.Event(7, data=event)], "pc1.contoso.com")
    found = found_in({"Security.evtx": log}, "203.0.113.7", "evil.example", "203.0.113.74", "pc1.contoso.com")
    # The computer is a literal of the template.
    assert found.counts == {0: 1, 3: 1}
    assert [hit.record for hit in found.hits] == [7, 7]


@pytest.mark.parametrize("at", [0, 1, (1 << 20) - 6, 1 << 20, (1 << 20) + 1, (3 << 20) - 11])
@pytest.mark.parametrize("codec", ["utf-8", "utf-16-le"])
def test_nothing_is_lost_or_doubled_between_blocks(at: int, codec: str) -> None:
    width = 2 if codec == "utf-16-le" else 1
    text = " " * (at // width) + "203.0.113.7" + " " * (1 << 20) + "\n203.0.113.70\n"
    found = found_in({"a.txt": text.encode(codec)}, "203.0.113.7")
    assert [(hit.offset, hit.line) for hit in found.hits] == [(at // width * width, 1)]


def test_lines_are_counted_over_blocks() -> None:
    text = "".join(f"{number} {'x' * 90}\r\n" for number in range(1, 30001)) + "203.0.113.7\r\n"
    (hit,) = found_in({"a.txt": text.encode()}, "203.0.113.7").hits
    assert hit.line == 30001


def test_allowed_values_are_counted_and_not_told() -> None:
    files = {
        "a.txt": b"10.0.0.5 10.1.0.5 good.evil.example bad.evil.example evil.example http://bad.example/x bad.example/stage2"
    }
    allow = [each for value in ("10.1.0.0/16", "good.evil.example", "bad.example") for each in told(value)]
    found = found_in(files, "10.0.0.0/8", "evil.example", "https://bad.example/stage2", allow=allow)
    assert found.counts == {0: 1, 1: 2}
    assert found.allowed == {0: 1, 1: 1, 2: 1}


def test_what_is_dated_is_held_against_since_and_until() -> None:
    hour = 3600 * 10_000_000
    events = [
        artefacts.Event(number, artefacts.EPOCH + number * hour, {"IpAddress": "203.0.113.7"}) for number in range(1, 4)
    ]
    files = {
        "Security.evtx": artefacts.event_log(events, "pc1"),
        "WdSupportLogs/MPLog-1.log": b"2026-11-23T10:30:00.000Z 203.0.113.7\r\n2026-11-23T11:30:00.000Z 203.0.113.7\r\n",
        "DnsCache.txt": b"203.0.113.7",
    }
    scope = Scope(since=1795424400 + 1.6 * 3600, until=1795424400 + 2.2 * 3600)
    found = found_in(files, "203.0.113.7", scope=scope)
    assert sorted((hit.artefact, hit.time) for hit in found.hits if hit.time) == [
        ("event_log", "2026-11-23T11:00:00.000000Z")
    ]
    assert [hit.artefact for hit in found.hits if not hit.time] == ["network_connections"]
    (whole,) = [found_in(files, "203.0.113.7").counts]
    assert whole == {0: 6}


@pytest.mark.parametrize("codec", ["utf-8", "utf-16-le", "utf-16", "utf-16-be"])
@pytest.mark.parametrize("far", [10, 300, 5000, 1_500_000])
def test_a_long_line_has_the_date_that_it_begins_with(codec: str, far: int) -> None:
    first, second = "2026-11-20T10:30:00.000Z", "2026-11-23T10:30:00.000Z"
    lines = [
        f"{first} {'x' * far} 203.0.113.7",
        f"{second} {'y ' * (far // 2)} 203.0.113.7 {'z' * far} 203.0.113.7",
        "203.0.113.7",
    ]
    data = "\r\n".join([f"{first} nothing"] * 3 + lines).encode(codec)
    files = {"WdSupportLogs/MPLog-1.log": b"\xfe\xff" + data if codec == "utf-16-be" else data}
    assert [hit.time for hit in found_in(files, "203.0.113.7").hits] == [first, second, second, None]
    late = Scope(since=1795424400)
    assert [hit.time for hit in found_in(files, "203.0.113.7", scope=late).hits] == [second, second, None]


def test_only_the_kinds_that_are_wanted() -> None:
    files = {"Processes/Processes.csv": b"203.0.113.7", "DnsCache.txt": b"203.0.113.7"}
    found = found_in(files, "203.0.113.7", scope=Scope(artefacts=frozenset({"processes"})))
    assert [hit.artefact for hit in found.hits] == ["processes"]


def test_max_hits_bounds_the_list_and_no_count() -> None:
    found = found_in({"a.txt": b"203.0.113.7\n" * 500}, "203.0.113.7", scope=Scope(max_hits=3))
    assert (len(found.hits), found.counts) == (3, {0: 500})


def test_excerpts_are_harmless() -> None:
    files = {"a.txt": b"\x1b[31m203.0.113.7\x07 {{ 7*7 }} <script>\n", "b\x1b[2J.txt": b"203.0.113.7"}
    for hit in found_in(files, "203.0.113.7").hits:
        assert hit.excerpt.isprintable() and hit.entry.isprintable()
