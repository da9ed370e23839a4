# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
import os
import pathlib
import time
import typing as t

import pytest
import yaml
from ansible import template as ansible_template
from ansible.errors import AnsibleError
from ansible.inventory.data import InventoryData
from ansible.inventory.manager import InventoryManager
from ansible.parsing import vault
from ansible.parsing.dataloader import DataLoader
from ansible.plugins.loader import inventory_loader
from ansible.template import Templar
from ansible.utils.display import Display

from ansible_collections.secops.defender.plugins.doc_fragments.connection import ModuleDocFragment
from ansible_collections.secops.defender.plugins.inventory import defender_machines
from ansible_collections.secops.defender.plugins.module_utils._service import api as _api
from ansible_collections.secops.defender.plugins.module_utils._service.settings import connection_spec
from ansible_collections.secops.defender.plugins.module_utils._words.secrets import Secrets
from ansible_collections.secops.defender.plugins.plugin_utils._inventory import clean_name, unique_names
from simulator import Device, Simulator
from simulator.settings import ManagedIdentity, User

NAME = "secops.defender.defender_machines"
EXAMPLES = pathlib.Path(defender_machines.__file__).parents[2] / "docs" / "examples" / "inventory"
DATA_TAGGING = hasattr(ansible_template, "trust_as_template")
ONE, TWO = "1" * 40, "2" * 40
PC1 = Device("pc1.contoso.com", id=ONE, tags=("tier0", "Paris"), risk_score="High")
PC2 = Device("pc2.contoso.com", id=TWO, os_platform="macOS", rbac_group="Servers", health_status="Inactive")


def names(inventory: InventoryData) -> list[str]:
    return sorted(inventory.hosts)


def members(inventory: InventoryData, group: str) -> list[str]:
    return sorted(host.name for host in inventory.groups[group].get_hosts())


@pytest.fixture
def tenant(simulate: t.Any, sign_in: t.Any) -> Simulator:
    simulator: Simulator = simulate(PC1, PC2)
    sign_in(simulator)
    return simulator


@pytest.fixture
def serve(simulate: t.Any, sign_in: t.Any) -> t.Callable[..., Simulator]:
    """A tenant that answers with exactly these pages, and then with nothing more."""

    def start(*pages: list[dict[str, t.Any]]) -> Simulator:
        simulator: Simulator = simulate()
        sign_in(simulator)
        for page in pages:
            simulator.add_fault("machines", "wrong_shape", body={"value": page})
        return simulator

    return start


# Files


@pytest.mark.parametrize("name", ["defender_machines.yml", "a.defender_machines.yaml", "defender_machines.yaml"])
def test_files_that_are_taken(name: str, files: t.Any) -> None:
    assert inventory_loader.get(NAME).verify_file(files.write(name))


@pytest.mark.parametrize("name", ["hosts.yml", "defender_machines.yml.j2", "defender_machines.json", "defender.yaml"])
def test_files_that_are_not(name: str, files: t.Any) -> None:
    assert not inventory_loader.get(NAME).verify_file(files.write(name))


def test_file_that_is_not_there(tmp_path: pathlib.Path) -> None:
    assert not inventory_loader.get(NAME).verify_file(str(tmp_path / "defender_machines.yml"))


def test_file_of_another_plugin(files: t.Any) -> None:
    with pytest.raises(AnsibleError, match="Incorrect plugin name"):
        files.load(plugin="somebody.else.machines")


def test_unknown_option_is_refused(tenant: Simulator, files: t.Any) -> None:
    with pytest.raises(AnsibleError, match=r"does not know: tags\. Did you mean tag\?"):
        files.load(tags="tier0")
    assert tenant.requests == []


def test_through_ansible(tenant: Simulator, files: t.Any) -> None:
    manager = InventoryManager(DataLoader(), sources=[files.write()])
    assert sorted(manager.hosts) == ["pc1.contoso.com", "pc2.contoso.com"]
    assert manager.hosts["pc1.contoso.com"].vars["inventory_file"].endswith("x.defender_machines.yml")


# Which machines


def test_all_with_all_variables(tenant: Simulator, files: t.Any) -> None:
    inventory = files.load()
    assert names(inventory) == ["pc1.contoso.com", "pc2.contoso.com"]
    variables = inventory.hosts["pc1.contoso.com"].vars
    assert variables["defender_machine_id"] == variables["defender_id"] == ONE
    assert variables["defender_machine_tags"] == ["tier0", "Paris"]
    assert variables["defender_ip_addresses"][0]["ip_address"] == PC1.ip
    assert variables["defender_merged_into_machine_id"] is None
    assert not [name for name in variables if "secret" in name or "token" in name]


@pytest.mark.parametrize(
    ("options", "found"),
    [
        ({"filter": "riskScore eq 'High'"}, ["pc1.contoso.com"]),
        ({"filter": "riskScore eq 'Low'"}, []),
        ({"tag": "tier0"}, ["pc1.contoso.com"]),
        ({"tag": "tier"}, []),
        ({"tag": "tier0", "filter": "riskScore eq 'High'"}, ["pc1.contoso.com"]),
        ({"tag": "tier0", "filter": "osPlatform eq 'macOS'"}, []),
        ({"include": ["defender_os_platform == 'macOS'"]}, ["pc2.contoso.com"]),
        ({"include": ["defender_os_platform == 'macOS'", "'tier0' in defender_machine_tags"]}, ["pc1.contoso.com", "pc2.contoso.com"]),
        ({"include": ["defender_os_platform == 'BeOS'"]}, []),
        ({"include": "defender_os_platform in ['macOS', 'Linux']"}, ["pc2.contoso.com"]),
        ({"exclude": ["defender_os_platform == 'macOS'"]}, ["pc1.contoso.com"]),
        ({"exclude": ["defender_os_platform == 'BeOS'", "defender_risk_score == 'High'"]}, ["pc2.contoso.com"]),
        ({"include": ["true"], "exclude": ["defender_machine_id.startswith('1')"]}, ["pc2.contoso.com"]),
        ({"include": ["defender_vm_metadata is none and defender_os_version is none"]}, ["pc1.contoso.com", "pc2.contoso.com"]),
    ],
)  # fmt: skip
def test_selection(options: dict[str, t.Any], found: list[str], tenant: Simulator, files: t.Any) -> None:
    assert names(files.load(**options)) == found


