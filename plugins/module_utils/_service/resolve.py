# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""From what the user typed to a device."""

from __future__ import annotations

import difflib
import ipaddress
import re
import typing as t
from dataclasses import dataclass
from urllib.parse import quote

from ansible_collections.secops.defender.plugins.module_utils._service.api import Api, literal
from ansible_collections.secops.defender.plugins.module_utils._words.errors import (
    MachineError,
    OptionsError,
    ServiceError,
)
from ansible_collections.secops.defender.plugins.module_utils._words.models import Action, Machine

DEVICE_ID, ENTRA_ID, IP, DNS_NAME = "device ID", "Entra device ID", "IP address", "DNS name"

_DEVICE_ID = re.compile(r"^[0-9a-f]{40}$")
_GUID = re.compile(r"^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$")
# What was surely meant as one of the two, but is not.
_ALMOST_ID = re.compile(r"^[0-9a-f]{30,}$")
_ALMOST_GUID = re.compile(r"^\{?[0-9a-f]{6,9}(-[0-9a-f]{3,5}){3}-[0-9a-f]{10,13}\}?$")
_ALMOST_IP = re.compile(r"^\d+(\.\d+){3}$")

# Characters of one encoded $filter. Longer chains mean fewer calls; common servers refuse request lines from 8,192 on.
_LONGEST_FILTER = 6_000
# For how many names that are not found near ones are looked for.
_SUGGESTIONS = 20


@dataclass(frozen=True)
class Name:
    """One requested machine: as asked, what form it has, and that form in one spelling."""

    asked: str
    kind: str
    value: str


@dataclass(frozen=True)
class Resolved:
    """A requested machine (or action) with its device, or with the reason why there is none."""

    asked: str
    machine: Machine | None
    error: MachineError | None = None
    action: Action | None = None
    # IDs of the records that led to the machine, because they were merged into it.
    records: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        """The same for two that ask for the same thing."""
        if self.action:
            return self.action.id
        return self.machine.id if self.machine else self.asked


def parse_names(machines: t.Sequence[str]) -> list[Name]:
    """Tell the requested machines apart by their form, any case.

    Raises OptionsError that lists every malformed one.
    """
    names, wrong = [], []
    for asked in machines:
        text = asked.strip().lower()
        if not text.strip(". ") or len(text) > 255 or not text.isprintable() or "/" in text:
            wrong.append(f"{asked!r} is no device name")
        elif _DEVICE_ID.match(text):
            names.append(Name(asked, DEVICE_ID, text))
        elif _GUID.match(text):
            names.append(Name(asked, ENTRA_ID, text))
        elif _ALMOST_ID.match(text):
            wrong.append(f"{asked!r} looks like a device ID but has {len(text)} hexadecimal digits instead of 40")
        elif _ALMOST_GUID.match(text):
            wrong.append(f"{asked!r} looks like an Entra device ID but is not of the form 8-4-4-4-12")
        else:
            try:
                names.append(Name(asked, IP, str(ipaddress.ip_address(text))))
            except ValueError:
                if _ALMOST_IP.match(text):
                    wrong.append(f"{asked!r} looks like an IP address but is none")
                else:
                    names.append(Name(asked, DNS_NAME, text.rstrip(".")))
    if wrong:
        raise OptionsError(
            f"Malformed in machines: {'; '.join(wrong)}.",
            advice="Give device IDs (40 hexadecimal digits), Entra device IDs (GUIDs), IP addresses or DNS names. Nothing was started.",
        )
    if not names:
        raise OptionsError("machines is empty.", advice="Name at least one device.")
    return names


def resolve(api: Api, names: t.Sequence[Name], on_ambiguous: str) -> list[Resolved]:
    """A device for each name, in the same order, in as few calls as filters of bounded length allow.

    on_ambiguous: C(fail) or C(newest). Raises what Api raises; a name without a device is no exception but an error in
    its place.
    """
    wanted = {(name.kind, name.value): name for name in names}
    found: dict[str, Machine] = {}
    _load(api, found, [_term(name) for name in wanted.values()])
    index = _index(found.values())
    fits = {key: _fitting(name, found, index) for key, name in wanted.items()}
    for key, name in wanted.items():
        if name.kind == IP and not fits[key]:
            # Not its last address any more, but perhaps its address within the last minutes.
            seen: dict[str, Machine] = {}
            _keep(seen, api.machines_by_ip(name.value, api.session.clock.wall()))
            found.update(seen)
            fits[key] = list(seen.values())
    _load_merge_targets(api, found, fits)
    lost = [name for key, name in wanted.items() if not fits[key] and name.kind == DNS_NAME]
    known = _near_names(api, lost)
    hinted = lost[:_SUGGESTIONS]
    outcome = {
        key: _choose(name, _follow_merges(fits[key], found), on_ambiguous, known if name in hinted else [])
        for key, name in wanted.items()
    }
    return [Resolved(name.asked, *outcome[name.kind, name.value]) for name in names]


