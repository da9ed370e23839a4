# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A drawing of when what happened on each device, as SVG in the page: a line for each device, one below the other."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass

from ansible_collections.secops.defender.plugins.module_utils._evidence.reporting.markup import text
from ansible_collections.secops.defender.plugins.module_utils._words.models import iso

# Pixels: the most that all lines take, a line at the most, one that has room for a name, and the axis.
_HEIGHT, _LINE, _NAMED, _AXIS = 560.0, 16.0, 12.0, 22.0
# Shares of the width, in percent: where names end, and where the drawing does.
_LEFT, _RIGHT, _BARE = 24.0, 99.0, 1.0
# Seconds between two marks of the axis.
_STEPS = (1, 2, 5, 10, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 21600, 43200, 86400, 172800, 604800)
_MARKS = 7


@dataclass(frozen=True)
class Line:
    """A device's way: spans, each from and to in seconds since 1970, with the style's name for it."""

    name: str
    spans: tuple[tuple[float, float, str], ...]


def drawing(lines: t.Sequence[Line], label: str) -> str:
    """Empty where nothing has a time. label: what it shows, for who cannot see it."""
    times = [moment for line in lines for begin, end, _style in line.spans for moment in (begin, end)]
    if not times:
        return ""
    first, last = min(times), max(times)
    pitch = min(_LINE, _HEIGHT / len(lines))
    left = _LEFT if pitch >= _NAMED else _BARE
    scale = (_RIGHT - left) / max(last - first, 1.0)

    def x(moment: float) -> float:
        return left + (moment - first) * scale

    height = _AXIS + pitch * len(lines)
    parts = [f'<svg class="chart" role="img" aria-label="{text(label)}" width="100%" height="{height:.0f}">']
    parts += [_mark(x(moment), moment, first, last, height) for moment in _marks(first, last)]
    parts += [_line(line, _AXIS + pitch * number, pitch, x) for number, line in enumerate(lines)]
    return "".join([*parts, "</svg>"])


def _marks(first: float, last: float) -> t.Iterator[float]:
    step = next((each for each in _STEPS if (last - first) / each <= _MARKS), _STEPS[-1] * 10)
    moment = -(-first // step) * step
    while moment <= last:
        yield moment
        moment += step


def _mark(x: float, moment: float, first: float, last: float, height: float) -> str:
    day, _t, clock = iso(moment).rstrip("Z").partition("T")
    word = f"{day[5:]} {clock[:5]}" if last - first > 86400 else clock[: 5 if last - first > 300 else 8]
    return f'<line x1="{x:.2f}%" x2="{x:.2f}%" y1="16" y2="{height:.0f}"/><text x="{x:.2f}%" y="11">{word}</text>'


def _line(line: Line, y: float, pitch: float, x: t.Callable[[float], float]) -> str:
    height = max(pitch - (2 if pitch > 4 else 0), 0.25)
    name = f'<text class="name" x="0" y="{y + 11:.1f}">{text(_short(line.name))}</text>' if pitch >= _NAMED else ""
    spans = "".join(
        f'<rect class="{style}" x="{x(begin):.2f}%" y="{y:.2f}" width="{max(x(end) - x(begin), 0.15):.2f}%" height="{height:.2f}"/>'
        for begin, end, style in line.spans
    )
    return f"<g><title>{text(line.name)}</title>{name}{spans}</g>"


def _short(name: str) -> str:
    return name if len(name) <= 28 else f"{name[:27]}…"
