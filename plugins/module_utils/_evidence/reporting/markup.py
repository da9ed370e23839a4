# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What pages are built of. Everything that came from outside goes through text(); what the others take is HTML already."""

from __future__ import annotations

import html
import typing as t
from pathlib import Path
from urllib.parse import quote


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


def terms(rows: t.Iterable[tuple[str, str]], style: str = "") -> str:
    """Terms and what they mean, already HTML; those that mean nothing are left out."""
    body = "".join(f"<div><dt>{term}</dt><dd>{value}</dd></div>" for term, value in rows if value)
    return f'<dl class="{style}">{body}</dl>' if style else f"<dl>{body}</dl>"


def table(
    caption: str,
    heads: t.Iterable[str],
    rows: t.Sequence[t.Sequence[str]],
    style: str = "devices",
    sorts: t.Iterable[tuple[str, str]] = (),
) -> str:
    """Cells are HTML already; the first of a row names it.

    sorts: what a person can sort the rows by, and filter them; each a word and the selector of the element in a row that has
    the key, C(th) or C(.risk) for instance. Its value counts where it is a <data>, else its text.
    """
    named = list(heads)
    head = "".join(f'<th scope="col">{each}</th>' for each in named)
    # Where the page is narrow, cells stand below each other, and those of a list say nothing without their headings.
    opened = [f'<td data-head="{each}">' if style == "list" else "<td>" for each in named[1:]]
    body = "\n".join(
        f'<tr><th scope="row">{row[0]}</th>{"".join(f"{td}{cell}</td>" for td, cell in zip(opened, row[1:], strict=True))}</tr>'
        for row in rows
    )
    keys = ";".join(f"{word}|{selector}" for word, selector in sorts)
    sort = f' data-sort="{keys}"' if keys else ""
    return (
        f'<table class="{style}"{sort}><caption>{caption}</caption><thead><tr>{head}</tr></thead>'
        f"<tbody>\n{body}\n</tbody></table>"
    )


def link(address: str | None, label: str) -> str:
    """label, which is HTML already, as a link; by itself where there is no address, or one that leads to no page."""
    if not address or not address.startswith(("https://", "./", "../")):
        return label
    return f'<a href="{text(address)}" rel="noreferrer">{label}</a>'


def file_link(path: Path, folder: Path) -> str:
    """A file by its path from the folder that the page is in, or beside it; from farther away its whole path without a link."""
    for root, way in ((folder, "./"), (folder.parent, "../")):
        if path.is_relative_to(root):
            name = path.relative_to(root)
            # No scheme can come of an address that begins with a dot.
            return link(way + quote(str(name), errors="replace"), f"<code>{text(name)}</code>")
    return f"<code>{text(path)}</code>"
