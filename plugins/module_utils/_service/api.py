# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The Defender API's calls, typed: what is sent, what comes back, all pages of it."""

from __future__ import annotations

import typing as t
from datetime import datetime, timezone
from urllib.parse import quote, urlsplit

from ansible_collections.secops.defender.plugins.module_utils._service.quota import Slot
from ansible_collections.secops.defender.plugins.module_utils._service.session import Session
from ansible_collections.secops.defender.plugins.module_utils._words.errors import NotFound, ReplyLost, ServiceError
from ansible_collections.secops.defender.plugins.module_utils._words.models import COLLECT, Action, Machine
from ansible_collections.secops.defender.plugins.module_utils._words.secrets import Secrets

# List machines API and List machine actions API: maximum page size.
_PAGE = 10_000
# A next link that leads round in circles (microsoft-365-docs issue 8316) ends here at the latest.
_PAGES = 1_000
# How often a list that changes while it is read is read anew.
_LISTINGS = 3
_ROWS = ("value", list)


def literal(text: str) -> str:
    """A string in an OData filter; a quote inside it is doubled, so that no name can change the filter's meaning."""
    return "'" + text.replace("'", "''") + "'"


class Api:
    """One method a call. All raise NetworkError, AuthError and ServiceError; see Session.call."""

    def __init__(self, session: Session, secrets: Secrets) -> None:
        self.session = session
        self._secrets = secrets

    def scrub(self, text: str) -> str:
        """Without any secret that came by: for what is written down."""
        return t.cast(str, self._secrets.scrub(text))

    def machines(self, query: str | None = None) -> list[dict[str, t.Any]]:
        """All machines that an OData filter selects, as the API gives them, each once (List machines API)."""
        return self._all("machines", "/api/machines", "list machines", query)

    def every_machine(self, query: str | None = None, tag: str | None = None) -> list[dict[str, t.Any]]:
        """Machines by filter, tag, both or none, certainly all of them: raises ServiceError rather than to leave one out."""
        if tag and not query:
            params = {"tag": tag, "useStartsWithFilter": "false"}
            doing = f"find devices with tag {tag}"
            reply = self._rows("find_by_tag", "/api/machines/findbytag", doing, params)
            if len(reply["value"]) < _PAGE and not reply.get("@odata.nextLink"):
                return list(_by_id(reply["value"], doing).values())
            # This call has no pages that anybody documents, so a list that fills one may lack the rest.
        rows = self._to_the_end(query)
        return [row for row in rows if tag in (row.get("machineTags") or [])] if tag else rows

    def machines_by_name_prefix(self, prefixes: t.Iterable[str]) -> list[dict[str, t.Any]]:
        """Machines whose DNS name begins with one of these."""
        return self.machines(" or ".join(f"startswith(computerDnsName,{literal(prefix)})" for prefix in prefixes))

    def machines_by_ip(self, ip: str, moment: float) -> list[dict[str, t.Any]]:
        """Machines seen with an internal IP within 15 minutes of a moment, seconds since 1970 (Find devices by internal IP API)."""
        stamp = datetime.fromtimestamp(moment, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
        path = f"/api/machines/findbyip(ip='{quote(ip, safe=':.')}',timestamp={stamp})"
        rows: list[dict[str, t.Any]] = self._rows("find_by_ip", path, f"find the device with IP {ip}")["value"]
        return rows

    def collections(self, *, since: float | None = None, doing: str = "list machine actions") -> list[Action]:
        """Collect actions of the whole tenant, created since (seconds since 1970)."""
        terms = [f"type eq {literal(COLLECT)}"]
        if since is not None:
            terms.append(
                "creationDateTimeUtc ge " + datetime.fromtimestamp(since, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
            )
        return [action for action in self.actions(" and ".join(terms), doing) if action.type == COLLECT]

    def actions(self, query: str | None = None, doing: str = "list machine actions") -> list[Action]:
        """Machine actions that an OData filter selects (List machine actions API). Rows that are no actions are left out."""
        found = []
        for row in self._all("machine_actions", "/api/machineactions", doing, query):
            try:
                found.append(Action.from_api(row))
            except ServiceError:
                continue
        return found

    def action(self, action_id: str) -> Action:
        """Raises NotFound for an unknown id, and for a moment after the action was created."""
        path = f"/api/machineactions/{quote(action_id, safe='')}"
        return Action.from_api(self.session.call("GET", "machine_action", path, f"read machine action {action_id}"))

    def collect(self, machine: Machine, comment: str, slot: Slot | None = None) -> Action:
        """Start a collection (Collect investigation package API). Raises AlreadyRunning, ReplyLost besides the others."""
        path = f"/api/machines/{quote(machine.id, safe='')}/collectInvestigationPackage"
        doing = f"start a collection on {machine.label}"
        reply = self.session.call("POST", "collect", path, doing, body={"Comment": comment}, slot=slot)
        try:
            return Action.from_api(reply)
        except ServiceError as failure:
            # It was taken, whatever is wrong with the answer: the list will tell.
            raise ReplyLost(
                f"Failed to {doing}: {failure.message}", advice="Run again: it is looked up first."
            ) from None

    def cancel(self, action_id: str, comment: str, label: str) -> Action:
        """Cancel an action that is not final yet (Cancel machine action API). Whether it took is seen by reading it again."""
        path = f"/api/machineactions/{quote(action_id, safe='')}/cancel"
        doing = f"cancel the collection on {label}"
        return Action.from_api(self.session.call("POST", "cancel", path, doing, body={"Comment": comment}))

    def package_link(self, action_id: str, label: str, slot: Slot | None = None) -> str:
        """A link to the package, good for about a minute; it carries a token and is a secret (Get package SAS URI API).

        Raises NotFound while the action has not succeeded.
        """
        path = f"/api/machineactions/{quote(action_id, safe='')}/getPackageUri"
        doing = f"get the package link for {label}"
        reply = self.session.call("GET", "package_link", path, doing, slot=slot, expect=("value", str))
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

    def _rows(self, endpoint: str, path: str, doing: str, params: dict[str, str] | None = None) -> dict[str, t.Any]:
        # The service answers 404 where others answer an empty list.
        try:
            return self.session.call("GET", endpoint, path, doing, params=params, expect=_ROWS)
        except NotFound:
            return {"value": []}

    def _to_the_end(self, query: str | None) -> list[dict[str, t.Any]]:
        """Page by page until there is nothing more: a page may be short without being the last.

        Next links are not followed. They have been seen to lose the filter, and to lead round in circles
        (microsoft-365-docs issue 8316).
        """
        doing = "list machines"
        params = {"$top": str(_PAGE), "$filter": query} if query else {"$top": str(_PAGE)}
        for _listing in range(_LISTINGS):
            found: dict[str, dict[str, t.Any]] = {}
            sent = 0
            while rows := self._rows("machines", "/api/machines", doing, {**params, "$skip": str(sent)})["value"]:
                before = len(found)
                found.update(_by_id(rows, doing))
                sent += len(rows)
                if len(found) == before:
                    raise ServiceError(
                        f"Failed to {doing}: after {before} machines the service sends the same ones again.",
                        code="ListIncomplete",
                        advice="Run again; if it stays, narrow the list down with filter or tag, and report it to Microsoft.",
                    )
            # A machine that was sent twice has moved from one page to the next, and another may have slipped through.
            if sent == len(found):
                return list(found.values())
        raise ServiceError(
            f"Failed to {doing}: the list changed each of the {_LISTINGS} times it was read, so some may be missing.",
            code="ListIncomplete",
            advice="Run again, or narrow the list down with filter or tag.",
        )

    def _all(self, endpoint: str, path: str, doing: str, query: str | None) -> list[dict[str, t.Any]]:
        """All pages, by C($top) and C($skip), or by the next link where the service gives one all the same; each id once."""
        found: dict[str, dict[str, t.Any]] = {}
        params = {"$top": str(_PAGE)}
        if query:
            params["$filter"] = query
        skip = 0
        for _page in range(_PAGES):
            page = params | {"$skip": str(skip)} if skip else params
            reply = self._rows(endpoint, path, doing, page)
            rows = reply["value"]
            before = len(found)
            for row in rows:
                if isinstance(row, dict) and row.get("id"):
                    found.setdefault(str(row["id"]).lower(), row)
            skip += len(rows)
            more = reply.get("@odata.nextLink") or len(rows) >= _PAGE
            if not more or len(found) == before:
                break
        return list(found.values())


def _by_id(rows: list[t.Any], doing: str) -> dict[str, dict[str, t.Any]]:
    """Raises ServiceError for a row that is no machine."""
    if not all(isinstance(row, dict) and row.get("id") for row in rows):
        raise ServiceError(f"Failed to {doing}: the service sent a machine without an id.", code="MalformedReply")
    return {str(row["id"]).lower(): row for row in rows}


def _host(link: str) -> str:
    try:
        return urlsplit(link).hostname or "?"
    except ValueError:
        return "?"
