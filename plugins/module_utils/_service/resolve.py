# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""From what the user typed to a device."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass
from urllib.parse import quote

from ansible_collections.secops.defender.plugins.module_utils._service.api import Api, literal
from ansible_collections.secops.defender.plugins.module_utils._service.chains import Term, by_chains
from ansible_collections.secops.defender.plugins.module_utils._service.names import (
    DEVICE_ID,
    DNS_NAME,
    ENTRA_ID,
    IP,
    Name,
    nearest,
    parse_names,
    prefixes_near,
)
from ansible_collections.secops.defender.plugins.module_utils._words.errors import (
    MachineError,
    NotFound,
    OptionsError,
    ServiceError,
)
from ansible_collections.secops.defender.plugins.module_utils._words.models import Action, Machine, is_action_id

__all__ = [
    "DEVICE_ID",
    "DNS_NAME",
    "ENTRA_ID",
    "IP",
    "Name",
    "Resolved",
    "by_chains",
    "find_actions",
    "merged_into",
    "parse_action_ids",
    "parse_names",
    "resolve",
    "search",
]

# For how many names that are not found near ones are looked for, and by a filter of how many characters.
_SUGGESTIONS = 20
_LONGEST_HINT = 5_000
_LISTED = 10


@dataclass(frozen=True)
class Resolved:
    """A requested machine (or action) with its device, or with the reason why there is none.

    note: what to know of the device although nothing is wrong with the name. records: the IDs of the records that led to the
    machine because the service has merged them into it; their actions are the device's, too.
    """

    asked: str
    machine: Machine | None
    error: MachineError | None = None
    action: Action | None = None
    records: tuple[str, ...] = ()
    note: str | None = None

    @property
    def key(self) -> str:
        """The same for two that ask for the same thing."""
        if self.action:
            return self.action.id
        return self.machine.id if self.machine else self.asked


Key = tuple[str, str]


def resolve(api: Api, names: t.Sequence[Name], on_ambiguous: str) -> list[Resolved]:
    """A device for each name, in the same order, in as few calls as filters of bounded length allow.

    on_ambiguous: C(fail) or C(newest). Raises what Api raises; a name without a device is no exception but an error in
    its place, and so is one that the service refuses to look for.
    """
    wanted = {(name.kind, name.value): name for name in names}
    found: dict[str, Machine] = {}
    refused: dict[str, ServiceError] = {}
    terms: dict[Key, list[Term]] = {}
    for name in names:
        # Each in its own spelling, though they are one question.
        terms.setdefault((name.kind, name.value), []).extend(_terms(name))
    _load(api, found, dict.fromkeys(term for each in terms.values() for term in each), refused)
    index = _index(found.values())
    fits = {key: _fitting(name, found, index) for key, name in wanted.items()}
    troubles: dict[Key, ServiceError] = {
        key: refused[term.text] for key, each in terms.items() for term in each if term.text in refused
    }
    _add_recent_addresses(api, wanted, found, fits, troubles)
    _load_merge_targets(api, found, fits)
    lost = [name for key, name in wanted.items() if not fits[key] and name.kind == DNS_NAME and key not in troubles]
    known = _near_names(api, lost[:_SUGGESTIONS])
    outcome: dict[Key, Resolved] = {}
    for key, name in wanted.items():
        if not fits[key] and key in troubles:
            outcome[key] = Resolved(name.asked, None, _refusal(name, troubles[key]))
        else:
            hints = nearest(name, known) if name in lost[:_SUGGESTIONS] else []
            outcome[key] = _choose(name, _Candidates(fits[key], found), on_ambiguous, hints)
    return [_as_asked(outcome[name.kind, name.value], name) for name in names]


def _as_asked(resolved: Resolved, name: Name) -> Resolved:
    return Resolved(name.asked, resolved.machine, resolved.error, None, resolved.records, resolved.note)


def parse_action_ids(action_ids: t.Sequence[str]) -> list[str]:
    """Raises OptionsError that lists every one that is no GUID."""
    wrong = [action_id for action_id in action_ids if not is_action_id(action_id)]
    if wrong:
        raise OptionsError(
            f"Malformed in action_ids: {', '.join(map(repr, wrong))}.",
            advice="An action ID is a GUID, such as 5382f7ea-7557-4ab7-9782-d50480024a4e.",
        )
    return [action_id.strip().lower() for action_id in action_ids]


