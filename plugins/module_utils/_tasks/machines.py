# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The option machines: names, requests and records, and what each of them wishes."""

from __future__ import annotations

import re
import typing as t
from dataclasses import dataclass, replace

from ansible_collections.secops.defender.plugins.module_utils._fleet.device import Wish
from ansible_collections.secops.defender.plugins.module_utils._service.names import Name, parse_names
from ansible_collections.secops.defender.plugins.module_utils._tasks.outcome import count, listed
from ansible_collections.secops.defender.plugins.module_utils._words.errors import OptionsError
from ansible_collections.secops.defender.plugins.module_utils._words.options import Given, Option, Spec, read, shown

# What one machine may want otherwise than the others of its task.
WISHES: Spec = {
    "comment": {"type": "str"},
    "dest": {"type": "path"},
    "reuse_within": {"type": "str"},
    "wait_timeout": {"type": "str"},
    "cancel_on_timeout": {"type": "bool"},
}
# What no name of a device has: several of them in one text, or what Ansible's patterns for hosts have besides wildcards.
_PATTERN = re.compile(r'^[!&~]|[{}<>|",;\s]')


def names_option(**more: t.Any) -> Option:
    """The option, as an argument spec says it."""
    return {"type": "list", "elements": "raw", "aliases": ["machine", "machine_id"], **more}


@dataclass(frozen=True)
class Asked:
    """One element: as it was asked, the name in it, and what it wishes."""

    text: str
    name: Name
    wish: Wish


def requests(given: Given, wish: Wish, wishes: Spec) -> list[Asked]:
    """The elements of C(machines), each with its own wish where it has one, else the task's. Raises OptionsError.

    wishes: what one may want otherwise, of WISHES.
    """
    named, owns = [], []
    for element in given["machines"]:
        if isinstance(element, dict):
            text, options = _mapping(element, given, wishes)
            named.append(text)
            owns.append(_own(wish, options))
        else:
            named.append(element)
            owns.append(wish)
    return [Asked(name.asked, name, own) for name, own in zip(_parsed(named), owns, strict=True)]


def refuse_too_many(asked: t.Sequence[Asked], most: int) -> None:
    """most: 0 for no limit. Raises OptionsError."""
    if most < 0:
        raise OptionsError(f"max_machines is {most}.", advice="Give 0 for no limit, or a limit.")
    named = len({each.name.value for each in asked})
    if 0 < most < named:
        raise OptionsError(
            f"{count(named, 'machine')} were named, but max_machines is {most}.",
            advice="Name fewer, or raise max_machines if so many are meant. Nothing was started on "
            f"{listed(each.text for each in asked)}.",
        )


def names(elements: t.Iterable[t.Any], option: str = "machines") -> list[Name]:
    """The elements of an option where only the name of each counts. Raises OptionsError."""
    return _parsed(texts(option, elements), option)


def _parsed(named: t.Sequence[str], option: str = "machines") -> list[Name]:
    patterns = [text for text in named if "://" not in text and _PATTERN.search(text.strip())]
    if patterns:
        raise OptionsError(
            f"{option} has {', '.join(map(shown, patterns))}, which can be no device's name.",
            advice="Name each device by itself; of a group, give what defender_machine_info finds by filter or tag, or the hosts "
            "of an inventory group. Nothing was started.",
        )
    return parse_names(named, option) if named else []


def texts(option: str, elements: t.Iterable[t.Any]) -> list[str]:
    """Elements of which only the name of the device counts. Raises OptionsError for a mapping that names none."""
    return [_named(element, option) if isinstance(element, dict) else element for element in elements]


def words(option: str, elements: t.Iterable[t.Any]) -> list[str]:
    """Elements that name no devices, such as the IDs of actions. Raises OptionsError for a mapping."""
    for element in elements:
        if isinstance(element, dict):
            raise OptionsError(
                f"{option} holds {shown(element)[:80]}, which is no text.",
                advice=f"Give {option} as texts; of a result's row, the key that holds it. Nothing was started.",
            )
    return list(elements)


def _mapping(element: dict[str, t.Any], given: Given, wishes: Spec) -> tuple[str, Given]:
    """The name and the wishes of a request (C(machine)) or of a record (C(machine_id)), whose other keys are ignored."""
    text = _named(element, "machines")
    if "machine_id" in element:
        kept, spec = {key: value for key, value in element.items() if key in wishes}, wishes
    else:
        kept, spec = element, {"machine": {"type": "str", "required": True}, **wishes}
    return text, read(kept, spec, {}, called=f"The request for {text}", base=given.base)


def _named(element: t.Mapping[str, t.Any], option: str) -> str:
    for key in ("machine_id", "machine"):
        if key in element:
            text = element[key]
            if isinstance(text, str) and text.strip():
                return str(text)
            raise OptionsError(
                f"{option} has a mapping whose {key} is {shown(text)}, so it names no device.",
                advice="Leave it out, or name the device. Nothing was started.",
            )
    held = next(
        (key for key, value in element.items() if isinstance(value, list) and key in ("machines", "packages")), ""
    )
    hint = f"It looks like a module's result: give its {held}. " if held else ""
    raise OptionsError(
        f"{option} has a mapping without machine or machine_id: {', '.join(map(str, element)) or 'an empty one'}.",
        advice=f"{hint}A request has machine, a record has machine_id. Nothing was started.",
    )


def _own(wish: Wish, given: Given) -> Wish:
    """A wish with what the element itself says."""
    own = {name: given[name] for name in WISHES if given.values.get(name) is not None}
    for name, seconds in (("wait_timeout", given.positive), ("reuse_within", given.seconds)):
        if name in own:
            own[name] = seconds(name)
    return replace(wish, **own)
