# Copyright: (c) 2026, secops.defender contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
# Do not use it from other collections or standalone plugins/modules!
"""What the modules do, from validated options to the result: the one way that modules and action plugins share."""

from __future__ import annotations

import math
import typing as t
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from ansible_collections.secops.defender.plugins.module_utils import _auth, _custody
from ansible_collections.secops.defender.plugins.module_utils._api import Api
from ansible_collections.secops.defender.plugins.module_utils._clock import Clock
from ansible_collections.secops.defender.plugins.module_utils._clouds import Endpoints, endpoints
from ansible_collections.secops.defender.plugins.module_utils._collect import (
    ALREADY_RUNNING,
    DONE,
    RESUMED,
    REUSED,
    STARTED,
    WOULD_START,
    Device,
    Fleet,
    Observer,
    Options,
)
from ansible_collections.secops.defender.plugins.module_utils._errors import DefenderError, OptionsError
from ansible_collections.secops.defender.plugins.module_utils._evidence import Folder
from ansible_collections.secops.defender.plugins.module_utils._models import SUCCEEDED
from ansible_collections.secops.defender.plugins.module_utils._quota import Budget, default_folder, parse_quotas
from ansible_collections.secops.defender.plugins.module_utils._resolve import Resolved, parse_names, resolve
from ansible_collections.secops.defender.plugins.module_utils._secrets import Secrets
from ansible_collections.secops.defender.plugins.module_utils._session import Http, Session
from ansible_collections.secops.defender.plugins.module_utils._spec import require_positive, seconds

COLLECT_PERMISSIONS = ((_auth.COLLECT_PERMISSION,), _auth.READ_PERMISSIONS)
READ_ONLY_PERMISSIONS = (_auth.READ_PERMISSIONS,)


class Reporter(Observer, t.Protocol):
    """What a door (module or action plugin) does with what is said while the work goes on."""

    def detail(self, text: str) -> None: ...
    def http(self, text: str) -> None: ...
    def warn(self, text: str) -> None: ...


class Connection:
    """The way to the service that the connection options describe.

    Nothing is sent before sign_in. Raises OptionsError, MissingLibrary.
    """

    def __init__(self, options: t.Mapping[str, t.Any], reporter: Reporter, secrets: Secrets, clock: Clock) -> None:
        require_positive(options, "timeout")
        for name in ("client_secret", "certificate_password", "password", "access_token"):
            secrets.add(options.get(name))
        self.where: Endpoints = endpoints(
            options["cloud"], options["region"], options["api_url"], options["login_url"], options["audience"]
        )
        self.limits = parse_quotas(options["quotas"], options["quota_share"])
        self.http = Http(options["ca_path"], options["validate_certs"], options["timeout"], clock)
        self.tokens, why = _auth.open_tokens(options, self.where, self.http, secrets)
        self._options = options
        self._reporter = reporter
        self._secrets = secrets
        reporter.detail(why)

    def sign_in(self, required: t.Sequence[tuple[str, ...]]) -> Api:
        """Get a token, check that it permits what is required, and open the API. Raises AuthError, NetworkError."""
        claims = self.tokens.claims()
        _auth.check_claims(claims, self.where, required, self.http.clock.wall(), 0.0)
        # What the service counts by; a token that cannot be read leaves what the options say.
        tenant = claims.tenant or self._options["tenant"] or ""
        app = claims.app_id or self._options["client_id"] or ""
        folder = Path(self._options["quota_dir"]) if self._options["quota_dir"] else default_folder()
        budget = Budget(
            f"{tenant}/{app}/{self.where.api_host}".lower(), self.limits, self.http.clock, folder, self._reporter.warn
        )
        return Api(Session(self.http, self.where, self.tokens, budget, self._reporter.http), self._secrets)

    def check_lifetime(self, work: float) -> None:
        """Whether a token that cannot be renewed lives for the work ahead, in seconds. Raises AuthError."""
        if not self.tokens.renewable:
            _auth.check_claims(self.tokens.claims(), self.where, (), self.http.clock.wall(), work)