@pytest.mark.parametrize("option", ["include", "exclude"])
@pytest.mark.parametrize("condition", ["defender_os_plattform == 'macOS'", "defender_os_platform =="])
def test_condition_that_fails_is_never_passed_over(
    option: str, condition: str, tenant: Simulator, files: t.Any
) -> None:
    inventory = InventoryData()
    with pytest.raises(AnsibleError, match=f"Failed to evaluate {option} .* for the device {ONE}"):
        files.read(files.write(strict=False, **{option: [condition]}), inventory)
    assert names(inventory) == []


def test_condition_is_decided_by_all_its_values(simulate: t.Any, sign_in: t.Any, files: t.Any) -> None:
    """Conditions are not compiled anew for each machine: none may get another one's answer."""
    simulator = simulate(
        Device("a.contoso.com", risk_score="High", health_status="Active"),
        Device("b.contoso.com", risk_score="High", health_status="Inactive"),
        Device("c.contoso.com", risk_score="Low", health_status="Active"),
        Device("d.contoso.com", risk_score="High", health_status="Active", tags=("x",)),
        Device("e.contoso.com", risk_score="High", health_status="Active"),
    )
    sign_in(simulator)
    found = files.load(
        include=["defender_risk_score == 'High' and defender_health_status == 'Active'"],
        exclude=["defender_machine_tags | select('equalto', 'x') | list | length > 0"],
    )
    assert names(found) == ["a.contoso.com", "e.contoso.com"]
    assert defender_machines._names_in("a == 'x' and b | random") is None
    assert defender_machines._names_in("lookup('x', a)") == frozenset({"lookup", "a"})


# Names


@pytest.mark.parametrize(
    ("hostnames", "found"),
    [
        (["machine_id"], [ONE, TWO]),
        (["defender_machine_id"], [ONE, TWO]),
        (["os_version", "computer_dns_name"], ["pc1.contoso.com", "pc2.contoso.com"]),
        (["defender_computer_dns_name.split('.')[0]"], ["pc1", "pc2"]),
        (["{{ defender_computer_dns_name.split('.')[0] | upper }}-x"], ["PC1-x", "PC2-x"]),
        (["defender_machine_tags | first | default('')", "machine_id"], [TWO, "tier0"]),
        (["osbuild", "nothing.at.all"], [ONE, TWO]),
        ([], [ONE, TWO]),
        (["machine_tags", "is_aad_joined"], [ONE, TWO]),
        ("defender_computer_dns_name.replace('.', ',')", ["pc1_contoso_com", "pc2_contoso_com"]),
    ],
)  # fmt: skip
def test_hostnames(hostnames: t.Any, found: list[str], tenant: Simulator, files: t.Any) -> None:
    assert names(files.load(hostnames=hostnames)) == found


def test_hostname_that_fails_when_strict(tenant: Simulator, files: t.Any) -> None:
    with pytest.raises(AnsibleError, match=f"Failed to make a host name by .* for the device {ONE}"):
        files.load(hostnames=["nothing.at.all"], strict=True)


def test_several_of_one_name_all_get_their_id(simulate: t.Any, sign_in: t.Any, files: t.Any) -> None:
    simulator = simulate(
        Device("twin.contoso.com", id=ONE),
        Device("twin.contoso.com", id=TWO, health_status="Inactive"),
        Device("localhost", id="3" * 40),
        Device("all", id="4" * 40),
        Device(f"pc_{'5' * 40}", id="6" * 40),
        Device("7" * 40, id="8" * 40),
        Device("servers", id="9" * 40),
    )
    sign_in(simulator)
    inventory = files.load(groups={"servers": "defender_health_status == 'Inactive'"})
    everybody = [f"twin.contoso.com_{ONE}", f"twin.contoso.com_{TWO}", f"localhost_{'3' * 40}", f"all_{'4' * 40}",
                 f"pc_{'5' * 40}_{'6' * 40}", f"{'7' * 40}_{'8' * 40}", f"servers_{'9' * 40}"]  # fmt: skip
    assert names(inventory) == sorted(everybody)
    assert members(inventory, "servers") == [f"twin.contoso.com_{TWO}"]
    assert inventory.localhost is None
    # A record that is left out takes no name from the other one.
    assert "twin.contoso.com" in names(files.load(exclude=["defender_health_status == 'Inactive'"]))


def test_unique_names_in_any_case() -> None:
    wanted = [("PC1", ONE), ("pc1", TWO), ("pc2", "3" * 40), ("", "4" * 40)]
    assert unique_names(wanted, lambda name, machine_id: False) == [f"PC1_{ONE}", f"pc1_{TWO}", "pc2", "4" * 40]


def test_device_that_calls_itself_like_a_keyed_group(simulate: t.Any, sign_in: t.Any, files: t.Any) -> None:
    simulator = simulate(Device("os_macos", id=ONE), Device("pc2", id=TWO, os_platform="macos"))
    sign_in(simulator)
    inventory = files.load(keyed_groups=[{"key": "defender_os_platform", "prefix": "os"}])
    assert names(inventory) == [f"os_macos_{ONE}", "pc2"]
    assert members(inventory, "os_macos") == ["pc2"]
    assert members(inventory, "os_Windows11") == [f"os_macos_{ONE}"]


def test_two_sources(simulate: t.Any, sign_in: t.Any, files: t.Any) -> None:
    """A host that is there already gets the variables; a device of another tenant keeps its own."""
    inventory = InventoryData()
    inventory.add_host("pc1.contoso.com")
    inventory.set_variable("pc1.contoso.com", "rack", 7)
    for other in (PC1, Device("pc1.contoso.com", id=TWO)):
        sign_in(simulate(other))
        files.read(files.write(), inventory)
    assert names(inventory) == ["pc1.contoso.com", f"pc1.contoso.com_{TWO}"]
    assert inventory.hosts["pc1.contoso.com"].vars["rack"] == 7
    assert inventory.hosts["pc1.contoso.com"].vars["defender_machine_id"] == ONE


# Hostile and odd values


