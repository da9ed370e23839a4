# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A relative path is below the playbook's folder, as ansible.builtin.fetch has it: every path of every module, through both doors."""

from __future__ import annotations

import importlib
import json
import os
import pkgutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible.playbook.play_context import PlayContext

from ansible_collections.secops.defender.plugins import action as _actions
from ansible_collections.secops.defender.plugins.module_utils._words.options import Given, read
from ansible_collections.secops.defender.plugins.plugin_utils import _action
from ansible_collections.secops.defender.plugins.plugin_utils._action import DefenderAction
from ansible_collections.secops.defender.tests.unit.plugins.module_utils.evidence_world import Evidence

BASE = "/playbooks"
# What a path is called; one that is of another type would be missed by what is below, but not by its name.
_CALLED_LIKE_ONE = ("path", "_file", "dest", "_dir", "_key", "_keys", "_signers", "_rules", "require_evidence")


def doors() -> list[type[DefenderAction]]:
    rooms = [
        importlib.import_module(f"{_actions.__name__}.{each.name}") for each in pkgutil.iter_modules(_actions.__path__)
    ]
    return [room.ActionModule for room in rooms if issubclass(room.ActionModule, DefenderAction)]


def paths() -> Iterator[tuple[type[DefenderAction], str]]:
    for door in doors():
        for name, option in door.TASK.spec.items():
            if "path" in (option.get("type"), option.get("elements")) or name in door.TASK.paths_or_ids:
                yield door, name


def meant(door: type[DefenderAction], name: str, given: Any) -> Any:
    """A path, as the module's own typed options have it where they are who completes it."""
    if door.TASK.spec[name]["type"] == "path":
        return given[name]
    typed = door.TASK.options(
        Given(
            {**given.values, "path": given["path"] or ["/x"], "indicators": ["203.0.113.7"], "dest": "/y"},
            {},
            given.base,
        )
    )
    if name == "path":
        return [os.path.normpath(each) for each in typed.reading.paths]
    return getattr(typed, name)


FOUND = [pytest.param(door, name, id=f"{door.TASK.name}-{name}") for door, name in paths()]
WHERE = {
    "evidence": f"{BASE}/evidence",
    "./evidence/4711": f"{BASE}/evidence/4711",
    "../evidence": "/evidence",
    "/srv/evidence": "/srv/evidence",
    "~/evidence": "/home/jane/evidence",
    "$CASES/4711": "/srv/cases/4711",
    "Incident 4711, second look": f"{BASE}/Incident 4711, second look",
}


