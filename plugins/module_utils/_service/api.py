# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The Defender API's calls, typed: what is sent, what comes back, all pages of it."""

from __future__ import annotations

import typing as t
from datetime import datetime, timezone
from urllib.parse import quote, urlsplit

from ansible_collections.secops.defender.plugins.module_utils._service.quota import Slot
from ansible_collections.secops.defender.plugins.module_utils._service.session import Session
from ansible_collections.secops.defender.plugins.module_utils._words.errors import (
    DefenderError,
    NotFound,
    ReplyLost,
    ServiceError,
)
from ansible_collections.secops.defender.plugins.module_utils._words.kinds import ActionKind
from ansible_collections.secops.defender.plugins.module_utils._words.models import Action, Alert, Machine
from ansible_collections.secops.defender.plugins.module_utils._words.secrets import Secrets

# List machines API and List machine actions API: maximum page size.
_PAGE = 10_000
# Two million rows, or a service whose list never ends.
_PAGES = 200
# How often a list that changes while it is read is read anew.
_LISTINGS = 3
_ROWS = ("value", list)
_Said = t.TypeVar("_Said")
_NOUNS = {"machines": "machines", "machine_actions": "machine actions", "alerts": "alerts"}


def literal(text: str) -> str:
    """A string in an OData filter; a quote inside it is doubled, so that no name can change the filter's meaning."""
    return "'" + text.replace("'", "''") + "'"