INJECTION = "{{ lookup('ansible.builtin.pipe', 'touch %s') }}"


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("{{ 7 * 7 }}", "7_7"),
        ("{% if true %}x{% endif %}", "if_true_x_endif"),
        ("pc\n[all]\nlocalhost", "pc_all_localhost"),
        ("../../etc/passwd", "etc_passwd"),
        ("'; rm -rf /; '", "rm_-rf"),
        ('a"b\'c\\d', "a_b_c_d"),
        ("bücher.contoso.com", "bücher.contoso.com"),
        ("日本", "日本"),
        ("pc1.contoso.com.", "pc1.contoso.com"),
        ("web:&db!x,y*", "web_db_x_y"),
        ("pc[01:99]", "pc_01_99"),
        ("pc\u202egnp", "pc_gnp"),
        ("--limit", "limit"),
        ("", ONE),
        ("   ", ONE),
        ("...", ONE),
        (None, ONE),
    ],
)  # fmt: skip
def test_hostile_names(text: str | None, name: str, serve: t.Any, files: t.Any) -> None:
    serve([{"id": ONE, "computerDnsName": text, "machineTags": [text]}])
    inventory = files.load(keyed_groups=[{"key": "defender_machine_tags", "prefix": "tag"}], strict=True)
    assert names(inventory) == [name]
    assert inventory.hosts[name].vars["defender_computer_dns_name"] == text
    for group in inventory.groups:
        assert group.replace("_", "").isalnum()


def test_names_that_clean_up_to_the_same(serve: t.Any, files: t.Any) -> None:
    serve([{"id": ONE, "computerDnsName": "a/b"}, {"id": TWO, "computerDnsName": "a b"}])
    assert names(files.load()) == [f"a_b_{ONE}", f"a_b_{TWO}"]


def test_what_is_no_name() -> None:
    assert [clean_name(value) for value in (True, None, ["x"], {"x": 1}, 7, 1.5)] == ["", "", "", "", "7", ""]


def test_jinja_in_values_stays_text(serve: t.Any, files: t.Any, tmp_path: pathlib.Path) -> None:
    owned = tmp_path / "owned"
    text = INJECTION % owned
    serve(
        [{"id": ONE, "computerDnsName": text, "machineTags": [text], "osPlatform": text, "vmMetadata": {"vmId": text}}]
    )
    inventory = files.load(
        hostnames=["'pc'"],
        compose={"plain": "defender_os_platform", "made": "defender_os_platform ~ '.'", "ansible_host": "defender_computer_dns_name"},
        groups={"odd": "'lookup' in defender_os_platform"},
        include=["defender_os_platform != 'x'"],
        keyed_groups=[{"key": "defender_os_platform"}, {"key": "defender_machine_tags", "prefix": "t"}],
    )  # fmt: skip
    variables = inventory.hosts["pc"].vars
    templar = Templar(DataLoader(), variables={**variables, "ansible_check_mode": False})
    for expression, expected in {
        "defender_computer_dns_name": text,
        "defender_machine_tags[0]": text,
        "defender_vm_metadata.vm_id": text,
        "plain": text,
        "made": text + ".",
        "ansible_host": text,
        "defender_os_platform ~ defender_computer_dns_name": text + text,
    }.items():
        template = f"{{{{ {expression} }}}}"
        if DATA_TAGGING:
            template = ansible_template.trust_as_template(template)
        assert str(templar.template(template)) == expected
    assert not owned.exists()
    assert members(inventory, "odd") == ["pc"]


def test_trust(serve: t.Any, files: t.Any) -> None:
    serve([{"id": ONE, "computerDnsName": "{{ x }}", "machineTags": ["{% x %}"], "vmMetadata": {"vmId": "{# x #}"}}])
    inventory = files.load(hostnames=["machine_id"], compose={"mine": "defender_computer_dns_name"})
    variables = inventory.hosts[ONE].vars
    texts = [variables["defender_computer_dns_name"], variables["defender_machine_tags"][0], variables["mine"],
             variables["defender_vm_metadata"]["vm_id"]]  # fmt: skip
    if DATA_TAGGING:
        every = [*texts, ONE, *inventory.hosts]
        assert not [text for text in every if ansible_template.is_trusted_as_template(text)]
    else:
        from ansible.utils.unsafe_proxy import AnsibleUnsafe

        assert all(isinstance(text, AnsibleUnsafe) for text in texts)


# Says in plain letters what a brace says otherwise: a template may redefine its own delimiters.
_REDEFINED = "#jinja2:variable_start_string:'<<', variable_end_string:'>>'\n<< lookup('pipe', 'touch {0}') >>"


def test_a_tag_that_redefines_the_delimiters_runs_nothing(serve: t.Any, files: t.Any, tmp_path: pathlib.Path) -> None:
    """Nor does any other text that a tenant can write, wherever a condition, a name or a group looks at it."""
    ran = tmp_path / "ran"
    text = _REDEFINED.format(ran)
    serve(
        [{"id": ONE, "computerDnsName": text, "machineTags": [text], "rbacGroupName": text, "vmMetadata": {text: text}}]
    )
    inventory = files.load(
        hostnames=["machine_id"],
        include=["defender_machine_tags | join != '1'"],
        exclude=["defender_computer_dns_name == '1'"],
        compose={"mine": "defender_machine_tags | first", "other": "'x' ~ defender_rbac_group_name"},
        keyed_groups=[{"key": "defender_rbac_group_name"}],
        groups={"odd": "defender_vm_metadata | length"},
    )
    templar = Templar(DataLoader(), variables=inventory.hosts[ONE].vars)
    template = "{{ [defender_machine_tags, defender_computer_dns_name, defender_vm_metadata, mine, other] }}"
    templar.template(ansible_template.trust_as_template(template) if DATA_TAGGING else template)
    assert not ran.exists()


@pytest.mark.parametrize(
    "text", ["", ONE, "pc1.contoso.com", "10.0.0.7", "fe80::1", "2026-11-23T10:15:00Z", "Windows 11"]
)
def test_harmless_texts_are_plain_in_what_ansible_inventory_prints(serve: t.Any, files: t.Any, text: str) -> None:
    serve([{"id": ONE, "machineTags": [text]}])
    tag = files.load(hostnames=["machine_id"]).hosts[ONE].vars["defender_machine_tags"][0]
    assert not hasattr(tag, "__UNSAFE__")