def find_actions(api: Api, action_ids: t.Sequence[str]) -> list[Resolved]:
    """The action of each id, with its device, in the same order. Raises what Api raises."""
    found: dict[str, Action] = {}
    refused: dict[str, ServiceError] = {}
    terms = {Term(f"id eq {literal(action_id)}", f"id eq {action_id}"): action_id for action_id in action_ids}
    by_chains(
        terms,
        lambda query: found.update(
            (action.id.lower(), action) for action in api.actions(query, "find machine actions")
        ),
        refused,
    )
    for term, action_id in terms.items():
        if term.text in refused:
            # This call leaves no doubt of what an ID is.
            try:
                found[action_id] = api.action(action_id)
            except NotFound:
                continue
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
        [term for name in names for term in _terms(name)],
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


def merged_into(api: Api, rows: t.Sequence[dict[str, t.Any]]) -> dict[str, dict[str, t.Any]]:
    """The device IDs that records lead to because the service has merged them, each with the record that led there."""
    ends: dict[str, dict[str, t.Any]] = {}
    ahead = {str(row["mergedIntoMachineId"]).lower(): row for row in rows if row.get("mergedIntoMachineId")}
    while ahead:
        ends.update(ahead)
        # A target may have been merged in its turn.
        targets, _unseen = search(api, [Name(target, DEVICE_ID, target) for target in ahead])
        ahead = {
            further: ahead[str(row["id"]).lower()]
            for row in targets
            if (further := str(row.get("mergedIntoMachineId") or "").lower()) and further not in ends
        }
    return ends


def _terms(name: Name) -> list[Term]:
    """What to ask for: whether the service minds case is not documented, and records keep the case of the device."""
    value = literal(name.value)
    if name.kind == DEVICE_ID:
        return [Term(f"id eq {value}")]
    if name.kind == ENTRA_ID:
        # Machine resource type: a nullable Guid, so without quotes; services that take it for a text want them.
        return [Term(f"aadDeviceId eq {name.value}", f"aadDeviceId eq {value}")]
    if name.kind == IP:
        return [Term(f"lastIpAddress eq {value}")]
    terms = [f"computerDnsName eq {literal(label)}" for label in name.spellings()]
    if name.broad:
        terms += [f"computerDnsName eq {literal(full)}" for full in name.full_spellings()]
    else:
        # A full name is found by its beginning, too: the rest may be in any case.
        terms += [f"startswith(computerDnsName,{literal(label + '.')})" for label in name.spellings()]
    return [Term(each) for each in terms]


def _load(
    api: Api, found: dict[str, Machine], terms: t.Iterable[Term], refused: dict[str, ServiceError] | None = None
) -> None:
    """All machines that fit any of the terms."""
    by_chains(terms, lambda query: _keep(found, api.machines(query)), refused)


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


def _fitting(name: Name, found: dict[str, Machine], index: dict[Key, list[Machine]]) -> list[Machine]:
    if name.kind == DEVICE_ID:
        return [found[name.value]] if name.value in found else []
    fitting = index.get((name.kind, name.value), [])
    if name.kind != DNS_NAME or "." not in name.value or any(_usable(each) for each in fitting):
        return fitting
    # A record may have the bare name where people write the full one. It counts where the full one leads to nothing alive.
    return fitting + [each for each in index.get((DNS_NAME, name.label), []) if "." not in (each.dns_name or "")]


def _usable(machine: Machine) -> bool:
    return machine.active and machine.onboarded


def _add_recent_addresses(
    api: Api,
    wanted: dict[Key, Name],
    found: dict[str, Machine],
    fits: dict[Key, list[Machine]],
    troubles: dict[Key, ServiceError],
) -> None:
    """An address may have changed hands since the last full report of whoever has it on record, unless that one is active."""
    for key, name in wanted.items():
        if name.kind != IP or (len(fits[key]) == 1 and _usable(fits[key][0])):
            continue
        seen: dict[str, Machine] = {}
        try:
            _keep(seen, api.machines_by_ip(name.value, api.session.clock.wall()))
        except ServiceError as failure:
            if failure.status != 400:
                raise
            troubles[key] = failure
        for machine_id, machine in seen.items():
            found.setdefault(machine_id, machine)
        fits[key] = list({machine.id: machine for machine in (*fits[key], *seen.values())}.values())


def _load_merge_targets(api: Api, found: dict[str, Machine], fits: dict[Key, list[Machine]]) -> None:
    """Records merged into another one stand for that one, which may not have been among the rows."""
    targets = {machine.merged_into.lower() for each in fits.values() for machine in each if machine.merged_into}
    # A target may have been merged in its turn.
    while new := targets - set(found):
        _load(api, found, [Term(f"id eq {literal(target)}") for target in sorted(new)])
        reached = [found[target].merged_into for target in new if target in found]
        targets = {target.lower() for target in reached if target}


