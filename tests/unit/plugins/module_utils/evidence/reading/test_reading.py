# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import gzip
import io
import struct
import time
import tracemalloc
import typing as t
import zipfile
import zlib

import pytest

from ansible_collections.secops.defender.plugins.module_utils._evidence.reading import (
    cabinets,
    entries,
    eventlog,
    facts,
    kinds,
    whose,
    zips,
)
from ansible_collections.secops.defender.plugins.module_utils._evidence.reading.encodings import decoded
from ansible_collections.secops.defender.plugins.module_utils._evidence.reading.limits import LeftOut, Limits, Meter
from ansible_collections.secops.defender.plugins.module_utils._words.clock import Clock
from simulator import artefacts


def meter(**limits: t.Any) -> Meter:
    return Meter(Limits(**limits), Clock())


def facts_of(package: bytes, **limits: t.Any) -> facts.Facts:
    return facts.read(io.BytesIO(package), meter(**limits))


def names(found: facts.Facts) -> list[str]:
    return [row["name"] for row in found.entries]


# ---- packages as they are ----


@pytest.mark.parametrize("layout", artefacts.LAYOUTS)
def test_every_layout(layout: str) -> None:
    found = facts_of(artefacts.zipped(artefacts.LAYOUTS[layout]("pc1.contoso.com")))
    windows = layout in ("seen", "documented", "backslashes")
    assert found.system.value == ("windows" if windows else layout)
    assert found.missing == []
    # Only what names something that is not known is other.
    assert "other" not in found.artefacts
    if windows:
        assert {name.lower() for name in found.computer_names} == {"pc1", "pc1.contoso.com"}
        assert whose.strangers(found.computer_names, "pc1.contoso.com") == []
        (log,) = [row for row in found.entries if row["artefact"] == "event_log"]
        assert (log["records"], log["first"], log["last"]) == (
            3,
            "2026-11-23T09:00:00.000000Z",
            "2026-11-23T09:00:02.000000Z",
        )
        inside = [row["name"] for row in found.entries if row["inside"]]
        assert len(inside) == 3 and all("MPSupportFiles.cab!/MP" in name for name in inside)


def test_hashes_and_sizes_are_those_of_the_content() -> None:
    import hashlib

    files = artefacts.seen("pc1")
    rows = {row["name"]: row for row in facts_of(artefacts.zipped(files)).entries}
    for name, data in files.items():
        assert (rows[name]["size"], rows[name]["sha256"]) == (len(data), hashlib.sha256(data).hexdigest())
        assert rows[name]["modified_local"] == "2026-11-23T10:15:02"


def test_a_strangers_package() -> None:
    found = facts_of(artefacts.zipped(artefacts.seen("pc2.contoso.com")))
    assert whose.strangers(found.computer_names, "pc1.contoso.com") == ["PC2", "pc2", "pc2.contoso.com"]
    # Windows cuts NetBIOS names at 15 characters.
    assert whose.strangers(["AVERYLONGDEVICE"], "averylongdevicename.contoso.com") == []


def test_error_texts_in_place_of_artefacts() -> None:
    files = {
        **artefacts.seen("pc1"),
        "Services/Services.csv": b"",
        "Autoruns/Autoruns.txt": "FEHLER: Zugriff verweigert\r\n".encode("cp850"),
    }
    found = facts_of(artefacts.zipped(files))
    assert found.empty == ["autoruns", "services"]
    rows = {row["name"]: row for row in found.entries}
    assert rows["Services/Services.csv"]["error_text"] == ""
    assert rows["Autoruns/HKCU_Run.txt"]["error_text"].startswith("ERROR: The system was unable")


@pytest.mark.parametrize(
    "text", ["Host Name:    PC1", "Hostname:     PC1", "Nom de l\u2019hôte:   PC1", "Имя узла:     PC1", "主机名:  PC1"]
)
@pytest.mark.parametrize("codec", ["utf-8", "utf-16"])
def test_a_computers_name_in_any_language(text: str, codec: str) -> None:
    assert (
        whose.computer_name(
            "System Information/SystemInformation.txt", f"\r\n{text}\r\nOS Name: Windows\r\n".encode(codec)
        )
        == "PC1"
    )


