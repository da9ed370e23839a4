# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What one host says: its variables, evaluated in its own context, as the options of defender_collect_package."""

from __future__ import annotations

import ipaddress
import os
import re
import typing as t
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from difflib import SequenceMatcher

from ansible import errors as ansible_errors
from ansible.errors import AnsibleError, AnsibleUndefinedVariable

from ansible_collections.secops.defender.plugins.module_utils._fleet.device import Wish
from ansible_collections.secops.defender.plugins.module_utils._service.clouds import endpoints
from ansible_collections.secops.defender.plugins.module_utils._service.settings import Settings
from ansible_collections.secops.defender.plugins.module_utils._service.token import Claims
from ansible_collections.secops.defender.plugins.module_utils._tasks import collect_package, fetch_package
from ansible_collections.secops.defender.plugins.module_utils._tasks.collect_package import CollectOptions
from ansible_collections.secops.defender.plugins.module_utils._tasks.fetch_package import Options as FetchOptions
from ansible_collections.secops.defender.plugins.module_utils._words.errors import OptionsError
from ansible_collections.secops.defender.plugins.module_utils._words.options import (
    Given,
    Spec,
    as_list,
    near,
    read,
    secret_names,
    secrets_in,
    shown,
    variables_of,
)
from ansible_collections.secops.defender.plugins.plugin_utils._role_fleets import Request, fingerprint

ROLE = "secops.defender.collect_package"
PREFIX = "collect_package_"
# How like the prefix something must be to be meant as it: one letter more, less or otherwise.
_SURELY = 0.9
# Nobody collects from a whole estate by a slip of "hosts: all".
MAX_MACHINES = 100

# The role names the machines.
_MACHINES = frozenset({"machines", "machine", "machine_id", "action_ids", "action_id"})
# Of the role alone. What hands results on is known, but not read: AWX gives it to the next nodes of a workflow.
_READ_BY_ROLE = ("machine", "artifacts", "planned")
_NOT_READ = ("result", "fleet", "summary", "hosts")


def _without_machines(spec: Spec) -> Spec:
    return {name: option for name, option in spec.items() if name not in _MACHINES}


@dataclass(frozen=True)
class Entry:
    """A way into the role. module: whose options its variables are. known: variables without their prefix, read or not."""

    module: str
    spec: Spec
    options: Callable[[Given], CollectOptions | FetchOptions]
    known: tuple[str, ...]

    @property
    def called(self) -> str:
        return f"secops.defender.{self.module}"


_COLLECT = _without_machines(collect_package.spec())
# The limit is one of the role's hosts; the module has none, for it starts nothing.
_FETCH = {**_without_machines(fetch_package.spec()), "max_machines": {"type": "int", "default": 0}}
KNOWN = (*_COLLECT, *_READ_BY_ROLE, *_NOT_READ)
COLLECT = Entry("defender_collect_package", _COLLECT, CollectOptions.of, KNOWN)
# What an inventory says for collecting is no mistake when its hosts are fetched from.
FETCH = Entry("defender_fetch_package", _FETCH, FetchOptions.of, tuple(dict.fromkeys((*_FETCH, *KNOWN))))
ENTRIES = {"collect": COLLECT, "fetch": FETCH}


class _NeverRaised(Exception):
    """In the place of one that an older ansible-core does not have."""


# A variable that is "{{ something | default(omit) }}" is unset; ansible-core has an exception for it from 2.19 on.
_OMITTED: type[Exception] = getattr(ansible_errors, "AnsibleValueOmittedError", _NeverRaised)


@dataclass(frozen=True)
class Surroundings:
    """Where a host says it. environ: the process' environment with the task's C(environment) on top.

    own_environ: the latter alone. base: the folder of relative paths. module_defaults: what they give to the entry's module.
    """

    template: Callable[[t.Any], t.Any]
    variables: Mapping[str, t.Any]
    module_defaults: Mapping[str, t.Any]
    own_environ: Mapping[str, str]
    base: str | None
    check_mode: bool
    entry: Entry = COLLECT

    @property
    def environ(self) -> dict[str, str]:
        return {**os.environ, **self.own_environ}


