# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import errno
import json
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.secops.defender.plugins.module_utils._evidence.folder import Folder
from ansible_collections.secops.defender.plugins.module_utils._service import session as _session
from ansible_collections.secops.defender.plugins.module_utils._service import wire as _http
from ansible_collections.secops.defender.plugins.module_utils._service.token import Claims
from ansible_collections.secops.defender.plugins.module_utils._tasks import packages as _packages
from ansible_collections.secops.defender.plugins.module_utils._tasks.collect_package import TASK
from ansible_collections.secops.defender.plugins.module_utils._words.errors import (
    AuthError,
    DefenderError,
    MissingLibrary,
    NetworkError,
    ServiceError,
    from_reply,
)
from ansible_collections.secops.defender.plugins.module_utils._words.models import Machine, duration
from ansible_collections.secops.defender.plugins.module_utils._words.secrets import Secrets
from ansible_collections.secops.defender.tests.unit.plugins.fleet_world import (
    COMMENT,
    Killed,
    Recorder,
    VirtualPool,
    World,
    WorldApi,
    prepare,
    reply_lost,
)
from ansible_collections.secops.defender.tests.unit.plugins.module_utils.task_world import ask
from simulator import Device, Simulator

PACKAGE_KEYS = [
    "machine",
    "machine_id",
    "computer_dns_name",
    "request",
    "status",
    "age",
    "changed",
    "failed",
    "error",
    "action",
    "package",
    "report",
]
SUMMARY_KEYS = [
    "requested",
    "started",
    "already_running",
    "reused",
    "resumed",
    "would_start",
    "succeeded",
    "downloaded",
    "failed",
    "plan",
    "duration",
    "api_calls",
]
Collect = Callable[..., dict[str, Any]]


class Said(Recorder):
    """A door that writes down whatever it is told."""

    live = True

    def __init__(self, clock: Any) -> None:
        super().__init__(clock)
        self.launched_by: Mapping[str, str] = {}
        self.lines: list[str] = []
        self.plans: list[Any] = []

    def plan(self, plan: Any) -> None:
        self.plans.append(plan)

    def device(self, device: Any, what: str, detail: str = "") -> None:
        self.lines.append(f"{device.label} {what} {detail}")

    def trouble(self, text: str) -> None:
        self.lines.append(text)

    say = detail = http = warn = trouble


def _args(**given: Any) -> dict[str, Any]:
    return {"machines": ["pc01"], "comment": COMMENT, **given}


@pytest.fixture
def world() -> World:
    world = World()
    world.know("pc01", "pc02", "pc03")
    return world


@pytest.fixture
def said(world: World) -> Said:
    return Said(world.clock)


@pytest.fixture
def collect(world: World, said: Said, monkeypatch: pytest.MonkeyPatch) -> Collect:
    """The task in the virtual world, signed in already."""
    pools: list[VirtualPool] = []

    class Connection:
        tokens = SimpleNamespace(claims=lambda: Claims.of(""))
        where = SimpleNamespace(api_url="https://api.example")

        def __init__(self, settings: Any, reporter: Any, secrets: Secrets, clock: Any) -> None:
            pass

        def sign_in(self, required: Any) -> Any:
            return WorldApi(world, pools[-1])

        def check_lifetime(self, work: float) -> None:
            pass

    monkeypatch.setattr(_packages, "Connection", Connection)
    monkeypatch.setattr(_packages, "ThreadPoolExecutor", lambda max_workers: pools[-1])

    def run(
        check_mode: bool = False,
        asked: list[str] | None = None,
        master_gone: Callable[[], bool] = lambda: False,
        **given: Any,
    ) -> dict[str, Any]:
        world.clock.restart()
        pools.append(VirtualPool(world.clock, given.get("downloads", 4) + 6))
        result = ask(TASK, _args(**given), check_mode, said, clock=world.clock, master_gone=master_gone)
        _check_shape(result, asked or given.get("machines", ["pc01"]))
        return result

    return run


