# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The frame of every page: one HTML file that needs nothing else, loads nothing, and has a policy of its own that forbids it."""

from __future__ import annotations

import base64
import hashlib
import re
import typing as t
from dataclasses import dataclass
from string import Template

from ansible_collections.secops.defender.plugins.module_utils._evidence.reporting.markup import moment, text
from ansible_collections.secops.defender.plugins.module_utils._evidence.reporting.script import SCRIPT
from ansible_collections.secops.defender.plugins.module_utils._evidence.reporting.style import STYLE

_POLICY = (
    "default-src 'none'; style-src 'sha256-{style}'; script-src 'sha256-{script}'; base-uri 'none'; form-action 'none'"
)


@dataclass(frozen=True)
class Section:
    """anchor: its name in addresses. title: a text. body: HTML. count: how many, for the navigation; None for nothing to count."""

    anchor: str
    title: str
    body: str
    count: int | None = None


@dataclass(frozen=True)
class Page:
    """A page's texts; none of them is HTML yet.

    kind: what it is, such as C(Evidence collection). began: of what moment, ISO 8601 UTC; written: when. mark: stands on each
    printed sheet. tool: what wrote it.
    """

    kind: str
    began: str
    heading: str
    lead: str
    mark: str
    written: str
    tool: str

    def html(self, sections: t.Sequence[Section]) -> str:
        """The whole page. The first section is what matters most."""
        style = STYLE.replace("PAGE_MARK", re.sub(r"[^\w .:-]", "", self.mark))
        return _PAGE.substitute(
            style=style,
            script=SCRIPT,
            policy=_POLICY.format(style=_sha256(style), script=_sha256(SCRIPT)),
            kind=text(self.kind),
            began=moment(self.began),
            heading=text(self.heading),
            lead=text(self.lead),
            first=sections[0].anchor,
            nav="".join(map(_link, sections)),
            sections="\n".join(map(_section, sections)),
            tool=text(self.tool),
            written=moment(self.written),
        )


def _sha256(text: str) -> str:
    """As a content security policy has it."""
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _link(section: Section) -> str:
    count = "" if section.count is None else f" ({section.count:,})"
    return f'<li><a href="#{section.anchor}">{text(section.title)}{count}</a></li>'


def _section(section: Section) -> str:
    return f'<section id="{section.anchor}" tabindex="-1">\n<h2>{text(section.title)}</h2>\n{section.body}\n</section>'


_PAGE = Template("""\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="$policy">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="robots" content="noindex">
<title>$kind</title>
<style>$style</style>
</head>
<body>
<a class="skip" href="#$first">Skip to the content</a>
<header>
<p class="kind">$kind of $began</p>
<h1>$heading</h1>
<p class="lead">$lead</p>
<nav aria-label="Sections"><ul>$nav</ul></nav>
</header>
<main>
$sections
</main>
<footer><p>Written $written by $tool. This file loads nothing; its one script sorts and filters the tables.</p></footer>
<script>$script</script>
</body>
</html>
""")