class _Candidates:
    """The records that a name leads to in the end, and those that lead to one which cannot be seen."""

    def __init__(self, machines: t.Iterable[Machine], found: dict[str, Machine]) -> None:
        ends: dict[str, Machine] = {}
        self.passed: dict[str, list[str]] = {}
        # The ID of the record that cannot be seen, by the record that was merged into it.
        self.hidden: dict[str, str] = {}
        for machine in machines:
            way = [machine.id]
            end = machine
            while end.merged_into and end.merged_into.lower() not in way:
                target = found.get(end.merged_into.lower())
                if target is None:
                    self.hidden[machine.id] = end.merged_into.lower()
                    break
                end = target
                way.append(end.id)
            else:
                ends[end.id] = end
                self.passed.setdefault(end.id, []).extend(way[:-1])
        # Without a time to go by, the order of ids keeps the choice the same from run to run.
        self.ranked = sorted(
            ends.values(), key=lambda each: (each.onboarded, each.active, each.last_seen or "", each.id), reverse=True
        )


def _choose(name: Name, candidates: _Candidates, on_ambiguous: str, near: list[str]) -> Resolved:
    ranked = candidates.ranked
    if candidates.hidden and (not ranked or on_ambiguous == "fail"):
        return Resolved(name.asked, None, _merged_out_of_sight(name, candidates.hidden))
    if len(ranked) == 1 or (ranked and on_ambiguous == "newest"):
        records = tuple(dict.fromkeys(candidates.passed[ranked[0].id]))
        return Resolved(name.asked, ranked[0], records=records, note=_note(ranked[0]))
    if not ranked:
        hint = f"Did you mean {', '.join(near)}? " if near else ""
        error = MachineError(
            f"No device is known by the {name.kind} {name.asked}.",
            advice=f"{hint}Check the spelling, that the device is onboarded, and that the app may see it.",
        )
        return Resolved(name.asked, None, error)
    return Resolved(name.asked, None, _ambiguous(name, ranked))


def _ambiguous(name: Name, ranked: list[Machine]) -> MachineError:
    listed = "; ".join(
        f"{each.id} ({each.dns_name or 'no name'}, {each.health_status or 'health unknown'}, "
        f"{each.onboarding_status or 'onboarding unknown'}, last seen {each.last_seen or 'never'})"
        for each in ranked[:_LISTED]
    )
    return MachineError(
        f"The {name.kind} {name.asked} fits {len(ranked)} devices: {listed}{'; …' if len(ranked) > _LISTED else ''}.",
        advice="Name the right one by its device ID, or set on_ambiguous to newest.",
        code="MachineAmbiguous",
    )


def _note(machine: Machine) -> str | None:
    if machine.onboarded:
        return None
    return f"{machine.label} is not onboarded ({machine.onboarding_status}): nothing can be asked of it."


def _merged_out_of_sight(name: Name, hidden: dict[str, str]) -> MachineError:
    source, target = next(iter(hidden.items()))
    return MachineError(
        f"The {name.kind} {name.asked} leads to the record {source}, which the service has merged into {target}, and that one "
        "cannot be seen.",
        advice="It is past the tenant's retention, or in a device group that this sign-in may not see. Nothing is started on the "
        "record that is left.",
        code="MachineMerged",
    )


def _refusal(name: Name, failure: ServiceError) -> MachineError:
    return MachineError(
        f"The {name.kind} {name.asked} could not be looked up. {failure.message}",
        advice=failure.advice,
        code=failure.code,
        tracking_id=failure.tracking_id,
    )


def _near_names(api: Api, lost: list[Name]) -> list[str]:
    """Names that begin like those not found, for the messages; one call at most."""
    prefixes: list[str] = []
    length = 0
    for prefix in dict.fromkeys(prefix for name in lost for prefix in prefixes_near(name)):
        length += len(quote(prefix)) + len("startswith(computerDnsName,'')%20or%20")
        if length > _LONGEST_HINT:
            break
        prefixes.append(prefix)
    if not prefixes:
        return []
    try:
        rows = api.machines_by_name_prefix(prefixes)
    except ServiceError:
        return []
    return sorted({str(row["computerDnsName"]).lower() for row in rows if row.get("computerDnsName")})
