# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Every option that is a duration, of every module and of the event source: found from what they do with it, so a new one is among them.

The role hands its variables to the same reading, and the inventory plugin has those of the connection.
"""

from __future__ import annotations

import dataclasses
import importlib
import pathlib
import pkgutil
import re
import typing as t

import pytest

from ansible_collections.secops.defender.plugins import modules as _modules
from ansible_collections.secops.defender.plugins.module_utils import _tasks
from ansible_collections.secops.defender.plugins.module_utils._service.settings import connection_spec
from ansible_collections.secops.defender.plugins.module_utils._tasks import alerts
from ansible_collections.secops.defender.plugins.module_utils._tasks.door import Task
from ansible_collections.secops.defender.plugins.module_utils._words.errors import OptionsError
from ansible_collections.secops.defender.plugins.module_utils._words.options import read

# Not imported: it needs more of Ansible than a module has.
INVENTORY = pathlib.Path(__file__).parents[5] / "plugins" / "inventory" / "defender_machines.py"

# What a task needs before its other options are looked at.
_NEEDED: dict[str, t.Any] = {
    "machines": ["pc01"],
    "comment": "Alert 4711",
    "dest": "/srv/evidence",
    "path": "/srv/evidence",
    "alerts": [{"machine_id": "a" * 40, "id": "1"}],
    "indicators": ["203.0.113.7"],
    "require_evidence": "/srv/evidence",
    "tsa_url": "http://tsa.example.com",
    "access_token": "e30.e30.x",
}
_HOW_TO_WRITE_IT = "a number with s, m, h or d"
# What such an option is called; one that is read in another way is missed by what is below, but not by its name.
_CALLED_LIKE_ONE = re.compile(r"(_|^)(timeout|within|age|interval|after|back|seconds|since)$")
_READ_OTHERWISE = {
    # A moment or an age, see test_machine_action_info.py; a moment, see test_reading_evidence.py.
    ("defender_machine_action_info", "since"),
    ("defender_search_evidence", "since"),
    # A package.
    ("defender_compare_evidence", "after"),
}


def tasks() -> list[Task]:
    names = [each.name for each in pkgutil.iter_modules(_tasks.__path__)]
    rooms = [importlib.import_module(f"{_tasks.__name__}.{name}") for name in names]
    found = [room.TASK for room in rooms if isinstance(getattr(room, "TASK", None), Task)]
    assert {task.name for task in found} >= {
        each.name
        for each in pkgutil.iter_modules(_modules.__path__)
        if each.name.startswith("defender_") and "role" not in each.name
    }
    return [*found, Task("alerts", alerts.spec(), alerts.Options.of, lambda options, context: {})]


def typed(task: Task, **given: t.Any) -> t.Any:
    """Raises OptionsError."""
    needed = {name: value for name, value in _NEEDED.items() if name in task.spec}
    return task.options(read({**needed, **given}, task.spec, {}, called=task.called))


def durations() -> t.Iterator[tuple[Task, str]]:
    """The options that refuse what is no duration, and say how to write one."""
    for task in tasks():
        for name, option in task.spec.items():
            if option.get("type") != "str" or option.get("choices"):
                continue
            try:
                typed(task, **{name: "soon"})
            except OptionsError as failure:
                if _HOW_TO_WRITE_IT in str(failure):
                    yield task, name


FOUND = [pytest.param(task, name, id=f"{task.name}-{name}") for task, name in durations()]
each_duration = pytest.mark.parametrize(("task", "name"), FOUND)


def numbers_in(value: t.Any) -> list[float]:
    """Every number that typed options hold."""
    if dataclasses.is_dataclass(value):
        return [number for each in dataclasses.fields(value) for number in numbers_in(getattr(value, each.name))]
    if isinstance(value, (list, tuple)):
        return [number for each in value for number in numbers_in(each)]
    return [float(value)] if isinstance(value, (int, float)) and not isinstance(value, bool) else []


def test_none_is_missing() -> None:
    found = {(task.name, name) for task, name in durations()}
    named = {
        (task.name, name)
        for task in tasks()
        for name, option in task.spec.items()
        if _CALLED_LIKE_ONE.search(name) and option.get("type") != "bool"
    }
    assert named - found == _READ_OTHERWISE
    assert {name for _task, name in found} == {
        "evidence_max_age", "isolate_anyway_after", "look_back", "max_age", "max_seconds", "poll_interval", "resume_within",
        "reuse_within", "timeout", "wait_timeout",
    }  # fmt: skip
    # The inventory plugin's own has the connection's reading; cache_timeout is Ansible's.
    assert {name for name in connection_spec() if _CALLED_LIKE_ONE.search(name)} == {"timeout"}
    own = re.findall(r"(?m)^  (\w+):$", INVENTORY.read_text(encoding="utf-8"))
    assert "include" in own and [name for name in own if _CALLED_LIKE_ONE.search(name)] == []


@each_duration
@pytest.mark.parametrize("written", [5420, "5420", "5420s", "5420 s", 5420.0, " 5420S ", "5420\n"])
def test_what_it_is(task: Task, name: str, written: t.Any) -> None:
    assert 5420.0 in numbers_in(typed(task, **{name: written}))


@each_duration
@pytest.mark.parametrize(
    ("written", "seconds"),
    [("7m", 420.0), ("7 m", 420.0), ("3h", 10800.0), ("3H", 10800.0), ("3 h", 10800.0), ("1.25h", 4500.0), ("5d", 432000.0), (2.5, 2.5),
     ("0.5", 0.5), (43200, 43200.0)],
)  # fmt: skip
def test_units(task: Task, name: str, written: t.Any, seconds: float) -> None:
    assert seconds in numbers_in(typed(task, **{name: written}))


@each_duration
@pytest.mark.parametrize(
    "written",
    ["1:30", "12:00", "12:00:00", "1h30m", "1h 30m", "-1", -1, "-4h", -0.5, "4 hours", "4w", "1e3", "inf", "nan", "half", "P1D", "1,5h",
     # What YAML makes of 2026-11-01, and of it without hyphens; seconds and milliseconds since 1970.
     "2026-11-01", "2026-11-01T00:00:00Z", "20261101", 20261101, "1795694400", 1795694400, 1795694400000, 1795694400.5],
)  # fmt: skip
def test_what_it_is_not(task: Task, name: str, written: t.Any) -> None:
    with pytest.raises(OptionsError) as caught:
        typed(task, **{name: written})
    assert caught.value.message.startswith(f"{name} is ") and str(written).strip() in caught.value.message
    assert _HOW_TO_WRITE_IT in caught.value.advice and "Nothing was" in caught.value.advice


@each_duration
@pytest.mark.parametrize("written", [True, False, ["4h"], {"hours": 4}])
def test_what_is_no_text(task: Task, name: str, written: t.Any) -> None:
    with pytest.raises(OptionsError) as caught:
        typed(task, **{name: written})
    assert caught.value.message.startswith(name) and "<class" not in str(caught.value)


@pytest.mark.parametrize("written", ["1:30", "20261101", 20261101, "1h30m", -1])
@pytest.mark.parametrize("name", ["wait_timeout", "reuse_within"])
def test_of_one_request(name: str, written: t.Any) -> None:
    collect = next(task for task in tasks() if task.name == "defender_collect_package")
    with pytest.raises(OptionsError, match=f"{name} is") as caught:
        typed(collect, machines=[{"machine": "pc01", name: written}])
    assert _HOW_TO_WRITE_IT in caught.value.advice
    assert 5420.0 in numbers_in(typed(collect, machines=[{"machine": "pc01", name: 5420}]))


def test_from_the_environment() -> None:
    task = next(task for task in tasks() if task.name == "defender_machine_info")
    for written in ("1:30", "20261101", "-1"):
        with pytest.raises(OptionsError, match="DEFENDER_TIMEOUT is"):
            task.options(read({"machines": ["pc01"]}, task.spec, {"DEFENDER_TIMEOUT": written}, called="x"))
