# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which hosts are one fleet, and which fleets are refused before anything is started."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import re
import typing as t
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from ansible_collections.secops.defender.plugins.module_utils._fleet.device import Wish
from ansible_collections.secops.defender.plugins.module_utils._words.errors import OptionsError

# ansible-playbook loads this file before it forks a process for a host, so all its processes have the same key, and nobody
# else ever has it: a fingerprint tells nothing of the secrets that it was made of.
_KEY = os.urandom(32)
_LISTED = 10
_TENANT_ID = re.compile(r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$")

# From a tenant as it was asked for, and where to ask for it, to its ID; None if that cannot be found out.
Discover = t.Callable[[str, Mapping[str, t.Any]], str | None]


@dataclass(frozen=True)
class Request:
    """What one host asks for. Nothing here is a secret.

    also: another name that has to lead to the same device. tenant: as it was asked for. login: where a tenant is looked up.
    limit: the most hosts that may take part, 0 for any number. hosts: how many the play has. known: whether those who take
    part are all here. refused: why nothing is done for this host.
    """

    host: str
    fleet: str
    device: str = ""
    also: str | None = None
    comment: str = ""
    dest: str | None = None
    reuse_within: float = 0.0
    wait_timeout: float = 3600.0
    cancel_on_timeout: bool = False
    tenant: str | None = None
    login: Mapping[str, t.Any] | None = None
    limit: int = 0
    hosts: int = 1
    known: bool = True
    refused: str | None = None

    @classmethod
    def of(cls, mapping: Mapping[str, t.Any]) -> Request:
        return cls(**mapping)

    def as_mapping(self) -> dict[str, t.Any]:
        return dict(vars(self))

    @property
    def wish(self) -> Wish:
        return Wish(self.comment, self.wait_timeout, self.cancel_on_timeout, self.reuse_within, self.dest)


@dataclass(frozen=True)
class Sheet:
    """What the leader of a fleet gets. fleets: how many there are. refusal: why nothing may be started."""

    fleet: str
    requests: tuple[Request, ...]
    fleets: int = 1
    refusal: str | None = None

    @classmethod
    def of(cls, mapping: Mapping[str, t.Any]) -> Sheet:
        return cls(**{**mapping, "requests": tuple(map(Request.of, mapping["requests"]))})

    def as_mapping(self) -> dict[str, t.Any]:
        return asdict(self)


def fingerprint(*parts: t.Any) -> str:
    """The same for all hosts of a run whose parts are the same; it can be told to nobody what they are."""
    text = json.dumps(parts, sort_keys=True, default=str)
    return hmac.new(_KEY, text.encode(errors="surrogatepass"), hashlib.sha256).hexdigest()[:32]


def judge(requests: Sequence[Request], discover: Discover) -> list[Sheet]:
    """The fleets, in the order in which their first hosts asked; each with why it may not start, if it may not."""
    working = [request for request in requests if request.refused is None]
    fleets: dict[str, list[Request]] = {}
    for request in working:
        fleets.setdefault(request.fleet, []).append(request)
    foreign = _folders_of_several_tenants(working, discover)
    return [
        Sheet(
            fleet,
            tuple(members),
            len(fleets),
            _too_many(members[0], len(working)) or foreign.get(fleet) or _contradiction(members),
        )
        for fleet, members in fleets.items()
    ]


def _too_many(request: Request, taking_part: int) -> str | None:
    count = taking_part if request.known else request.hosts
    if not 0 < request.limit < count:
        return None
    who = f"{count} hosts take part" if request.known else f"The play has {count} hosts"
    return str(
        OptionsError(
            f"{who}, but collect_package_max_machines is {request.limit}.",
            advice="Take fewer hosts, or raise collect_package_max_machines if so many are meant (0 is no limit). "
            "Nothing was started.",
        )
    )


def _contradiction(members: Iterable[Request]) -> str | None:
    """Two hosts that name one device by the same text, and want another thing of it. Other spellings are found out later."""
    first: dict[str, Request] = {}
    for request in members:
        other = first.setdefault(request.device.lower(), request)
        if other.wish != request.wish:
            differ = [
                each.name for each in fields(Wish) if getattr(other.wish, each.name) != getattr(request.wish, each.name)
            ]
            return str(
                OptionsError(
                    f"The hosts {other.host} and {request.host} lead to one device, {request.device}, but want another "
                    f"{' and '.join(differ)}.",
                    advice="Take one of the hosts, or want the same for both. Nothing was started.",
                )
            )
    return None


def _folders_of_several_tenants(requests: Sequence[Request], discover: Discover) -> dict[str, str]:
    """The fleets that name a folder which a fleet of another tenant names, too, and what to tell them."""
    folders: dict[str, list[Request]] = {}
    for request in requests:
        if request.dest and request.tenant:
            folders.setdefault(os.path.realpath(request.dest), []).append(request)
    told: dict[str, str] = {}
    for folder, members in folders.items():
        several = _one_a_tenant(members)
        # A tenant may be given by its ID and by a domain.
        tenants = {_tenant(request, discover) for request in several} if len(several) > 1 else set()
        if len(tenants) > 1:
            sentence = str(
                OptionsError(
                    f"{folder} is the folder of hosts of several tenants: {_listed(tenants)}.",
                    advice="Give each tenant a folder of its own (collect_package_dest: "
                    f"{Path(folder) / '{{ collect_package_tenant }}'}). Nothing was started for any of them.",
                )
            )
            told.update((request.fleet, sentence) for request in members)
    return told


def _one_a_tenant(members: Iterable[Request]) -> list[Request]:
    return list({str(request.tenant).lower(): request for request in members}.values())


def _tenant(request: Request, discover: Discover) -> str:
    tenant = str(request.tenant).strip().lower()
    if _TENANT_ID.match(tenant):
        return tenant
    return (discover(tenant, request.login or {}) or tenant).lower()


def _listed(names: Iterable[str]) -> str:
    ordered = sorted(names)
    more = f" and {len(ordered) - _LISTED} more" if len(ordered) > _LISTED else ""
    return ", ".join(ordered[:_LISTED]) + more
