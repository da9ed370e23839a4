# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""defender_search_evidence: which devices' packages mention an indicator, and of how many devices that can be said."""

from __future__ import annotations

import re
import typing as t
from dataclasses import dataclass
from pathlib import Path

from ansible_collections.secops.defender.plugins.module_utils._evidence import who
from ansible_collections.secops.defender.plugins.module_utils._evidence.reading import (
    log_line,
    prefetch,
)
from ansible_collections.secops.defender.plugins.module_utils._evidence.reading.packages import Package
from ansible_collections.secops.defender.plugins.module_utils._evidence.reporting import beside, findings_page
from ansible_collections.secops.defender.plugins.module_utils._evidence.searching import (
    export,
    finders,
    indicator_files,
    runs,
    yara,
)
from ansible_collections.secops.defender.plugins.module_utils._evidence.searching import plan as plans
from ansible_collections.secops.defender.plugins.module_utils._evidence.searching.findings import Findings
from ansible_collections.secops.defender.plugins.module_utils._evidence.searching.indicators import Indicator
from ansible_collections.secops.defender.plugins.module_utils._evidence.searching.scan import (
    Extra,
    Found,
    Scope,
    search,
)
from ansible_collections.secops.defender.plugins.module_utils._tasks import reading, summary_text
from ansible_collections.secops.defender.plugins.module_utils._tasks.door import Context, Task
from ansible_collections.secops.defender.plugins.module_utils._tasks.outcome import Result, count, listed
from ansible_collections.secops.defender.plugins.module_utils._tasks.reading import Chosen, Logs, Reading
from ansible_collections.secops.defender.plugins.module_utils._words.errors import (
    DefenderError,
    EvidenceError,
    OptionsError,
    printable,
)
from ansible_collections.secops.defender.plugins.module_utils._words.models import iso, parse_time
from ansible_collections.secops.defender.plugins.module_utils._words.options import Given, Spec, shown

_NAME = "defender_search_evidence"
# Refused indicators and findings that the sentence tells; all are in the result.
_TOLD_REFUSED, _TOLD_INDICATORS = 20, 10
_DAY = re.compile(r"^\d{4}-\d\d-\d\d$")
_MINUTE = re.compile(r"^(\d{4}-\d\d-\d\d)[ T](\d\d:\d\d)(Z?)$")


def spec() -> Spec:
    """What the module takes."""
    return {
        **reading.reading_spec(),
        "indicators": {"type": "raw"},
        "indicators_file": {"type": "path"},
        "allow": {"type": "raw"},
        "artefacts": {"type": "list", "elements": "str"},
        "since": {"type": "str"},
        "until": {"type": "str"},
        "max_hits": {"type": "int", "default": 100},
        "yara_rules": {"type": "path"},
        "on_refused": {"type": "str", "choices": ["fail", "continue"], "default": "fail"},
        "require_complete": {"type": "bool", "default": False},
        "report": {"type": "bool", "default": False},
        "export": {"type": "bool", "default": False},
    }


@dataclass(frozen=True)
class Options:
    """indicators, allow: as they were given. scope: what of the packages is searched, and how much is listed."""

    reading: Reading
    indicators: t.Any
    indicators_file: Path | None
    allow: t.Any
    scope: Scope
    yara_rules: Path | None
    continue_on_refused: bool
    require_complete: bool
    report: bool
    export: bool

    @classmethod
    def of(cls, given: Given) -> Options:
        """Raises OptionsError."""
        if not any(given[name] is not None for name in ("indicators", "indicators_file", "yara_rules")):
            raise OptionsError(
                "Nothing to search for is given.",
                advice="Give indicators, indicators_file or yara_rules. Nothing was read.",
            )
        if given["max_hits"] < 1:
            raise OptionsError(
                "max_hits is below 1.", advice="Every device with a hit keeps at least one: give 1 or more."
            )
        since, until = _moment("since", given["since"]), _moment("until", given["until"], last=True)
        if since is not None and until is not None and since > until:
            raise OptionsError("since is later than until.", advice="Exchange the two. Nothing was read.")
        artefacts = None if given["artefacts"] is None else reading.artefacts(given["artefacts"])
        return cls(
            reading=Reading.of(given),
            indicators=given["indicators"],
            indicators_file=Path(given["indicators_file"]) if given["indicators_file"] else None,
            allow=given["allow"],
            scope=Scope(artefacts, since, until, given["max_hits"]),
            yara_rules=Path(given["yara_rules"]) if given["yara_rules"] else None,
            continue_on_refused=given["on_refused"] == "continue",
            require_complete=given["require_complete"],
            report=given["report"],
            export=given["export"],
        )