def test_properties_nobody_knows(serve: t.Any, files: t.Any) -> None:
    serve([{"id": ONE.upper().replace("1", "A"), "newThing": 1, "odd.key": 2}, {"id": TWO, "machineTags": None}])
    inventory = files.load()
    assert names(inventory) == [TWO, "a" * 40]
    assert inventory.hosts[TWO].vars["defender_new_thing"] is None
    assert inventory.hosts[TWO].vars["defender_machine_tags"] == []
    assert inventory.hosts["a" * 40].vars["defender_new_thing"] == 1
    assert inventory.hosts["a" * 40].vars["defender_odd_key"] == 2


def test_empty_tenant(simulate: t.Any, sign_in: t.Any, files: t.Any) -> None:
    sign_in(simulate())
    assert names(files.load()) == []


# All pages, or none


@pytest.fixture
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_api, "_PAGE", 3)


def fleet(count: int, **more: t.Any) -> list[Device]:
    return [Device(f"pc{number}.contoso.com", **more) for number in range(count)]


@pytest.mark.parametrize("count", [0, 1, 2, 3, 4, 6, 8])
@pytest.mark.parametrize("bug", ["", "lost_filter", "loop"])
def test_pages(count: int, bug: str, simulate: t.Any, sign_in: t.Any, files: t.Any, small_pages: None) -> None:
    simulator = simulate(*fleet(count), Device("other", risk_score="High"), page_size=2, next_link_bug=bug)
    sign_in(simulator)
    assert len(names(files.load(filter="riskScore ne 'High'"))) == count


def test_page_that_is_cut_short(simulate: t.Any, sign_in: t.Any, files: t.Any, small_pages: None) -> None:
    simulator = simulate(*fleet(8))
    sign_in(simulator)
    simulator.add_fault("machines", "wrong_shape", body={"value": simulator.fleet.machine_entities[:2]})
    assert len(names(files.load())) == 8


def test_service_that_sends_the_same_page_forever(
    simulate: t.Any, sign_in: t.Any, files: t.Any, small_pages: None
) -> None:
    simulator = simulate(*fleet(8))
    sign_in(simulator)
    page = simulator.fleet.machine_entities[:3]
    simulator.add_fault("machines", "wrong_shape", count=0, body={"value": page, "@odata.nextLink": "https://x/"})
    with pytest.raises(AnsibleError, match="after 3 machines the service sends the same ones again"):
        files.load()
    assert len([call for call in simulator.requests if call.endpoint == "machines"]) == 2


def test_list_that_moves_while_it_is_read(simulate: t.Any, sign_in: t.Any, files: t.Any, small_pages: None) -> None:
    simulator = simulate(*fleet(8))
    sign_in(simulator)
    rows = simulator.fleet.machine_entities
    simulator.add_fault("machines", "wrong_shape", after=1, body={"value": rows[2:5]})
    assert len(names(files.load())) == 8
    # Each time.
    simulator.add_fault("machines", "wrong_shape", count=0, after=1, body={"value": rows[2:5]})
    inventory = InventoryData()
    with pytest.raises(AnsibleError, match="same ones again|changed each of the 3 times"):
        files.read(files.write(), inventory)
    assert names(inventory) == []


def test_list_that_never_keeps_still(simulate: t.Any, sign_in: t.Any, files: t.Any, small_pages: None) -> None:
    simulator = simulate()
    sign_in(simulator)
    rows = [device.entity(0.0) for device in fleet(5)]
    for _listing in range(3):
        for page in (rows[:3], rows[2:5], []):
            simulator.add_fault("machines", "wrong_shape", body={"value": page})
    with pytest.raises(AnsibleError, match="changed each of the 3 times it was read, so some may be missing"):
        files.load()


@pytest.mark.parametrize("row", [{"computerDnsName": "x"}, "x", None, {"id": ""}])
def test_row_that_is_no_machine(row: t.Any, serve: t.Any, files: t.Any) -> None:
    serve([{"id": ONE}, row])
    with pytest.raises(AnsibleError, match="the service sent a machine without an id"):
        files.load()


def test_tag_with_more_than_a_page(simulate: t.Any, sign_in: t.Any, files: t.Any, small_pages: None) -> None:
    simulator = simulate(*fleet(5, tags=("x",)), Device("other"))
    sign_in(simulator)
    # The call that finds by tag has no pages: what fills one is not taken for everything.
    rows = simulator.fleet.machine_entities
    simulator.add_fault("find_by_tag", "wrong_shape", body={"value": rows[:3]})
    assert len(names(files.load(tag="x"))) == 5
    simulator.add_fault("find_by_tag", "wrong_shape", body={"value": rows[:1], "@odata.nextLink": "https://x/"})
    assert len(names(files.load(tag="x"))) == 5


# Constructed


def test_constructed(tenant: Simulator, files: t.Any) -> None:
    inventory = files.load(
        compose={"ansible_host": "defender_last_ip_address", "short": "inventory_name | default(defender_computer_dns_name[:3])"},
        groups={"macs": "defender_os_platform == 'macOS'", "short_ones": "short == 'pc1'", "named": "inventory_hostname is defined"},
        keyed_groups=[
            {"key": "defender_os_platform", "prefix": "os"},
            {"key": "defender_machine_tags", "prefix": "tag", "parent_group": "tags"},
            {"key": "short", "prefix": "", "separator": ""},
            {"key": "defender_os_version", "prefix": "v", "default_value": "none"},
        ],
    )  # fmt: skip
    assert inventory.hosts["pc1.contoso.com"].vars["ansible_host"] == PC1.ip
    assert inventory.hosts["pc1.contoso.com"].vars["short"] == "pc1"
    assert members(inventory, "macs") == ["pc2.contoso.com"]
    assert members(inventory, "short_ones") == members(inventory, "pc1") == ["pc1.contoso.com"]
    assert members(inventory, "named") == members(inventory, "v_none") == ["pc1.contoso.com", "pc2.contoso.com"]
    assert members(inventory, "os_macOS") == ["pc2.contoso.com"]
    assert members(inventory, "tags") == members(inventory, "tag_tier0") == ["pc1.contoso.com"]


