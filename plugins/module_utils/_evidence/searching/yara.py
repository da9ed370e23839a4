# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""YARA rules, by the package C(yara-x) where it is installed: its own errors name the rule that does not compile."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, field
from pathlib import Path

from ansible_collections.secops.defender.plugins.module_utils._evidence.reading.entries import Member, Sink
from ansible_collections.secops.defender.plugins.module_utils._evidence.reading.limits import in_words
from ansible_collections.secops.defender.plugins.module_utils._evidence.searching.indicators import Indicator, Type
from ansible_collections.secops.defender.plugins.module_utils._evidence.searching.scan import Found, Hit, Scope
from ansible_collections.secops.defender.plugins.module_utils._words.errors import (
    MissingLibrary,
    OptionsError,
    printable,
)

PACKAGE = "yara-x"
# Rules look at an entry as a whole, so it is held in memory.
MOST = 64 << 20
_SECONDS = 60
_ENDINGS = (".yar", ".yara")
# What public rule sets count on.
_GLOBALS = ("filename", "filepath", "extension", "filetype", "owner")


@dataclass
class Rules:
    """Compiled rules. indicators: one for each rule, told as C(yara). troubles: rules that do not compile, with why."""

    compiled: t.Any
    indicators: list[Indicator]
    numbers: dict[tuple[str, str], int]
    troubles: list[str] = field(default_factory=list)

    def scanner(self, first: int, scope: Scope) -> t.Callable[[Found], t.Callable[[Member], Sink]]:
        """Looks at each entry of a package. first: the number of the first rule among all indicators."""

        def of(found: Found) -> t.Callable[[Member], Sink]:
            return lambda member: _Entry(self, first, scope, found, member)

        return of


def compile_rules(path: Path) -> Rules:
    """Of a file, or of all C(.yar) and C(.yara) files below a folder. Raises MissingLibrary, OptionsError."""
    try:
        import yara_x
    except ImportError:
        raise MissingLibrary(
            f"yara_rules needs the Python package {PACKAGE}, which is not installed here.",
            advice=f"Install it where this runs (pip install {PACKAGE}). Nothing was read.",
        ) from None
    compiler = yara_x.Compiler()
    for name in _GLOBALS:
        compiler.define_global(name, "")
    troubles = []
    for number, file in enumerate(_files(path)):
        compiler.new_namespace(f"{number}:{file.name}")
        for text in _rules_in(file):
            try:
                compiler.add_source(text)
            except yara_x.CompileError as failure:
                troubles.append(
                    f"A YARA rule of {file} does not compile and was left out: {' '.join(str(failure).split())[:300]}"
                )
    compiled = compiler.build()
    indicators: list[Indicator] = []
    numbers: dict[tuple[str, str], int] = {}
    for rule in compiled:
        numbers[rule.namespace, rule.identifier] = len(indicators)
        indicators.append(Indicator(rule.identifier, Type.YARA, f"rule of {rule.namespace.partition(':')[2]}"))
    if not indicators:
        raise OptionsError(
            f"No YARA rule of {path} compiles. {' '.join(troubles)}", advice="Mend them. Nothing was read."
        )
    return Rules(compiled, indicators, numbers, troubles)


def _files(path: Path) -> list[Path]:
    files = sorted(each for each in path.rglob("*") if each.suffix.lower() in _ENDINGS) if path.is_dir() else [path]
    if not files or not all(each.is_file() for each in files):
        raise OptionsError(f"There are no YARA rules at {path}.", advice="Give a file, or a folder with .yar files.")
    return files


def _rules_in(file: Path) -> list[str]:
    """The text of a file; cut into its rules where one of them is broken, so that the others run."""
    import yara_x

    try:
        text = file.read_text(encoding="utf-8", errors="replace")
    except OSError as failure:
        raise OptionsError(f"{file} cannot be read: {failure.strerror}.", advice="Nothing was read.") from None
    probe = yara_x.Compiler()
    for name in _GLOBALS:
        probe.define_global(name, "")
    try:
        probe.add_source(text)
        return [text]
    except yara_x.CompileError:
        return _cut(text)


def _cut(text: str) -> list[str]:
    """A file's rules, each with the imports of all; a rule begins with a line that says so."""
    lines = text.splitlines(keepends=True)
    imports = "".join(line for line in lines if line.lstrip().startswith(("import ", "import\t")))
    starts = [
        number
        for number, line in enumerate(lines)
        if line.split(maxsplit=1)[:1] in (["rule"], ["private"], ["global"]) and "rule" in line.split()
    ]
    return [imports + "".join(lines[first:last]) for first, last in zip(starts, [*starts[1:], len(lines)], strict=True)]


class _Entry:
    def __init__(self, rules: Rules, first: int, scope: Scope, found: Found, member: Member) -> None:
        self._rules = rules
        self._first = first
        self._scope = scope
        self._found = found
        self._member = member
        self._content = bytearray()
        self._too_large = False

    def feed(self, block: bytes) -> None:
        if not self._too_large:
            self._content += block
            if len(self._content) > MOST:
                self._too_large = True
                self._content.clear()

    def end(self, why: str | None) -> None:
        if self._too_large:
            self._left_out(
                f"it is larger than the {in_words(MOST)} that YARA rules are run on; indicators were searched"
            )
            return
        import yara_x

        scanner = yara_x.Scanner(self._rules.compiled)
        scanner.set_timeout(_SECONDS)
        path = self._member.path[-1].replace("\\", "/")
        name = path.rpartition("/")[2]
        _stem, dot, ending = name.rpartition(".")
        for key, value in (("filepath", path), ("filename", name), ("extension", f"{dot}{ending}" if dot else "")):
            scanner.set_global(key, value)
        try:
            matching = scanner.scan(bytes(self._content)).matching_rules
        except (yara_x.ScanError, yara_x.TimeoutError) as failure:
            self._left_out(f"YARA rules could not be run on it: {failure}")
            return
        for rule in matching:
            self._take(rule)

    def _left_out(self, why: str) -> None:
        self._found.not_searched.append((self._member.name, self._member.kind, why))

    def _take(self, rule: t.Any) -> None:
        index = self._first + self._rules.numbers[rule.namespace, rule.identifier]
        number = self._found.counts[index] = self._found.counts.get(index, 0) + 1
        self._found.artefacts.setdefault(index, set()).add(self._member.kind)
        if number > self._scope.max_hits:
            return
        places = [match for pattern in rule.patterns for match in pattern.matches]
        offset = min((match.offset for match in places), default=None)
        length = next((match.length for match in places if match.offset == offset), 0)
        excerpt = (
            bytes(self._content[offset : offset + min(length, 80)]).decode("latin-1") if offset is not None else ""
        )
        name, kind = printable(self._member.name), self._member.kind
        self._found.hits.append(Hit(index, name, kind, offset, None, None, None, printable(excerpt)))