def _moment(name: str, value: str | None, last: bool = False) -> float | None:
    """Seconds since 1970 of a time in UTC; of a day its first moment, or its last one. Raises OptionsError."""
    if value is None:
        return None
    text = value.strip()
    if _DAY.match(text):
        text += "T23:59:59.999999Z" if last else "T00:00:00Z"
    minute = _MINUTE.match(text)
    if minute:
        text = f"{minute[1]}T{minute[2]}:00{minute[3]}"
    seconds = parse_time(text.replace(" ", "T", 1))
    if not seconds:
        raise OptionsError(
            f"{name} is {value!r}.",
            advice="Write a time in UTC as '2026-11-23T10:15:00Z' or '2026-11-23', in quotes. Nothing was read.",
        )
    return seconds


def work(options: Options, context: Context) -> Result:
    """Raises no DefenderError: it is in the result."""
    given, began = indicator_files.Given(), context.clock.wall()
    try:
        allow = _understood(options, given, context)
        if given.refused and not options.continue_on_refused:
            raise _refusal(given)
        rules = yara.compile_rules(options.yara_rules) if options.yara_rules else None
        if not given.indicators and rules is None:
            raise OptionsError("There is no indicator to search for.", advice="Give at least one. Nothing was read.")
        finders.require_few(len(given.indicators))
        chosen = reading.choose(options.reading)
        facts = {
            "indicators": len(given.indicators),
            "indicators_sha256": log_line.digest([each.type.value, each.value] for each in given.indicators),
        }
        recorded = reading.record(_NAME, chosen, context, facts)
    except DefenderError as failure:
        return {**_failed(failure), "refused": given.refused, "node": context.node}
    searched = _Search(options, chosen, context, given, allow, rules, began)
    return searched.result(recorded)


def _understood(options: Options, given: indicator_files.Given, context: Context) -> list[Indicator]:
    """Takes in all indicators; returns those that are never reported. Raises EvidenceError for a file that cannot be read."""
    now = context.clock.wall()
    _take("indicators", options.indicators, given)
    if options.indicators_file:
        try:
            with open(options.indicators_file, "rb") as file:
                content = file.read(indicator_files.MOST + 1)
        except OSError as failure:
            raise OptionsError(
                f"indicators_file {options.indicators_file} cannot be read: {failure.strerror}.",
                advice="Nothing was read.",
            ) from None
        if len(content) > indicator_files.MOST:
            raise OptionsError(f"indicators_file {options.indicators_file} is larger than 64 MiB.", advice="Split it.")
        indicator_files.read_file(content, now, given)
    allowed = indicator_files.Given()
    _take("allow", options.allow, allowed)
    given.refused += allowed.refused
    return allowed.indicators


def _take(option: str, listed: t.Any, given: indicator_files.Given) -> None:
    """Takes in each element: a list, lines, texts with commas or semicolons, mappings, JSON. Raises OptionsError."""
    for number, element in enumerate(() if listed is None else indicator_files.elements(listed), 1):
        where = f"{option}, element {number}"
        one = element if isinstance(element, dict) else {"value": element}
        unknown = [str(key) for key in one if key not in ("value", "type", "note")]
        if unknown or "value" not in one:
            raise OptionsError(
                f"An indicator has {', '.join(unknown) or 'no value'}.",
                advice="An indicator is a text, or a mapping of value, type and note. Nothing was read.",
            )
        value, word, note = (one.get(key) for key in ("value", "type", "note"))
        if not isinstance(value, str):
            given.refuse(
                where, shown(value), "it is no text; write it in quotes, with type: text if that is what it is"
            )
        elif word is None and indicator_files.LIKE_JSON.match(value):
            given.refuse(where, value, "it begins like JSON but is none")
        else:
            given.take(where, value, None if word is None else str(word), None if note is None else str(note))