@pytest.mark.parametrize(
    "options",
    [
        {"compose": {"x": "nothing.at.all"}},
        {"groups": {"g": "nothing.at.all"}},
        {"keyed_groups": [{"key": "nothing.at.all"}]},
        {"keyed_groups": [{"key": "defender_os_version"}]},
    ],
)
def test_strict(options: dict[str, t.Any], tenant: Simulator, files: t.Any) -> None:
    assert len(names(files.load(**options))) == 2
    inventory = InventoryData()
    with pytest.raises(AnsibleError):
        files.read(files.write(strict=True, **options), inventory)
    assert names(inventory) == []


def test_extra_vars(tenant: Simulator, files: t.Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ansible.plugins.inventory.load_extra_vars", lambda loader: {"wanted": "macOS"})
    options = {"include": ["defender_os_platform == wanted"], "compose": {"mine": "wanted"}}
    assert names(files.load(use_extra_vars=True, **options)) == ["pc2.contoso.com"]
    with pytest.raises(AnsibleError, match="wanted"):
        files.load(**options)


def test_prefix(tenant: Simulator, files: t.Any) -> None:
    inventory = files.load(hostvars_prefix="mde_", hostnames=["mde_machine_id"], include=["mde_os_platform == 'macOS'"])
    assert inventory.hosts[TWO].vars["mde_machine_id"] == TWO
    assert "defender_machine_id" not in inventory.hosts[TWO].vars


@pytest.mark.parametrize("value", [None, "", " \n", []])
@pytest.mark.parametrize(
    ("option", "meaning"), [("include", "so every device is taken"), ("exclude", "so no device is left out")]
)
def test_no_condition_at_all(
    option: str, meaning: str, value: t.Any, tenant: Simulator, files: t.Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of conditions that are all commented out null is left."""
    told: list[str] = []
    monkeypatch.setattr(Display, "warning", lambda self, text, *more, **named: told.append(text))
    assert len(names(files.load(**{option: value}))) == 2
    sentence = f"secops.defender.defender_machines: {option} has no condition, {meaning}."
    assert told == ([] if (option, value) == ("exclude", []) else [sentence])


# Cache


@pytest.fixture
def cached(tmp_path: pathlib.Path) -> dict[str, t.Any]:
    return {"cache": True, "cache_plugin": "ansible.builtin.jsonfile", "cache_connection": str(tmp_path / "cache")}


def listed(simulator: Simulator) -> int:
    """How often the machines were asked for since it was last asked here."""
    count = len([call for call in simulator.requests if call.endpoint in ("machines", "find_by_tag")])
    simulator.reset_log()
    return count


def test_cache(tenant: Simulator, files: t.Any, cached: dict[str, t.Any], tmp_path: pathlib.Path) -> None:
    path = files.write(**cached)
    first = files.read(path)
    assert listed(tenant) > 0
    second = files.read(path)
    assert tenant.requests == [], "neither a list nor a sign-in"
    assert {name: host.vars for name, host in first.hosts.items()} == {
        name: host.vars for name, host in second.hosts.items()
    }
    # Refreshed (ansible-playbook --flush-cache, meta: refresh_inventory): read anew, and kept anew.
    files.read(path, cache=False)
    assert listed(tenant) > 0
    files.read(path)
    assert listed(tenant) == 0


@pytest.mark.parametrize(
    "change",
    [{"filter": "riskScore eq 'High'"}, {"tag": "tier0"}, {"client_id": "00000000-0000-0000-0000-000000000000"}, {"tenant": "contoso.onmicrosoft.com"},
     {"audience": "https://api.securitycenter.microsoft.com/"}],
)  # fmt: skip
def test_cache_is_for_one_question(
    change: dict[str, t.Any], tenant: Simulator, files: t.Any, cached: dict[str, t.Any]
) -> None:
    files.load(**cached)
    listed(tenant)
    try:
        files.load(**cached, **change)
    except AnsibleError:
        assert [call.endpoint for call in tenant.requests if call.endpoint == "token"]
    else:
        assert listed(tenant) > 0 or change.keys() == {"audience"}
    files.load(**cached)
    assert listed(tenant) == 0


def test_cache_of_given_tokens_is_for_their_tenant(
    simulate: t.Any, sign_in: t.Any, files: t.Any, cached: dict[str, t.Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    simulator = simulate(PC1)
    sign_in(simulator)
    monkeypatch.delenv("DEFENDER_CLIENT_SECRET")
    for app, expected in (("secops-collector", True), ("secops-collector", False), ("secops-reader", True)):
        monkeypatch.setenv("DEFENDER_ACCESS_TOKEN", simulator.issue_token(app))
        files.load(**cached)
        assert (listed(simulator) > 0) is expected


def row(machine_id: str) -> dict[str, t.Any]:
    return {"id": machine_id, "computerDnsName": f"{machine_id[0]}.contoso.com"}


class Surroundings:
    """Who an inventory file without credentials would be read as: by the environment and the computer."""

    def __init__(self, simulator: Simulator, folder: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.simulator = simulator
        self._folder = folder
        self._patch = monkeypatch
        for name in ("CLIENT_ID", "CLIENT_SECRET"):
            monkeypatch.delenv(f"DEFENDER_{name}")

    def set(self, **variables: str) -> None:
        for name, value in variables.items():
            self._patch.setenv(f"DEFENDER_{name.upper()}", value)

    def az(self, user: str, tenant: str = "", app: str = "secops-reader") -> None:
        """az login of somebody."""
        self.set(auth_source="azure_cli")
        # A token of whoever is signed in, who is told apart by the account alone.
        token = {"accessToken": self.simulator.issue_token(app), "expires_on": time.time() + 3000}
        account = {"tenantId": tenant or self.simulator.tenant, "user": {"name": user, "type": "user"}}
        (self._folder / "bin").mkdir(exist_ok=True)
        for name, reply in (("show", account), ("get-access-token", token)):
            (self._folder / f"{name}.json").write_text(json.dumps(reply), encoding="utf-8")
        program = self._folder / "bin" / "az"
        program.write_text(f'#!/bin/sh\ncat "{self._folder}/$2.json"\n', encoding="utf-8")
        program.chmod(0o700)
        self._patch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")

    def managed(self, client_id: str | None) -> None:
        self.set(auth_source="managed_identity", **({"client_id": client_id} if client_id else {}))
        self._patch.setenv("IDENTITY_ENDPOINT", f"{self.simulator.identity_url}/msi/token")
        self._patch.setenv("IDENTITY_HEADER", self.simulator.identity_header)

    def token(self, **whose: t.Any) -> None:
        self.set(access_token=self.simulator.issue_token(**whose))

    def secret(self, app: str) -> None:
        self.set(client_id=self.simulator.app(app).client_id, client_secret=self.simulator.app(app).secret)


_MANAGED = [ManagedIdentity(name, system_assigned=False) for name in ("runner-one", "runner-two")]
_USERS = [User("me@contoso.com"), User("you@contoso.com")]
_IDENTITIES: dict[str, tuple[t.Callable[[Surroundings], None], t.Callable[[Surroundings], None]]] = {
    "azure_cli: users": (lambda here: here.az("me@x"), lambda here: here.az("you@x")),
    "azure_cli: tenants": (lambda here: here.az("me@x"), lambda here: here.az("me@x", tenant="another")),
    "managed: client IDs": (
        lambda here: here.managed(_MANAGED[0].client_id),
        lambda here: here.managed(_MANAGED[1].client_id),
    ),
    "managed, and the CLI": (lambda here: here.managed(_MANAGED[0].client_id), lambda here: here.az("me@x")),
    "tokens: apps": (lambda here: here.token(app="secops-collector"), lambda here: here.token(app="secops-reader")),
    "tokens: users": (
        lambda here: here.token(app="secops-desktop", user="me@contoso.com"),
        lambda here: here.token(app="secops-desktop", user="you@contoso.com"),
    ),
    "apps": (lambda here: here.secret("secops-collector"), lambda here: here.secret("secops-reader")),
    "an app by two names of the tenant": (
        lambda here: here.secret("secops-reader"),
        lambda here: here.set(tenant="contoso.onmicrosoft.com"),
    ),
}


@pytest.fixture
def here(simulate: t.Any, sign_in: t.Any, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> Surroundings:
    simulator = simulate(users=_USERS, identities=[ManagedIdentity(), *_MANAGED])
    sign_in(simulator)
    return Surroundings(simulator, tmp_path, monkeypatch)


@pytest.mark.parametrize(("first", "second"), _IDENTITIES.values(), ids=_IDENTITIES)
def test_the_cache_belongs_to_who_signs_in(
    first: t.Callable[[Surroundings], None],
    second: t.Callable[[Surroundings], None],
    here: Surroundings,
    files: t.Any,
    cached: dict[str, t.Any],
) -> None:
    """One and the same file; whoever may see the first device gets it, and the other one the second."""
    simulator = here.simulator
    path = files.write(**cached)
    for become, machine_id in ((first, ONE), (second, TWO)):
        become(here)
        simulator.add_fault("machines", "wrong_shape", body={"value": [row(machine_id)]})
        assert [host.vars["defender_machine_id"] for host in files.read(path).hosts.values()] == [machine_id]
        listed(simulator)
        # To the same one it is told again, unasked.
        assert names(files.read(path)) == [f"{machine_id[0]}.contoso.com"] and listed(simulator) == 0
    # And the first one, too, although another was here meanwhile.
    here.set(tenant=simulator.tenant)
    first(here)
    assert names(files.read(path)) == ["1.contoso.com"] and listed(simulator) == 0


def test_nothing_is_cached_for_whom_nobody_knows(
    here: Surroundings, files: t.Any, cached: dict[str, t.Any], tmp_path: pathlib.Path
) -> None:
    """The identity that a computer has of its own may be another computer's, where they share the cache."""
    simulator = here.simulator
    here.managed(None)
    path = files.write(**cached)
    for machine_id in (ONE, TWO):
        simulator.add_fault("machines", "wrong_shape", body={"value": [row(machine_id)]})
        assert names(files.read(path)) == [f"{machine_id[0]}.contoso.com"]
    assert not (tmp_path / "cache").exists() or list((tmp_path / "cache").iterdir()) == []


def test_no_secret_in_the_cache(
    tenant: Simulator, files: t.Any, cached: dict[str, t.Any], tmp_path: pathlib.Path
) -> None:
    files.load(**cached, client_secret=tenant.client_secret)
    kept = list((tmp_path / "cache").iterdir())
    assert len(kept) == 1
    content = json.loads(kept[0].read_text(encoding="utf-8"))
    assert [secret for secret in tenant.secrets if secret in json.dumps(content) or secret in kept[0].name] == []


def test_damaged_cache(tenant: Simulator, files: t.Any, cached: dict[str, t.Any], tmp_path: pathlib.Path) -> None:
    path = files.write(**cached)
    files.read(path)
    kept = next((tmp_path / "cache").iterdir())
    kept.write_text('[{"no": "id"}]', encoding="utf-8")
    listed(tenant)
    assert len(names(files.read(path))) == 2
    assert listed(tenant) > 0


def test_no_cache_unless_wanted(tenant: Simulator, files: t.Any) -> None:
    path = files.write()
    files.read(path)
    listed(tenant)
    files.read(path)
    assert listed(tenant) > 0


# Credentials


def test_blank_environment_counts_as_unset(tenant: Simulator, files: t.Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """As AWX leaves it, with every input that was not filled in."""
    variables = [name for option in connection_spec().values() for name in option.get("fallback", ((), ()))[1]]
    for name in variables:
        if name not in os.environ:
            monkeypatch.setenv(name, "")
    assert len(names(files.load())) == 2
    assert os.environ["AZURE_TENANT"] == ""


def test_first_filled_variable_wins(tenant: Simulator, files: t.Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AZURE_TENANT_ID", "wrong")
    monkeypatch.setenv("AZURE_SECRET", "wrong")
    monkeypatch.setenv("AZURE_CLOUD_ENVIRONMENT", "AzureCloud")
    assert len(names(files.load())) == 2
    monkeypatch.delenv("DEFENDER_CLIENT_SECRET")
    monkeypatch.setenv("AZURE_SECRET", tenant.client_secret)
    monkeypatch.setenv("AZURE_CLIENT_SECRET", "wrong")
    assert len(names(files.load())) == 2


def test_file_wins_over_the_environment(tenant: Simulator, files: t.Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEFENDER_CLIENT_SECRET", "wrong")
    assert len(names(files.load(secret=tenant.client_secret))) == 2


def test_blank_option_counts_as_unset(tenant: Simulator, files: t.Any) -> None:
    assert len(names(files.load(client_secret="", tenant=" ", region="", username=None, timeout="{{ '' }}"))) == 2


def test_environment_is_no_template(tenant: Simulator, files: t.Any, monkeypatch: pytest.MonkeyPatch) -> None:
    tenant.apps[0].secret = "{{ 7 }}{% secret"
    monkeypatch.setenv("DEFENDER_CLIENT_SECRET", "{{ 7 }}{% secret")
    assert len(names(files.load())) == 2


def test_jinja_in_credentials(
    tenant: Simulator, files: t.Any, monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path
) -> None:
    monkeypatch.delenv("DEFENDER_CLIENT_SECRET")
    secret = tmp_path / "secret"
    secret.write_text(tenant.client_secret, encoding="utf-8")
    assert len(names(files.load(client_secret=f"{{{{ lookup('ansible.builtin.file', '{secret}') }}}}"))) == 2
    monkeypatch.setattr("ansible.plugins.inventory.load_extra_vars", lambda loader: {"mine": tenant.client_secret})
    assert len(names(files.load(client_secret="{{ mine }}", timeout="{{ 10 }}", validate_certs="{{ true }}"))) == 2
    # A secret that looks like a number or a list is still a text.
    for odd in ("12345678", "[1, 2, 3, 4]"):
        tenant.apps[0].secret = odd
        monkeypatch.setattr("ansible.plugins.inventory.load_extra_vars", lambda loader, odd=odd: {"mine": odd})
        assert len(names(files.load(client_secret="{{ mine }}"))) == 2


def test_jinja_in_what_selects(tenant: Simulator, files: t.Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TAG", " tier0 ")
    assert names(files.load(tag="{{ lookup('ansible.builtin.env', 'TAG') }}")) == ["pc1.contoso.com"]
    assert names(files.load(filter="osPlatform eq '{{ 'mac' ~ 'OS' }}'")) == ["pc2.contoso.com"]


@pytest.mark.parametrize("blank", ["", "  ", None, "{{ '' }}", "{{ lookup('ansible.builtin.env', 'NOT_SET') }}"])
@pytest.mark.parametrize("option", ["tag", "filter"])
def test_a_blank_selector_is_refused(option: str, blank: str | None, tenant: Simulator, files: t.Any) -> None:
    """It would mean every device of the tenant, or none, and nobody would learn which was meant."""
    inventory = InventoryData()
    with pytest.raises(AnsibleError, match=f"{option} is (blank|null), which could mean nothing as well as everything"):
        files.read(files.write(**{option: blank}), inventory)
    assert names(inventory) == [] and tenant.requests == []


def test_a_tag_that_no_device_has_is_said(tenant: Simulator, files: t.Any, capfd: pytest.CaptureFixture[str]) -> None:
    assert names(files.load(tag="teir0")) == []
    assert "No device has the tag teir0, so the inventory has no hosts." in " ".join(capfd.readouterr().err.split())


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"filter": "healthStatus eq 'Actve'"}, "No device fits the filter, so the inventory has no hosts."),
        ({"include": ["false"]}, "include and exclude leave none of"),
        ({"exclude": ["true"]}, "include and exclude leave none of"),
    ],
)
def test_an_inventory_without_hosts_says_why(
    options: dict[str, t.Any], said: str, tenant: Simulator, files: t.Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    # What was warned of once is not shown again.
    monkeypatch.setattr(Display, "warning", lambda self, text, *more, **named: told.append(text))
    assert not files.load(**options).hosts
    assert said in " ".join(told)


@pytest.mark.parametrize("option", ["include", "exclude"])
def test_a_condition_is_a_text(option: str, tenant: Simulator, files: t.Any) -> None:
    with pytest.raises(AnsibleError, match=f"{option} holds False, which is no condition|{option} 'False'"):
        files.load(**{option: [False]})


def test_a_variable_that_nobody_reads_is_warned_of(
    tenant: Simulator, files: t.Any, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DEFENDER_TENANT_ID", "b")
    files.load()
    told = " ".join(capfd.readouterr().err.split())
    assert "DEFENDER_TENANT_ID is not read by anything. Did you mean DEFENDER_TENANT?" in told


def test_vault(tenant: Simulator, files: t.Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DEFENDER_CLIENT_SECRET")
    secrets = [("default", vault.VaultSecret(b"vault password"))]
    text = vault.VaultLib(secrets).encrypt(tenant.client_secret).decode()
    path = pathlib.Path(files.write())
    lines = "".join(f"  {line}\n" for line in text.splitlines())
    path.write_text(path.read_text(encoding="utf-8") + f"client_secret: !vault |\n{lines}", encoding="utf-8")
    loader = DataLoader()
    loader.set_vault_secrets(t.cast(t.Any, secrets))
    if DATA_TAGGING:
        monkeypatch.setattr(vault.VaultSecretsContext, "_current", vault.VaultSecretsContext(secrets))
    inventory = InventoryData()
    inventory_loader.get(NAME).parse(inventory, loader, str(path), cache=True)
    assert len(names(inventory)) == 2


@pytest.mark.parametrize(
    ("value", "leaks"), [("pass{{word & more", "word"), ("{{ nothing_at_all }}", ""), ("a{{ nothing_at_all }}b", "a{{")]
)
def test_secret_that_is_no_template(value: str, leaks: str, tenant: Simulator, files: t.Any) -> None:
    with pytest.raises(AnsibleError, match="Failed to template client_secret") as caught:
        files.load(client_secret=value)
    assert not leaks or leaks not in str(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"client_secret": "wrong-secret-value"}, "AADSTS7000215.*give the secret's value, not its ID"),
        ({"client_id": "00000000-0000-0000-0000-000000000000"}, "AADSTS700016.*Check client_id and tenant"),
        ({"tenant": "elsewhere.onmicrosoft.com"}, "AADSTS90002.*Check tenant"),
        ({"auth_source": "certificate"}, "needs tenant, client_id, certificate_path; missing: certificate_path"),
        ({"auth_source": "magic"}, "auth_source is 'magic'. Give one of auto, access_token"),
        ({"cloud": "gcc", "region": "eu"}, "region eu does not exist in the cloud gcc"),
        ({"timeout": 0}, "timeout is 0"),
        ({"timeout": "soon"}, "timeout"),
        ({"ca_path": "/nowhere/ca.pem"}, "ca_path /nowhere/ca.pem cannot be read"),
        ({"filter": "riskScore like 'High'"}, "Failed to list machines: the service answered 400.*check the options"),
        ({"quotas": {"machine": ["1/1"]}}, "unknown endpoint class"),
    ],
)
def test_mistakes(options: dict[str, t.Any], said: str, tenant: Simulator, files: t.Any) -> None:
    with pytest.raises(AnsibleError, match=said) as caught:
        files.load(**options)
    assert "wrong-secret-value" not in str(caught.value)


def test_no_credentials(files: t.Any) -> None:
    with pytest.raises(AnsibleError, match="No credentials are given.*DEFENDER_CLIENT_SECRET"):
        files.load()


def test_missing_permission(simulate: t.Any, sign_in: t.Any, files: t.Any, monkeypatch: pytest.MonkeyPatch) -> None:
    simulator = simulate(PC1)
    sign_in(simulator)
    starter = simulator.app("secops-starter")
    with pytest.raises(AnsibleError, match="lacks the application permission Machine.Read.All.*grant admin consent"):
        files.load(client_id=starter.client_id, client_secret=starter.secret)


def test_no_secret_is_said(
    tenant: Simulator, files: t.Any, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Display(), "verbosity", 6)
    InventoryManager(DataLoader(), sources=[files.write(client_secret=tenant.client_secret)])
    wrong = files.write("wrong.defender_machines.yml", client_secret=tenant.client_secret, filter="nonsense")
    InventoryManager(DataLoader(), sources=[wrong])
    said = "".join(capfd.readouterr())
    assert "GET /api/machines" in said
    assert "Failed to list machines" in said
    assert [secret for secret in tenant.secrets if secret in said] == []


# Documentation


def test_the_same_options_for_modules_and_plugins() -> None:
    """As Ansible itself puts the two halves of the fragment together."""
    spec = connection_spec()
    documented = inventory_loader.get(NAME).option_definitions
    plugins = yaml.safe_load(ModuleDocFragment.PLUGINS)["options"]
    modules = yaml.safe_load(ModuleDocFragment.DOCUMENTATION)["options"]
    assert set(modules) == set(spec)
    assert set(plugins) == {name for name, option in spec.items() if "fallback" in option}
    for name, option in spec.items():
        merged = documented[name]
        assert [each["name"] for each in merged.get("env", ())] == list(option.get("fallback", ((), ()))[1]), name
        for key in ("type", "default", "choices", "aliases"):
            assert merged.get(key) == modules[name].get(key) == option.get(key), (name, key)
        assert merged["description"] == modules[name]["description"]


@pytest.mark.parametrize(
    ("example", "expected", "groups"),
    [
        ("by_tag", ["server", "work"], []),
        ("by_risk", ["server", "work"], ["risk_High", "risk_Medium"]),
        ("by_os", ["gone", "linux", "mac", "merged", "server", "work"],
         ["linux", "macos", "os_Ubuntu", "os_Windows11", "os_WindowsServer2022", "os_macOS", "windows"]),
        ("by_device_group", ["server"], ["group_Servers"]),
        ("only_active", ["linux", "mac", "server", "work"], []),
    ],
)  # fmt: skip
def test_example_inventories(
    example: str, expected: list[str], groups: list[str], simulate: t.Any, sign_in: t.Any, files: t.Any
) -> None:
    devices = [
        Device("work.contoso.com", tags=("incident-4711",), risk_score="Medium"),
        Device("server.contoso.com", os_platform="WindowsServer2022", rbac_group="Servers", risk_score="High", tags=("incident-4711",)),
        Device("mac.contoso.com", os_platform="macOS"),
        Device("linux.contoso.com", os_platform="Ubuntu"),
        Device("gone.contoso.com", health_status="Inactive", risk_score="High"),
        Device("merged.contoso.com", merged_into=ONE),
    ]  # fmt: skip
    sign_in(simulate(*devices))
    inventory = files.read(str(EXAMPLES / f"{example}.defender_machines.yml"))
    assert names(inventory) == [f"{name}.contoso.com" for name in expected]
    assert sorted(set(inventory.groups) - {"all", "ungrouped"}) == groups


def test_every_example_is_tested() -> None:
    examples = {path.name.partition(".")[0] for path in EXAMPLES.iterdir()}
    assert examples == {"by_tag", "by_risk", "by_os", "by_device_group", "only_active"}


def test_documented_example(tenant: Simulator, files: t.Any, tmp_path: pathlib.Path) -> None:
    example = yaml.safe_load(defender_machines.EXAMPLES)
    for elsewhere in ("tenant", "client_id", "client_secret"):
        del example[elsewhere]
    inventory = files.load(**{**example, "cache_connection": str(tmp_path / "cache")})
    assert names(inventory) == ["pc1"]
    assert members(inventory, "os_Windows11") == ["pc1"]
    assert inventory.hosts["pc1"].vars["ansible_host"] == PC1.ip


@pytest.mark.parametrize(("verbosity", "lines"), [(0, 0), (1, 1)])
def test_waiting_prints_nothing_into_the_inventory(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, verbosity: int, lines: int
) -> None:
    display = Display()
    monkeypatch.setattr(display, "verbosity", verbosity)
    defender_machines._Reporter(display, Secrets()).say("Waiting 40 s for the quota of machines.")
    assert len(capsys.readouterr().out.splitlines()) == lines


def test_what_the_service_says_back_is_in_no_host_and_in_no_cache(
    simulate: t.Any, sign_in: t.Any, files: t.Any, cached: dict[str, t.Any], tmp_path: pathlib.Path
) -> None:
    simulator = simulate(Device("pc01.contoso.com", tags=("tier0",)))
    sign_in(simulator)
    for endpoint in ("machines", "machine_actions"):
        simulator.add_fault(endpoint, "say_back", count=0, but=["id"], also=[simulator.client_secret])
    inventory = files.load(**cached, keyed_groups=[{"key": "defender_machine_tags", "prefix": "tag"}])
    kept = "".join(path.read_text() for path in (tmp_path / "cache").iterdir())
    told = json.dumps({name: host.vars for name, host in inventory.hosts.items()}, default=str) + str(inventory.groups)
    assert len(inventory.hosts) == 1 and "********" in told and "********" in kept
    assert not [secret for secret in simulator.secrets if len(secret) > 8 and secret[:60] in told + kept]
