# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest

from ansible_collections.secops.defender.plugins.module_utils._evidence.searching.indicator_files import (
    Given,
    elements,
    parse_pattern,
    read_file,
)
from ansible_collections.secops.defender.plugins.module_utils._evidence.searching.indicators import (
    Refused,
    Type,
    form_of,
    parse,
    refang,
    told,
)


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        ("203.0.113.7", Type.IP), ("203[.]0[.]113[.]7", Type.IP), ("203.0.113[.]7", Type.IP), ("203(.)0(.)113(.)7", Type.IP),
        ("203[dot]0[dot]113[dot]7", Type.IP), ("2001:db8::7", Type.IP), ("[2001:db8::7]", Type.IP), ("fe80::1%eth0", Type.IP),
        ("::ffff:203.0.113.7", Type.IP), ("2001[:]db8[:][:]7", Type.IP),
        ("203.0.113.0/24", Type.IP_RANGE), ("2001:db8::/32", Type.IP_RANGE), ("203[.]0[.]113[.]0/24", Type.IP_RANGE),
        ("d41d8cd98f00b204e9800998ecf8427e", Type.HASH), ("A" * 40, Type.HASH), ("b" * 64, Type.HASH),
        ("evil.example", Type.DOMAIN), ("*.evil.example", Type.DOMAIN), ("evil[.]example", Type.DOMAIN), ("evil[dot]example", Type.DOMAIN),
        ("evil.com", Type.DOMAIN), ("bücher.example", Type.DOMAIN), ("_dmarc.evil.example", Type.DOMAIN), ("evil.example.", Type.DOMAIN),
        ("hxxps://evil[.]example/a", Type.URL), ("http://evil.example", Type.URL), ("hxxp[:]//evil[.]example", Type.URL),
        ("evil.example/path", Type.URL), ("fxp://evil.example/a", Type.URL), ("https[://]evil.example/a", Type.URL),
        ("mimikatz.exe", Type.FILE_NAME), ("read me.txt", Type.FILE_NAME), ("a.b.dll", Type.FILE_NAME),
        ("Invoke-Mimikatz", Type.TEXT), ("C:\\Temp\\x.exe", Type.TEXT), ("HKLM\\Software\\Evil", Type.TEXT), ("CVE-2026-1", Type.TEXT),
        ("a@evil.example", Type.TEXT),
    ],
)  # fmt: skip
def test_the_type_is_told_by_form(value: str, kind: Type) -> None:
    assert form_of(value) is kind


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ("203.0.113.7/24", "bits set behind its prefix"), ("203.0.113.7:443", "with a port"), ("[2001:db8::7]:443", "with a port"),
        ("203.0.113.256", "looks like an IPv4 address"), ("run.sh", "ends domains as well as files"), ("a.zip", "ends domains"),
        ("evil.example 203.0.113.7", "several indicators"), ("a.exe evil[.]example\trun.sh", "several indicators"),
        ("*.exe", "a wildcard"), ("evil*.exe", "a wildcard"), ("10.0.0.*", "a wildcard"), ("C:\\Users\\*\\x.exe", "a wildcard"),
        ("abc", "under 4 characters"), ("", "empty"), ("0.0.0.0/0", "wider than"), ("::/0", "wider than"), ("x" * 3000, "longer than"),
    ],
)  # fmt: skip
def test_what_means_nothing_or_two_things_is_refused(value: str, why: str) -> None:
    with pytest.raises(Refused, match=why):
        told(value)


@pytest.mark.parametrize(
    ("value", "part"),
    [
        ("203.0.113.7  C2 server", "203.0.113.7"), ("- 203.0.113.7", "203.0.113.7"), ("203[.]0[.]113[.]7|x", "203[.]0[.]113[.]7"),
        ("evil.example;seen twice", "evil.example"),
        ("a" * 32 + "\tloader", "a" * 32), ("- evil.exe", "evil.exe"), ("- 203.0.113.0/24", "203.0.113.0/24"),
        ("203.0.113.7:443 beacon", "203.0.113.7:443"),
    ],
)  # fmt: skip
def test_an_indicator_among_other_words_is_refused(value: str, part: str) -> None:
    with pytest.raises(Refused) as caught:
        told(value)
    assert repr(part) in str(caught.value) and "type: text" in str(caught.value)
    assert told(value, "text")[0].value == value


