# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Pages as a browser reads them, and texts that would do harm if they were taken for markup."""

from __future__ import annotations

import typing as t
from html.parser import HTMLParser

from hypothesis import strategies as st

from ansible_collections.secops.defender.tests.report import sample

HARMLESS = "pc042.contoso.com"
# What HTML reads as markup, and what a template or a style sheet would take for its own.
texts = st.one_of(
    st.text(),
    st.sampled_from(sample.HOSTILE),
    st.text(alphabet="<>&\"'/=! -$`\\\u202e\u0000\n", max_size=40),
)


class Reader(HTMLParser):
    """Tags, their attributes, and the text of each page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, tuple[tuple[str, str | None], ...]]] = []
        self.words: list[str] = []
        self.open: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, tuple(attrs)))
        if tag not in ("meta", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    @property
    def text(self) -> str:
        return "".join(self.words)


def bare(tag: tuple[str, tuple[tuple[str, str | None], ...]]) -> object:
    """A tag without the path of a package, which names its device, and without times that are none."""
    name, attrs = tag
    return name, [
        (key, "" if key == "datetime" or (key == "href" and str(value).startswith(("./", "../"))) else value)
        for key, value in attrs
    ]


def swap(value: t.Any, old: str, new: str) -> t.Any:
    """The same structure, with every text that has the old one in it holding the new one."""
    if isinstance(value, dict):
        return {key: swap(each, old, new) for key, each in value.items()}
    if isinstance(value, list):
        return [swap(each, old, new) for each in value]
    return value.replace(old, new) if isinstance(value, str) else value