def parse_action_ids(action_ids: t.Sequence[str]) -> list[str]:
    """Raises OptionsError that lists every one that is no GUID."""
    wrong = [action_id for action_id in action_ids if not _GUID.match(action_id.strip().lower())]
    if wrong:
        raise OptionsError(
            f"Malformed in action_ids: {', '.join(map(repr, wrong))}.",
            advice="An action ID is a GUID, such as 5382f7ea-7557-4ab7-9782-d50480024a4e.",
        )
    return [action_id.strip().lower() for action_id in action_ids]


def find_actions(api: Api, action_ids: t.Sequence[str]) -> list[Resolved]:
    """The action of each id, with its device, in the same order. Raises what Api raises."""
    found: dict[str, Action] = {}
    by_chains(
        [f"id eq {literal(action_id)}" for action_id in dict.fromkeys(action_ids)],
        lambda query: found.update(
            (action.id.lower(), action) for action in api.actions(query, "find machine actions")
        ),
    )
    return [_resolved_action(action_id, found.get(action_id)) for action_id in action_ids]


def _resolved_action(action_id: str, action: Action | None) -> Resolved:
    if action is None:
        error = MachineError(
            f"No machine action has the ID {action_id}.",
            advice="Check the ID and the tenant; the service forgets actions after its retention period.",
            code="ActionNotFound",
        )
        return Resolved(action_id, None, error)
    return Resolved(action_id, Machine(action.machine_id, action.dns_name), action=action)


def search(api: Api, names: t.Sequence[Name]) -> tuple[list[dict[str, t.Any]], list[str]]:
    """Every machine that a name fits, as the API sent it and in the order of the names, and the names that fit none."""
    rows: dict[str, dict[str, t.Any]] = {}
    by_chains(
        [_term(name) for name in names],
        lambda query: rows.update((str(row["id"]).lower(), row) for row in api.machines(query)),
    )
    found: dict[str, Machine] = {}
    _keep(found, rows.values())
    index = _index(found.values())
    ordered: dict[str, dict[str, t.Any]] = {}
    missing = []
    for name in names:
        fitting = _fitting(name, found, index)
        ordered.update((machine.id, rows[machine.id]) for machine in fitting)
        if not fitting:
            missing.append(name.asked)
    return list(ordered.values()), missing


def _term(name: Name) -> str:
    value = literal(name.value)
    if name.kind == DEVICE_ID:
        return f"id eq {value}"
    if name.kind == ENTRA_ID:
        return f"aadDeviceId eq {value}"
    if name.kind == IP:
        return f"lastIpAddress eq {value}"
    if "." in name.value:
        return f"computerDnsName eq {value}"
    return f"computerDnsName eq {value} or startswith(computerDnsName,{literal(name.value + '.')})"


def _load(api: Api, found: dict[str, Machine], terms: list[str]) -> None:
    """All machines that fit any of the terms."""
    by_chains(terms, lambda query: _keep(found, api.machines(query)))


def by_chains(terms: list[str], ask: t.Callable[[str], None]) -> None:
    """Ask for whatever fits any of the terms, by chains of C(or).

    How long a chain the service takes is not documented: one that it refuses is halved, and so are those that follow.
    """
    longest = len(terms)
    while terms:
        chain: list[str] = []
        length = 0
        for term in terms[:longest]:
            length += len(quote(term, safe="(),'")) + len("%20or%20")
            if chain and length > _LONGEST_FILTER:
                break
            chain.append(term)
        try:
            ask(" or ".join(chain))
        except ServiceError as failure:
            if failure.status not in (400, 414) or len(chain) == 1:
                raise
            longest = (len(chain) + 1) // 2
            continue
        terms = terms[len(chain) :]


