# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import hashlib
import json
import threading
import time
import typing as t
from pathlib import Path

import pytest

from ansible_collections.secops.defender.plugins.module_utils._evidence.folder import Package
from ansible_collections.secops.defender.plugins.module_utils._evidence.reading import facts as _facts
from ansible_collections.secops.defender.plugins.module_utils._fleet.device import Device, Wish
from ansible_collections.secops.defender.plugins.module_utils._tasks import contents as _contents
from ansible_collections.secops.defender.plugins.module_utils._tasks.collect_package import TASK as COLLECT
from ansible_collections.secops.defender.plugins.module_utils._tasks.contents import Contents, look_into
from ansible_collections.secops.defender.plugins.module_utils._words.clock import Clock
from ansible_collections.secops.defender.plugins.module_utils._words.models import Machine
from ansible_collections.secops.defender.tests.unit.plugins.module_utils.task_world import Teller, Tenant
from simulator import Device as Simulated
from simulator import artefacts

NAME = "pc01.contoso.com"


def package(folder: Path, files: t.Mapping[str, bytes] | None = None, content: bytes | None = None) -> Package:
    path = folder / f"{len(list(folder.glob('*.zip')))}.zip"
    path.write_bytes(artefacts.zipped(artefacts.seen(NAME) if files is None else files) if content is None else content)
    return Package(path, path.stat().st_size, hashlib.sha256(path.read_bytes()).hexdigest(), "2026-11-23T10:15:00Z")


def device(order: int, stored: Package | None) -> Device:
    return Device(order, NAME, Machine(f"{order:040}", NAME), Wish(), package=stored)


def test_what_it_holds_lacks_has_empty_and_how_far_its_logs_go(tmp_path: Path) -> None:
    files = dict(artefacts.seen(NAME))
    services = next(name for name in files if name.startswith("Services"))
    files[services] = b"ERROR: Access is denied.\r\n"
    files = {name: content for name, content in files.items() if "Autoruns" not in name}
    held = look_into(package(tmp_path, files), NAME, Clock())
    assert (held["why"], held["system"], held["strangers"]) == (None, "windows", [])
    assert held["entries"] == len(files) and held["artefacts"]["event_log"] >= 1
    assert held["missing"] == ["autoruns"] and held["empty"] == ["services"]
    log = held["event_logs"][0]
    assert "security" in log["name"].lower() and log["records"] and log["first"] <= log["last"]


def test_another_computers_name_in_it_is_told(tmp_path: Path) -> None:
    assert look_into(package(tmp_path), "pc02.contoso.com", Clock())["strangers"]


def test_what_cannot_be_read_says_why(tmp_path: Path) -> None:
    assert "cannot be read" in look_into(package(tmp_path, content=b"no zip"), NAME, Clock())["why"]
    changed = package(tmp_path)
    changed.path.write_bytes(b"other")
    assert "SHA-256" in look_into(changed, NAME, Clock())["why"]
    changed.path.unlink()
    assert "cannot be read" in look_into(changed, NAME, Clock())["why"]


def test_a_package_may_cost_only_so_much(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Slow(Clock):
        """A second between any two looks at it."""

        now = 0.0

        def monotonic(self) -> float:
            self.now += 1
            return self.now

    held = look_into(package(tmp_path, {f"f{number}.txt": b"x" for number in range(100)}), NAME, Slow())
    assert held["why"] == "reading the package took longer than 60 s; the rest was not read"
    assert 0 < held["entries"] < 100


def test_looking_goes_on_beside_the_fleet_and_the_end_waits_only_so_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stuck = threading.Event()
    look = _contents.look_into
    monkeypatch.setattr(
        _contents,
        "look_into",
        lambda stored, *args: (stored.path.name == "1.zip" and stuck.wait(60), look(stored, *args))[1],
    )
    teller = Teller()
    contents = Contents(teller, Clock())
    devices = [device(order, package(tmp_path)) for order in range(3)]
    for each in devices:
        contents.device(each, "done")
    contents.device(device(3, None), "done")
    contents.device(devices[0], "failed", "why")
    assert len(teller.told("device")) == 5
    began = time.monotonic()
    contents.settle(2.0)
    assert time.monotonic() - began < 30
    stuck.set()
    first, second, third = (contents.of(each) for each in devices)
    assert first and first["why"] is None and first["entries"]
    # The third one never had its turn.
    assert third and "no time left" in third["why"] and not third["entries"]
    assert second
    assert contents.of(device(3, None)) is None and contents.of(None) is None


def test_the_report_tells_of_devices_packages_and_links(tenant: t.Callable[..., Tenant], tmp_path: Path) -> None:
    world = tenant(Simulated(NAME), Simulated("pc02.contoso.com"))
    result = world(COLLECT, machines=[NAME], comment="Incident 4711", dest=str(tmp_path / "evidence"), report=True)
    assert not result["failed"], result["msg"]
    [row] = json.loads(Path(result["report"]["json"]).read_bytes())["devices"]
    assert row["comment"] == "Incident 4711" and row["device"]["os"] and row["device"]["health"] == "Active"
    page = f"https://security.microsoft.com/machines/v2/{row['machine_id']}/overview?tid={world.simulator.tenant}"
    assert row["links"]["device"] == page
    assert row["links"]["action"].startswith("https://security.microsoft.com/action-center/history?tid=")
    assert row["contents"]["why"] is None and row["contents"]["entries"]
    html = Path(result["report"]["html"]).read_text(encoding="utf-8")
    assert page in html and f'href="./{NAME}/' in html


def test_a_package_that_cannot_be_looked_into_costs_the_run_nothing(
    tenant: t.Callable[..., Tenant], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*args: t.Any) -> t.Any:
        raise MemoryError

    monkeypatch.setattr(_facts, "read", broken)
    result = tenant(Simulated(NAME))(
        COLLECT, machines=[NAME], comment="Incident 4711", dest=str(tmp_path / "evidence"), report=True
    )
    assert not result["failed"] and result["summary"]["downloaded"] == 1
    [row] = json.loads(Path(result["report"]["json"]).read_bytes())["devices"]
    assert row["contents"]["why"] == "it cannot be read: MemoryError"