@pytest.mark.parametrize(
    "value",
    [
        "Mozilla/5.0 (Windows NT 10.0; rv:11.0) like Gecko", "cmd.exe /c whoami", "C:\\Program Files\\a b.exe", "read me.txt",
        "New-Object System.Net.WebClient", "\\\\10.0.0.5\\share", "-enc JAB", "a | b", "Invoke-Mimikatz; exit",
        "ping 203.0.113.7 -t",
    ],
)  # fmt: skip
def test_other_texts_of_several_words_are_searched_as_one(value: str) -> None:
    assert told(value)[0].value == value


def test_of_a_text_whose_type_is_said_blanks_and_wildcards_are_part() -> None:
    assert [each.value for each in told("-enc ", "text")] == ["-enc "]
    assert [each.value for each in told(" evil.example ", "domain") + told(" some text ")] == [
        "evil.example",
        "some text",
    ]
    assert told("*.exe", "text")[0].value == "*.exe"
    assert (
        told("SELECT * FROM x")[0].type
        is told("cmd.exe /c evil.exe")[0].type
        is told("a.exe b.exe", "text")[0].type
        is Type.TEXT
    )
    assert told("read me first.txt")[0].type is Type.FILE_NAME


def test_a_type_that_is_said_counts() -> None:
    assert told("abc", "text")[0].type is Type.TEXT
    assert told("run.sh", "file_name")[0].type is Type.FILE_NAME
    assert told("run.sh", "domain")[0].type is Type.DOMAIN
    assert [(each.type, each.value) for each in parse("evil.example|203.0.113.7", "domain|ip")] == [
        (Type.DOMAIN, "evil.example"),
        (Type.IP, "203.0.113.7"),
    ]
    assert [each.value for each in parse("203.0.113.7|443", "ip-dst|port")] == ["203.0.113.7"]
    with pytest.raises(Refused, match="not known"):
        told("x", "ja3-fingerprint")
    with pytest.raises(Refused, match="no MD5"):
        told("evil.example", "sha256")
    with pytest.raises(Refused, match="a path"):
        told("C:\\Temp\\x.exe", "filename")


@pytest.mark.parametrize(
    ("defanged", "plain"),
    [
        ("hxxps[:]//evil[.]example/a", "https://evil.example/a"), ("hXXp://evil(.)example", "http://evil.example"),
        ("evil[dot]example", "evil.example"), ("evil{.}example", "evil.example"), ("evil[.example", "evil.example"),
        ("203[.]0[.]113[.]7", "203.0.113.7"), ("evil.example", "evil.example"), ("h**ps://evil.example", "https://evil.example"),
    ],
)  # fmt: skip
def test_refang(defanged: str, plain: str) -> None:
    assert refang(defanged) == plain


@pytest.mark.parametrize(
    ("given", "word", "value"),
    [
        ("user[@]evil[.]example", None, "user@evil.example"), ("user[at]evil[dot]example", None, "user@evil.example"),
        ("user@evil[.]example", "email-src", "user@evil.example"), ("C:\\Temp\\evil[.]exe", None, "C:\\Temp\\evil.exe"),
        ("iwr hxxps://bad[.]example/a", None, "iwr https://bad.example/a"), ("C:\\Users\\.ssh", None, "C:\\Users\\.ssh"),
        ("evil[.]example", "text", "evil[.]example"), ("a [.] b", None, "a [.] b"), ("$x[at]", None, "$x[at]"),
    ],
)  # fmt: skip
def test_what_is_defanged_in_a_text(given: str, word: str | None, value: str) -> None:
    (found,) = told(given, word)
    assert (found.type, found.value) == (Type.TEXT, value)


def read(text: str | bytes, now: float = 1795424400) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    given = Given()
    read_file(text.encode() if isinstance(text, str) else text, now, given)
    return [(each.type.value, each.value) for each in given.indicators], [
        (row["where"], row["why"]) for row in given.refused
    ]


def test_one_a_line() -> None:
    found, refused = read("# C2\n203.0.113[.]7  # first\n\nevil.example\n203.0.113.7\nx\nhttps://evil.example/#a\n")
    assert found == [("ip", "203.0.113.7"), ("domain", "evil.example"), ("url", "https://evil.example/#a")]
    assert [where for where, _why in refused] == ["line 6"]


@pytest.mark.parametrize("codec", ["utf-8-sig", "utf-16", "cp1252"])
def test_encodings_of_a_file(codec: str) -> None:
    assert read("evil.example\nGrüße aus\n".encode(codec))[0] == [("domain", "evil.example"), ("text", "Grüße aus")]


