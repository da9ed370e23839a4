# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whatever comes from outside, damaged and made up: parsers say what they make of it, and raise nothing else.

Seconds of it here; C(make fuzz) goes on for ten minutes.
"""

from __future__ import annotations

import base64
import gzip
import io
import json
import tempfile
import typing as t
import zipfile
from pathlib import Path
from types import SimpleNamespace

from hypothesis import example, given
from hypothesis import strategies as st

from ansible_collections.secops.defender.plugins.module_utils._evidence import records, zip_check
from ansible_collections.secops.defender.plugins.module_utils._evidence.chain import (
    FIRST,
    Chain,
    sha256_of_line,
    with_digest,
)
from ansible_collections.secops.defender.plugins.module_utils._evidence.files import Dir
from ansible_collections.secops.defender.plugins.module_utils._evidence.reading import entries, eventlog
from ansible_collections.secops.defender.plugins.module_utils._evidence.reading.limits import Limits, Meter
from ansible_collections.secops.defender.plugins.module_utils._evidence.reading.zips import NoZip
from ansible_collections.secops.defender.plugins.module_utils._evidence.searching import indicator_files
from ansible_collections.secops.defender.plugins.module_utils._service import quota, wire
from ansible_collections.secops.defender.plugins.module_utils._service.api import literal
from ansible_collections.secops.defender.plugins.module_utils._service.names import parse_names
from ansible_collections.secops.defender.plugins.module_utils._service.token import Claims
from ansible_collections.secops.defender.plugins.module_utils._words.clock import Clock
from ansible_collections.secops.defender.plugins.module_utils._words.errors import (
    OptionsError,
    PackageBroken,
    ServiceError,
    printable,
)
from ansible_collections.secops.defender.plugins.module_utils._words.models import Action, Machine
from ansible_collections.secops.defender.tests.unit.plugins.virtual_clock import VirtualClock
from simulator import artefacts
from simulator.odata import parse_filter

Damage = tuple[float, str, bytes]


def _damaged(sample: bytes) -> st.SearchStrategy[bytes]:
    """The sample with some of its bytes replaced, taken out, put in or cut off."""

    def apply(damage: list[Damage]) -> bytes:
        data = sample
        for where, how, what in damage:
            at = int(where * len(data))
            after = {"replace": at + len(what), "take": at + 8 * len(what), "put": at, "cut": len(data)}[how]
            data = data[:at] + (b"" if how in ("take", "cut") else what) + data[after:]
        return data

    words = st.sampled_from([b"\0", b"\xff", b"\xff" * 4, b"\xff" * 8, b"\0" * 4, b"\1\0", b"\x80\0"]) | st.binary(
        max_size=8
    )
    hows = st.sampled_from(["replace", "replace", "replace", "take", "put", "cut"])
    return st.lists(st.tuples(st.floats(0, 1, width=32), hows, words), min_size=1, max_size=6).map(apply)


_JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=20)
    | st.just("2026-11-23T10:15:00.1234567Z"),
    lambda inside: st.lists(inside, max_size=4) | st.dictionaries(st.text(max_size=8), inside, max_size=4),
    max_leaves=8,
)

# ---- replies ----

_MACHINE = ("id", "computerDnsName", "aadDeviceId", "lastIpAddress", "healthStatus", "lastSeen", "mergedIntoMachineId",
            "osPlatform", "onboardingStatus", "machineTags", "riskScore", "exposureLevel")  # fmt: skip
_ACTION = ("id", "type", "status", "machineId", "computerDnsName", "requestor", "requestorComment",
           "creationDateTimeUtc", "lastUpdateDateTimeUtc", "cancellationDateTimeUtc", "commands")  # fmt: skip


@given(st.dictionaries(st.sampled_from(_MACHINE), _JSON) | _JSON)
def test_a_machine_of_any_form(entity: object) -> None:
    try:
        machine = Machine.from_api(entity)
    except ServiceError:
        return
    assert machine.id and machine.label
    assert (
        isinstance(machine.condition, str) and isinstance(machine.active, bool) and isinstance(machine.onboarded, bool)
    )


@given(st.dictionaries(st.sampled_from(_ACTION), _JSON) | _JSON)
def test_an_action_of_any_form(entity: object) -> None:
    try:
        action = Action.from_api(entity)
    except ServiceError:
        return
    assert action.id and action.created_at >= 0.0 and action.updated_at >= 0.0
    assert isinstance(action.final, bool) and json.dumps(action.as_result(), default=str)


@given(st.text(max_size=200) | _JSON.map(lambda value: json.dumps(value, default=str)))
def test_a_token_of_any_form(text: str) -> None:
    payload = base64.urlsafe_b64encode(text.encode("utf-8", "replace")).decode().rstrip("=")
    for token in (text, f"x.{payload}.y"):
        claims = Claims.of(token)
        assert isinstance(claims.permits("Machine.Read.All"), bool)


@given(st.text(max_size=30) | st.integers().map(str) | st.floats().map(str))
@example("9" * 5000)
@example("\u00b2")
def test_a_retry_after_of_any_form(text: str) -> None:
    seconds = wire.retry_after(SimpleNamespace(headers={"Retry-After": text}), VirtualClock())
    assert seconds is None or 0.0 <= seconds <= 3600.0


@given(st.text(max_size=100))
def test_no_text_changes_what_a_filter_means(text: str) -> None:
    predicate = parse_filter(f"computerDnsName eq {literal(text)}", {"computerDnsName": "string"})
    assert predicate({"computerDnsName": text}) and not predicate({"computerDnsName": text + "x"})


@given(st.lists(st.text(max_size=40), min_size=1, max_size=3))
def test_names_of_any_form(names: list[str]) -> None:
    try:
        found = parse_names(names)
    except OptionsError as failure:
        assert printable(str(failure))
        return
    assert all(name.label for name in found)


# ---- evidence ----


def _log() -> bytes:
    lines, previous = [], FIRST
    for number in range(1, 8):
        line = with_digest(
            {"seq": number, "time": "2026-11-23T10:15:00Z", "event": "action_known", "previous_sha256": previous}
        )
        lines.append(line)
        previous = sha256_of_line(line.encode())
    return "".join(f"{line}\n" for line in lines).encode()


_LOG = _log()


def _troubles(log: bytes) -> tuple[list[object], int]:
    found: list[object] = []
    chain = Chain(lambda number, digest, entry: None, lambda *trouble: found.append(trouble))
    for line in log.splitlines(keepends=True):
        chain.feed(line)
    chain.end()
    return found, chain.seq


def test_the_log_that_is_damaged_below_is_whole() -> None:
    assert _troubles(_LOG) == ([], 7)


@given(_damaged(_LOG))
def test_a_damaged_log_is_found(log: bytes) -> None:
    found, _seq = _troubles(log)
    # Whole lines that are gone from the end are what only a noted head or a seal finds.
    assert found or (_LOG.startswith(log) and (log.endswith(b"\n") or not log))


_RECORD = records.encoded({"action": {"id": "x", "nested": [{"deep": [1, 2, 3]}]}, "sha256": "0" * 64, "size": 5})


@given(_damaged(_RECORD) | st.binary(max_size=200) | st.integers(1, 100_000).map(lambda depth: b"[" * depth))
def test_a_record_of_any_form(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as name:
        Path(name, "x.json").write_bytes(content)
        with Dir.open(Path(name), lambda text: None) as folder:
            digest, record = records.read(folder, "x.json")
    assert isinstance(record, dict) and (digest or not record)


_FILES = {
    "a/first.log": b"203.0.113.7 evil.example\r\n" * 50,
    "b.cab": artefacts.cabinet({"one.txt": b"one" * 5000, "two.txt": b"two" * 20}),
    "c.gz": gzip.compress(b"packed" * 500, mtime=0),
    "d.zip": artefacts.zipped({"inner.txt": b"inside" * 100}),
    "e.evtx": artefacts.event_log(
        [artefacts.Event(number, data={"IpAddress": "203.0.113.7"}) for number in range(3)], "pc01"
    ),
}
_PACKAGE = artefacts.zipped(_FILES)


def _checked(content: bytes) -> zip_check.ZipCheck | None:
    with tempfile.TemporaryFile() as file:
        file.write(content)
        file.seek(0)
        try:
            return zip_check.check_zip(file, VirtualClock())
        except PackageBroken:
            return None


@given(_damaged(_PACKAGE))
def test_a_damaged_package_is_called_damaged_or_has_the_bytes_that_it_had(content: bytes) -> None:
    if _checked(content) is zip_check.ZipCheck.CRC:
        with zipfile.ZipFile(io.BytesIO(content)) as package:
            assert {package.read(entry) for entry in package.infolist()} <= {*_FILES.values(), b""}


class _Visitor:
    def __init__(self) -> None:
        self.left: list[str] = []
        self.size = 0

    def begin(self, names: t.Sequence[str]) -> None:
        pass

    def open(self, member: entries.Member, first: bytes, container: bool) -> t.Any:
        return SimpleNamespace(feed=self._feed, end=lambda why: None)

    def _feed(self, block: bytes) -> None:
        self.size += len(block)

    def left_out(self, name: str | None, kind: str | None, why: str) -> None:
        self.left.append(why)


_LIMITS = Limits(entries=200, unpacked=4 << 20, entry=1 << 20, nesting=3, seconds=5.0)


@given(
    _damaged(_PACKAGE)
    | st.sampled_from(sorted(_FILES)).flatmap(
        lambda name: _damaged(_FILES[name]).map(lambda data: artefacts.zipped({name: data}))
    )
)
def test_a_package_of_any_form_is_read_within_its_limits(content: bytes) -> None:
    visitor, meter = _Visitor(), Meter(_LIMITS, Clock())
    try:
        entries.walk(io.BytesIO(content), meter, visitor)
    except NoZip:
        return
    # What a container holds is fed as the container's bytes, and as its own.
    assert visitor.size <= 2 * (_LIMITS.unpacked + (1 << 20))


_EVENTS = _FILES["e.evtx"]


@given(_damaged(_EVENTS))
def test_an_event_log_of_any_form(content: bytes) -> None:
    chunks, span = eventlog.Chunks(), eventlog.Span()
    for chunk in [*chunks.feed(content), chunks.left()]:
        span.take(chunk)
        for record in eventlog.records(chunk):
            assert all(
                record.at <= start <= end <= record.at + record.size for start, end in eventlog.texts(chunk, record)
            )
    assert span.as_result()["records"] >= 0


# ---- indicators ----

_STIX = json.dumps(
    {
        "type": "bundle",
        "objects": [
            {"type": "indicator", "id": f"indicator--{number}", "pattern_type": "stix", "pattern": pattern,
             "valid_from": "2026-11-23T10:15:00Z", "valid_until": "2027-11-23T10:15:00Z"}
            for number, pattern in enumerate(
                ("[ipv4-addr:value = '203.0.113.7']", "[domain-name:value = 'evil.example' OR url:value = 'http://x.example/a']",
                 "[file:hashes.'SHA-256' = '" + "a" * 64 + "']", "[ipv4-addr:value ISSUBSET '203.0.113.0/24']")
            )
        ],
    }
).encode()  # fmt: skip
_TABLE = b"indicatorType,indicatorValue,title\r\nIpAddress,203.0.113.7,x\r\nDomainName,evil[.]example,y\r\n"


@given(_damaged(_STIX) | _damaged(_TABLE) | st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
@example(b"[" * 100_000)
@example(b"x," + b"y" * 200_000)
@example(b"indicatorValue,\0title\nevil.example,x")
@example(b'[{"type": "indicator", "pattern": ' + b"9" * 5000 + b"}]")
def test_indicators_of_any_form(content: bytes) -> None:
    given_there = indicator_files.Given()
    indicator_files.read_file(content, 1_795_000_000.0, given_there)
    assert all(each.value for each in given_there.indicators)
    assert all({"where", "value", "why"} == set(each) for each in given_there.refused)


# ---- the shared budget ----


def _quota_file() -> bytes:
    with tempfile.TemporaryDirectory() as name:
        budget = quota.Budget("fuzz", _LIMITS_OF_CALLS, VirtualClock(), Path(name))
        for _call in range(3):
            budget.done(budget.acquire("machines"))
        del budget
        return next(Path(name).glob("*.sqlite3")).read_bytes()


_LIMITS_OF_CALLS = {"default": (quota.Limit(100, 60.0),)}
_QUOTA = _quota_file()


@given(_damaged(_QUOTA) | st.binary(max_size=200))
def test_a_budget_of_any_form_stops_nobody(content: bytes) -> None:
    said: list[str] = []
    with tempfile.TemporaryDirectory() as name:
        Path(name, "quota-1.sqlite3").write_bytes(content)
        clock = VirtualClock()
        budget = quota.Budget("fuzz", _LIMITS_OF_CALLS, clock, Path(name), warn=said.append)
        budget.done(budget.acquire("machines"))
        # It may count calls that never were, but no more than a window has room for.
        assert sum(clock.slept) <= 120.0
