# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The Defender for Endpoint API."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from email.utils import formatdate
from typing import Any
from urllib.parse import quote

from .actions import Action
from .alerts import ALERT_PROPERTIES, Alerts
from .devices import Device
from .faults import unauthorized
from .fleet import Fleet
from .messages import ApiError, Call, Handler, Reply, gateway_error, json_reply
from .odata import ACTION_PROPERTIES, MACHINE_PROPERTIES, Kind, parse_query
from .quota import Quota
from .settings import Settings
from .timestamps import parse_utc
from .tokens import Tokens

_READ = ("Machine.Read.All", "Machine.ReadWrite.All")
_READ_DELEGATED = ("Machine.Read", "Machine.ReadWrite")
_COLLECT = ("Machine.CollectForensics",)
_ISOLATE = ("Machine.Isolate",)
_ISOLATION_TYPES = ("Full", "Selective", "UnManagedDevice")
_ALERTS = ("Alert.Read.All", "Alert.ReadWrite.All")
_ALERTS_DELEGATED = ("Alert.Read", "Alert.ReadWrite")
_CANCEL = (
    "Machine.CollectForensics",
    "Machine.Isolate",
    "Machine.RestrictExecution",
    "Machine.Scan",
    "Machine.Offboard",
    "Machine.StopAndQuarantine",
    "Machine.LiveResponse",
)
_IP_WINDOW = 15 * 60.0
_IP_LOOK_BACK = 30 * 86400.0
_ODATA_HEADERS = {
    "Content-Type": "application/json; odata.metadata=minimal; odata.streaming=true; charset=utf-8",
    "OData-Version": "4.0",
}


@dataclass(frozen=True)
class Identity:
    client_id: str
    requestor: str
    permissions: tuple[str, ...]
    delegated: bool


Work = Callable[[Call, Identity], Reply]