@dataclass(frozen=True)
class Said:
    """What a host says.

    also: another name that has to lead to the same device. login: where a tenant's ID is asked for. artifacts: whether AWX is
    handed a summary. limit: the most hosts that may take part, 0 for any number. planned: the starts that were approved; None if nobody was asked.
    """

    device: str
    also: str | None
    options: CollectOptions | FetchOptions
    login: Mapping[str, t.Any]
    artifacts: bool
    secrets: tuple[str, ...]
    limit: int = 0
    planned: int | None = None

    @property
    def wish(self) -> Wish:
        return self.options.asked[0].wish if isinstance(self.options, CollectOptions) else self.options.wish


def listen(surroundings: Surroundings) -> Said:
    """Raises OptionsError, which shows no secret."""
    variables, entry = surroundings.variables, surroundings.entry
    _refuse_unknown(variables, entry)
    values = _values(surroundings)
    own = _own({name: values.pop(name, None) for name in _READ_BY_ROLE})
    defaults = _module_defaults(surroundings.module_defaults, entry)
    secrets = secrets_in({**defaults, **values}, entry.spec)
    device, also = _device(variables, own["machine"], surroundings.template)
    given = _given(device, values, defaults, surroundings)
    options = _options(given, values, defaults, entry)
    handed_on = own["artifacts"]
    if handed_on is None:
        handed_on = bool(variables.get("awx_job_id") or variables.get("tower_job_id"))
    return Said(
        device,
        also,
        options,
        _login(options.settings),
        handed_on,
        (*secrets, *options.settings.secrets()),
        given["max_machines"],
        own["planned"],
    )


def _values(surroundings: Surroundings) -> dict[str, t.Any]:
    """What the host's variables say, evaluated; blank and null are unset."""
    entry, variables = surroundings.entry, surroundings.variables
    secrets, values = secret_names(entry.spec), {}
    for name in (*entry.spec, *_READ_BY_ROLE):
        if PREFIX + name in variables:
            value = evaluated(PREFIX + name, variables[PREFIX + name], surroundings.template, name in secrets)
            if not _is_blank(value):
                values[name] = value
    return values


def _own(values: Mapping[str, t.Any]) -> dict[str, t.Any]:
    """What the role itself reads, typed; what is not given is None. Raises OptionsError."""
    spec: Spec = {PREFIX + "artifacts": {"type": "bool"}, PREFIX + "planned": {"type": "int"}}
    given = {PREFIX + name: value for name, value in values.items() if PREFIX + name in spec and value is not None}
    typed = read(given, spec, {}, called=f"The role {ROLE}")
    return {**values, **{name[len(PREFIX) :]: typed[name] for name in spec}}


def _login(settings: Settings) -> dict[str, t.Any]:
    """Raises OptionsError for a cloud, a region and addresses that do not belong together."""
    where = endpoints(
        settings.cloud, settings.region, settings.api_url, settings.login_url, settings.audience, settings.origins
    )
    same = {name: getattr(settings, name) for name in ("ca_path", "validate_certs", "timeout")}
    return {"cloud": where.cloud, "login_url": where.login_url, **same}


def request(host: str, said: Said, surroundings: Surroundings, hosts: int, known: bool) -> Request:
    """What the others may know of it. hosts: of the play; known: whether those who take part will all be here."""
    wish = said.wish
    return Request(
        host=host,
        fleet=_fleet(said, surroundings),
        device=said.device,
        also=said.also,
        comment=wish.comment,
        dest=wish.dest,
        reuse_within=wish.reuse_within,
        wait_timeout=wish.wait_timeout,
        cancel_on_timeout=wish.cancel_on_timeout,
        tenant=_tenant(said),
        login=said.login,
        limit=said.limit,
        hosts=hosts,
        known=known,
    )


def _refuse_unknown(variables: Mapping[str, t.Any], entry: Entry) -> None:
    unknown = [name for name in variables if name.startswith(PREFIX) and name[len(PREFIX) :] not in entry.known]
    if unknown:
        hints = "".join(_near(name[len(PREFIX) :], entry) for name in unknown)
        raise OptionsError(
            f"The role {ROLE} knows no variable {', '.join(sorted(unknown))}.",
            advice=f"{hints}ansible-doc -t role {ROLE} lists all. Nothing was started.",
        )