class Api:
    """One method a call. All raise NetworkError, AuthError and ServiceError; see Session.call."""

    def __init__(self, session: Session, secrets: Secrets) -> None:
        self.session = session
        self._secrets = secrets

    def scrub(self, said: _Said) -> _Said:
        """A text, or a structure of texts, without any secret that came by: for what is written down."""
        return t.cast(_Said, self._secrets.scrub(said))

    def machines(self, query: str | None = None) -> list[dict[str, t.Any]]:
        """All machines that an OData filter selects, as the API gives them, each once (List machines API)."""
        return self._list("machines", "/api/machines", "list machines", query)

    def every_machine(self, query: str | None = None, tag: str | None = None) -> list[dict[str, t.Any]]:
        """Machines by filter, tag, both or none, certainly all of them: raises ServiceError rather than to leave one out."""
        if tag and not query:
            params = {"tag": tag, "useStartsWithFilter": "false"}
            doing = f"find devices with tag {tag}"
            reply = self._rows("find_by_tag", "/api/machines/findbytag", doing, params)
            if len(reply["value"]) < _PAGE and not reply.get("@odata.nextLink"):
                return list(_by_id(reply["value"], doing).values())
            # This call has no pages that anybody documents, so a list that fills one may lack the rest.
        rows = self._list("machines", "/api/machines", "list machines", query, certain=True)
        return [row for row in rows if tag in (row.get("machineTags") or [])] if tag else rows

    def each_machine(self) -> t.Iterator[dict[str, t.Any]]:
        """Machines as long as they are asked for: who has seen enough need not read the rest. Rows that are none are left out."""
        for rows in self._pages("machines", "/api/machines", "list machines", None, to_the_end=False):
            yield from (row for row in rows if isinstance(row, dict))

    def machines_by_name_prefix(self, prefixes: t.Iterable[str], most: int = _PAGE) -> list[dict[str, t.Any]]:
        """Some machines whose DNS name begins with one of these, by one call."""
        query = " or ".join(f"startswith(computerDnsName,{literal(prefix)})" for prefix in prefixes)
        params = {"$top": str(most), "$filter": query}
        rows: list[t.Any] = self._rows("machines", "/api/machines", "list machines", params)["value"]
        return [row for row in rows if isinstance(row, dict)]

    def machines_by_ip(self, ip: str, moment: float) -> list[dict[str, t.Any]]:
        """Machines seen with an internal IP within 15 minutes of a moment, seconds since 1970 (Find devices by internal IP API)."""
        stamp = datetime.fromtimestamp(moment, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
        path = f"/api/machines/findbyip(ip='{quote(ip, safe=':.')}',timestamp={stamp})"
        rows: list[dict[str, t.Any]] = self._rows("find_by_ip", path, f"find the device with IP {ip}")["value"]
        return rows

    def actions_of(self, *types: str, since: float | None = None, doing: str = "list machine actions") -> list[Action]:
        """Actions of some types on all devices of the tenant, created since (seconds since 1970)."""
        choice = " or ".join(f"type eq {literal(each)}" for each in types)
        terms = [f"({choice})" if len(types) > 1 else choice]
        if since is not None:
            terms.append(
                "creationDateTimeUtc ge " + datetime.fromtimestamp(since, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
            )
        return [action for action in self.actions(" and ".join(terms), doing) if action.type in types]

    def actions(self, query: str | None = None, doing: str = "list machine actions") -> list[Action]:
        """Machine actions that an OData filter selects (List machine actions API). Rows that are no actions are left out."""
        found = []
        for row in self._list("machine_actions", "/api/machineactions", doing, query):
            try:
                found.append(Action.from_api(row))
            except ServiceError:
                continue
        return found

    def alerts(self, query: str) -> list[Alert]:
        """Alerts that an OData filter selects, each once (List alerts API)."""
        return [Alert.from_api(row) for row in self._list("alerts", "/api/alerts", "list alerts", query)]

    def action(self, action_id: str) -> Action:
        """Raises NotFound for an unknown id, and for a moment after the action was created."""
        path = f"/api/machineactions/{quote(action_id, safe='')}"
        return Action.from_api(self._call("GET", "machine_action", path, f"read machine action {action_id}"))

    def start(self, kind: ActionKind, machine: Machine, comment: str, slot: Slot | None = None) -> Action:
        """Ask a device for an action (Collect investigation package, Isolate machine, Release device from isolation API).

        Raises AlreadyRunning, ReplyLost besides the others.
        """
        path = f"/api/machines/{quote(machine.id, safe='')}/{kind.call}"
        doing = f"{kind.doing} {machine.label}"
        body = {"Comment": comment, **kind.body}
        try:
            reply = self._call("POST", kind.endpoint, path, doing, body=body, slot=slot)
        except ServiceError as failure:
            failure.advice = _advice(kind, failure)
            raise
        try:
            action = Action.from_api(reply)
        except ServiceError as failure:
            # It was taken, whatever is wrong with the answer: the list will tell.
            raise ReplyLost(
                f"Failed to {doing}: {failure.message}", advice="Run again: it is looked up first."
            ) from None
        if action.machine_id not in ("", machine.id.lower()):
            raise ServiceError(
                f"Failed to {doing}: the service answered with the action {action.id} of another device, {action.machine_id}.",
                code="WrongMachine",
                advice="Nothing of it is stored under this device's name. Look at both devices in the Defender portal, and report it "
                "to Microsoft.",
            )
        return action

    def cancel(self, action_id: str, comment: str, label: str) -> Action:
        """Cancel an action that is not final yet (Cancel machine action API). Whether it took is seen by reading it again."""
        path = f"/api/machineactions/{quote(action_id, safe='')}/cancel"
        doing = f"cancel the collection on {label}"
        return Action.from_api(self._call("POST", "cancel", path, doing, body={"Comment": comment}))

    def package_link(self, action_id: str, label: str, slot: Slot | None = None) -> str:
        """A link to the package, good for about a minute; it carries a token and is a secret (Get package SAS URI API).

        Raises NotFound while the action has not succeeded.
        """
        path = f"/api/machineactions/{quote(action_id, safe='')}/getPackageUri"
        doing = f"get the package link for {label}"
        reply = self._call("GET", "package_link", path, doing, slot=slot, expect=("value", str), secret=True)
        # The service wraps the link in literal double quotes.
        link = reply["value"].strip().strip('"')
        self._secrets.add_link(link)
        if not self.session.endpoints.trusts_link(link):
            raise ServiceError(
                f"Failed to {doing}: the link leads to the host {_host(link)}, which is not the service's.",
                code="LinkNotTrusted",
                advice="Nothing was sent there. If Microsoft has added a download host, report it to this collection.",
            )
        return link

    def _call(self, *what: t.Any, secret: bool = False, **how: t.Any) -> t.Any:
        """Session.call, without what the service says back of what it was sent. secret: the answer is meant to be one.

        A link that stands in a refusal, of whichever call, is as good as any other and is told to nobody.
        """
        try:
            reply = self.session.call(*what, **how)
            return reply if secret else self._secrets.purge(reply, self.session.endpoints.trusts_link)
        except DefenderError as failure:
            self._secrets.add_links_in(failure.message)
            failure.message = self.scrub(failure.message)
            raise

    def _rows(self, endpoint: str, path: str, doing: str, params: dict[str, str] | None = None) -> dict[str, t.Any]:
        # The service answers 404 where others answer an empty list.
        try:
            return self._call("GET", endpoint, path, doing, params=params, expect=_ROWS)
        except NotFound:
            return {"value": []}

    def _list(
        self, endpoint: str, path: str, doing: str, query: str | None, *, certain: bool = False
    ) -> list[dict[str, t.Any]]:
        """All rows of a list, each id once; rows without one are left out.

        certain: raise ServiceError rather than leave a row out, also by a page that is short without being the last. Raises
        ServiceError for a list that repeats itself or never ends.
        """
        for _listing in range(_LISTINGS):
            found: dict[str, dict[str, t.Any]] = {}
            sent = 0
            for rows in self._pages(endpoint, path, doing, query, to_the_end=certain):
                before = len(found)
                for key, row in _by_id(rows, doing, strict=certain).items():
                    found.setdefault(key, row)
                sent += len(rows)
                if len(found) == before:
                    raise ServiceError(
                        f"Failed to {doing}: after {before} {_NOUNS[endpoint]} the service sends the same ones again.",
                        code="ListIncomplete",
                        advice="Run again; if it stays, narrow the list down (filter, tag, since), and report it to Microsoft.",
                    )
            # A row that was sent twice has moved from one page to the next, and another may have slipped through.
            if sent == len(found) or not certain:
                return list(found.values())
        raise ServiceError(
            f"Failed to {doing}: the list changed each of the {_LISTINGS} times it was read, so some may be missing.",
            code="ListIncomplete",
            advice="Run again, or narrow the list down with filter or tag.",
        )

    def _pages(
        self, endpoint: str, path: str, doing: str, query: str | None, to_the_end: bool
    ) -> t.Iterator[list[t.Any]]:
        """Page by page, until there is nothing more. A page may be short without being the last: a next link says so.

        Next links are heeded but not followed. They have been seen to lose the filter, and to lead round in circles
        (microsoft-365-docs issue 8316). to_the_end: until a page is empty, whatever the last one said.
        """
        params = {"$top": str(_PAGE), "$filter": query} if query else {"$top": str(_PAGE)}
        sent = 0
        for _page in range(_PAGES):
            reply = self._rows(endpoint, path, doing, {**params, "$skip": str(sent)} if sent or to_the_end else params)
            rows = reply["value"]
            sent += len(rows)
            if rows:
                yield rows
            if not rows or not (to_the_end or reply.get("@odata.nextLink") or len(rows) >= _PAGE):
                return
        raise ServiceError(
            f"Failed to {doing}: after {_PAGES} pages with {sent} {_NOUNS[endpoint]} the list has no end.",
            code="ListEndless",
            advice="Narrow it down (filter, tag, since, or fewer names), and report it to Microsoft.",
        )


def _by_id(rows: list[t.Any], doing: str, strict: bool = True) -> dict[str, dict[str, t.Any]]:
    """strict: raises ServiceError for a row that has no id, instead of leaving it out."""
    usable = [row for row in rows if isinstance(row, dict) and row.get("id")]
    if strict and len(usable) < len(rows):
        raise ServiceError(f"Failed to {doing}: the service sent a machine without an id.", code="MalformedReply")
    found: dict[str, dict[str, t.Any]] = {}
    for row in usable:
        found.setdefault(str(row["id"]).lower(), row)
    return found


def _advice(kind: ActionKind, failure: ServiceError) -> str:
    """What to do where a start was refused."""
    if failure.status != 403 or failure.code in kind.advice:
        return kind.advice.get(failure.code, failure.advice)
    # Selective response actions, preview of April 2026: neither the code nor the text of such a refusal is published.
    return (
        f"Check that the app has admin consent for {kind.permission} and Machine.Read.All, and with a user's token that the user may "
        f"see this device's device group and has the role {kind.role}. A device may also have been onboarded so that this is "
        "forbidden on it: the portal shows the tag Restricted security operations then."
    )


def _host(link: str) -> str:
    try:
        return urlsplit(link).hostname or "?"
    except ValueError:
        return "?"