class Defender:
    def __init__(
        self, settings: Settings, tokens: Tokens, fleet: Fleet, alerts: Alerts, quota: Quota, api_url: str
    ) -> None:
        self._settings, self._tokens, self._fleet, self._quota = settings, tokens, fleet, quota
        self._alert_book, self._api_url = alerts, api_url
        self._machine_properties: dict[str, Kind] = {
            **MACHINE_PROPERTIES,
            "aadDeviceId": "guid" if settings.guid_literals else "string",
            "computerDnsName": "string" if settings.case_sensitive_names else "folded",
        }
        self._action_properties: dict[str, Kind] = {
            **ACTION_PROPERTIES,
            "id": "guid" if settings.action_id_guid else "string",
        }

    def routes(self) -> list[tuple[str, str, str, Handler]]:
        link_roles = ("Machine.ReadWrite.All",) if self._settings.link_needs_read_write else _READ
        cancel_roles = _CANCEL[1:] if self._settings.cancel_needs_other_role else _CANCEL
        actions, machines = "/machineactions", "/machines"
        table: list[tuple[str, str, str, tuple[str, ...], tuple[str, ...], Work]] = [
            ("POST", rf"{machines}/([^/]+)/collectInvestigationPackage", "collect", _COLLECT, _COLLECT, self._collect),
            ("GET", actions, "machine_actions", _READ, _READ_DELEGATED, self._machine_actions),
            ("GET", rf"{actions}/([^/]+)", "machine_action", _READ, _READ_DELEGATED, self._machine_action),
            ("GET", rf"{actions}/([^/]+)/getPackageUri", "package_link", link_roles, _COLLECT, self._package_link),
            ("POST", rf"{actions}/([^/]+)/cancel", "cancel", cancel_roles, cancel_roles, self._cancel),
            ("GET", machines, "machines", _READ, _READ_DELEGATED, self._machines),
            ("GET", rf"{machines}/findbyip\((.*)\)", "find_by_ip", _READ, _READ_DELEGATED, self._find_by_ip),
            ("GET", rf"{machines}/findbytag", "find_by_tag", _READ, _READ_DELEGATED, self._find_by_tag),
            ("POST", rf"{machines}/([^/]+)/isolate", "isolate", _ISOLATE, _ISOLATE, self._isolate),
            ("POST", rf"{machines}/([^/]+)/unisolate", "unisolate", _ISOLATE, _ISOLATE, self._unisolate),
            ("GET", "/alerts", "alerts", _ALERTS, _ALERTS_DELEGATED, self._alerts),
            ("GET", "/alerts/([^/]+)", "alert", _ALERTS, _ALERTS_DELEGATED, self._alert),
            ("GET", rf"{machines}/([^/]+)", "machine", _READ, _READ_DELEGATED, self._machine),
        ]
        return [
            (method, rf"/api(?:/v1\.0)?{path}", endpoint, self._guarded(roles, scopes, work))
            for method, path, endpoint, roles, scopes, work in table
        ]

    def _guarded(self, roles: tuple[str, ...], scopes: tuple[str, ...], work: Work) -> Handler:
        def handler(call: Call) -> Reply:
            try:
                identity = self._identity(call)
                self._spend(call, identity)
                _authorize(identity, roles, scopes, self._settings.denial)
                return work(call, identity)
            except ApiError as error:
                return error.reply()

        return handler

    def _identity(self, call: Call) -> Identity:
        bearer = re.fullmatch(r"bearer (\S+)", call.headers.get("Authorization", ""), re.IGNORECASE)
        if not bearer:
            raise unauthorized("The request has no access token")
        try:
            claims = self._tokens.verify(bearer.group(1), call.now)
        except ValueError as error:
            raise unauthorized(str(error)) from error
        call.entry.client_id = claims["appid"]
        if claims["aud"] != self._settings.audience:
            raise ApiError(403, "Forbidden", f"The token's audience {claims['aud']} is not one of this API")
        delegated = "scp" in claims
        permissions = claims["scp"].split() if delegated else claims.get("roles", [])
        requestor = claims["upn"] if delegated else f"{claims['app_displayname']} ({self._settings.tenant_name})"
        return Identity(claims["appid"], requestor, tuple(permissions), delegated)

    def _spend(self, call: Call, identity: Identity) -> None:
        refusal = self._quota.take(identity.client_id, call.entry.endpoint, call.now)
        if refusal is None:
            return
        seconds = max(1, math.ceil(refusal.seconds))
        headers = {}
        if self._settings.retry_after == "http-date":
            headers["Retry-After"] = formatdate(math.ceil(call.now + refusal.seconds), usegmt=True)
        elif self._settings.retry_after:
            headers["Retry-After"] = str(seconds)
        message = (
            f"API calls quota exceeded! Maximum allowed {refusal.limit} per {refusal.window} for the key "
            f"Destination+TenantID+AppID. You can send requests again in {seconds} seconds."
        )
        raise ApiError(429, "429", message, headers, target=self._settings.tenant)

    # Machine actions

    def _collect(self, call: Call, identity: Identity) -> Reply:
        comment = _body(call)["Comment"]
        return self._start(
            call, lambda device: self._fleet.start_collection(device, comment, identity.requestor, call.now)
        )

    def _isolate(self, call: Call, identity: Identity) -> Reply:
        body = _body(call, "IsolationType")
        scope = body["IsolationType"]
        if scope not in _ISOLATION_TYPES:
            raise ApiError(400, "InvalidInput", f"IsolationType {scope} is not valid")
        return self._start(
            call,
            lambda device: self._fleet.start_isolation(device, scope, body["Comment"], identity.requestor, call.now),
        )

    def _unisolate(self, call: Call, identity: Identity) -> Reply:
        comment = _body(call)["Comment"]
        return self._start(
            call, lambda device: self._fleet.start_isolation(device, None, comment, identity.requestor, call.now)
        )

    def _start(self, call: Call, begin: Callable[[Device], Action]) -> Reply:
        """The action, unless the scenario of the device loses the request or the reply."""
        device, endpoint = self._fleet.device(call.parts[0]), call.entry.endpoint
        if device.scenario == "lost_request" and self._fleet.spoil(device, f"{endpoint} request"):
            return gateway_error()
        action = begin(device)
        call.entry.action_id = action.id
        if device.scenario == "lost_reply" and self._fleet.spoil(device, f"{endpoint} reply"):
            return gateway_error()
        reply = self._entity(201, "MachineActions", action.entity(call.now))
        reply.closed = device.scenario == "dropped_reply" and self._fleet.spoil(device, f"{endpoint} reply")
        return reply

    def _machine_actions(self, call: Call, identity: Identity) -> Reply:
        rows = (action.entity(call.now) for action in self._fleet.listed(call.now))
        return self._page(call, "MachineActions", "machineactions", rows, self._action_properties, _ACTION_KEYS)

    def _machine_action(self, call: Call, identity: Identity) -> Reply:
        return self._entity(200, "MachineActions", self._fleet.action(call.parts[0], call.now).entity(call.now))

    def _package_link(self, call: Call, identity: Identity) -> Reply:
        token = self._fleet.new_link(self._fleet.action(call.parts[0], call.now), call.now)
        # Only the part before the padding: it stands in the URL in every spelling of it.
        self._tokens.secrets.add(token.rstrip("="))
        url = f"{self._api_url}/safedownload/WDATP_Investigation_Package.zip?token={quote(token, safe='')}"
        body = {"@odata.context": f"{self._api_url}/api/$metadata#Edm.String", "value": f'"{url}"'}
        return json_reply(200, body, _ODATA_HEADERS)

    def _cancel(self, call: Call, identity: Identity) -> Reply:
        comment = _body(call)["Comment"]
        action = self._fleet.action(call.parts[0], call.now)
        self._fleet.cancel(action, identity.requestor, comment, call.now)
        return self._entity(200, "MachineActions", action.entity(call.now))

    # Machines

    def _machines(self, call: Call, identity: Identity) -> Reply:
        rows = self._fleet.machine_entities
        if not rows:
            raise ApiError(404, "NotFound", "No recent machines were found")
        return self._page(call, "Machines", "machines", rows, self._machine_properties, rows[0])

    def _machine(self, call: Call, identity: Identity) -> Reply:
        return self._entity(200, "Machines", self._fleet.device_or_name(call.parts[0]).entity(self._fleet.start))

    def _find_by_ip(self, call: Call, identity: Identity) -> Reply:
        match = re.fullmatch(r"ip='([^']*)',\s*timestamp=([^',]+)", call.parts[0])
        if not match:
            raise ApiError(400, "InvalidInput", "findbyip needs ip and timestamp")
        ip, moment = match.groups()
        if not re.fullmatch(r"[0-9A-Fa-f:.]+", ip):
            raise ApiError(400, "InvalidIpAddress", f"'{ip}' is not an IP address")
        try:
            around = parse_utc(moment)
        except ValueError as error:
            raise ApiError(400, "InvalidInput", f"'{moment}' is not a UTC time") from error
        if not call.now - _IP_LOOK_BACK <= around <= call.now:
            raise ApiError(400, "InvalidInput", "The timestamp must be within the past 30 days")
        found = self._fleet.seen_with_ip(ip, around, _IP_WINDOW, call.now)
        return self._values("Machines", [device.entity(self._fleet.start) for device in found])

    def _find_by_tag(self, call: Call, identity: Identity) -> Reply:
        tag = call.query.get("tag")
        prefix = call.query.get("useStartsWithFilter", "false").lower()
        if not tag or prefix not in ("true", "false"):
            raise ApiError(400, "InvalidInput", "findbytag needs tag, and true or false as useStartsWithFilter")

        def fits(candidate: str) -> bool:
            return candidate.startswith(tag) if prefix == "true" else candidate == tag

        rows = [row for row in self._fleet.machine_entities if any(map(fits, row["machineTags"]))]
        return self._values("Machines", rows)

    # Alerts

    def _alerts(self, call: Call, identity: Identity) -> Reply:
        rows = self._alert_book.rows(call.now, expand="$expand" in call.query)
        return self._page(call, "Alerts", "alerts", rows, ALERT_PROPERTIES, rows[0] if rows else (), "evidence")

    def _alert(self, call: Call, identity: Identity) -> Reply:
        return self._entity(200, "Alerts", self._alert_book.row(call.parts[0], call.now, "$expand" in call.query))

    # Replies

    def _entity(self, status: int, kind: str, entity: Mapping[str, Any]) -> Reply:
        body = {"@odata.context": f"{self._api_url}/api/$metadata#{kind}/$entity", **entity}
        return json_reply(status, body, _ODATA_HEADERS)

    def _values(self, kind: str, rows: list[Any], next_link: str = "") -> Reply:
        body: dict[str, Any] = {"@odata.context": f"{self._api_url}/api/$metadata#{kind}", "value": rows}
        if next_link:
            body["@odata.nextLink"] = next_link
        return json_reply(200, body, _ODATA_HEADERS)

    def _page(
        self,
        call: Call,
        kind: str,
        path: str,
        rows: Iterable[Mapping[str, Any]],
        properties: Mapping[str, Kind],
        known: Iterable[str],
        expandable: str = "",
    ) -> Reply:
        query = parse_query(call.query, properties, known, self._settings.filter_nodes, expandable)
        fitting = [row for row in rows if query.predicate is None or query.predicate(row)]
        asked = self._settings.page_size if query.top is None else query.top
        size = min(asked, self._settings.short_page or asked)
        start = query.skip
        if self._settings.next_link_bug == "endless_rows" and fitting:
            start %= len(fitting)
        page = fitting[start : start + size]
        if query.select:
            page = [{name: row[name] for name in query.select} for row in page]
        rest = None if query.top is None else query.top - size
        end = len(fitting) if query.top is None else min(query.skip + query.top, len(fitting))
        # As reported: whoever gives $top gets no next link. With short_page it is the page that is short.
        more = query.skip + size < end or self._settings.next_link_bug.startswith("endless")
        return self._values(kind, page, self._next_link(call, path, query.skip + max(size, 1), rest) if more else "")

    def _next_link(self, call: Call, path: str, skip: int, rest: int | None) -> str:
        base = f"{self._settings.next_link_base or self._api_url}/api/{path}?"
        kept = {name: value for name, value in call.query.items() if name != "$skip"}
        if rest:
            kept["$top"] = str(rest)
        if self._settings.next_link_bug == "lost_filter":
            kept = {}
        elif self._settings.next_link_bug == "loop" and ("" in call.query or "$skip" in call.query):
            # As reported: from the second page on the link keeps the values, loses their names, and never gets further.
            values = "".join(f"={quote(value)}&" for value in call.query.values())
            return f"{base}{values}$skip={self._settings.page_size}"
        return base + "".join(f"{name}={quote(value)}&" for name, value in kept.items()) + f"$skip={skip}"