def _near(bare: str, entry: Entry) -> str:
    """A hint: what begins alike is meant rather than what is spelt alike."""
    meant = next((name for name, option in entry.spec.items() if bare in option.get("aliases", ())), None)
    known = [meant] if meant else [name for name in entry.known if name not in _NOT_READ]
    alike = [name for name in known if name.startswith(bare) or bare.startswith(name)]
    return near(PREFIX + (alike[0] if alike else bare), [PREFIX + name for name in (alike or known)])


def almost_named(variables: Mapping[str, t.Any], entry: Entry) -> list[str]:
    """A sentence for each variable that is surely meant for the role, but for a slip before its last word: nobody reads it.

    It may be another role's all the same, so it is not refused.
    """
    told = []
    for name in variables:
        # Thousands of others are passed over at once.
        if name[:3].lower() != PREFIX[:3] or name.startswith(PREFIX):
            continue
        for known in entry.known:
            head = name[: -len(known)].lower()
            if name.lower().endswith(known) and SequenceMatcher(None, head, PREFIX).ratio() >= _SURELY:
                told.append(f"The variable {name} is not read by the role {ROLE}. Did you mean {PREFIX}{known}?")
                break
    return told


def blank_dest(said: Said, surroundings: Surroundings) -> str | None:
    """A sentence where a host names a folder and the name is blank, so that no evidence is stored."""
    name = f"{PREFIX}dest"
    if said.wish.dest or name not in surroundings.variables:
        return None
    value = evaluated(name, surroundings.variables[name], surroundings.template)
    if not isinstance(value, str):
        return None
    return f"{name} is blank, so no package is downloaded. Leave it out if that is meant."


def evaluated(name: str, value: t.Any, template: Callable[[t.Any], t.Any], secret: bool = False) -> t.Any:
    """Raises OptionsError for what cannot be evaluated."""
    try:
        evaluated = template(value)
    except _OMITTED:
        return None
    except AnsibleError as failure:
        # The message of any other failure may hold the text that was to be evaluated.
        told = isinstance(failure, AnsibleUndefinedVariable) or not secret
        why = f": {str(failure).strip().rstrip('.')}" if told else ""
        raise OptionsError(
            f"{name} cannot be evaluated{why}.", advice="Mend the variable, or leave it out. Nothing was started."
        ) from None
    return None if isinstance(evaluated, str) and evaluated.startswith("__omit_place_holder__") else evaluated


def _is_blank(value: object) -> bool:
    return value is None or (isinstance(value, (str, bytes)) and not value.strip())


def _module_defaults(defaults: Mapping[str, t.Any], entry: Entry) -> dict[str, t.Any]:
    """By options' names. Raises OptionsError for what is none."""
    names = {alias: name for name, option in entry.spec.items() for alias in (name, *option.get("aliases", ()))}
    given = {name: value for name, value in defaults.items() if name not in _MACHINES}
    unknown = sorted(name for name in given if name not in names)
    if unknown:
        raise OptionsError(
            f"module_defaults give {', '.join(unknown)}, which is no option of {entry.called}.",
            advice=f"{''.join(near(name, names) for name in unknown)}Nothing was started.",
        )
    return {names[name]: value for name, value in given.items() if not _is_blank(value)}


def _device(
    variables: Mapping[str, t.Any], machine: t.Any, template: Callable[[t.Any], t.Any]
) -> tuple[str, str | None]:
    """The name of a host's device, and another one that has to lead there, too. Raises OptionsError."""
    known_id = evaluated("defender_machine_id", variables.get("defender_machine_id"), template)
    named = [
        _one_name(name, value)
        for name, value in (("defender_machine_id", known_id), (PREFIX + "machine", machine))
        if not _is_blank(value)
    ] or [str(variables["inventory_hostname"])]
    for name in named:
        if _is_loopback(name):
            raise OptionsError(
                f"{name} is the name that every computer has for itself, so it names no device.",
                advice="Run on the hosts that are to be collected from, or name the device by collect_package_machine. "
                "Nothing was started.",
            )
    also = named[1] if len(named) > 1 and named[1].lower() != named[0].lower() else None
    return named[0], also