def collect_package(
    options: t.Mapping[str, t.Any],
    check_mode: bool,
    reporter: Reporter,
    secrets: Secrets,
    clock: Clock | None = None,
) -> dict[str, t.Any]:
    """defender_collect_package, from its validated options to its result. Never raises a DefenderError: it is in the result."""
    clock = clock or Clock()
    began = clock.monotonic()
    fleet: Fleet | None = None
    api: Api | None = None
    resolved: list[Resolved] = []
    plan: dict[str, t.Any] = {"starts": 0, "links": 0, "seconds": 0.0}
    fatal: DefenderError | None = None
    try:
        asked_for = _collect_options(options)
        names = parse_names(options["machines"])
        if 0 < options["max_machines"] < len({name.value for name in names}):
            raise OptionsError(
                f"{len({name.value for name in names})} machines were named, but max_machines is {options['max_machines']}.",
                advice="Name fewer, or raise max_machines if so many are meant. Nothing was started.",
            )
        connection = Connection(options, reporter, secrets, clock)
        folder = Folder(options["dest"], clock, read_only=check_mode) if options["dest"] else None
        api = connection.sign_in(COLLECT_PERMISSIONS)
        resolved = resolve(api, names, options["on_ambiguous"])
        for each in resolved:
            if each.error:
                reporter.trouble(each.error.message)
        with ThreadPoolExecutor(max_workers=asked_for.downloads + 6) as pool:
            fleet = Fleet(api, _devices(resolved), asked_for, pool, reporter, folder)
            try:
                if fleet.devices:
                    fleet.look()
                    ahead = fleet.plan()
                    plan = ahead.as_result()
                    connection.check_lifetime(plan["seconds"])
                    reporter.plan(ahead)
                    fleet.predict() if check_mode else _run(fleet)
            except BaseException:
                clock.stop()
                pool.shutdown(wait=False, cancel_futures=True)
                raise
        fatal = fleet.fatal
    except DefenderError as failure:
        fatal = failure
    packages = _packages(options["machines"], resolved, fleet, fatal)
    summary = _summary(packages, fleet)
    summary.update(
        plan=plan, duration=round(clock.monotonic() - began, 3), api_calls=api.session.api_calls if api else 0
    )
    failed = fatal is not None or any(package["failed"] for package in packages)
    result = {
        "changed": any(
            device.request in (STARTED, WOULD_START) or device.wrote for device in (fleet.devices if fleet else ())
        ),
        "failed": failed,
        "msg": str(fatal) if fatal else _sentence(packages, summary, check_mode),
        "summary": summary,
        "packages": packages,
    }
    return t.cast("dict[str, t.Any]", secrets.scrub(result))


def _collect_options(options: t.Mapping[str, t.Any]) -> Options:
    if not options["comment"].strip():
        raise OptionsError(
            "comment is empty.",
            advice="Say why the package is collected: it stays with the action, for the audit trail.",
        )
    require_positive(options, "wait_timeout", "poll_interval", "downloads")
    return Options(
        comment=options["comment"],
        wait=options["wait"],
        wait_timeout=options["wait_timeout"],
        cancel_on_timeout=options["cancel_on_timeout"],
        poll_interval=options["poll_interval"],
        reuse_within=seconds("reuse_within", options["reuse_within"]),
        downloads=options["downloads"],
    )


def _devices(resolved: list[Resolved]) -> list[Device]:
    """Each device once, in the order in which they were first named."""
    devices: dict[str, Device] = {}
    for each in resolved:
        if each.machine and each.machine.id not in devices:
            devices[each.machine.id] = Device(len(devices), each.asked, each.machine)
    return list(devices.values())


def _run(fleet: Fleet) -> None:
    if fleet.folder:
        fleet.folder.custody.append(
            _custody.RUN_STARTED,
            asked_by=_custody.asked_by(),
            comment=fleet.options.comment,
            devices=len(fleet.devices),
        )
    fleet.run()
    if fleet.folder and not fleet.fatal:
        fleet.folder.custody.append(
            _custody.RUN_ENDED,
            stored=sum(device.package is not None for device in fleet.devices),
            failed=sum(device.error is not None for device in fleet.devices),
        )


