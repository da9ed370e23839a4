# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""defender_seal_evidence: a signature and a time stamp from outside over an evidence folder's custody log."""

from __future__ import annotations

import typing as t
from dataclasses import asdict, dataclass, field
from pathlib import Path

from ansible_collections.secops.defender.plugins.module_utils._evidence import events
from ansible_collections.secops.defender.plugins.module_utils._evidence.custody import Custody
from ansible_collections.secops.defender.plugins.module_utils._evidence.seals import sealing as seals
from ansible_collections.secops.defender.plugins.module_utils._evidence.seals import stamps
from ansible_collections.secops.defender.plugins.module_utils._evidence.seals.sealing import Made
from ansible_collections.secops.defender.plugins.module_utils._tasks.door import Context, Task
from ansible_collections.secops.defender.plugins.module_utils._tasks.outcome import Result
from ansible_collections.secops.defender.plugins.module_utils._tasks.sealing import Sealing, sealing_spec, told
from ansible_collections.secops.defender.plugins.module_utils._words.errors import (
    DefenderError,
    EvidenceError,
    OptionsError,
    printable,
)
from ansible_collections.secops.defender.plugins.module_utils._words.options import Given, Spec, near, shown

_NOTE = ("from", "to", "purpose")


def spec() -> Spec:
    """Which folder, what is noted before, and whose seals."""
    return {
        "path": {"type": "path", "required": True, "aliases": ["dest", "evidence"]},
        "note": {"type": "dict"},
        **sealing_spec(),
    }


@dataclass(frozen=True)
class Options:
    """path: the evidence folder. note: what is logged before it is sealed, C(from), C(to), C(purpose)."""

    path: Path
    sealing: Sealing
    note: t.Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, given: Given) -> Options:
        """Raises OptionsError."""
        return cls(Path(given["path"]), Sealing.of(given), _note(given["note"] or {}))


def _note(given: t.Mapping[t.Any, t.Any]) -> dict[str, str]:
    unknown = [str(name) for name in given if name not in _NOTE]
    if unknown:
        raise OptionsError(
            f"note has {', '.join(unknown)}.",
            advice=f"{''.join(near(name, _NOTE) for name in unknown)}It takes from, to and purpose. Nothing was written.",
        )
    wrong = [name for name, value in given.items() if value is not None and not isinstance(value, str)]
    if wrong:
        raise OptionsError(
            f"{wrong[0]} of note is {shown(given[wrong[0]])}, which is no text.", advice="Write it in quotes."
        )
    note = {name: given[name].strip() for name in _NOTE if (given.get(name) or "").strip()}
    if given and not note:
        raise OptionsError("note says nothing.", advice="Give from, to and purpose, or leave note out.")
    return note


@dataclass
class _State:
    """How far it has got."""

    made: list[Made] = field(default_factory=list)
    noted: bool = False
    would: bool = False
    head: str | None = None
    seq: int = 0
    warnings: list[str] = field(default_factory=list)


def work(options: Options, context: Context) -> Result:
    """Raises no DefenderError: it is in the result."""
    state = _State()
    error = None
    try:
        if not (options.path / events.LOG_NAME).exists():
            raise EvidenceError(
                "It is no evidence folder: it has no custody log."
                if options.path.is_dir()
                else "There is no such folder.",
                advice="Give the folder that was dest when the packages were collected.",
                code="EvidenceMissing",
            )
        with Custody(options.path, context.clock, context.check_mode, context.reporter.launched_by) as custody:
            state.warnings = custody.warnings
            sentence = _sealed(options, context, custody, state)
    except DefenderError as failure:
        error = failure
        done = f"{_what(state)}, but then: " if _what(state) else ""
        sentence = f"{options.path} on {context.node}: {done}{failure}"
    for warning in dict.fromkeys(state.warnings):
        context.reporter.warn(warning)
    return {
        "changed": bool(state.made or state.noted or state.would),
        "failed": error is not None,
        "msg": printable(sentence),
        "error": error.as_result() if error else None,
        "seals": [asdict(each) for each in state.made],
        "seq": state.seq,
        "head": state.head,
        "node": context.node,
    }


def _sealed(options: Options, context: Context, custody: Custody, state: _State) -> str:
    """Seal what is unsealed. Returns what there is to say."""
    seals.check(custody)
    _require_means(options.sealing)
    if not custody.head()[0]:
        raise EvidenceError(
            "The custody log has no line yet, so there is nothing to seal.",
            advice="Collect into the folder first, or give another one.",
            code="EvidenceMissing",
        )
    where = f"{options.path} on {context.node}"
    if context.check_mode:
        return f"{where}: {_would(options, context, custody, state)}"
    if options.note and not _noted(options, context, custody):
        custody.append(events.NOTED, note=dict(options.note), asked_by=custody.asked_by)
        state.noted = True
    sealer = options.sealing.sealer(custody, context.clock)
    state.made = sealer.made
    try:
        sealer.seal()
    finally:
        state.seq, state.head = custody.head()
    if not state.made:
        return f"{where}: everything is sealed already, up to line {custody.history.changed}."
    told_head = f" The head is now {state.head}, line {state.seq}." if state.head else ""
    return f"{where}: {_what(state)}.{told_head}"


def _noted(options: Options, context: Context, custody: Custody) -> bool:
    """Whether an earlier run has noted the same, and did not come to sealing it: then this one finishes what it began."""
    if custody.history.note != dict(options.note):
        return False
    return bool(seals.missing(custody.history, options.sealing.signing, options.sealing.stamping(context.clock)))


def _require_means(sealing: Sealing) -> None:
    """Before anything is written. Raises MissingLibrary, OptionsError, EvidenceError."""
    if sealing.tsa_url:
        stamps.library()
    if sealing.tsa_ca_path:
        stamps.trust(sealing.tsa_ca_path)


def _what(state: _State) -> str:
    words = [*(["noted"] if state.noted else []), *([told(state.made)] if state.made else [])]
    return "; ".join(words)


def _would(options: Options, context: Context, custody: Custody, state: _State) -> str:
    lacking = seals.missing(custody.history, options.sealing.signing, options.sealing.stamping(context.clock))
    notes = bool(options.note) and not _noted(options, context, custody)
    newest = custody.newest()
    state.seq, state.head = newest.seq, newest.sha256
    means = (
        ("signed", options.sealing.signing, lacking.signature),
        ("stamped", options.sealing.tsa_url, lacking.stamp),
    )
    would = [word for word, wanted, lacks in means if wanted and (lacks or notes)]
    state.would = bool(would)
    if not would:
        return f"everything is sealed already, up to line {custody.history.changed}."
    return f"{'the note would be logged, and then ' if notes else ''}the log would be {' and '.join(would)}, line {state.seq}."


TASK = Task(
    "defender_seal_evidence",
    spec(),
    Options.of,
    work,
    refused=lambda args, error: {"error": error.as_result(), "seals": [], "seq": 0, "head": None, "node": None},
    rules={"required_one_of": [["tsa_url", "signing_key"]]},
)
