# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Questions as chains of C(or): as few calls as a filter's length allows, and no term that fails the others."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass
from urllib.parse import quote

from ansible_collections.secops.defender.plugins.module_utils._words.errors import ServiceError

# Characters of one encoded $filter. Longer chains mean fewer calls; common servers refuse request lines from 8,192 on.
_LONGEST_FILTER = 6_000
# So many terms refused one by one, and none taken, are no fault of the terms.
_HOPELESS = 5


@dataclass(frozen=True)
class Term:
    """One comparison. other: the same for a service that types the property otherwise, with or without quotes."""

    text: str
    other: str = ""

    def form(self, other: bool) -> str:
        return self.other if other else self.text


Ask = t.Callable[[str], None]


def by_chains(terms: t.Iterable[Term | str], ask: Ask, refused: dict[str, ServiceError] | None = None) -> None:
    """Ask for whatever fits any of the terms.

    How long a chain the service takes is not documented: one that it refuses is halved, and so are those that follow.
    refused: where terms go that it refuses even alone; without it, they are raised. Raises ServiceError.
    """
    whole = [Term(each) if isinstance(each, str) else each for each in terms]
    asking = _Asking(ask, refused)
    # Apart, so that a property that may be typed otherwise holds nobody else up.
    asking.all_of([term for term in whole if not term.other])
    asking.all_of([term for term in whole if term.other])


class _Asking:
    def __init__(self, ask: Ask, refused: dict[str, ServiceError] | None) -> None:
        self._ask = ask
        self._refused = refused
        self._taken = False

    def all_of(self, terms: list[Term]) -> None:
        longest = len(terms)
        other = False
        # Whether it is known which form the service takes.
        settled = not (terms and terms[0].other)
        while terms:
            chain = _chain(terms[:longest], other)
            try:
                self._ask(" or ".join(term.form(other) for term in chain))
            except ServiceError as failure:
                if failure.status not in (400, 414):
                    raise
                if not settled and not other and failure.status == 400:
                    other = True
                    continue
                other = other and settled
                if len(chain) > 1:
                    longest = (len(chain) + 1) // 2
                    continue
                self._give_up(chain[0], failure)
            else:
                settled = self._taken = True
            terms = terms[len(chain) :]

    def _give_up(self, term: Term, failure: ServiceError) -> None:
        if self._refused is None:
            raise failure
        self._refused[term.text] = failure
        if not self._taken and len(self._refused) >= _HOPELESS:
            raise failure


def _chain(terms: list[Term], other: bool) -> list[Term]:
    """As many of the terms as one filter holds, and at least one."""
    chain: list[Term] = []
    length = 0
    for term in terms:
        length += len(quote(term.form(other), safe="(),'")) + len("%20or%20")
        if chain and length > _LONGEST_FILTER:
            break
        chain.append(term)
    return chain