def _packages(
    machines: t.Sequence[str], resolved: list[Resolved], fleet: Fleet | None, fatal: DefenderError | None
) -> list[dict[str, t.Any]]:
    by_id = {device.machine.id: device for device in fleet.devices} if fleet else {}
    rows = resolved or [Resolved(asked, None) for asked in machines]
    return [_package(row, by_id.get(row.machine.id) if row.machine else None, fatal) for row in rows]


def _package(row: Resolved, device: Device | None, fatal: DefenderError | None) -> dict[str, t.Any]:
    error = row.error or (device.error if device else None)
    if error is None and (device is None or device.phase != DONE):
        error = fatal
    action = device.action if device else None
    return {
        "machine": row.asked,
        "machine_id": row.machine.id if row.machine else None,
        "computer_dns_name": (row.machine.dns_name if row.machine else None) or (action.dns_name if action else None),
        "request": device.request if device else None,
        "status": action.status if action else None,
        "changed": device is not None and _changed(device),
        "failed": error is not None,
        "error": error.as_result() if error else None,
        "action": action.as_result() if action else None,
        "package": device.package.as_result() if device and device.package else None,
    }


def _changed(device: Device) -> bool:
    """Something was started for it, or written (or would be)."""
    return device.request in (STARTED, WOULD_START) or device.wrote


def _summary(packages: list[dict[str, t.Any]], fleet: Fleet | None) -> dict[str, t.Any]:
    """Counts of devices, each once; a name that fits none counts as one that failed."""
    devices = {package["machine_id"] or f"?{package['machine']}": package for package in packages}.values()
    counts: dict[str, t.Any] = {"requested": len(devices)}
    for request in (STARTED, ALREADY_RUNNING, REUSED, RESUMED, WOULD_START):
        counts[request] = sum(package["request"] == request for package in devices)
    counts["succeeded"] = sum(package["status"] == SUCCEEDED for package in devices)
    counts["downloaded"] = sum(package["package"] is not None for package in devices)
    counts["failed"] = sum(package["failed"] for package in devices)
    return counts


def _sentence(packages: list[dict[str, t.Any]], summary: dict[str, t.Any], check_mode: bool) -> str:
    words = [
        f"{summary[key]} {key.replace('_', ' ')}" for key in (STARTED, ALREADY_RUNNING, REUSED, RESUMED) if summary[key]
    ]
    if check_mode and summary[WOULD_START]:
        words.insert(0, f"{summary[WOULD_START]} would be started")
    if summary["downloaded"]:
        words.append(
            f"{summary['downloaded']} packages verified" if summary["downloaded"] > 1 else "1 package verified"
        )
    if summary["failed"]:
        words.append(f"{summary['failed']} failed")
    devices = "1 device" if summary["requested"] == 1 else f"{summary['requested']} devices"
    sentence = f"{devices}: {', '.join(words) or 'nothing to do'}."
    if check_mode and summary["plan"]["seconds"]:
        plan = summary["plan"]
        sentence += f" It would take {plan['starts']} starts and {plan['links']} links, {duration(plan['seconds'])} at the least."
    failures = [package for package in packages if package["failed"]]
    if len(failures) == 1:
        error = failures[0]["error"]
        tracking = f"Tracking ID: {error['tracking_id']}." if error["tracking_id"] else ""
        sentence = " ".join(part for part in (sentence, error["message"], tracking, error["advice"]) if part)
    elif failures:
        listed = ", ".join(f"{package['machine']} ({package['error']['code']})" for package in failures[:10])
        sentence += f" Failed: {listed}{f' and {len(failures) - 10} more' if len(failures) > 10 else ''}."
    return sentence


def duration(span: float) -> str:
    """Seconds as a person says them: 40 s, 12 min, 3 h 26 min."""
    if span < 90:
        return f"{math.ceil(span)} s"
    minutes = math.ceil(span / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