def _refusal(given: indicator_files.Given) -> OptionsError:
    told = " ".join(f"{row['where']}: {row['value']!r}: {row['why']}." for row in given.refused[:_TOLD_REFUSED])
    more = f" And {len(given.refused) - _TOLD_REFUSED} more." if len(given.refused) > _TOLD_REFUSED else ""
    return OptionsError(
        f"{count(len(given.refused), 'indicator')} cannot be understood. {told}{more}",
        advice=f"Mend {'it' if len(given.refused) == 1 else 'them'}, or search for the others with on_refused: continue. "
        "Nothing was read.",
        code="IndicatorsRefused",
    )


@dataclass
class _Search:
    options: Options
    chosen: Chosen
    context: Context
    given: indicator_files.Given
    allow: list[Indicator]
    rules: yara.Rules | None
    began: float

    def result(self, recorded: bool) -> Result:
        indicators = list(self.given.indicators)
        if self.rules:
            indicators += self.rules.indicators
        findings = Findings(indicators, self.options.scope.max_hits)
        self._run(findings)
        for package, why in self.chosen.unread:
            findings.unread(package, why)
        for name in self.chosen.not_found:
            findings.without_package(name)
        return self._told(findings, recorded)

    def _run(self, findings: Findings) -> None:
        logs = Logs(self.chosen.packages)
        ported = plans.make(self.given.indicators, self.allow, dotted_ports=True)
        ready = {True: ported, False: plans.make(self.given.indicators, self.allow, beside=ported)}

        def one(package: Package, still: t.Callable[[], None]) -> Found:
            return _search_one(package, logs, ready, self.options, self.rules, still)

        found = reading.in_order(reading.each(self.chosen.packages, one, self.context, "searched"))
        for package, outcome in zip(self.chosen.packages, found, strict=True):
            if isinstance(outcome, reading.NotRead):
                findings.unread(package, outcome.why)
            elif isinstance(outcome, BaseException):
                findings.unread(package, f"it could not be searched: {type(outcome).__name__}: {outcome}")
            else:
                findings.take(package, outcome, package.is_verified)

    def _told(self, findings: Findings, recorded: bool) -> Result:
        rows = findings.rows()
        failed = self.options.require_complete and not findings.complete
        message = _sentence(rows, findings, self.chosen)
        if self.options.scope.artefacts is not None and not self.options.scope.artefacts:
            message += " artefacts is empty, which selects nothing."
        if failed:
            message += " require_complete is set, and not everything was searched: see not_searched."
        result: Result = {
            "changed": False,
            "failed": failed,
            "msg": printable(message),
            "error": None,
            "found": any(row["devices"] for row in rows),
            "complete": findings.complete,
            "indicators": rows,
            "machines": findings.machines(),
            "hits": findings.hits(),
            "not_searched": findings.not_searched,
            "event_logs": findings.logs,
            "refused": self.given.refused,
            "summary": {**findings.figures(), "older": self.chosen.older, "indicators": len(rows)},
            "report": None,
            "exported": [],
            "recorded": recorded,
            "node": self.context.node,
        }
        result["summary_text"] = summary_text.of_search(result)
        self._write(result, findings.runs)
        self._warn(findings)
        return result

    def _warn(self, findings: Findings) -> None:
        altered = [row["package"] for row in findings.not_searched if "SHA-256" in row["why"]]
        if altered:
            self.context.reporter.warn(
                f"{count(len(altered), 'package')} not read, for it is not what was recorded: {listed(altered)}. "
                "Run secops.defender.defender_verify_evidence on the folder."
            )
        for trouble in self.rules.troubles if self.rules else ():
            self.context.reporter.warn(trouble)

    def _write(self, result: Result, ran: export.Runs) -> None:
        """The page and the export, both in one new folder beside the first evidence folder."""
        wanted = (self.options.report or self.options.export) and not self.context.check_mode
        package = next(iter(self.chosen.packages), None)
        if not wanted or package is None:
            return
        folder = package.folder or package.path.parent
        try:
            where = beside.folder_beside(folder, self.context.clock.wall(), "search")
            if self.options.export:
                self._warn_of_runs(result)
                result["exported"] = export.write(where, result["hits"], ran)
            if self.options.report:
                page = self._page(result, where)
                result["report"] = {"html": beside.write_file(where / "findings.html", page)}
        except OSError as failure:
            error = EvidenceError(
                f"The findings could not be written beside {folder}: {failure.strerror}.",
                advice="Free space, or make the folder above it writable; the findings are in this result.",
                code="ExportFailed",
            )
            result.update(failed=True, error=error.as_result(), msg=f"{result['msg']} {error}")

    def _warn_of_runs(self, result: Result) -> None:
        if not prefetch.can_unpack() and any(hit["entry"].lower().endswith(".pf") for hit in result["hits"]):
            self.context.reporter.warn(
                "When the programs of the prefetch files ran is not in timesketch.jsonl: that needs the Python package "
                f"{prefetch.PACKAGE} (python3 -m pip install {prefetch.PACKAGE})."
            )

    def _page(self, result: Result, folder: Path) -> str:
        asked_by = who.asked_by(self.context.reporter.launched_by)
        return findings_page.page(result, folder, asked_by, iso(self.began), iso(self.context.clock.wall()))