def test_missing_kinds() -> None:
    assert facts_of(artefacts.zipped({"Autoruns/a.txt": b"something"})).missing == [
        "event_log", "installed_programs", "network_connections", "processes", "scheduled_tasks", "services", "system_information",
        "users_and_groups",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "name", ["x", "Network Connections/x", "NETWORKCONNECTIONS\\x", "network_connections/x", "Prefetch Files!/x.pf"]
)
def test_kinds_never_raise(name: str) -> None:
    assert kinds.kind_of(name) in kinds.KINDS


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("Services and scheduled tasks/certificates.txt", "certificates"), ("Services and scheduled tasks/hardware.txt", "hardware"),
        ("Services and scheduled tasks/configuration_profiles.txt", "configuration_profiles"),
        ("Services and scheduled tasks/crontab.txt", "scheduled_tasks"), ("Services and scheduled tasks/systemd_units.txt", "scheduled_tasks"),
        ("Users and groups/login_history.txt", "users_and_groups"), ("Users and groups/Sign-in history.txt", "users_and_groups"),
        ("History/admin_zsh_history", "shell_history"), ("Autoruns/HKLM_System_Services.txt", "autoruns"),
    ],
)  # fmt: skip
def test_what_shares_a_folder_is_told_apart(name: str, kind: str) -> None:
    assert kinds.kind_of(name) == kind


# ---- event logs, against another reader ----


def test_records_are_what_another_reader_says() -> None:
    evtx = pytest.importorskip("evtx")
    events = [
        artefacts.Event(
            number,
            artefacts.EPOCH + number * 12_345_678,
            {"TargetUserName": f"user{number}", "IpAddress": "203.0.113.7", "IpPort": str(number)},
        )
        for number in range(1, 1200)
    ]
    log = artefacts.event_log(events, "pc1.contoso.com")
    others = [
        (each["event_record_id"], each["timestamp"], each["data"])
        for each in evtx.PyEvtxParser(io.BytesIO(log)).records()
    ]
    chunks = list(eventlog.Chunks().feed(log))
    ours = [
        (record.number, eventlog.iso_of(record.filetime), chunk, record)
        for chunk in chunks
        for record in eventlog.records(chunk)
    ]
    assert [each[0] for each in ours] == [each[0] for each in others] == list(range(1, 1200))
    for (_number, moment, chunk, record), (_id, said, data) in zip(ours, others, strict=True):
        whole, _dot, fraction = said.removesuffix(" UTC").rstrip("Z").partition(".")
        assert moment == f"{whole}.{fraction[:6].ljust(6, '0')}Z"
        texts = [chunk[first:last].decode("utf-16-le") for first, last in eventlog.texts(chunk, record)]
        assert len(texts) == 3
        assert all(f">{text}<" in data for text in texts)


def test_a_damaged_event_log_is_read_as_far_as_it_goes() -> None:
    log = bytearray(
        artefacts.event_log([artefacts.Event(number, data={"A": "x" * 50}) for number in range(1, 100)], "pc1")
    )
    for at in range(4096 + 512, len(log), 997):
        log[at] ^= 0xFF
    span = eventlog.Span()
    for chunk in eventlog.Chunks().feed(bytes(log)):
        span.take(chunk)
        for record in eventlog.records(chunk):
            eventlog.texts(chunk, record)
    assert 0 <= span.records < 99


@pytest.mark.parametrize("seed", range(40))
def test_noise_is_no_event_log(seed: int) -> None:
    import random

    noise = random.Random(seed)
    chunk = bytearray(b"ElfChnk\0" + noise.randbytes((1 << 16) - 8))
    chunk[512:516] = b"**\0\0"
    struct.pack_into("<I", chunk, 516, noise.randrange(20, 70_000))
    chunk[536:542] = b"\x0f\x01\x01\x00\x0c\x01"
    for record in eventlog.records(bytes(chunk)):
        eventlog.texts(bytes(chunk), record)


# ---- containers ----


def test_a_cabinet_of_many_blocks() -> None:
    files = {"a.log": bytes(range(256)) * 700, "b.log": b"x" * 100_000, "c.log": b"", "d.log": b"end"}
    found = facts_of(artefacts.zipped({"MPSupportFiles.cab": artefacts.cabinet(files)}))
    assert [(row["name"], row["size"]) for row in found.entries[1:]] == [
        (f"MPSupportFiles.cab!/{name}", len(data)) for name, data in files.items()
    ]
    assert found.not_read == []
    plain = facts_of(artefacts.zipped({"x.cab": artefacts.cabinet(files, kind=0)}))
    assert [row["sha256"] for row in plain.entries[1:]] == [row["sha256"] for row in found.entries[1:]]


def test_cabinets_that_are_not_unpacked_are_said() -> None:
    found = facts_of(artefacts.zipped({"x.cab": artefacts.cabinet({"a.log": b"x" * 100}, kind=3)}))
    assert [why for _name, _kind, why in found.not_read] == ["it is packed by LZX, which is not unpacked"]