_ACTION_KEYS = (
    "id",
    "type",
    "title",
    "requestor",
    "requestorComment",
    "status",
    "machineId",
    "computerDnsName",
    "creationDateTimeUtc",
    "lastUpdateDateTimeUtc",
    "cancellationRequestor",
    "cancellationComment",
    "cancellationDateTimeUtc",
    "errorHResult",
    "scope",
    "externalId",
    "requestSource",
    "relatedFileInfo",
    "commands",
    "troubleshootInfo",
)


def _authorize(identity: Identity, roles: tuple[str, ...], scopes: tuple[str, ...], form: str) -> None:
    needed = scopes if identity.delegated else roles
    if set(needed).intersection(identity.permissions):
        return
    if form == "permissions":
        message = (
            f"The application does not have any of the required application permissions ({', '.join(needed)}) to access "
            "the resource."
        )
    else:
        what = "user scopes" if identity.delegated else "application roles"
        message = (
            f"Missing {what}. API required {what.split()[1]}: {','.join(needed)}, "
            f"{what}: {','.join(identity.permissions)}."
        )
    raise ApiError(403, "Forbidden", message)


def _body(call: Call, *further: str) -> dict[str, str]:
    """Comment and the further fields: all of them must be there, as texts, and nothing else."""
    if call.headers.get("Content-Type", "").partition(";")[0].strip().lower() != "application/json":
        raise ApiError(400, "InvalidRequestBody", "Request body is incorrect")
    try:
        body = json.loads(call.body)
    except ValueError as error:
        raise ApiError(400, "InvalidRequestBody", "Request body is incorrect") from error
    if not isinstance(body, dict):
        raise ApiError(400, "InvalidRequestBody", "Request body is incorrect")
    wanted = ("Comment", *further)
    for name in wanted:
        if body.get(name) in (None, ""):
            raise ApiError(400, "MissingRequiredParameter", f"Required parameter is missing: {name}")
    if set(body) != set(wanted) or not all(isinstance(value, str) for value in body.values()):
        raise ApiError(400, "InvalidRequestBody", "Request body is incorrect")
    return body