def test_csv() -> None:
    found, refused = read('203.0.113.7,ip-dst,C2\n"hello, world",text\nabc,string\nevil.example,foo\nrun.sh,filename\n')
    assert found == [("ip", "203.0.113.7"), ("text", "hello, world"), ("text", "abc"), ("file_name", "run.sh")]
    assert [where for where, _why in refused] == ["line 4"]


@pytest.mark.parametrize("separator", [";", "\t"])
def test_csv_with_other_separators(separator: str) -> None:
    lines = ("203.0.113.7,ip,C2", "evil.example,hostname", "x.exe,filename|md5")
    found, refused = read("\n".join(lines).replace(",", separator))
    assert found == [("ip", "203.0.113.7"), ("domain", "evil.example")] and [where for where, _why in refused] == [
        "line 3"
    ]
    assert read("cmd /c a; b\n")[0] == [("text", "cmd /c a; b")]


def test_a_heading_that_names_a_type_is_refused() -> None:
    (found,), (refused,) = read(f"Hash\n{'a' * 64}\n")
    assert found == ("hash", "a" * 64) and "reads as a heading" in str(refused)
    assert read("hash,text\n") == ([("text", "hash")], [])


@pytest.mark.parametrize("heading", ["value", "Indicator", "ioc", '"indicatorValue"'])
def test_a_heading_alone(heading: str) -> None:
    assert read(f"# feed\n{heading}\nevil.example\n") == ([("domain", "evil.example")], [])


@pytest.mark.parametrize(
    "text",
    [
        '{"type":"bundle","objects":[\n{"type":"indicator",\n', '["203.0.113.7",\n"evil.example"\n', '{"value":"a.example"}\n{"value":"b.example"}\n',
        '[\n  {"value": "a.example"},\n', "[5, null, true]",
    ],
)  # fmt: skip
def test_broken_json_is_refused_and_no_list_of_lines(text: str) -> None:
    found, refused = read(text)
    assert found == [] and refused


def test_what_begins_like_json_and_is_an_indicator() -> None:
    assert read("[2001:db8::7]\nevil.example\n")[0] == [("ip", "2001:db8::7"), ("domain", "evil.example")]
    assert read("{5382F7EA-7557-4AB7-9782-D50480024A4E}\n")[0][0][0] == "text"


@pytest.mark.parametrize(
    ("word", "value", "found"),
    [
        ("malware-sample", f"evil.exe|{'a' * 32}", ["file_name", "hash"]), ("filename|sha384", f"evil.exe|{'a' * 96}", ["file_name", "hash"]),
        ("sha384", "a" * 96, ["hash"]), ("regkey|value", "HKLM\\Evil|evil value", ["text", "text"]), ("attachment", "invoice.doc", ["file_name"]),
        ("email-subject", "Your invoice", ["text"]),
    ],
)  # fmt: skip
def test_more_words_of_misp(word: str, value: str, found: list[str]) -> None:
    assert [each.type.value for each in told(value, word)] == found


def test_csv_of_defender() -> None:
    text = (
        "indicatorType,indicatorValue,expirationTime,action,severity,title,description\r\n"
        "IpAddress,203.0.113.7,,Block,High,C2,x\r\nDomainName,evil.example,,Block,High,C2,x\r\n"
        f"FileSha256,{'a' * 64},,Block,High,Dropper,x\r\nUrl,https://bad.example/a,,Audit,Low,x,x\r\nWebCategory,7,,Block,Low,x,x\r\n"
    )
    found, refused = read(text)
    assert [kind for kind, _value in found] == ["ip", "domain", "hash", "url"]
    assert [where for where, _why in refused] == ["line 6"]


def test_csv_of_misp() -> None:
    text = 'uuid,event_id,category,type,value,comment,to_ids,date\n1,2,"Network activity","ip-src|port","203.0.113.7|443","c",1,1\n'
    assert read(text)[0] == [("ip", "203.0.113.7")]


