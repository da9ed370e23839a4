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
from dataclasses import asdict, dataclass

from ansible import errors as ansible_errors
from ansible.errors import AnsibleError, AnsibleUndefinedVariable

from ansible_collections.secops.defender.plugins.module_utils._service.token import Claims
from ansible_collections.secops.defender.plugins.module_utils._tasks import collect_package
from ansible_collections.secops.defender.plugins.module_utils._tasks.collect_package import CollectOptions
from ansible_collections.secops.defender.plugins.module_utils._words.errors import OptionsError
from ansible_collections.secops.defender.plugins.module_utils._words.options import (
    Given,
    Spec,
    as_list,
    near,
    read,
    secret_names,
    secrets_in,
    variables_of,
)
from ansible_collections.secops.defender.plugins.plugin_utils._role_fleets import Request, fingerprint

ROLE = "secops.defender.collect_package"
PREFIX = "collect_package_"
# Nobody collects from a whole estate by a slip of "hosts: all".
MAX_MACHINES = 100

_SPEC: Spec = {name: option for name, option in collect_package.spec().items() if name != "machines"}
_SECRETS = secret_names(_SPEC)
# Of the role alone. What hands results on is known, but not read: AWX gives it to the next nodes of a workflow.
_READ_BY_ROLE = ("machine", "artifacts")
_NOT_READ = ("planned", "result", "summary", "hosts")
KNOWN = (*_SPEC, *_READ_BY_ROLE, *_NOT_READ)

# A variable that is "{{ something | default(omit) }}" is unset; ansible-core has an exception for it from 2.19 on.
_OMITTED: tuple[type[Exception], ...] = tuple(
    kind for kind in (getattr(ansible_errors, "AnsibleValueOmittedError", None),) if kind
)


@dataclass(frozen=True)
class Surroundings:
    """Where a host says it. environ: the process' environment with the task's C(environment) on top.

    own_environ: the latter alone. base: the folder of relative paths. args: what C(module_defaults) give to
    defender_collect_package.
    """

    template: Callable[[t.Any], t.Any]
    variables: Mapping[str, t.Any]
    module_defaults: Mapping[str, t.Any]
    own_environ: Mapping[str, str]
    base: str | None
    check_mode: bool

    @property
    def environ(self) -> dict[str, str]:
        return {**os.environ, **self.own_environ}


@dataclass(frozen=True)
class Said:
    """What a host says. also: another name that has to lead to the same device. artifacts: whether AWX is handed a summary."""

    device: str
    also: str | None
    options: CollectOptions
    artifacts: bool
    secrets: tuple[str, ...]


def listen(surroundings: Surroundings) -> Said:
    """Raises OptionsError, which shows no secret."""
    variables = surroundings.variables
    _refuse_unknown(variables)
    values = {}
    for name in (*_SPEC, *_READ_BY_ROLE):
        if PREFIX + name in variables:
            value = evaluated(PREFIX + name, variables[PREFIX + name], surroundings.template, name in _SECRETS)
            if not _is_blank(value):
                values[name] = value
    machine = values.pop("machine", None)
    artifacts = values.pop("artifacts", None)
    defaults = _module_defaults(surroundings.module_defaults)
    secrets = secrets_in({**defaults, **values}, _SPEC)
    device, also = _device(variables, machine, surroundings.template)
    given = _given(device, values, defaults, surroundings)
    options = _options(given, values, defaults)
    if artifacts is None:
        handed_on = bool(variables.get("awx_job_id") or variables.get("tower_job_id"))
    else:
        handed_on = read({PREFIX + "artifacts": artifacts}, {PREFIX + "artifacts": {"type": "bool"}}, {}, called=ROLE)[
            PREFIX + "artifacts"
        ]
    return Said(device, also, options, handed_on, (*secrets, *options.settings.secrets()))


