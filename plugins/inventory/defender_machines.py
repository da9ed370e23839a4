# SPDX-FileCopyrightText: 2026 secops.defender contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: defender_machines
version_added: 1.0.0
short_description: Devices in Microsoft Defender for Endpoint as hosts
author:
  - secops.defender contributors (@secops-defender)
description:
  - Makes a host of every device that Defender for Endpoint knows, or of those that a filter, a tag or conditions select.
  - Each host has what the API says of its device as variables, V(defender_machine_id) among them, by which the role
    P(secops.defender.collect_package#role) and the playbook C(secops.defender.collect) find the device.
  - The inventory file's name must end in V(defender_machines.yml) or V(defender_machines.yaml).
  - C(defender_isolation) is V(isolated) or V(released) where an action of the last days says so, C(defender_isolation_source) that action; null where
    none is known. The service has no such property.
  - The list is complete, or there is an error. If the service loses its place between two pages, the list is read again.
  - Needs the application permission C(Machine.Read.All).
options:
  plugin:
    description: The name of this plugin. It says whose inventory file this is.
    type: str
    required: true
    choices:
      - secops.defender.defender_machines
  filter:
    description:
      - An OData filter that the service applies, such as V(healthStatus eq 'Active' and riskScore eq 'High').
      - The properties that can be compared are C(computerDnsName), C(id), C(version), C(deviceValue), C(aadDeviceId),
        C(machineTags), C(lastSeen), C(exposureLevel), C(onboardingStatus), C(lastIpAddress), C(healthStatus), C(osPlatform),
        C(riskScore) and C(rbacGroupId). For all others, such as the name of the device group, use O(include).
    type: str
  tag:
    description:
      - Only devices with exactly this tag. With O(filter), those that fit both.
    type: str
  include:
    description:
      - Jinja conditions over a device's variables, written without braces as in C(when). A device is taken if any of them holds;
        without this option all are. A blank text, null and an empty list are as good as none, and a warning says so.
      - A condition that cannot be evaluated is an error whatever O(strict) says. Properties that the service leaves out are
        null, so a misspelled name is the likeliest cause.
    type: list
    elements: str
    default: []
  exclude:
    description:
      - Jinja conditions likewise. A device for which any of them holds is left out, whatever O(include) says.
        A blank text and null leave none out, and a warning says so; so does an empty list, without one.
    type: list
    elements: str
    default: []
  hostnames:
    description:
      - Where a host's name comes from, in order of preference. The first that gives a name wins; the device ID is what
        remains if none does.
      - Each is the name of a variable, with or without the prefix, or a Jinja expression over the variables with their prefix,
        with or without braces.
      - Names consist of letters, digits, dots, hyphens and underscores. Whatever stands between them becomes one underscore.
      - Host names are unique. Of several devices with the same name, in whatever case, each has C(_) and its device ID
        appended. So has a device whose name is reserved (C(localhost), C(127.0.0.1)), is that of a group, ends like a device
        ID, or belongs to another device of an inventory source that was read before.
    type: list
    elements: str
    default:
      - computer_dns_name
      - machine_id
  hostvars_prefix:
    description:
      - What the names of the host variables begin with. With another one than the default, the role no longer finds
        V(defender_machine_id); set its variable C(collect_package_machine) then.
    type: str
    default: defender_
extends_documentation_fragment:
  - ansible.builtin.constructed
  - ansible.builtin.inventory_cache
  - secops.defender.connection
  - secops.defender.connection.plugins
notes:
  - The options for credentials and connection, O(auth_source) to O(quota_dir), and O(filter) and O(tag) may hold Jinja, for
    example C({{ lookup('ansible.builtin.file', '/run/secrets/defender') }}); the other options may not, apart from the
    expressions that they consist of. Values from environment variables are taken as they are.
  - A blank or null O(filter) or O(tag) is refused, since it could mean every device as well as none. An option for credentials
    or connection that is blank counts as unset.
  - Each variable is a property of the API's machine resource with its name in snake_case. V(defender_machine_id) is the same as
    V(defender_id). V(defender_machine_tags) and V(defender_ip_addresses) are always lists.
  - Every text of the service that could be a template is marked unsafe, so Jinja in the name of a device stays text.
  - The cache holds the list as the API sent it, no credentials. Its key depends on the file's path and on what was asked, where and
    by whom, so that a changed O(filter) is never answered with the former list.
seealso:
  - module: secops.defender.defender_machine_info
  - module: secops.defender.defender_collect_package
"""

EXAMPLES = r"""
# The shortest one: every device that the app may see. Tenant, client ID and secret are in the environment
# (DEFENDER_TENANT, DEFENDER_CLIENT_ID, DEFENDER_CLIENT_SECRET).
#
# plugin: secops.defender.defender_machines
#
# One for each common wish (by tag, by risk, by operating system, by device group, only active) is in the collection's folder
# docs/examples/inventory. And here is nearly all that can be said:

plugin: secops.defender.defender_machines

# Who asks. These options may hold Jinja.
tenant: contoso.onmicrosoft.com
client_id: 00000000-1111-2222-3333-444444444444
client_secret: "{{ lookup('ansible.builtin.file', '/run/secrets/defender') }}"

# Which devices: what the service can compare, and what only Ansible can.
filter: healthStatus eq 'Active' and riskScore eq 'High'
tag: tier0
include:
  - defender_rbac_group_name == 'Workstations'
exclude:
  - defender_merged_into_machine_id is not none
  - "'do-not-touch' in defender_machine_tags"

# What they are called: the short name.
hostnames:
  - (defender_computer_dns_name or '').split('.')[0]

# Groups and further variables.
keyed_groups:
  - key: defender_os_platform
    prefix: os
groups:
  servers: defender_os_platform.startswith('WindowsServer')
compose:
  ansible_host: defender_last_ip_address
strict: true

# The list is kept for ten minutes; ansible-playbook --flush-cache reads it anew.
cache: true
cache_plugin: ansible.builtin.jsonfile
cache_connection: ~/.ansible/defender-inventory
cache_timeout: 600
"""

import difflib
import os
import re
import typing as t
from contextlib import contextmanager

from ansible import template as ansible_template
from ansible.errors import AnsibleError, AnsibleParserError
from ansible.module_utils.common.text.converters import to_native
from ansible.module_utils.parsing.convert_bool import boolean
from ansible.plugins.inventory import BaseInventoryPlugin, Cacheable, Constructable
from ansible.utils.vars import combine_vars
from jinja2 import Environment, TemplateError, nodes

from ansible_collections.secops.defender.plugins.module_utils._service.connection import READ, Connection
from ansible_collections.secops.defender.plugins.module_utils._service.settings import Settings, connection_spec
from ansible_collections.secops.defender.plugins.module_utils._service.sources import identity_key
from ansible_collections.secops.defender.plugins.module_utils._tasks.machine_info import with_isolation
from ansible_collections.secops.defender.plugins.module_utils._words.clock import Clock
from ansible_collections.secops.defender.plugins.module_utils._words.errors import DefenderError
from ansible_collections.secops.defender.plugins.module_utils._words.options import (
    Given,
    Spec,
    read,
    secrets_in,
    unknown_variables,
    variables_of,
)
from ansible_collections.secops.defender.plugins.module_utils._words.secrets import Secrets
from ansible_collections.secops.defender.plugins.plugin_utils._inventory import (
    clean_name,
    digest,
    machine_rows,
    unique_names,
)
from ansible_collections.secops.defender.plugins.plugin_utils._progress import DisplayReporter

# Before ansible-core 2.19 every text is a template that is not marked unsafe.
_trust_as_template = getattr(ansible_template, "trust_as_template", None)
_TEMPLATE_OPTIONS: dict[str, t.Any] = {"convert_data": False, "disable_lookups": False}
if _trust_as_template is not None:
    _TEMPLATE_OPTIONS = {}

_ENDINGS = ("defender_machines.yml", "defender_machines.yaml")
_JINJA = re.compile(r"\{[{%]")
_JINJA_ONLY = re.compile(r"\s*\{[{%].*[%}]\}\s*", re.DOTALL)
_VARIABLE = re.compile(r"[A-Za-z_]\w*", re.ASCII)
# Filters whose result is another one each time.
_CHANCE = ("random", "shuffle")
# What selects, besides the conditions that are Ansible's to evaluate.
_SELECTORS: Spec = {"filter": {"type": "str"}, "tag": {"type": "str"}}


class _Reporter(DisplayReporter):
    def say(self, text: str) -> None:
        # ansible-inventory prints the inventory where this would be printed.
        self.detail(text)


class InventoryModule(BaseInventoryPlugin, Constructable, Cacheable):
    NAME = "secops.defender.defender_machines"
    # Set by parse.
    inventory: t.Any
    loader: t.Any

    def verify_file(self, path: str) -> bool:
        if not super().verify_file(path):
            return False
        if path.endswith(_ENDINGS):
            return True
        self.display.vvv(f"{self.NAME} takes no file whose name does not end in {' or '.join(_ENDINGS)}: {path}")
        return False

    def parse(self, inventory: t.Any, loader: t.Any, path: str, cache: bool = True) -> None:
        super().parse(inventory, loader, path, cache)
        self._secrets = Secrets()
        try:
            config = self._read_config_data(path)
            self._refuse_unknown(path, config)
            self._tell_blank(config)
            self._add_hosts(machine_rows(self._machines(path, cache)))
        except DefenderError as failure:
            # Without the cause: its frames saw the credentials.
            raise AnsibleError(self._secrets.scrub(str(failure))) from None

    # Options

    def set_options(self, task_keys: t.Any = None, var_options: t.Any = None, direct: t.Any = None) -> None:
        """Credentials and connection as the modules take them; the rest is Ansible's.

        Of several environment variables Ansible takes the last and not the first, an empty one as well as a filled one.
        """
        spec = {**connection_spec(), **_SELECTORS}
        names = {alias: name for name, option in spec.items() for alias in (name, *option.get("aliases", ()))}
        given = {name: value for name, value in (direct or {}).items() if name in names}
        others = {
            # As the text that it is: Ansible would take a condition with a comma in it for several.
            name: [value] * bool(value.strip())
            if name in ("include", "exclude", "hostnames") and isinstance(value, str)
            else value
            for name, value in (direct or {}).items()
            if name not in names
        }
        self._given = self._read(spec, names, given)
        known = {name: value for name, value in self._given.values.items() if name in self._given.origins}
        with _hidden(variable for option in spec.values() for variable in variables_of(option)):
            super().set_options(task_keys=task_keys, var_options=var_options, direct={**others, **known})

    def _read(self, spec: Spec, names: dict[str, str], given: dict[str, t.Any]) -> Given:
        templated = {
            name: value if value is None else self._templated(name, value, spec[names[name]].get("no_log", False))
            for name, value in given.items()
        }
        secrets = Secrets()
        secrets.add(*secrets_in(templated, spec))
        try:
            return read(templated, spec, os.environ, called=self.NAME, base=self.loader.get_basedir())
        except DefenderError as failure:
            raise AnsibleParserError(secrets.scrub(str(failure))) from None

    def _templated(self, name: str, value: t.Any, secret: bool) -> t.Any:
        if not isinstance(value, (str, int, float, list, dict)):
            value = str(value)  # a value encrypted with Ansible Vault
        if not isinstance(value, (str, list, dict)):
            return value
        self.templar.available_variables = self._vars or {}
        if _trust_as_template is not None and isinstance(value, str):
            value = _trust_as_template(value)
        try:
            return self.templar.template(value, **_TEMPLATE_OPTIONS)
        except Exception as failure:
            # The reason may quote the value, which is secret where it is not all Jinja.
            reason = to_native(failure)
            if secret and not _JINJA_ONLY.fullmatch(str(value)):
                reason = (
                    "It holds {{ or {%, but is no template. If these are part of it, give it by an environment variable"
                )
            raise AnsibleParserError(f"Failed to template {name}: {reason.rstrip('.')}.") from None

    def _refuse_unknown(self, path: str, config: t.Mapping[str, t.Any]) -> None:
        """A misspelled filter would be no filter, and all devices would be taken."""
        definitions = self.option_definitions
        known = {alias for name, each in definitions.items() for alias in (name, *(each.get("aliases") or ()))}
        unknown = sorted(str(name) for name in config if name not in known)
        if unknown:
            near = difflib.get_close_matches(unknown[0], known, n=1)
            hint = f" Did you mean {near[0]}?" if near else ""
            raise AnsibleParserError(f"{path} has options that {self.NAME} does not know: {', '.join(unknown)}.{hint}")

    def _tell_blank(self, config: t.Mapping[str, t.Any]) -> None:
        """Conditions that are all commented out decide nothing, whatever whoever wrote the option thinks."""
        for option, blank, meaning in (
            ("include", ("", []), "so every device is taken"),
            ("exclude", ("",), "so no device is left out"),
        ):
            value = config.get(option, "not given")
            if value is None or (value.strip() if isinstance(value, str) else value) in blank:
                self.display.warning(f"{self.NAME}: {option} has no condition, {meaning}.")

    # Machines

    def _machines(self, path: str, cache: bool) -> list[dict[str, t.Any]]:
        """As the API sent them, from the cache if that is wanted and has them."""
        self._settings = Settings.of(self._given)
        self._tag = (self._given["tag"] or "").strip() or None
        # Whoever signs in unnamed may be another one next time, and must not be given what the former saw.
        identity = identity_key(self._settings) if self.get_option("cache") else None
        keep = identity is not None
        key = self._key(path, identity) if identity is not None else ""
        rows = self._cached(key) if keep and cache else None
        if isinstance(rows, list) and all(isinstance(row, dict) and row.get("id") for row in rows):
            return rows
        reporter = _Reporter(self.display, self._secrets)
        for sentence in unknown_variables(os.environ, connection_spec()):
            reporter.warn(sentence)
        api = Connection(self._settings, reporter, self._secrets, Clock()).sign_in(READ)
        rows = with_isolation(api, api.every_machine(self._given["filter"], self._tag), reporter)
        if not rows and (self._tag or self._given["filter"]):
            which = f"No device has the tag {self._tag}" if self._tag else "No device fits the filter"
            also = " and fits the filter" if self._tag and self._given["filter"] else ""
            reporter.warn(f"{which}{also}, so the inventory has no hosts.")
        if keep:
            self._cache[key] = rows
        return rows

    def _cached(self, key: str) -> t.Any:
        try:
            return self._cache.get(key)
        except Exception as failure:
            # A damaged file shows itself in many ways, of which few are meant for people.
            self.display.warning(f"The cache of {self.NAME} cannot be used, the list is read anew: {failure}")
            return None

    def _key(self, path: str, identity: tuple[str, ...]) -> str:
        return f"{self.get_cache_key(path)}_" + digest(path, identity, self._given["filter"], self._tag)

    # Hosts

    def _add_hosts(self, machines: list[dict[str, t.Any]]) -> None:
        self._names_in: dict[str, frozenset[str] | None] = {}
        self._decided: dict[tuple[str, str], bool] = {}
        prefix, strict = self.get_option("hostvars_prefix"), self.get_option("strict")
        wanted, taken = [], []
        for machine in machines:
            variables = {prefix + name: value for name, value in machine.items()}
            if self._wanted(variables, machine):
                wanted.append((self._name(machine, variables, strict), clean_name(str(machine["machine_id"]))))
                taken.append(variables)
        if machines and not wanted:
            self.display.warning(
                f"{self.NAME}: include and exclude leave none of {len(machines)} devices, so the inventory has no hosts."
            )
        names = unique_names(wanted, self._is_taken)
        found_here = set(self.inventory.hosts)
        try:
            self._construct(list(zip(names, taken, strict=True)), strict)
            # A pattern that means a group must not mean a device that calls itself like it.
            clashes = [at for at, name in enumerate(names) if name in self.inventory.groups and name not in found_here]
            for at in clashes:
                self.inventory.remove_host(self.inventory.get_host(names[at]))
            self._construct([(f"{names[at]}_{wanted[at][1]}", taken[at]) for at in clashes], strict)
        except AnsibleError:
            # Ansible warns and goes on with what is there: better nothing than a part.
            for name in set(self.inventory.hosts) - found_here:
                self.inventory.remove_host(self.inventory.get_host(name))
            raise

    def _wanted(self, variables: dict[str, t.Any], machine: dict[str, t.Any]) -> bool:
        include, exclude = self.get_option("include"), self.get_option("exclude")
        if not include and not exclude:
            return True
        visible = self._visible(variables)
        self.templar.available_variables = visible
        if include and not any(self._holds("include", each, visible, machine) for each in include):
            return False
        return not any(self._holds("exclude", each, visible, machine) for each in exclude)

    def _construct(self, hosts: list[tuple[str, dict[str, t.Any]]], strict: bool) -> None:
        compose, groups = self.get_option("compose"), self.get_option("groups")
        keyed_groups = self.get_option("keyed_groups")
        known = {}
        for name, variables in hosts:
            self.inventory.add_host(name)
            host = self.inventory.get_host(name)
            for key, value in variables.items():
                # Not through the inventory, which from ansible-core 2.19 on writes the file's path into every single value.
                host.set_variable(key, value)
            self._set_composite_vars(compose, variables, name, strict=strict)
            if groups or keyed_groups:
                known[name] = combine_vars(variables, host.get_vars())
        # Where a host is meant, Ansible takes a group of the same name, so groups come when all hosts are there.
        for name, variables in known.items():
            self._add_host_to_composed_groups(groups, variables, name, strict=strict, fetch_hostvars=False)
        for name, variables in known.items():
            self._add_host_to_keyed_groups(keyed_groups, variables, name, strict=strict, fetch_hostvars=False)

    def _compose(self, template: t.Any, variables: t.Any, disable_lookups: t.Any = True) -> t.Any:
        """Ansible compiles an expression anew for each host; one that is nothing but a variable need not be."""
        if isinstance(template, str) and template in variables and not self.get_option("use_extra_vars"):
            value = variables[template]
            return "" if value is None and _TEMPLATE_OPTIONS else value
        return super()._compose(template, variables)

    def _visible(self, variables: dict[str, t.Any]) -> dict[str, t.Any]:
        return combine_vars(variables, self._vars) if self.get_option("use_extra_vars") else variables

    def _holds(self, option: str, condition: str, variables: dict[str, t.Any], machine: dict[str, t.Any]) -> bool:
        """Compiled anew for each machine by Ansible, so a condition that was decided for the same values is not asked again."""
        if not isinstance(condition, str):
            raise AnsibleParserError(
                f"{option} holds {condition}, which is no condition. Write it in quotes if it is meant."
            )
        if condition not in self._names_in:
            self._names_in[condition] = _names_in(condition)
        names = self._names_in[condition]
        if names is None or not names <= variables.keys():
            return self._evaluated(option, condition, machine)
        values = (condition, repr([variables[name] for name in sorted(names)]))
        if values not in self._decided:
            self._decided[values] = self._evaluated(option, condition, machine)
        return self._decided[values]

    def _evaluated(self, option: str, condition: str, machine: dict[str, t.Any]) -> bool:
        try:
            if hasattr(self.templar, "evaluate_conditional"):
                return bool(self.templar.evaluate_conditional(condition))
            # As Ansible did it before 2.19.
            return bool(boolean(self.templar.template(f"{{% if {condition} %}}True{{% else %}}False{{% endif %}}")))
        except Exception as failure:
            raise AnsibleParserError(
                f"Failed to evaluate {option} {condition!r} for the device {machine['machine_id']}: {to_native(failure)}"
            ) from failure

    def _name(self, machine: dict[str, t.Any], variables: dict[str, t.Any], strict: bool) -> str:
        for source in self.get_option("hostnames"):
            if _VARIABLE.fullmatch(source) and (source in machine or source in variables):
                name = clean_name(machine.get(source, variables.get(source)))
            else:
                name = clean_name(self._name_by_jinja(source, machine, variables, strict))
            if name:
                return name
        return ""

    def _name_by_jinja(
        self, source: str, machine: dict[str, t.Any], variables: dict[str, t.Any], strict: bool
    ) -> t.Any:
        try:
            if not _JINJA.search(source):
                return self._compose(source, variables)
            self.templar.available_variables = self._visible(variables)
            return self.templar.template(source)
        except Exception as failure:
            if strict:
                raise AnsibleParserError(
                    f"Failed to make a host name by {source!r} for the device {machine['machine_id']}: {to_native(failure)}"
                ) from failure
            return None

    def _is_taken(self, name: str, machine_id: str) -> bool:
        """Whether a group has the name, or a device of a source that was read before, perhaps of another tenant."""
        if name in self.inventory.groups or name in map(self._sanitize_group_name, self.get_option("groups")):
            return True
        host = self.inventory.hosts.get(name)
        theirs = host.vars.get(f"{self.get_option('hostvars_prefix')}machine_id") if host else None
        return theirs is not None and theirs != machine_id


def _names_in(condition: str) -> frozenset[str] | None:
    """The variables by whose values alone a condition is decided; None if there may be more to it."""
    if any(word in condition for word in _CHANCE):
        return None
    try:
        parsed = Environment().parse(f"{{{{ {condition} }}}}")
    except TemplateError:
        return None
    return frozenset(each.name for each in parsed.find_all(nodes.Name))


@contextmanager
def _hidden(names: t.Iterable[str]) -> t.Iterator[None]:
    """Environment variables out of sight."""
    hidden = {name: os.environ.pop(name) for name in list(names) if name in os.environ}
    try:
        yield
    finally:
        os.environ.update(hidden)