def _one_name(name: str, value: t.Any) -> str:
    found = as_list(name, value)
    if len(found) != 1 or not isinstance(found[0], str):
        what = f"names {len(found)} devices" if len(found) != 1 else f"is {shown(value)[:80]}, which is no text"
        raise OptionsError(
            f"{name} {what}, but a host stands for one device.",
            advice="Give the host one device. To collect from a list, use defender_collect_package. Nothing was started.",
        )
    return str(found[0])


def _is_loopback(name: str) -> bool:
    name = name.strip().lower().rstrip(".")
    if name == "localhost" or name.startswith("localhost."):
        return True
    with suppress(ValueError):
        address = ipaddress.ip_address(name.strip("[]"))
        inner = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
        return (inner or address).is_loopback
    return False


def _given(
    device: str, values: Mapping[str, t.Any], defaults: Mapping[str, t.Any], surroundings: Surroundings
) -> Given:
    """Everything as one task of the module would have it, read under the names by which it was given. Raises OptionsError."""
    own_spec = surroundings.entry.spec
    labels = _labels(own_spec, values, defaults)
    spec = {
        labels[name]: {key: each for key, each in option.items() if key != "aliases"}
        for name, option in own_spec.items()
    }
    args = {labels[name]: value for name, value in {**defaults, **values}.items()}
    given = read(args, spec, surroundings.environ, called=f"The role {ROLE}", base=surroundings.base)
    found = {name: given[label] for name, label in labels.items()}
    origins = {name: given.origins[label] for name, label in labels.items() if label in given.origins}
    if "max_machines" not in origins:
        found["max_machines"] = MAX_MACHINES
    found.update({"machines": [device], "action_ids": None})
    return Given(found, {**origins, "machines": "task"}, surroundings.base)


def _labels(spec: Spec, values: Mapping[str, t.Any], defaults: Mapping[str, t.Any]) -> dict[str, str]:
    """Each option by the name that a person knows it by here."""
    return {name: name if name in defaults and name not in values else PREFIX + name for name in spec}


def _options(
    given: Given, values: Mapping[str, t.Any], defaults: Mapping[str, t.Any], entry: Entry
) -> CollectOptions | FetchOptions:
    try:
        return entry.options(given)
    except OptionsError as failure:
        labels = {name: label for name, label in _labels(entry.spec, values, defaults).items() if name != label}
        # Where a sentence speaks of an option by its name, and not of what it is about.
        named = re.compile(
            rf"(?:(?<=^)|(?<=\bno )|(?<=\ba )|(?<=Give )|(?<=but )|(?<=raise ))({'|'.join(labels)})(?=[ .:,;]|$)"
        )
        message, advice = (
            named.sub(lambda match: labels[match[1]], text) for text in (failure.message, failure.advice)
        )
        raise OptionsError(message, advice=advice, code=failure.code) from None


def _tenant(said: Said) -> str | None:
    """The tenant that is asked for, as far as it is known before the sign-in."""
    settings = said.options.settings
    if settings.access_token and settings.auth_source in ("auto", "access_token"):
        return Claims.of(settings.access_token).tenant or settings.tenant
    return settings.tenant


def _fleet(said: Said, surroundings: Surroundings) -> str:
    """The same for hosts that differ in nothing but what a request can carry."""
    options = said.options
    settings = dict(vars(options.settings))
    origins = settings.pop("origins")
    token = settings.pop("access_token")
    if token:
        # A look-up gives each host another one.
        claims = Claims.of(token)
        identity = (claims.tenant, claims.app_id, claims.audience, claims.delegated, claims.permissions)
        settings["access_token"] = identity if any(identity) else token
    read_as_options = {variable for option in surroundings.entry.spec.values() for variable in variables_of(option)}
    environ = {name: value for name, value in surroundings.own_environ.items() if name not in read_as_options}
    age = (options.max_age, options.newest_only) if isinstance(options, FetchOptions) else ()
    rest = (
        surroundings.entry.module,
        vars(options.pace),
        options.on_ambiguous,
        said.limit,
        options.report,
        vars(options.sealing),
        said.artifacts,
        said.planned,
        age,
    )
    nearest = {name: origin for name, origin in origins.items() if settings.get(name) is not None and name in _PROOFS}
    return fingerprint(settings, nearest, environ, rest, surroundings.check_mode)


_PROOFS = ("client_secret", "certificate_path", "federated_token_file", "password", "access_token")