def request(host: str, said: Said, surroundings: Surroundings, hosts: int, known: bool) -> Request:
    """What the others may know of it. hosts: of the play; known: whether those who take part will all be here."""
    (asked,) = said.options.asked
    wish, settings = asked.wish, said.options.settings
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
        login={
            name: getattr(settings, name) for name in ("cloud", "login_url", "ca_path", "validate_certs", "timeout")
        },
        limit=said.options.max_machines,
        hosts=hosts,
        known=known,
    )


def _refuse_unknown(variables: Mapping[str, t.Any]) -> None:
    unknown = [name for name in variables if name.startswith(PREFIX) and name[len(PREFIX) :] not in KNOWN]
    if unknown:
        hints = "".join(_near(name[len(PREFIX) :]) for name in unknown)
        raise OptionsError(
            f"The role {ROLE} knows no variable {', '.join(sorted(unknown))}.",
            advice=f"{hints}ansible-doc -t role {ROLE} lists all. Nothing was started.",
        )


def _near(bare: str) -> str:
    """A hint: what begins alike is meant rather than what is spelt alike."""
    alike = [name for name in KNOWN if name.startswith(bare) or bare.startswith(name)]
    return near(PREFIX + (alike[0] if alike else bare), [PREFIX + name for name in (alike or KNOWN)])


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


def _module_defaults(defaults: Mapping[str, t.Any]) -> dict[str, t.Any]:
    """By options' names. Raises OptionsError for what is none."""
    names = {alias: name for name, option in _SPEC.items() for alias in (name, *option.get("aliases", ()))}
    # The role names the machines.
    given = {name: value for name, value in defaults.items() if name not in ("machines", "machine", "machine_id")}
    unknown = sorted(name for name in given if name not in names)
    if unknown:
        raise OptionsError(
            f"module_defaults give {', '.join(unknown)}, which is no option of secops.defender.defender_collect_package.",
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
        raise OptionsError(
            f"{name} names {len(found)} devices, but a host stands for one.",
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
    labels = _labels(values, defaults)
    spec = {
        labels[name]: {key: each for key, each in option.items() if key != "aliases"} for name, option in _SPEC.items()
    }
    args = {labels[name]: value for name, value in {**defaults, **values}.items()}
    given = read(args, spec, surroundings.environ, called=f"The role {ROLE}", base=surroundings.base)
    found = {name: given[label] for name, label in labels.items()}
    origins = {name: given.origins[label] for name, label in labels.items() if label in given.origins}
    if "max_machines" not in origins:
        found["max_machines"] = MAX_MACHINES
    return Given({**found, "machines": [device]}, {**origins, "machines": "task"}, surroundings.base)


def _labels(values: Mapping[str, t.Any], defaults: Mapping[str, t.Any]) -> dict[str, str]:
    """Each option by the name that a person knows it by here."""
    return {name: name if name in defaults and name not in values else PREFIX + name for name in _SPEC}


def _options(given: Given, values: Mapping[str, t.Any], defaults: Mapping[str, t.Any]) -> CollectOptions:
    try:
        return CollectOptions.of(given)
    except OptionsError as failure:
        labels = {name: label for name, label in _labels(values, defaults).items() if name != label}
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
    settings = asdict(options.settings)
    origins = settings.pop("origins")
    token = settings.pop("access_token")
    if token:
        # A look-up gives each host another one.
        claims = Claims.of(token)
        identity = (claims.tenant, claims.app_id, claims.audience, claims.delegated, claims.permissions)
        settings["access_token"] = identity if any(identity) else token
    read_as_options = {variable for option in _SPEC.values() for variable in variables_of(option)}
    environ = {name: value for name, value in surroundings.own_environ.items() if name not in read_as_options}
    rest = (asdict(options.pace), options.on_ambiguous, options.max_machines, options.report, said.artifacts)
    nearest = {name: origin for name, origin in origins.items() if settings.get(name) is not None and name in _PROOFS}
    return fingerprint(settings, nearest, environ, rest, surroundings.check_mode)


_PROOFS = ("client_secret", "certificate_path", "federated_token_file", "password", "access_token")