def indicator(pattern: str, **more: object) -> dict[str, object]:
    return {"type": "indicator", "id": "indicator--1", "pattern": pattern, "pattern_type": "stix", **more}


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("[ipv4-addr:value = '203.0.113.7']", [("203.0.113.7", "ip")]),
        ("[ipv6-addr:value='2001:db8::7']", [("2001:db8::7", "ip")]),
        ("[ipv4-addr:value ISSUBSET '203.0.113.0/24']", [("203.0.113.0/24", "ip_range")]),
        (
            "[domain-name:value = 'a.example' OR domain-name:value = 'b.example']",
            [("a.example", "domain"), ("b.example", "domain")],
        ),
        (
            "[domain-name:value = 'a.example'] OR [url:value = 'https://b.example/']",
            [("a.example", "domain"), ("https://b.example/", "url")],
        ),
        ("[file:hashes.'SHA-256' = 'aa' OR file:hashes.MD5 = 'bb']", [("aa", "hash"), ("bb", "hash")]),
        ("([file:name = 'it\\'s.exe'])", [("it's.exe", "file_name")]),
        ("[(domain-name:value IN ('a.example', 'b.example'))]", [("a.example", "domain"), ("b.example", "domain")]),
        ("[windows-registry-key:key = 'HKLM\\\\Evil']", [("HKLM\\Evil", "text")]),
    ],
)
def test_stix_patterns(pattern: str, found: list[tuple[str, str]]) -> None:
    assert parse_pattern(pattern) == found


@pytest.mark.parametrize(
    "pattern",
    [
        "[ipv4-addr:value = '1.2.3.4' AND domain-name:value = 'a.example']", "[domain-name:value LIKE '%.example']",
        "[domain-name:value MATCHES '.*']", "[NOT domain-name:value = 'a.example']", "[domain-name:value != 'a.example']",
        "[domain-name:value = 'a'] FOLLOWEDBY [url:value = 'b']", "[domain-name:value = 'a'] WITHIN 5 SECONDS", "[x-evil:value = 'a']",
        "[domain-name:value = 5]", "[domain-name:value = 'a'", "", "garbage", "((((((((((((((((((((((((((" * 100,
    ],
)  # fmt: skip
def test_stix_patterns_that_are_refused(pattern: str) -> None:
    with pytest.raises(Refused):
        parse_pattern(pattern)


def test_a_stix_bundle() -> None:
    import json

    objects = [
        indicator("[ipv4-addr:value = '203.0.113.7']"),
        indicator("[domain-name:value = 'old.example']", id="indicator--2", revoked=True),
        indicator("[domain-name:value = 'old.example']", id="indicator--3", valid_until="2026-11-22T00:00:00Z"),
        indicator("rule x {}", id="indicator--4", pattern_type="yara"),
        indicator("[domain-name:value = 'new.example']", id="indicator--5", valid_until="2027-11-22T00:00:00Z"),
        {"type": "malware", "id": "malware--1", "name": "Evil"},
    ]
    found, refused = read(json.dumps({"type": "bundle", "id": "bundle--1", "objects": objects}))
    assert found == [("ip", "203.0.113.7"), ("domain", "new.example")]
    assert [where for where, _why in refused] == ["indicator--2", "indicator--3", "indicator--4"]


def test_a_list_of_stix_bundles() -> None:
    import json

    bundle = {"type": "bundle", "id": "bundle--1", "objects": [indicator("[ipv4-addr:value = '203.0.113.7']")]}
    assert read(json.dumps([bundle, bundle])) == ([("ip", "203.0.113.7")], [])


@pytest.mark.parametrize(
    "content",
    [b"PK\x03\x04\x14\x00[Content_Types].xml", b"%PDF-1.7\nevil.example", b"\x7fELF\nevil.example\0"],
)
def test_a_file_that_is_no_text_is_refused_as_a_whole(content: bytes) -> None:
    given = Given()
    read_file(content, 0.0, given)
    assert not given.indicators and [row["where"] for row in given.refused] == ["file"]
    assert "save it as text or CSV" in given.refused[0]["why"]


def test_what_is_no_indicator_in_json_is_told_as_json() -> None:
    given = Given()
    read_file(b'[{"a": true}]', 0.0, given)
    assert [row["value"] for row in given.refused] == ['{"a": true}']


def test_hostile_files() -> None:
    assert read("[" * 200_000)[1]
    assert read(b"\xff\xfe\x00")[0] == []


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ("203.0.113.7, evil.example; a.exe\nb.exe", ["203.0.113.7", "evil.example", "a.exe", "b.exe"]),
        (["203.0.113.7,evil.example"], ["203.0.113.7", "evil.example"]),
        ('["203.0.113.7", {"value": "a, b", "type": "text"}]', ["203.0.113.7", {"value": "a, b", "type": "text"}]),
        ("https://evil.example/a,b, evil.example", ["https://evil.example/a,b", "evil.example"]),
        (["[2001:db8::7]"], ["[2001:db8::7]"]),
        ([None, 5, True, 1.5], [None, 5, True, 1.5]),
    ],
)
def test_elements_of_an_option(given: object, found: list[object]) -> None:
    assert list(elements(given)) == found
