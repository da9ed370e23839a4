# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.secops.defender.plugins.module_utils._evidence.comparing.artefacts import Form, artefact_of
from ansible_collections.secops.defender.plugins.module_utils._evidence.comparing.lines import lines_of, text_of
from ansible_collections.secops.defender.plugins.module_utils._evidence.comparing.masks import (
    Masker,
    Wanted,
    without_edges,
)
from ansible_collections.secops.defender.plugins.module_utils._evidence.reading import kinds


def cells(form: Form, text: str) -> list[tuple[str, ...]]:
    return [line.cells for line in lines_of(form, text).lines]


@pytest.mark.parametrize(
    "text",
    [
        '"Name","Status"\r\n"Sense","Läuft"\r\n',
        '#TYPE Selected\r\n"Nom","État"\r\n"Sense","Läuft"\r\n',
        "Name;Status\nSense;Läuft\n",
        '"Name,Status"\n"Sense,Läuft"\n',
        "\ufeffИмя\tСостояние\nSense\tLäuft\n",
        '"Aufgabenname","Nächste Laufzeit"\n"Sense","Läuft"\n"Aufgabenname","Nächste Laufzeit"\n',
    ],
)
def test_a_table_has_no_heading_whatever_its_language(text: str) -> None:
    assert cells(Form.RECORDS, text) == [("Sense", "Läuft")]


def test_a_cell_goes_over_lines_and_an_open_quote_swallows_none() -> None:
    assert cells(Form.RECORDS, '"Name","What"\n"a","one\ntwo"\n"b","x"\n') == [("a", "one two"), ("b", "x")]
    rows = "".join(f'"row{number}","x"\n' for number in range(40))
    found = cells(Form.RECORDS, f'"Name","What"\n"evil","y""\n{rows}')
    assert {f"row{number}" for number in range(40)} <= {cell for row in found for cell in row}
    long = "z" * 200_000
    assert [row[0][:2] for row in cells(Form.RECORDS, f'"Name","What"\n"a","{long}"\n"b","x"\n')] == ['"a', "b"]


def test_a_table_without_a_heading_keeps_its_first_line() -> None:
    assert cells(Form.RECORDS, '"\\Defrag","Ready"\n') == [("\\Defrag", "Ready")]


def test_columns_of_states_are_told_by_their_shape() -> None:
    text = '"Name","Status","Pfad"\n"a","Läuft","C:\\x"\n"b","Läuft","C:\\y"\n"c","Wird beendet","C:\\z"\n"d","Läuft","C:\\x"\n'
    assert lines_of(Form.RECORDS, text).lines[0].states == frozenset({1})


@pytest.mark.parametrize(
    "text",
    [
        "Alias name     Users\n\nMembers\n\n-----------------\nContoso\\x\nThe command completed successfully.\n",
        " BENUTZERNAME  SITZUNGSNAME\nContoso\\x\n",
        "Group:\nContoso\\x\n",
    ],
)
def test_columns_and_lists_have_no_headings(text: str) -> None:
    assert ("Contoso\\x",) in cells(Form.RECORDS, text)
    assert not {("Members",), ("BENUTZERNAME", "SITZUNGSNAME"), ("Group:",)} & set(cells(Form.RECORDS, text))


def test_the_first_line_above_numbers_is_a_heading() -> None:
    assert cells(Form.RECORDS, "  PID COMMAND\n    1 init\n    2 sh\n") == [("1 init",), ("2 sh",)]


def test_what_stands_above_names_is_none() -> None:
    text = "*Administratoren\nCONTOSO\\svc-backup2\n"
    assert cells(Form.RECORDS, text) == [("*Administratoren",), ("CONTOSO\\svc-backup2",)]
    assert cells(Form.RECORDS, "Remote Users\nsupport_388945a0\n") == [("Remote Users",), ("support_388945a0",)]


def test_records_with_a_line_for_each_field() -> None:
    text = "Name  : Sense\nZustand  : Läuft\n\nName  : Dnscache\nZustand  : Läuft\n"
    assert cells(Form.RECORDS, text) == [("Sense", "Läuft"), ("Dnscache", "Läuft")]


def test_values_stand_with_their_keys() -> None:
    text = "HKEY_LOCAL_MACHINE\\A\\Run\n    (Standard)    REG_SZ    \n    Evil    REG_SZ    C:\\e.exe\n\nHKEY_LOCAL_MACHINE\\B\n"
    assert cells(Form.REGISTRY, text) == [
        ("HKEY_LOCAL_MACHINE\\A\\Run", "()", "REG_SZ"),
        ("HKEY_LOCAL_MACHINE\\A\\Run", "Evil", "REG_SZ", "C:\\e.exe"),
        ("HKEY_LOCAL_MACHINE\\B",),
    ]


