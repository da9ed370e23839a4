# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The custody log's lines: how one is written, and how each is held against the one before.

One JSON object a line. C(previous_sha256) is the SHA-256 of the line before (64 zeros in the first), C(digest) that of the line
itself without its digest; so a change anywhere, the last line included, shows.
"""

from __future__ import annotations

import enum
import hashlib
import json
import typing as t
from dataclasses import dataclass

from ansible_collections.secops.defender.plugins.module_utils._evidence import events

FIRST = "0" * 64
# Nobody writes a longer line, or one that is nested deeper; so reading one is bounded. Bytes, levels.
MAX_LINE, MAX_DEPTH = 1 << 20, 64
# Every line begins so.
_BEGINNING = b'{"seq":'
# A text in an entry is kept up to here, so that no line gets too long.
_MAX_TEXT = 20_000
# Torn lines that are held until a repair explains them: each stands for a crash while a crash was healed.
_MAX_TORN = 100

Entry = dict[str, t.Any]


@dataclass(frozen=True)
class Line:
    """A line of the log, without its line feed."""

    seq: int
    text: bytes

    @property
    def sha256(self) -> str:
        """What the next line carries."""
        return sha256_of_line(self.text)


class Trouble(str, enum.Enum):
    """What can be wrong with a line."""

    ALTERED = "altered"
    BROKEN_CHAIN = "broken_chain"
    TORN = "torn"


def with_digest(entry: Entry) -> str:
    """The line for an entry, with its own digest."""
    body = {key: value for key, value in entry.items() if key != "digest"}
    return _dump({**body, "digest": hashlib.sha256(_dump(body).encode()).hexdigest()})


def _dump(entry: Entry) -> str:
    return json.dumps(entry, ensure_ascii=True, separators=(",", ":"))


def shortened(value: t.Any) -> t.Any:
    """A fact as it goes into a line: texts that would be too long are cut."""
    if isinstance(value, str) and len(value) > _MAX_TEXT:
        return value[:_MAX_TEXT] + "…"
    if isinstance(value, dict):
        return {key: shortened(each) for key, each in value.items()}
    return value


def sha256_of_line(line: bytes) -> str:
    """The SHA-256 that the next line carries: of the line without its line feed."""
    return hashlib.sha256(line).hexdigest()


def parse_json(text: bytes) -> t.Any:
    """What JSON says, if it is not nested deeper than anything that is written here. Raises ValueError."""
    try:
        value = json.loads(text)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    if depth(value) > MAX_DEPTH:
        raise ValueError("nested too deeply")
    return value


def depth(value: t.Any) -> int:
    """How deeply a JSON value is nested; 0 for one that holds no others."""
    level, inside = 0, [value]
    while inside := [
        each
        for outer in inside
        for each in (outer.values() if isinstance(outer, dict) else outer if isinstance(outer, list) else ())
    ]:
        level += 1
    return level


def parse_line(line: bytes) -> Entry | None:
    """The entry, or None for a line that is no entry."""
    if len(line) > MAX_LINE:
        return None
    try:
        entry = parse_json(line)
    except ValueError:
        return None
    return entry if isinstance(entry, dict) and isinstance(entry.get("seq"), int) else None


def may_be_torn(line: bytes) -> bool:
    """Whether a crash can have left this of an entry: its beginning, and zeros where a power cut kept back what followed."""
    if len(line) > MAX_LINE:
        return False
    begun = line.rstrip(b"\0")
    try:
        parse_json(begun)
    except ValueError:
        return begun.startswith(_BEGINNING[: len(begun)])
    # Nothing but its line feed is missing.
    return parse_line(begun) is not None


def repair(torn: list[bytes]) -> Entry:
    """The facts of the entry that explains lines which a crash cut short; the last one is covered by the chain."""
    facts: Entry = {"torn_bytes": len(torn[-1])}
    if len(torn) > 1:
        # A repair was cut short as well. The chain covers the last line only, so the others are told by their hash.
        facts.update(torn_lines=len(torn), torn_sha256=sha256_of_line(b"\n".join(torn)))
    return facts


class Chain:
    """Reads a log line by line, each against the one before; in constant memory, and from any point on again.

    on_entry: called with each line's number, its SHA-256 and its entry, in order, also where something was wrong with it.
    on_trouble: called with what is wrong, the line's number, a sentence without its subject (the line), and the time of the
    last line that was right.
    """

    def __init__(
        self,
        on_entry: t.Callable[[int, str, Entry], None],
        on_trouble: t.Callable[[Trouble, int, str, str | None], None],
    ) -> None:
        self._on_entry = on_entry
        self._on_trouble = on_trouble
        self.lines = 0
        self.events = 0
        self.repaired = 0
        self.seq = 0
        self.previous = FIRST
        self.length = 0
        self.good_until: str | None = None
        # Lines that are no entries, until the next entry tells whether they were cut short by a crash.
        self.torn: list[bytes] = []

    def feed(self, line: bytes) -> None:
        """The next line, with its line feed; without one it is the log's last."""
        self.lines += 1
        text = line.removesuffix(b"\n")
        entry = parse_line(text)
        if not line.endswith(b"\n"):
            self._find(
                Trouble.TORN,
                self.lines,
                "is cut short, as a crash in the middle of writing leaves it; the next run in this folder says so in the log.",
            )
        if entry is None:
            self.torn.append(text)
            self._passed(text)
            if len(self.torn) > _MAX_TORN or len(text) > MAX_LINE:
                self.end()
        else:
            self._entry(text, entry)

    def end(self, cut_short: bool = False) -> None:
        """No more lines: what no repair explains was no crash. cut_short: but the very last line may still be one."""
        self._condemn(self.lines, 1 if cut_short and self.torn and may_be_torn(self.torn[-1]) else 0)

    def wrote(self, line: bytes, entry: Entry) -> None:
        """Go on behind a line that was just written."""
        self.lines += 1
        self.torn.clear()
        digest = self._passed(line)
        self._taken_in(entry, digest)

    def _passed(self, text: bytes) -> str:
        self.previous = sha256_of_line(text)
        self.length = len(text)
        return self.previous

    def _entry(self, text: bytes, entry: Entry) -> None:
        explained = bool(self.torn) and _repairs(entry, self.torn)
        unread = len(self.torn)
        if explained:
            self.torn.clear()
        else:
            self._condemn(self.lines - 1)
        wrong = self._trouble(text, entry, 0 if explained else unread)
        if wrong:
            self._find(wrong[0], self.lines, wrong[1])
        else:
            self.good_until = str(entry.get("time"))
        self._taken_in(entry, self._passed(text))

    def _taken_in(self, entry: Entry, digest: str) -> None:
        self.seq = entry["seq"]
        self.events += 1
        self.repaired += entry.get("event") == events.LOG_REPAIRED
        self._on_entry(self.lines, digest, entry)

    def _trouble(self, text: bytes, entry: Entry, unread: int) -> tuple[Trouble, str] | None:
        if with_digest(entry).encode() != text:
            return Trouble.ALTERED, "is not what was written: its digest does not fit."
        step = entry["seq"] - self.seq - unread
        if entry.get("previous_sha256") != self.previous:
            if step > 1:
                lost = "1 line is" if step == 2 else f"{step - 1} lines are"
                return Trouble.BROKEN_CHAIN, f"does not follow the line before: {lost} missing."
            if step < 1:
                return (
                    Trouble.BROKEN_CHAIN,
                    "does not follow the line before: lines were inserted, repeated or put in another order.",
                )
            return Trouble.BROKEN_CHAIN, "does not follow the line before: that line was altered or replaced."
        if step != 1:
            return Trouble.BROKEN_CHAIN, f"has the number {entry['seq']} where {self.seq + unread + 1} belongs."
        return None

    def _condemn(self, last: int, spared: int = 0) -> None:
        """Lines that are no entries, and no crash explains them."""
        for number in range(last - len(self.torn) + 1, last + 1 - spared):
            self._find(Trouble.ALTERED, number, "is no entry of the log.")
        self.torn.clear()

    def _find(self, kind: Trouble, number: int, message: str) -> None:
        self._on_trouble(kind, number, message, self.good_until)


def _repairs(entry: Entry, torn: list[bytes]) -> bool:
    """Whether an entry says of the lines before it that they were cut short."""
    if entry.get("event") != events.LOG_REPAIRED or not all(map(may_be_torn, torn)):
        return False
    return all(entry.get(key) == value for key, value in repair(torn).items())
