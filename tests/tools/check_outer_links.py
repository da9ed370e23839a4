# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Ask for every page outside of the repository that the guides link to: usage check_outer_links.py [PAGE…].

A host that does not answer at all is no failure, since this may run where there is no network; but it is said. The addresses of the
repository itself are left to build_docs.py, which looks for the files instead.
"""

from __future__ import annotations

import collections
import http.client
import pathlib
import re
import sys
import urllib.error
import urllib.parse
import urllib.request

TOP = pathlib.Path(__file__).resolve().parents[2]
REPOSITORY = "https://github.com/secops-defender/"
LINK = re.compile(r"\]\((https?://[^)\s]+)\)")
TIMEOUT = 15
# These mean that there is such a page, but not for everybody, or not for a program.
REFUSED = {401, 403, 405, 429}


def outer_links(pages: list[pathlib.Path]) -> dict[str, list[str]]:
    """Each address without its anchor, and the pages that link to it."""
    found: dict[str, list[str]] = collections.defaultdict(list)
    for page in pages:
        for link in LINK.findall(page.read_text(encoding="utf-8")):
            address = urllib.parse.urldefrag(link).url
            if not address.startswith(REPOSITORY):
                found[address].append(page.name)
    return found


def answer(address: str) -> int | None:
    """The status that the address answers with in the end; None where no host answers. Raises nothing."""
    request = urllib.request.Request(address, headers={"User-Agent": "secops.defender documentation"})
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT) as reply:
            return int(reply.status)
    except urllib.error.HTTPError as error:
        return error.code
    except (OSError, http.client.HTTPException):
        return None


def main() -> int:
    pages = [pathlib.Path(name) for name in sys.argv[1:]]
    pages = pages or sorted([*TOP.glob("*.md"), *TOP.glob("docs/*.md"), *TOP.glob("roles/*/README.md")])
    silent: set[str] = set()
    checked = broken = 0
    for address, named in sorted(outer_links(pages).items()):
        host = urllib.parse.urlsplit(address).netloc
        status = None if host in silent else answer(address)
        if status is None:
            silent.add(host)
            continue
        checked += 1
        if status >= 400 and status not in REFUSED:
            broken += 1
            print(f"{', '.join(named)}: {address} answers {status}")
    for host in sorted(silent):
        print(f"not checked, since it does not answer from here: {host}")
    print(f"{checked} outer links checked, {broken} broken, {len(silent)} hosts out of reach")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