@pytest.mark.parametrize("cut", [10, 40, 60, 100, 250])
def test_damaged_cabinets(cut: int) -> None:
    whole = artefacts.cabinet({"a.log": b"abcdefgh" * 9000, "b.log": b"y" * 70_000})
    found = facts_of(artefacts.zipped({"x.cab": whole[:cut], "after.txt": b"still read"}))
    assert found.not_read
    assert found.entries[-1]["name"] == "after.txt" and found.entries[-1]["sha256"]


def test_every_byte_of_a_cabinet_may_be_wrong() -> None:
    whole = artefacts.cabinet({"a.log": b"abcdefgh" * 500})
    for at in range(0, len(whole)):
        broken = whole[:at] + bytes([whole[at] ^ 0xFF]) + whole[at + 1 :]
        found = facts_of(artefacts.zipped({"x.cab": broken, "after.txt": b"still read"}), entries=1000)
        assert found.entries[-1]["name"] == "after.txt" or found.not_read


# ---- hostile packages ----


def test_names_are_told_and_never_followed() -> None:
    hostile = [
        "../../etc/passwd",
        "/etc/shadow",
        "C:\\Windows\\x",
        "..\\..\\x",
        "a\x1b[2J",
        "<script>",
        "{{ 7*7 }}",
        "con",
        "x\0y"[:1],
    ]
    found = facts_of(artefacts.zipped({name: b"x" for name in hostile}))
    assert names(found) == hostile


def test_a_bomb_stops_at_what_may_be_unpacked() -> None:
    bomb = artefacts.zipped({f"{number}.txt": b"\0" * (20 << 20) for number in range(5)})
    tracemalloc.start()
    found = facts_of(bomb, unpacked=50 << 20)
    _now, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert found.not_read[-1][0] is None
    assert "unpacks to more than 50 MiB" in found.not_read[-1][2]
    assert peak < 16 << 20


def test_a_bomb_in_a_bomb_in_a_bomb() -> None:
    package = {"x.txt": b"\0" * 1000}
    for number in range(6):
        package = {f"{number}.zip": artefacts.zipped(package), "beside.txt": b"read"}
    found = facts_of(artefacts.zipped(package))
    assert max(name.count("!/") for name in names(found)) == 3
    assert any("opened 3 deep" in why for _name, _kind, why in found.not_read)


def test_a_gzip_bomb_and_a_gzip_of_a_gzip() -> None:
    data = gzip.compress(gzip.compress(gzip.compress(gzip.compress(gzip.compress(b"\0" * (30 << 20))))))
    found = facts_of(artefacts.zipped({"a.gz": data}), unpacked=10 << 20)
    assert found.not_read


def test_more_entries_than_are_read() -> None:
    package = artefacts.zipped({f"{number}": b"" for number in range(120)})
    found = facts_of(package, entries=100)
    assert len(found.entries) == 100
    assert found.not_read == [(None, None, "the package has more than 100 entries; the rest was not read")]


def test_a_million_entries_cost_no_memory() -> None:
    entry = struct.pack("<4s6H3I5H2I", b"PK\x01\x02", 20, 20, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0) + b"x"
    directory = entry * 1_000_000
    end = struct.pack("<4sHHHHIIH", b"PK\x05\x06", 0, 0, 0xFFFF, 0xFFFF, len(directory), 0, 0)
    file = io.BytesIO(directory + end)
    del directory
    tracemalloc.start()
    begun = time.monotonic()
    entries, more = zips.read_directory(file, 10_000)
    _now, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (len(entries), more) == (10_000, True)
    assert peak < 16 << 20
    assert time.monotonic() - begun < 20


def test_overlapping_entries() -> None:
    buffer = io.BytesIO(artefacts.zipped({"a": b"a" * 1000, "b": b"b" * 1000, "c": b"c" * 1000}))
    data = bytearray(buffer.getvalue())
    first = data.find(b"PK\x01\x02")
    second = data.find(b"PK\x01\x02", first + 1)
    # The second entry begins where the first one does.
    data[second + 42 : second + 46] = data[first + 42 : first + 46]
    found = facts_of(bytes(data))
    assert [(name, why) for name, _kind, why in found.not_read] == [
        ("b", "it overlaps another entry, as only a zip bomb does")
    ]
    assert [row["name"] for row in found.entries if row["sha256"]] == ["a", "c"]


