# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
import pathlib
import typing as t

import pytest
import yaml
from ansible.inventory.data import InventoryData
from ansible.parsing.dataloader import DataLoader
from ansible.plugins.loader import init_plugin_loader, inventory_loader
from ansible.utils.collection_loader import AnsibleCollectionConfig

from simulator import Simulator

NAME = "secops.defender.defender_machines"
_FOREIGN = ("proxy", "requests_ca", "curl_ca", "defender_", "azure_", "identity_", "msi_", "ansible_inventory")

if AnsibleCollectionConfig.collection_finder is None:
    # Without ansible-test nobody has told Ansible where the collection is.
    init_plugin_loader([str(pathlib.Path(__file__).parents[6].parent)])


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path) -> None:
    """Nothing of the surroundings of whoever runs the tests."""
    for name in list(os.environ):
        if any(part in name.lower() for part in _FOREIGN):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("DEFENDER_QUOTA_DIR", str(tmp_path / "quota"))


@pytest.fixture
def simulate() -> t.Iterator[t.Callable[..., Simulator]]:
    running: list[Simulator] = []

    def start(*devices: t.Any, **settings: t.Any) -> Simulator:
        running.append(Simulator(devices, **settings).start())
        return running[-1]

    yield start
    for simulator in running:
        simulator.stop()


@pytest.fixture
def sign_in(monkeypatch: pytest.MonkeyPatch) -> t.Callable[[Simulator], None]:
    """Connection and credentials of a simulated tenant in the environment."""

    def into_environment(simulator: Simulator) -> None:
        for name in ("tenant", "client_id", "client_secret", "api_url", "login_url", "audience", "ca_path"):
            monkeypatch.setenv(f"DEFENDER_{name.upper()}", getattr(simulator, name))

    return into_environment


class Files:
    """Inventory files, and what Ansible makes of them."""

    def __init__(self, folder: pathlib.Path) -> None:
        self.folder = folder

    def write(self, name: str = "x.defender_machines.yml", **options: t.Any) -> str:
        path = self.folder / name
        path.write_text(yaml.safe_dump({"plugin": NAME, **options}, allow_unicode=True), encoding="utf-8")
        return str(path)

    def read(self, path: str, inventory: InventoryData | None = None, cache: bool = True) -> InventoryData:
        """As Ansible does it, except that errors are raised instead of shown."""
        plugin = inventory_loader.get(NAME)
        assert plugin.verify_file(path)
        inventory = inventory or InventoryData()
        plugin.parse(inventory, DataLoader(), path, cache=cache)
        if getattr(plugin, "_cache", None):
            plugin.update_cache_if_changed()
        inventory.reconcile_inventory()
        return inventory

    def load(self, **options: t.Any) -> InventoryData:
        return self.read(self.write(**options))


@pytest.fixture
def files(tmp_path: pathlib.Path) -> Files:
    return Files(tmp_path)