def _check_shape(result: dict[str, Any], machines: list[str]) -> None:
    """The same keys whatever happened, and one entry for each machine as it was named."""
    assert list(result) == [
        "changed",
        "failed",
        "msg",
        "summary",
        "packages",
        "report",
        "reports",
        "node",
        "summary_text",
    ]
    assert list(result["summary"]) == SUMMARY_KEYS
    assert set(result["summary"]["plan"]) == {"starts", "links", "seconds"}
    assert [package["machine"] for package in result["packages"]] == machines
    for package in result["packages"]:
        assert list(package) == PACKAGE_KEYS
        assert package["failed"] is (package["error"] is not None)
        if package["error"]:
            assert list(package["error"]) == ["code", "message", "advice", "tracking_id"]
        if package["action"]:
            assert list(package["action"]) == ["id", "status", "requestor", "comment", "created", "updated"]
            assert package["action"]["status"] == package["status"]
        if package["package"]:
            assert list(package["package"]) == ["path", "size", "sha256", "downloaded"]
    if any(package["failed"] for package in result["packages"]):
        assert result["failed"]
    assert isinstance(result["msg"], str) and result["msg"].endswith((".", "?"))
    json.dumps(result)


# ---- results ----


def test_a_collection_that_is_not_waited_for(collect: Collect, world: World) -> None:
    result = collect()
    (package,) = result["packages"]
    assert (result["changed"], result["failed"]) == (True, False)
    assert (package["request"], package["status"], package["changed"]) == ("started", "Pending", True)
    assert package["machine_id"] == world.machine("pc01").id
    assert package["computer_dns_name"] == "pc01"
    assert package["action"]["comment"] == COMMENT
    assert result["msg"] == "1 device: 1 started."
    assert result["summary"]["api_calls"] == 3


@pytest.mark.parametrize("blank", ["", None])
def test_a_blank_limit_is_none_and_said(collect: Collect, said: Said, blank: Any) -> None:
    assert not collect(max_machines=blank)["failed"]
    assert "max_machines is blank, so there is no limit. Leave max_machines out if that is meant." in said.lines


LATER = " not downloaded, for dest is not given: secops.defender.defender_fetch_package does it later."


def test_who_forgets_dest_is_told_that_nothing_was_downloaded(collect: Collect, tmp_path: Path) -> None:
    assert collect(wait=True)["msg"] == f"1 device: 1 started. Its package was{LATER}"
    again = collect(machines=["pc01", "pc02"], reuse_within="1h")
    assert again["msg"].startswith("2 devices: 1 started, 1 reused. What is reused is ")
    assert again["msg"].endswith(f" old. 1 package was{LATER}")
    requests: list[Any] = ["pc01", "pc02", {"machine": "pc03", "dest": str(tmp_path / "e")}]
    mixed = collect(machines=requests, asked=["pc01", "pc02", "pc03"], reuse_within="1h", wait=True)
    assert f" 2 packages were{LATER}" in mixed["msg"] and "1 package verified" in mixed["msg"]
    assert LATER not in collect(machines=["pc01"], reuse_within="1h", check_mode=True)["msg"]
    assert LATER not in collect(machines=["pc01"], reuse_within="1h", dest=str(tmp_path / "e"))["msg"]


def test_packages_that_are_stored(collect: Collect, tmp_path: Path) -> None:
    result = collect(machines=["pc01", "pc02"], dest=str(tmp_path / "evidence"))
    assert result["msg"] == "2 devices: 2 started, 2 packages verified."
    assert result["summary"]["succeeded"] == result["summary"]["downloaded"] == 2
    assert result["summary"]["plan"] == {"starts": 2, "links": 2, "seconds": 0.0}
    assert result["summary"]["duration"] > 90
    for package in result["packages"]:
        assert Path(package["package"]["path"]).stat().st_size == package["package"]["size"]
        assert package["status"] == "Succeeded"


def test_one_package_is_one(collect: Collect, tmp_path: Path) -> None:
    assert collect(dest=str(tmp_path / "evidence"))["msg"] == "1 device: 1 started, 1 package verified."


def test_what_runs_already_is_ok_and_not_changed(collect: Collect, world: World) -> None:
    theirs = world.act("pc01")
    result = collect()
    assert (result["changed"], result["failed"]) == (False, False)
    assert result["packages"][0]["request"] == "already_running"
    assert result["packages"][0]["action"]["id"] == theirs.id
    assert result["msg"] == "1 device: 1 already running."