@pytest.mark.parametrize(
    "text",
    [
        " Volume Serial Number is 1A2B-3C4D\n Directory of C:\\T\n\n11/23/2026  10:15 AM    <DIR>          .\n"
        "11/23/2026  10:15 AM       1,234 a b.exe\n 1 File(s)  1,234 bytes\n",
        " Verzeichnis von C:\\T\n\n23.11.2026  10:15             1.234 a b.exe\n",
        " Verzeichnis von C:\\T\na b.exe\n",
    ],
)
def test_a_listing_is_its_files(text: str) -> None:
    assert cells(Form.LISTING, text) == [("a b.exe",)]


def test_connections_are_remote_addresses_and_listening_ports() -> None:
    text = (
        "  Proto  Lokale Adresse  Remoteadresse  Status\n"
        "  TCP    10.0.0.5:52344    203.0.113.7:443    HERGESTELLT  4711\n"
        "  TCP    [fe80::1%7]:52344    [2001:db8::7]:443    ESTABLISHED\n"
        "  TCP    0.0.0.0:4444    0.0.0.0:0    ABHÖREN\n"
        "  TCP    [::]:49664    [::]:0    LISTENING\n"
        "  TCP    127.0.0.1:5000    127.0.0.1:5001    ESTABLISHED\n"
        "  TCP    127.0.0.1:5000    0.0.0.0:0    LISTENING\n"
        "  UDP    0.0.0.0:5353    *:*    77\n"
        "tcp4  0  0  10.0.0.5.52344  198.51.100.9.443  ESTABLISHED\n"
    )
    assert [each for (each,) in cells(Form.CONNECTIONS, text)] == [
        "203.0.113.7", "2001:db8::7", "listens: TCP 4444", "listens: UDP 5353", "198.51.100.9"]  # fmt: skip


def test_names_of_a_dns_cache() -> None:
    text = (
        "\nWindows-IP\n    wpad\n    ------\n    Eintragsname . . : wpad\n    Abschnitt . . : Antwort\n"
        "    a.evil.example\n    -----\n    A . . : 203.0.113.7\n"
    )
    assert [each for (each,) in cells(Form.DNS, text)] == ["wpad", "a.evil.example"]


def test_arp_without_groups() -> None:
    text = "Interface: 10.0.0.5 --- 0x7\n  10.0.0.1   00-11-22-33-44-55  dynamic\n  224.0.0.22  01-00-5e-00-00-16  static\n"
    assert cells(Form.ARP, text) == [("10.0.0.1", "00-11-22-33-44-55")]


def test_prefetch_names_in_lists_of_any_kind() -> None:
    text = "CMD.EXE-4A81B364.pf\n23.11.2026  10:15    1.234 A B.EXE-11223344.pf\n"
    assert cells(Form.PREFETCH, text) == [("CMD.EXE-4A81B364.pf",), ("A B.EXE-11223344.pf",)]


@pytest.mark.parametrize("codec", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "cp1252", "cp850"])
def test_texts_are_read_in_their_encodings(codec: str) -> None:
    assert text_of("Nächste Läufe prüfen".encode(codec)).lstrip("\ufeff") == "Nächste Läufe prüfen"


@pytest.mark.parametrize(
    ("name", "artefact"),
    [
        ("Network Connections/DnsCache.txt", "dns_cache"),
        ("Network Connections\\Arp.txt", "arp"),
        ("Network Connections/ActiveNetConnections.txt", "network_connections"),
        ("Network Connections/IpConfig.txt", None),
        ("Network Connections/pfirewall.log", None),
        ("Security Event Log/Security.evtx", None),
        ("Users and Groups/LocalGroups.txt", "users_and_groups"),
    ],
)
def test_what_an_entry_is(name: str, artefact: str | None) -> None:
    found = artefact_of(name, kinds.kind_of(name))
    assert (found and found.name) == artefact


@pytest.mark.parametrize("form", list(Form))
@given(text=st.text(alphabet=st.sampled_from('aB1 .,;:"\\/-=_|\t\n\r\0*<>[]{}\u00e4\u202eK'), max_size=300))
def test_no_text_breaks_the_reading(form: Form, text: str) -> None:
    for line in lines_of(form, text).lines:
        assert line.cells and all(isinstance(cell, str) for cell in line.cells)


@pytest.mark.parametrize("form", list(Form))
@pytest.mark.parametrize(
    "bad",
    [
        " x",
        "-",
        "- ",
        "a:",
        "1.",
        "1,",
        "a.",
        '"',
        '","',
        "\\",
        "..",
        "(",
        "a b",
        ":.",
        "0-",
        "S-1-5-21-",
        "f",
        "<number> ",
    ],
)
def test_no_line_takes_long(form: Form, bad: str) -> None:
    line = bad * (30_000 // len(bad))
    masker = Masker(Wanted(), ["pc1"], ["jdoe"])
    began = time.process_time()
    for found in lines_of(form, f"{line}\n{line}!\n").lines:
        for cell in found.cells:
            without_edges(masker("processes" if form is not Form.LISTING else "temp_directories", cell))
    assert time.process_time() - began < 10
