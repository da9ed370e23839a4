# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Figures, what they are held against, and how they are shown."""

from __future__ import annotations

import os
import platform
import typing as t
from dataclasses import asdict, dataclass
from importlib import metadata

MIB = 1 << 20


@dataclass(frozen=True)
class Figure:
    """One measured value.

    least, most: its target; neither for a value that only stands beside another. promise: a miss makes the benchmark fail.
    The others depend on how fast the machine is and how busy; a miss is a warning.
    """

    subject: str
    what: str
    value: float
    unit: str = ""
    most: float | None = None
    least: float | None = None
    promise: bool = False
    note: str = ""

    @property
    def met(self) -> bool:
        above = self.most is None or self.value <= self.most
        below = self.least is None or self.value >= self.least
        return above and below

    @property
    def broken(self) -> bool:
        return self.promise and not self.met

    @property
    def verdict(self) -> str:
        if self.most is None and self.least is None:
            return ""
        return "ok" if self.met else "BROKEN" if self.promise else "WARNING"

    @property
    def target(self) -> str:
        if self.least is not None and self.most is not None:
            return f"{self.least:g} to {self.most:g}"
        if self.most is not None:
            return f"{self.most:g}" if self.most == 0 else f"<= {self.most:g}"
        return f">= {self.least:g}" if self.least is not None else ""


def shown(value: float) -> str:
    """A value with as many digits as mean something."""
    if value == int(value) and abs(value) < 1e6:
        return str(int(value))
    return f"{value:.3f}" if abs(value) < 10 else f"{value:.1f}"


def table(figures: t.Sequence[Figure]) -> str:
    """All figures, one a line; a subject is named once."""
    rows = [("subject", "figure", "value", "target", "verdict")]
    last = ""
    for figure in figures:
        value = f"{shown(figure.value)} {figure.unit}".strip()
        subject = figure.subject if figure.subject != last else ""
        rows.append((subject, figure.what, value, figure.target, figure.verdict))
        last = figure.subject
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    notes = [f"* {figure.subject}, {figure.what}: {figure.note}" for figure in figures if figure.note]
    return "\n".join([lines[0], "-" * len(lines[0]), *lines[1:], *([""] if notes else []), *notes])


def report(figures: t.Sequence[Figure], skipped: t.Sequence[str], seconds: float) -> dict[str, t.Any]:
    """The same for programs."""
    return {
        "machine": {
            "cores": os.cpu_count(),
            "system": f"{platform.system()} {platform.machine()}",
            "python": platform.python_version(),
            "ansible_core": metadata.version("ansible-core"),
        },
        "seconds": round(seconds, 1),
        "skipped": list(skipped),
        "figures": [{**asdict(figure), "verdict": figure.verdict} for figure in figures],
    }