def test_a_device_named_twice_is_one_request_and_two_entries(collect: Collect, world: World) -> None:
    names = ["pc02", "PC01", world.machine("pc01").id, "pc01", "pc02"]
    result = collect(machines=names)
    assert world.accepted == {"pc01": 1, "pc02": 1}
    ids = [package["action"]["id"] for package in result["packages"]]
    assert ids[0] == ids[4] and ids[1] == ids[2] == ids[3] != ids[0]
    assert result["summary"]["requested"] == result["summary"]["started"] == 2
    assert world.subjects("collect") == ["pc02", "pc01"]


def test_one_failure_is_told_whole(collect: Collect, world: World) -> None:
    body = {
        "error": {"code": "OsPlatformNotSupported", "message": "OS Platform macOS isn't supported", "target": "t-1"}
    }
    world.fault("collect", from_reply(400, body, "start a collection on pc02"), machine="pc02")
    result = collect(machines=["pc01", "pc02"])
    assert (result["changed"], result["failed"]) == (True, True)
    assert result["packages"][1]["error"]["tracking_id"] == "t-1"
    assert result["packages"][1]["status"] is result["packages"][1]["request"] is None
    assert result["msg"] == (
        "2 devices: 1 started, 1 failed. Failed to start a collection on pc02: the service answered 400 "
        "OsPlatformNotSupported: OS Platform macOS isn't supported. Tracking ID: t-1. Collect from this device by other "
        "means (live response, or on site); its operating system cannot run this action."
    )


def test_many_failures_are_named_up_to_ten(collect: Collect, world: World) -> None:
    names = [f"no{number:02d}" for number in range(13)]
    result = collect(machines=[*names, "pc01"])
    listed = ", ".join(f"{name} (MachineNotFound)" for name in names[:10])
    # All have the same advice: it is not buried.
    assert result["msg"] == (
        f"14 devices: 1 started, 13 failed. Failed: {listed} and 3 more. Check the spelling, that the device is "
        "onboarded, and that the app may see it."
    )
    assert result["packages"][13]["request"] == "started"


def test_names_without_a_device_do_not_keep_the_others(collect: Collect, world: World, said: Said) -> None:
    world.known["pc09"] = [
        (Machine("1" * 40, "pc09"), "2026-11-23T10:00:00Z"),
        (Machine("2" * 40, "pc09"), "2026-11-24T10:00:00Z"),
    ]
    result = collect(machines=["nobody", "pc01", "pc09"])
    assert [package["error"] and package["error"]["code"] for package in result["packages"]] == [
        "MachineNotFound",
        None,
        "MachineAmbiguous",
    ]
    assert [package["machine_id"] for package in result["packages"]] == [None, world.machine("pc01").id, None]
    assert any("nobody" in line for line in said.lines)
    newest = collect(machines=["pc09"], on_ambiguous="newest")
    assert newest["packages"][0]["machine_id"] == "2" * 40


def test_no_device_at_all_asks_nothing_more(collect: Collect, world: World) -> None:
    result = collect(machines=["nobody"])
    assert result["failed"] and not result["changed"]
    assert world.count("machine_actions") == 0
    assert result["msg"].startswith("1 device: 1 failed. No device is known by the DNS name nobody. ")


def test_a_failure_for_all_is_in_all_that_were_open(collect: Collect, world: World, tmp_path: Path) -> None:
    world.act("pc01", age=600.0, collect=90.0)
    world.fault("collect", AuthError("The app was disabled.", advice="Enable it.", tracking_id="t-2"), machine="pc03")
    result = collect(machines=["pc01", "pc02", "pc03"], dest=str(tmp_path / "e"), reuse_within="1h")
    codes = [package["error"] and package["error"]["code"] for package in result["packages"]]
    assert codes[1:] == ["AuthenticationFailed"] * 2
    assert result["msg"] == "The app was disabled. Tracking ID: t-2. Enable it."
    assert result["changed"]
    # What ended before it ended well.
    log = (tmp_path / "e" / "custody.jsonl").read_text()
    assert '"event":"run_aborted"' in log and '"event":"run_ended"' not in log