def _keep(found: dict[str, Machine], rows: t.Iterable[object]) -> None:
    for row in rows:
        try:
            machine = Machine.from_api(row)
        except ServiceError:
            continue
        found[machine.id] = machine


def _index(machines: t.Iterable[Machine]) -> dict[tuple[str, str], list[Machine]]:
    """The machines by everything that may name them, apart from their ID."""
    index: dict[tuple[str, str], list[Machine]] = {}
    for machine in machines:
        dns_name = (machine.dns_name or "").lower().rstrip(".")
        keys = {
            (ENTRA_ID, (machine.aad_device_id or "").lower()),
            (IP, (machine.last_ip or "").lower()),
            (DNS_NAME, dns_name),
            (DNS_NAME, dns_name.partition(".")[0]),
        }
        for key in keys:
            index.setdefault(key, []).append(machine)
    return index


def _fitting(name: Name, found: dict[str, Machine], index: dict[tuple[str, str], list[Machine]]) -> list[Machine]:
    if name.kind == DEVICE_ID:
        return [found[name.value]] if name.value in found else []
    return index.get((name.kind, name.value), [])


def _load_merge_targets(api: Api, found: dict[str, Machine], fits: dict[tuple[str, str], list[Machine]]) -> None:
    """Records merged into another one stand for that one, which may not have been among the rows."""
    targets = {machine.merged_into.lower() for each in fits.values() for machine in each if machine.merged_into}
    # A target may have been merged in its turn.
    while new := targets - set(found):
        _load(api, found, [f"id eq {literal(target)}" for target in sorted(new)])
        reached = [found[target].merged_into for target in new if target in found]
        targets = {target.lower() for target in reached if target}


def _follow_merges(machines: t.Iterable[Machine], found: dict[str, Machine]) -> list[Machine]:
    ends: dict[str, Machine] = {}
    for machine in machines:
        passed = {machine.id}
        while (
            machine.merged_into and machine.merged_into.lower() in found and machine.merged_into.lower() not in passed
        ):
            machine = found[machine.merged_into.lower()]
            passed.add(machine.id)
        ends[machine.id] = machine
    return list(ends.values())


def _choose(
    name: Name, machines: list[Machine], on_ambiguous: str, known: list[str]
) -> tuple[Machine | None, MachineError | None]:
    if len(machines) == 1:
        return machines[0], None
    if not machines:
        # A short name is compared with short names, a full one with full ones.
        spellings = {each if "." in name.value else each.split(".")[0]: each for each in known}
        near = [spellings[each] for each in difflib.get_close_matches(name.value, spellings, n=3, cutoff=0.7)]
        hint = f"Did you mean {', '.join(near)}? " if near else ""
        return None, MachineError(
            f"No device is known by the {name.kind} {name.asked}.",
            advice=f"{hint}Check the spelling, that the device is onboarded, and that the app may see it.",
        )
    # Without a time to go by, the order of ids keeps the choice the same from run to run.
    ranked = sorted(
        machines, key=lambda each: (each.health_status == "Active", each.last_seen or "", each.id), reverse=True
    )
    if on_ambiguous == "newest":
        return ranked[0], None
    listed = "; ".join(
        f"{each.id} ({each.dns_name or 'no name'}, {each.health_status or 'health unknown'}, last seen {each.last_seen or 'never'})"
        for each in ranked[:10]
    )
    return None, MachineError(
        f"The {name.kind} {name.asked} fits {len(machines)} devices: {listed}{'; …' if len(ranked) > 10 else ''}.",
        advice="Name the right one by its device ID, or set on_ambiguous to newest.",
        code="MachineAmbiguous",
    )


def _near_names(api: Api, lost: list[Name]) -> list[str]:
    """Names that begin like those not found, for the messages; one call at most."""
    prefixes = sorted({name.value[: max(3, len(name.value.split(".")[0]) // 2 + 1)] for name in lost[:_SUGGESTIONS]})
    if not prefixes:
        return []
    try:
        rows = api.machines_by_name_prefix(prefixes)
    except ServiceError:
        return []
    return sorted({str(row["computerDnsName"]).lower() for row in rows if row.get("computerDnsName")})