def test_encrypted_oversized_unknown_and_damaged_entries_are_said() -> None:
    data = bytearray(
        artefacts.zipped({"a": b"a" * 9000, "b": b"b" * 90, "c": b"c" * 90, "d": b"d" * 90, "e": bytes(range(90))})
    )
    places = []
    at = data.find(b"PK\x01\x02")
    while at >= 0:
        places.append(at)
        at = data.find(b"PK\x01\x02", at + 1)
    data[places[1] + 8] |= 1
    data[places[2] + 10] = 99
    data[places[3] + 16] ^= 0xFF
    whys = {name: why for name, _kind, why in facts_of(bytes(data), entry=1000).not_read}
    assert whys == {
        "a": "it is larger than 1000 bytes",
        "b": "it is encrypted",
        "c": "it is packed by method 99, which cannot be unpacked here",
        "d": "it does not match its checksum",
    }


def test_an_entry_that_is_longer_than_it_says() -> None:
    data = bytearray(artefacts.zipped({"a": b"a" * 100_000}))
    at = data.find(b"PK\x01\x02")
    struct.pack_into("<I", data, at + 24, 10)
    found = facts_of(bytes(data))
    assert found.not_read[0][2] == "it is longer than the package's directory says"


def test_time_is_bounded() -> None:
    class Slow(Clock):
        now = 0.0

        def monotonic(self) -> float:
            Slow.now += 10
            return Slow.now

    found = facts.read(
        io.BytesIO(artefacts.zipped({str(number): b"x" for number in range(100)})), Meter(Limits(seconds=200), Slow())
    )
    assert len(found.entries) < 30
    assert "took longer than 200 s" in found.not_read[-1][2]


@pytest.mark.parametrize(
    "data",
    [b"", b"no zip", b"PK\x05\x06", b"PK\x05\x06" + b"\xff" * 18, b"PK\x05\x06" + b"\0" * 10 + b"\xff" * 6 + b"\0\0"],
)
def test_no_zip(data: bytes) -> None:
    with pytest.raises(zips.NoZip):
        facts_of(data)


def test_every_byte_of_a_package_may_be_wrong() -> None:
    whole = artefacts.zipped(
        {"Autoruns/a.txt": b"abc" * 40, "b.gz": gzip.compress(b"x"), "c.cab": artefacts.cabinet({"a": b"b"})}
    )
    for at in range(len(whole)):
        broken = whole[:at] + bytes([whole[at] ^ 0xFF]) + whole[at + 1 :]
        try:
            facts_of(broken)
        except zips.NoZip:
            pass


def test_zip64_backslashes_and_something_before_the_zip() -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        with archive.open("a.txt", "w", force_zip64=True) as entry:
            entry.write(b"abc")
        archive.writestr("folder/", b"")
    found = facts_of(b"MZ" + b"\0" * 500 + buffer.getvalue())
    assert [(row["name"], row["size"]) for row in found.entries] == [("a.txt", 3)]
    assert found.not_read == []


def test_an_empty_package() -> None:
    found = facts_of(artefacts.zipped({}))
    assert (found.entries, found.system) == ([], kinds.System.UNKNOWN)


def test_memory_is_flat() -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("big.txt", "w") as entry:
        for _number in range(60):
            entry.write(b"0123456789abcdef" * (1 << 16))
    tracemalloc.start()
    facts.read(buffer, meter())
    _now, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 12 << 20


def test_a_visitor_that_wants_nothing_unpacks_nothing() -> None:
    class Nothing:
        def begin(self, names: t.Sequence[str]) -> None:
            pass

        def open(self, member: entries.Member, first: bytes, container: bool) -> None:
            return None

        def left_out(self, name: str | None, kind: str | None, why: str) -> None:
            raise AssertionError(why)

    spent = meter()
    entries.walk(io.BytesIO(artefacts.zipped({"a.txt": b"x" * (30 << 20)})), spent, Nothing())
    assert spent.unpacked <= 2 << 20


@pytest.mark.parametrize("codec", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "cp1252"])
def test_texts_are_decoded(codec: str) -> None:
    assert decoded("Größe: 12 Ä, the quick brown fox".encode(codec)) == "Größe: 12 Ä, the quick brown fox"
    assert zlib.crc32(decoded(b"\xff\xfe").encode()) == 0


def test_many_long_names_in_a_cabinet_cost_what_they_are_long() -> None:
    names = b"".join(b"%08d" % number * 50 + b"\0" for number in range(5000))
    for blocks in ([names], [names[at : at + 7] for at in range(0, len(names), 7)]):
        stream = cabinets.Forward(iter(blocks))
        begun = time.process_time()
        assert [stream.text() for _number in range(5000)] == names.split(b"\0")[:-1]
        # A copy of the rest for each byte of a name took minutes.
        assert time.process_time() - begun < 5 and stream.at == len(names)
    with pytest.raises(LeftOut, match="without an end"):
        cabinets.Forward(iter([b"x" * 500] * 10)).text()
    with pytest.raises(LeftOut, match="cut short"):
        cabinets.Forward(iter([b"x" * 500])).text()