@pytest.mark.parametrize(
    ("failure", "said_so"),
    [
        (AuthError("No token.", advice="Sign in."), "No token. Sign in."),
        (NetworkError("It cannot be reached.", advice="Look."), "It cannot be reached. Look."),
        (ServiceError("It answered 403.", status=403, tracking_id="t-3"), "It answered 403. Tracking ID: t-3."),
    ],
)
@pytest.mark.parametrize("endpoint", ["machines", "machine_actions"])
@pytest.mark.parametrize("check_mode", [False, True])
def test_a_failure_before_anything_was_started(
    collect: Collect, world: World, endpoint: str, failure: DefenderError, said_so: str, check_mode: bool
) -> None:
    world.fault(endpoint, failure, left=-1)
    result = collect(check_mode, machines=["pc01", "pc02", "pc01"])
    assert result["failed"] and not result["changed"]
    assert result["msg"] == said_so
    assert [package["error"]["message"] for package in result["packages"]] == [failure.message] * 3
    assert world.count("collect") == 0
    assert result["summary"]["requested"] == result["summary"]["failed"] == 2


def test_a_token_that_ends_before_the_work_is_refused_before_the_start(
    collect: Collect, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    works: list[float] = []

    def too_short(self: Any, work: float) -> None:
        works.append(work)
        raise AuthError("The access token ends too soon.", code="TokenTooShort")

    monkeypatch.setattr(vars(_packages)["Connection"], "check_lifetime", too_short)
    world.know(*[f"ws{number}" for number in range(250)])
    result = collect(machines=[f"ws{number}" for number in range(250)])
    assert works == [pytest.approx(120.0, abs=1)]
    assert {package["error"]["code"] for package in result["packages"]} == {"TokenTooShort"}
    assert not world.accepted
    assert result["summary"]["plan"]["starts"] == 250


def test_a_bug_is_named_as_one(collect: Collect, world: World) -> None:
    world.fault("machine_actions", ZeroDivisionError())
    result = collect()
    assert result["packages"][0]["error"]["code"] == "UnexpectedError"
    assert "ZeroDivisionError" in result["msg"] and "Report it" in result["msg"]
    # Whoever waits in a thread gives up.
    with pytest.raises(Exception, match="^$"):
        world.clock.check()


# ---- check mode ----


def test_check_mode_says_what_would_be_done_and_does_nothing(collect: Collect, world: World, tmp_path: Path) -> None:
    world.act("pc02")
    result = collect(True, machines=["pc01", "pc02", "pc03"], dest=str(tmp_path / "evidence"))
    assert [package["request"] for package in result["packages"]] == ["would_start", "already_running", "would_start"]
    assert (result["changed"], result["failed"]) == (True, False)
    assert result["summary"]["would_start"] == 2
    assert result["summary"]["plan"]["starts"] == 2 and result["summary"]["plan"]["links"] == 3
    assert result["msg"] == (
        "3 devices: 2 would be started, 1 already running. It would take 2 starts and 3 links, 60 s at the least."
    )
    assert {call.endpoint for call in world.calls} == {"machines", "machine_actions"}
    assert not (tmp_path / "evidence").exists()


def test_check_mode_of_what_runs_already_changes_nothing(collect: Collect, world: World) -> None:
    world.act("pc01")
    result = collect(True)
    assert not result["changed"]
    assert result["msg"] == "1 device: 1 already running."


def test_check_mode_sees_what_runs_however_old_it_is(collect: Collect, world: World) -> None:
    """A run need not: its start is refused, and then it looks for what has refused it."""
    world.act("pc01", age=10 * 86400.0, collect=None)
    assert collect(check_mode=True)["packages"][0]["request"] == "already_running"
    assert collect()["packages"][0]["request"] == "already_running" and world.count("collect") == 1


def test_check_mode_with_a_failure_tells_it(collect: Collect) -> None:
    result = collect(True, machines=["pc01", "nobody"])
    assert result["failed"]
    assert result["msg"].startswith("2 devices: 1 would be started, 1 failed. No device is known")


def test_an_interrupted_task_lets_everything_go(collect: Collect, world: World, tmp_path: Path) -> None:
    def interrupt(name: str) -> None:
        if name == "after collect":
            raise KeyboardInterrupt

    world.step = interrupt
    with pytest.raises(KeyboardInterrupt):
        collect(dest=str(tmp_path))
    world.step = lambda name: None
    result = collect(dest=str(tmp_path))
    assert result["packages"][0]["request"] == "resumed"
    assert result["msg"] == "1 device: 1 resumed, 1 package verified. What is resumed is 0 s old."
    assert world.accepted == {"pc01": 1}


def test_a_task_that_was_killed_is_resumed(collect: Collect, world: World, tmp_path: Path) -> None:
    def kill(name: str) -> None:
        if name == "before collect":
            raise Killed

    world.step = kill
    with pytest.raises(Killed):
        collect(dest=str(tmp_path))
    world.step = lambda name: None
    assert collect(dest=str(tmp_path))["packages"][0]["request"] == "started"


def test_what_an_interrupted_task_has_begun_is_picked_up_for_so_long_only(
    collect: Collect, world: World, tmp_path: Path
) -> None:
    def interrupt(name: str) -> None:
        if name == "after collect":
            raise KeyboardInterrupt

    for within, request in (({}, "resumed"), ({"resume_within": "59m"}, "started"), ({"resume_within": 0}, "started")):
        dest = str(tmp_path / str(within.get("resume_within")))
        world.step = interrupt
        with pytest.raises(KeyboardInterrupt):
            collect(dest=dest)
        world.step = lambda name: None
        world.clock.now += 3600.0
        assert collect(dest=dest, **within)["packages"][0]["request"] == request


def test_a_run_that_is_about_to_notice_that_its_master_is_gone_is_no_living_one(
    collect: Collect, world: World, tmp_path: Path
) -> None:
    orphan = prepare(world, ["pc01"], tmp_path)
    orphan.fleet.folders[0].custody.begin()
    orphan.fleet.run()

    def notices() -> None:
        orphan.fleet.folders[0].custody.append("run_aborted", code="MasterGone", message="")
        orphan.fleet.folders[0].close()

    def step(name: str) -> None:
        if name == "after machines":
            world.clock.at(world.clock.now + 1.0, notices)

    world.step = step
    row = collect(dest=str(tmp_path))["packages"][0]
    assert row["request"] == "resumed" and row["action"]["id"] == orphan["pc01"].action.id


def test_what_nobody_was_told_of_is_no_end(collect: Collect, world: World, tmp_path: Path) -> None:
    log = tmp_path / "custody.jsonl"
    result = collect(dest=str(tmp_path), master_gone=lambda: log.exists() and "package_stored" in log.read_text())
    assert result["failed"] and "run_aborted" in log.read_text() and "run_ended" not in log.read_text()
    again = collect(dest=str(tmp_path))
    assert again["packages"][0]["request"] == "resumed" and again["packages"][0]["package"]
    assert world.accepted == {"pc01": 1}


# ---- bad options ----


def _certificate(folder: Path, content: str) -> str:
    (folder / "app.pem").write_text(content)
    return str(folder / "app.pem")


_APP = {"tenant": "contoso.onmicrosoft.com", "client_id": "app", "client_secret": "shhh-secret"}

_BAD: list[tuple[str, dict[str, Any], str]] = [
    ("no machine", {"machines": []}, "machines is empty. Name at least one device. Nothing was started."),
    (
        "comment",
        {"comment": "  "},
        "secops.defender.defender_collect_package needs comment, but it is blank. Say in comment why this is done: it stays with "
        "the action, for the audit trail. Nothing was started.",
    ),
    (
        "device ID",
        {"machines": ["a" * 39]},
        f"Malformed in machines: '{'a' * 39}' looks like a device ID but has 39 hexadecimal digits instead of 40. ",
    ),
    (
        "several",
        {"machines": ["a/b", "1.2.3.999", "pc01"]},
        "Malformed in machines: 'a/b' is no device name; '1.2.3.999' looks like an IP address but is none. ",
    ),
    (
        "too many",
        {"machines": ["pc01", "pc02", "PC02", "pc03"], "max_machines": 2},
        "3 machines were named, but max_machines is 2. Name fewer, or raise max_machines if so many are meant. "
        "Nothing was started on pc01, pc02, PC02, pc03.",
    ),
    (
        "duration",
        {"reuse_within": "4 weeks"},
        "reuse_within is '4 weeks'. Give seconds, or a number with s, m, h or d, such as 4h or 90m. Nothing was started.",
    ),
    ("wait_timeout", {"wait_timeout": 0}, "wait_timeout is 0. Give a number above zero. Nothing was started."),
    (
        "poll_interval",
        {"poll_interval": -1},
        "poll_interval is '-1'. Give seconds, or a number with s, m, h or d, such as 4h or 90m. ",
    ),
    ("downloads", {"downloads": 0}, "downloads is 0. Give a number above zero. Nothing was started."),
    ("timeout", {"timeout": 0}, "timeout is 0. Give a number above zero. Nothing was started."),
    (
        "quota class",
        {"quotas": {"links": ["2/60"]}},
        "quotas names an unknown endpoint class 'links'. Known are default, collect, package_link, ",
    ),
    (
        "quota",
        {"quotas": {"package_link": ["2 a minute"]}},
        "quotas.package_link is ['2 a minute']. Give a list of calls/seconds, such as ['2/60', '120/3600'].",
    ),
    (
        "share",
        {"quota_share": 1.5},
        "quota_share is 1.5. Give a number above 0 and up to 1, such as 0.5 for two nodes.",
    ),
    ("no credentials", {key: None for key in _APP}, "No credentials are given. "),
    (
        "half of them",
        {"client_id": None},
        "Signing in with client_secret needs tenant, client_id, client_secret; missing: client_id. Give them as options "
        "or in the environment (DEFENDER_CLIENT_ID).",
    ),
    (
        "region",
        {"cloud": "gcc", "region": "eu"},
        "region eu does not exist in the cloud gcc: geographic API hosts are in the public cloud only. ",
    ),
    ("url", {"api_url": "http://api.example"}, "api_url is not a base URL: 'http://api.example'. "),
    ("trust", {"ca_path": "/nowhere/ca.pem"}, "ca_path /nowhere/ca.pem cannot be read. "),
    ("NUL", {"dest": "evi\0dence"}, "dest has a NUL character. Give the path of a file or folder."),
    ("NUL in the trust", {"ca_path": "ca\0.pem"}, "ca_path has a NUL character. "),
    (
        "no certificate",
        {"client_secret": None, "certificate_path": "/nowhere/app.pem"},
        "certificate_path /nowhere/app.pem cannot be read: No such file or directory. ",
    ),
    (
        "dest below a file",
        {"dest": "{tmp}/file/below"},
        "The evidence folder {tmp}/file/below cannot be written: Not a directory. Check that dest is a folder, its owner "
        "and permissions, and the file system it is on.",
    ),
]


@pytest.mark.parametrize(("given", "sentence"), [each[1:] for each in _BAD], ids=[each[0] for each in _BAD])
@pytest.mark.parametrize("check_mode", [False, True])
def test_bad_options_are_refused_before_anything_is_sent(
    world: World,
    said: Said,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    given: dict[str, Any],
    sentence: str,
    check_mode: bool,
) -> None:
    def send(*args: Any, **kwargs: Any) -> None:
        raise AssertionError("something was sent")

    monkeypatch.setattr(_http.Http, "send", send)
    (tmp_path / "file").write_text("")
    given = {key: value.replace("{tmp}", str(tmp_path)) if key == "dest" else value for key, value in given.items()}
    args = _args(**{**_APP, **given})
    result = ask(TASK, args, check_mode, said, clock=world.clock)
    _check_shape(result, args["machines"])
    expected = sentence.replace("{tmp}", str(tmp_path))
    assert result["msg"] == expected or (expected.endswith(" ") and result["msg"].startswith(expected))
    assert result["failed"] and not result["changed"]
    assert all(package["error"] and package["error"]["message"] in result["msg"] for package in result["packages"])
    assert result["summary"]["api_calls"] == 0
    assert "shhh-secret" not in json.dumps(result) + "".join(said.lines)


def test_an_unusable_certificate_is_refused_before_anything_is_sent(
    world: World, said: Said, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_http.Http, "send", None)
    path = _certificate(tmp_path, "-----BEGIN PRIVATE KEY-----\nnonsense\n-----END PRIVATE KEY-----\n")
    result = ask(
        TASK, _args(**{**_APP, "client_secret": None, "certificate_path": path}), teller=said, clock=world.clock
    )
    assert result["msg"].startswith(f"certificate_path {path} holds no usable certificate and key: ")
    assert "nonsense" not in json.dumps(result)


def test_a_missing_library_is_a_result(world: World, said: Said, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "requests", None)
    result = ask(TASK, _args(**_APP), teller=said, clock=world.clock)
    _check_shape(result, ["pc01"])
    assert result["packages"][0]["error"]["code"] == MissingLibrary.default_code
    assert "requests" in result["msg"]


def test_a_dest_that_cannot_be_written_is_found_out_before_the_start(
    collect: Collect, world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: Any, *args: Any, **kwargs: Any) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(Path, "mkdir", refuse)
    result = collect(dest=str(tmp_path / "evidence"))
    assert result["packages"][0]["error"]["code"] == "DestNotWritable"
    assert not world.calls


def test_tilde_and_relative_paths_become_absolute(
    collect: Collect, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = collect(dest="evidence")
    assert result["packages"][0]["package"]["path"].startswith(f"{tmp_path}/evidence/pc01/")


# ---- nothing secret leaves ----

_TROUBLES: dict[str, list[dict[str, Any]]] = {
    "nothing": [],
    "the token endpoint repeats what it was sent": [
        {"endpoint": "token", "kind": "status", "status": 400, "count": 0, "body": "SECRET"}
    ],
    "a refusal repeats the link's token": [
        {"endpoint": "package_link", "kind": "status_after", "status": 403, "count": 0, "message": "SECRET"}
    ],
    "a start is refused with the secret in the message": [
        {"endpoint": "collect", "kind": "status", "status": 400, "count": 0, "code": "BadRequest", "message": "SECRET"}
    ],
    "the list of actions is refused with the secret in the code": [
        {"endpoint": "machine_actions", "kind": "status", "status": 403, "count": 0, "code": "SECRET"}
    ],
    "the download is refused": [{"endpoint": "download", "kind": "status", "status": 403, "count": 0}],
    "the download is cut": [{"endpoint": "download", "kind": "truncate", "count": 0}],
    "the connection breaks": [{"endpoint": "download", "kind": "reset", "count": 0}],
}


@pytest.mark.parametrize("trouble", _TROUBLES, ids=lambda each: each.replace(" ", "-"))
def test_no_secret_is_in_a_result_a_line_or_a_file(
    tmp_path: Path,
    trouble: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    # Retries wait for seconds in real life.
    monkeypatch.setattr(_session, "FIRST_PAUSE", 0.01)
    monkeypatch.setattr("ansible_collections.secops.defender.plugins.module_utils._fleet.run._PAUSE", 0.02)
    quick = {"default": ["1000/1"], "package_link": ["1000/1"]}
    with Simulator(
        [Device("pc01.contoso.com")],
        collect_seconds=(0.0, 0.1),
        quotas={endpoint: (1000, 100_000) for endpoint in ("package_link", "collect", "machine_actions")},
    ) as sim:
        for fault in _TROUBLES[trouble]:
            told = {
                key: value.replace("SECRET", sim.client_secret)
                for key, value in fault.items()
                if isinstance(value, str)
            }
            sim.add_fault(**{**fault, **told})
        args = _args(
            machines=["pc01"],
            tenant=sim.tenant,
            client_id=sim.client_id,
            client_secret=sim.client_secret,
            api_url=sim.api_url,
            login_url=sim.login_url,
            ca_path=str(sim.ca_path),
            dest=str(tmp_path / "evidence"),
            quota_dir=str(tmp_path / "quota"),
            quotas=quick,
            poll_interval=0.1,
            wait_timeout=3,
        )
        secrets = Secrets()
        said = Said(Clock())
        result = ask(TASK, args, teller=said, secrets=secrets)
        _check_shape(result, ["pc01"])
        assert result["failed"] is (trouble != "nothing")
        written = "".join(path.read_text("latin-1") for path in (tmp_path / "evidence").rglob("*") if path.is_file())
        everything = json.dumps(result) + "\n".join(secrets.scrub(said.lines)) + written
        everything += caplog.text + "".join(capfd.readouterr())
        assert sim.client_secret in sim.secrets
        leaked = [secret for secret in sim.secrets if secret in everything]
        assert not leaked


class Clock:
    now = 0.0


# ---- small things ----


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.2, "1 s"),
        (89, "89 s"),
        (90, "2 min"),
        (600, "10 min"),
        (3599, "1 h 0 min"),
        (3600, "1 h 0 min"),
        (12_360, "3 h 26 min"),
    ],
)
def test_a_duration_is_said_as_a_person_says_it(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@given(st.floats(0, 1e7))
def test_a_duration_is_never_said_shorter_than_it_is(seconds: float) -> None:
    text = duration(seconds).split()
    said = sum(
        float(number) * {"s": 1, "min": 60, "h": 3600}[unit] for number, unit in zip(text[::2], text[1::2], strict=True)
    )
    assert said >= seconds - 1e-6
    assert said < seconds + 61


# ---- what the options promise ----


@pytest.mark.parametrize("blank", ["", " ", None])
def test_a_blank_dest_is_unset_and_said(collect: Collect, said: Said, blank: str | None) -> None:
    result = collect(dest=blank)
    assert (result["failed"], result["packages"][0]["package"]) == (False, None)
    assert said.lines.count("dest is blank, so no package is downloaded. Leave dest out if that is meant.") == 1


def test_no_dest_is_no_warning(collect: Collect, said: Said, tmp_path: Path) -> None:
    collect()
    collect(dest=str(tmp_path / "evidence"))
    assert not [line for line in said.lines if "blank" in line]


def test_every_device_gets_its_own_comment_and_folder(collect: Collect, world: World, tmp_path: Path) -> None:
    """In one run: one list of actions to begin with, one budget, several folders."""
    machines = [
        {"machine": "pc01", "comment": "Case 1", "dest": str(tmp_path / "one")},
        {"machine": "pc02", "comment": "Case 2", "dest": str(tmp_path / "two")},
        {"machine": "pc03", "comment": "Case 3", "dest": str(tmp_path / "one")},
    ]
    result = collect(machines=machines, asked=["pc01", "pc02", "pc03"])
    assert not result["failed"], result["msg"]
    assert [row["action"]["comment"] for row in result["packages"]] == ["Case 1", "Case 2", "Case 3"]
    folders = [Path(row["package"]["path"]).relative_to(tmp_path).parts[0] for row in result["packages"]]
    assert folders == ["one", "two", "one"]


def test_one_device_that_is_wanted_in_two_ways_is_refused(collect: Collect, world: World) -> None:
    machines = [{"machine": "pc01", "comment": "Case 1"}, {"machine": world.machine("pc01").id, "comment": "Case 2"}]
    result = collect(machines=machines, asked=["pc01", world.machine("pc01").id])
    assert {row["error"]["code"] for row in result["packages"]} == {"MachineNamedTwice"}
    assert "are one device, pc01" in result["msg"] and "but want another comment." in result["msg"]
    assert world.count("collect") == 0


def test_two_names_of_one_option_start_nothing(collect: Collect, world: World) -> None:
    result = collect(machines=["pc01"], machine="pc02", asked=["pc01", "pc02"])
    assert result["failed"] and "are two names of one option" in result["msg"]
    assert not world.calls


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("wait_timeout", "1h"),
        ("poll_interval", "20s"),
        ("timeout", "1m"),
        ("reuse_within", "90m"),
        ("resume_within", "2d"),
    ],
)
def test_durations_are_taken_in_one_form_everywhere(collect: Collect, option: str, value: str) -> None:
    assert not collect(**{option: value})["failed"]
    refused = collect(**{option: "1 hour"})
    assert refused["msg"].startswith(f"{option} is '1 hour'. Give seconds, or a number with s, m, h or d,")


def test_a_lost_reply_is_no_failure(collect: Collect, world: World) -> None:
    world.fault("collect", reply_lost(), after=True)
    result = collect()
    assert result["msg"] == "1 device: 1 started."
    assert world.accepted == {"pc01": 1}


def test_a_folder_opened_for_checking_keeps_no_lock(tmp_path: Path, world: World) -> None:
    Folder(str(tmp_path), world.clock, read_only=True)
    assert Folder(str(tmp_path), world.clock).custody.append("run_started")
