# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""From machines as the API gives them to hosts: their variables, and names that are safe and belong to one machine each."""

from __future__ import annotations

import hashlib
import json
import re
import typing as t
from collections import Counter

from ansible import constants as C

from ansible_collections.secops.defender.plugins.module_utils._tasks.machine_info import machine_variables
from ansible_collections.secops.defender.plugins.plugin_utils._unsafe import unsafe

# What a condition may count on, whatever the service leaves out: properties of the machine resource type, documented or seen, and
# what its actions tell.
_ALWAYS: dict[str, t.Any] = dict.fromkeys(
    (
        "id",
        "computer_dns_name",
        "first_seen",
        "last_seen",
        "os_platform",
        "os_version",
        "os_processor",
        "os_architecture",
        "os_build",
        "version",
        "agent_version",
        "last_ip_address",
        "last_external_ip_address",
        "health_status",
        "onboarding_status",
        "device_value",
        "risk_score",
        "exposure_level",
        "rbac_group_id",
        "rbac_group_name",
        "aad_device_id",
        "is_aad_joined",
        "merged_into_machine_id",
        "is_potential_duplication",
        "is_excluded",
        "exclusion_reason",
        "defender_av_status",
        "managed_by",
        "managed_by_status",
        "vm_metadata",
        "isolation",
        "isolation_source",
    )
)
_LISTS = ("machine_tags", "ip_addresses")

_NO_VARIABLE = re.compile(r"\W", re.ASCII)
_NO_NAME = re.compile(r"[^\w.-]+")
_ENDS_LIKE_AN_ID = re.compile(r"(?:^|_)[0-9a-f]{40}$")
# Names that mean something to Ansible: a device called localhost would take the place of the control node.
_RESERVED = frozenset({*C.LOCALHOST, "all", "ungrouped"})


def machine_rows(rows: t.Iterable[dict[str, t.Any]]) -> list[dict[str, t.Any]]:
    """The variables of each machine, without the prefix, all with the same keys, ordered by name and device ID."""
    machines = [machine_variables(row) for row in rows]
    keys = _ALWAYS | dict.fromkeys(key for machine in machines for key in machine)
    complete = []
    for machine in machines:
        variables = {_NO_VARIABLE.sub("_", key): unsafe(value) for key, value in (keys | machine).items()}
        variables.update({key: variables.get(key) or [] for key in _LISTS})
        complete.append(variables)
    complete.sort(key=lambda each: (str(each["computer_dns_name"] or "").lower(), each["machine_id"]))
    return complete


def clean_name(value: object) -> str:
    """A host name of letters, digits, dots, hyphens and underscores: nothing that patterns, templates or paths could take for
    more. Empty for what gives no name."""
    if isinstance(value, bool) or not isinstance(value, (str, int)):
        return ""
    return _NO_NAME.sub("_", str(value).strip()).strip("._-")


def unique_names(wanted: t.Sequence[tuple[str, str]], taken: t.Callable[[str, str], bool]) -> list[str]:
    """A name for each of the wanted ones, given with their device IDs; no two alike in any case.

    Whoever shares a name, all of them, has the device ID appended: a play that names one of several must not hit any of them
    by chance. So has a name that is reserved, taken by a machine of another source, or ends like such an ID itself.
    """
    shared = Counter(name.lower() for name, _machine_id in wanted)
    names = []
    for name, machine_id in wanted:
        if not name or name.lower() == machine_id:
            names.append(machine_id)
        elif (
            shared[name.lower()] > 1
            or name.lower() in _RESERVED
            or _ENDS_LIKE_AN_ID.search(name.lower())
            or taken(name, machine_id)
        ):
            names.append(f"{name}_{machine_id}")
        else:
            names.append(name)
    return names


def digest(*parts: t.Any) -> str:
    """The same for the same parts, and safe as a part of a file name."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()[:20]
