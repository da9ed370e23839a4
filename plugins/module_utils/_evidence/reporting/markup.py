# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What pages are built of. Everything that came from outside goes through text(); what the others take is HTML already."""

from __future__ import annotations

import html
import typing as t


def text(value: object) -> str:
    """Any value as text in HTML: what has a meaning there is escaped, what cannot be seen is spelled out.

    Invisible characters could make one name look like another (U+202E turns text around).
    """
    seen = (c if c.isprintable() or c == "\n" else f"\\u{ord(c):04x}" for c in str(value))
    return html.escape("".join(seen))


def moment(time: str, zone: str = " UTC") -> str:
    """ISO 8601 UTC as a person reads it."""
    day, _t, clock = time.rstrip("Z").partition("T")
    return f'<time datetime="{text(time)}">{text(day)} {text(clock)}{zone}</time>'


def terms(rows: t.Iterable[tuple[str, str]]) -> str:
    """Terms and what they mean, already HTML; those that mean nothing are left out."""
    return "<dl>" + "".join(f"<div><dt>{term}</dt><dd>{value}</dd></div>" for term, value in rows if value) + "</dl>"


def table(caption: str, heads: t.Iterable[str], rows: list[list[str]], style: str = "devices") -> str:
    """Cells are HTML already; the first of a row names it."""
    head = "".join(f'<th scope="col">{each}</th>' for each in heads)
    body = "\n".join(
        f'<tr><th scope="row">{row[0]}</th>{"".join(f"<td>{cell}</td>" for cell in row[1:])}</tr>' for row in rows
    )
    return f'<table class="{style}"><caption>{caption}</caption><thead><tr>{head}</tr></thead><tbody>\n{body}\n</tbody></table>'