@pytest.fixture(autouse=True)
def elsewhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    """Where the process happens to be says nothing."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/jane")
    monkeypatch.setenv("CASES", "/srv/cases")


def _plugin(door: type[DefenderAction], args: dict[str, Any], **how: Any) -> Any:
    task: Any = SimpleNamespace(
        args=args, action=door.TASK.called, async_val=0, check_mode=False, delegate_to=None, until=[], retries=None, _uuid="1",
        no_log=False, environment=[], diff=False, become=False,
    )  # fmt: skip
    vars(task).update(how)
    connection: Any = SimpleNamespace(transport="psrp", _shell=SimpleNamespace(tmpdir=None))
    loader: Any = SimpleNamespace(get_basedir=lambda: BASE)
    plugin = door(task, connection, PlayContext(), loader, SimpleNamespace(template=lambda value: value), None)  # type: ignore[arg-type]
    plugin._load_name = task.action
    return plugin


def _here(door: type[DefenderAction], args: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> Any:
    """The options as the work on the control node gets them."""
    seen: list[Any] = []

    def opened(task: Any, args: Any, environ: Any, base: Any, context: Any) -> dict[str, Any]:
        seen.append(read(args, _optional(task.spec), {}, called=task.called, base=base))
        return {"changed": False, "failed": False, "msg": "x"}

    monkeypatch.setattr(_action, "open_door", opened)
    _plugin(door, args).run(None, {})
    return seen[0]


def _there(door: type[DefenderAction], args: dict[str, Any], monkeypatch: pytest.MonkeyPatch, **how: Any) -> Any:
    """The options as the module reads what it was sent."""
    sent: list[Any] = []

    def execute(self: Any, **kwargs: Any) -> dict[str, Any]:
        sent.append(self._task.args)
        return {}

    monkeypatch.setattr(door, "_execute_module", execute)
    _plugin(door, args, **how).run(None, {})
    return read(
        json.loads(json.dumps(sent[0])), _optional(door.TASK.spec), {}, called=door.TASK.called, base=os.getcwd()
    )


def _optional(spec: dict[str, Any]) -> dict[str, Any]:
    return {name: {**option, "required": False} for name, option in spec.items()}


@pytest.mark.parametrize(("door", "name"), FOUND)
def test_a_path(door: type[DefenderAction], name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    several = door.TASK.spec[name]["type"] == "list"
    for written, path in WHERE.items():
        value, expected = ([written], [path]) if several else (written, path)
        args = {name: value, **({"mode": "diff"} if name in door.TASK.paths_or_ids else {})}
        assert meant(door, name, _here(door, args, monkeypatch)) == expected
        assert meant(door, name, _there(door, args, monkeypatch, delegate_to="fileserver")) == expected
        assert meant(door, name, _there(door, args, monkeypatch, async_val=60)) == expected


@pytest.mark.parametrize("door", [door for door, name in paths() if door.TASK.spec[name]["type"] == "list"])
@pytest.mark.parametrize("written", ["a, /b", "a\n/b\n", '["a", "/b"]', ["a", "/b"]])
def test_several_paths(door: type[DefenderAction], written: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    args = {"path": written}
    assert meant(door, "path", _here(door, args, monkeypatch)) == [f"{BASE}/a", "/b"]
    assert meant(door, "path", _there(door, args, monkeypatch, delegate_to="fileserver")) == [f"{BASE}/a", "/b"]


def test_an_id_is_no_path(monkeypatch: pytest.MonkeyPatch) -> None:
    door = next(door for door in doors() if door.TASK.paths_or_ids)
    action = "5382F7EA-7557-4ab7-9782-d50480024a4e"
    for name in door.TASK.paths_or_ids:
        given = _there(door, {"mode": "diff", name: action}, monkeypatch, async_val=60)
        assert meant(door, name, given) == action.lower()
    # A folder may be called like one.
    collect = next(door for door in doors() if door.TASK.name == "defender_collect_package")
    assert _there(collect, {"dest": action}, monkeypatch, async_val=60)["dest"] == f"{BASE}/{action}"


def test_none_is_missing() -> None:
    known = {(door.TASK.name, name) for door, name in paths()}
    named = {
        (door.TASK.name, name)
        for door in doors()
        for name, option in door.TASK.spec.items()
        if name.endswith(_CALLED_LIKE_ONE) and option.get("type") not in ("bool", "int")
    }
    assert named <= known and len({name for name, _option in known}) == len(doors())


READERS = [door for door in doors() if "path" in door.TASK.spec]


@pytest.mark.parametrize("door", READERS, ids=lambda door: door.TASK.name)
@pytest.mark.parametrize("there", [True, False], ids=["folder", "no folder"])
def test_whose_folder_it_is(door: type[DefenderAction], there: bool, tmp_path: Path) -> None:
    """The folder of the play's host may have the same name, and nobody looks at it."""
    world = Evidence(tmp_path / "evidence")
    for name in ("pc1", "pc2"):
        world.add(name, {"a.txt": b"203.0.113.7"})
    key = tmp_path / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    more = {"indicators": ["203.0.113.7"], "signing_key": str(key), "dest": str(tmp_path / "out")}
    args = {
        "path": str(world.path if there else tmp_path / "none"),
        **{n: v for n, v in more.items() if n in door.TASK.spec},
    }
    node, note = os.uname().nodename, "not on fileserver: with delegate_to: fileserver it is done there."

    def run(host: str, transport: str = "ssh", **how: Any) -> Any:
        plugin = _plugin(door, args, **how)
        plugin._connection.transport = transport
        result = plugin.run(None, {"inventory_hostname": host})
        assert result["node"] == node and (there or result["failed"]), result["msg"]
        return result["msg"]

    assert run("fileserver").endswith(f" This was done on {node}, {note}")
    assert note not in run("fileserver", "local") + run("localhost") + run("fileserver", delegate_to="localhost")


def test_who_reads_a_folder() -> None:
    assert {door.TASK.name.removeprefix("defender_") for door in READERS} == {
        "compare_evidence", "extract_evidence", "package_info", "seal_evidence", "search_evidence", "verify_evidence",
    }  # fmt: skip


@pytest.mark.parametrize("how", [{}, {"delegate_to": "fileserver"}, {"async_val": 60}])
def test_of_one_request(how: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    door = next(door for door in doors() if door.TASK.name == "defender_collect_package")
    for machines in ([{"machine": "pc01", "dest": "own"}], json.dumps([{"machine": "pc01", "dest": "own"}])):
        args = {"machines": machines, "comment": "x"}
        given = _there(door, args, monkeypatch, **how) if how else _here(door, args, monkeypatch)
        assert door.TASK.options(given).asked[0].wish.dest == f"{BASE}/own"