def _search_one(
    package: Package,
    logs: Logs,
    ready: t.Mapping[bool, plans.Plan],
    options: Options,
    rules: yara.Rules | None,
    still: t.Callable[[], None],
) -> Found:
    with reading.opened(package, logs, options.reading.limits, still) as (file, _digest, meter):
        extras: list[t.Callable[[Found], Extra]] = [runs.scanner] if options.export else []
        if rules:
            extras.append(rules.scanner(len(ready[False].indicators), options.scope))
        return search(file, meter, ready, options.scope, extras)


def _sentence(rows: t.Sequence[Result], findings: Findings, chosen: Chosen) -> str:
    hit = [index for index, row in enumerate(rows) if row["devices"]]
    told = hit[:_TOLD_INDICATORS] if hit else list(range(min(len(rows), 1)))
    if not hit and len(rows) > 1:
        parts = [
            f"{len(rows)} indicators on 0 of {count(findings.devices, 'device')}; {_read(findings.figures()['searched'])}"
        ]
    else:
        parts = []
        for index in told:
            row, names = rows[index], findings.labels(index)
            parts.append(
                f"{row['value']} on {row['devices']} of {count(findings.devices, 'device')}"
                f"{reading.devices_told(names)}; {_read(row['searched'])}"
            )
    if hit and len(rows) > len(told):
        rest = len(rows) - len(hit)
        more = len(hit) - len(told)
        parts.append(
            " and ".join(
                each
                for each in (
                    f"{count(more, 'more indicator')} on some" if more else "",
                    f"{count(rest, 'indicator')} on none" if rest else "",
                )
                if each
            )
        )
    if chosen.older:
        parts.append(f"{count(chosen.older, 'older package')} left out (packages: all searches them)")
    return ". ".join(parts) + "."


def _read(searched: t.Mapping[str, int]) -> str:
    """Of how many devices it can be said; nothing is left out that is not zero."""
    parts = [
        f"{searched[key]} {word}"
        for key, word in (("whole", "searched whole"), ("partly", "partly"), ("none", "not"))
        if searched[key]
    ]
    if parts and not searched["whole"]:
        parts[0] = f"{parts[0].partition(' ')[0]} {'searched partly' if searched['partly'] else 'not searched'}"
    return ", ".join(parts) or "nothing was searched"


def _failed(error: DefenderError) -> Result:
    """The result where nothing was searched, with the same keys."""
    return {
        "changed": False,
        "failed": True,
        "msg": str(error),
        "error": error.as_result(),
        "found": False,
        "complete": False,
        "indicators": [],
        "machines": [],
        "hits": [],
        "not_searched": [],
        "event_logs": [],
        "refused": [],
        "summary": {
            **dict.fromkeys(
                (
                    "devices",
                    "packages",
                    "devices_with_hits",
                    "hits",
                    "allowed",
                    "unpacked_bytes",
                    "older",
                    "indicators",
                ),
                0,
            ),
            "searched": {"whole": 0, "partly": 0, "none": 0},
        },
        "summary_text": "",
        "report": None,
        "exported": [],
        "recorded": False,
        "node": None,
    }


TASK = Task(_NAME, spec(), Options.of, work, refused=lambda args, error: _failed(error))
