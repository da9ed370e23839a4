# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""One large package: the module beside curl and sha256sum, on the same link."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from figures import MIB, Figure
from processes import Started, Task, Usage
from tenant import Tenant

_SIZE = 1 << 30
_SUBJECT = "A package of 1 GiB"
_MOST_TIME = 1.5
# Both share the machine with the server and with whatever else it does: a miss is measured again, and the least of each counts.
_TRIES = 2


def measure(work: Path) -> tuple[list[Figure], list[str]]:
    """The figures, and what had to be left out."""
    device = {"name": "large.contoso.com", "scenario": "recent", "package_size": _SIZE}
    missing = [tool for tool in ("curl", "sha256sum") if not shutil.which(tool)]
    ours: list[tuple[float, Usage]] = []
    plain: list[float] = []
    with Tenant(work, [device]) as tenant:
        for _try in range(_TRIES):
            ours.append(_fetch(tenant))
            if missing:
                break
            plain.append(_download(tenant))
            if min(each for each, _usage in ours) <= _MOST_TIME * min(plain):
                break
    seconds = min(each for each, _usage in ours)
    peak = max(usage.peak for _seconds, usage in ours)
    figures = [
        Figure(_SUBJECT, "peak memory", peak / MIB, "MiB", most=150, promise=True),
        Figure(_SUBJECT, "downloaded, verified, stored", _SIZE / MIB / seconds, "MiB/s"),
    ]
    if missing:
        return figures, [f"Download rate beside a plain client: there is no {' and no '.join(missing)}."]
    figures += [
        Figure(_SUBJECT, "curl, then sha256sum", _SIZE / MIB / min(plain), "MiB/s"),
        Figure(_SUBJECT, "time over that of curl and sha256sum", seconds / min(plain), "x", most=_MOST_TIME),
    ]
    return figures, []


def _fetch(tenant: Tenant) -> tuple[float, Usage]:
    dest = tenant.work / "evidence"
    result, usage = Task(tenant, "fetch", "fetch", {"machines": tenant.names, "dest": str(dest)}).wait()
    shutil.rmtree(dest)
    return result["seconds"], usage


def _download(tenant: Tenant) -> float:
    """Seconds for both, one after the other."""
    file = tenant.work / "plain.zip"
    url, trust = _link(tenant), tenant.connection["ca_path"]
    script = 'curl --silent --fail --cacert "$1" --output "$2" "$3" && sha256sum "$2"'
    command = ["sh", "-c", script, "sh", trust, str(file), url]
    process = Started(command, dict(os.environ), tenant.work, tenant.work / "plain.log")
    usage = process.wait()
    if usage.status or file.stat().st_size != _SIZE:
        raise RuntimeError(f"curl ended with {usage.status}: {process.log.read_text(encoding='utf-8')}")
    file.unlink()
    return usage.wall


def _link(tenant: Tenant) -> str:
    known = tenant.connection
    form = {
        "grant_type": "client_credentials",
        "client_id": known["client_id"],
        "client_secret": known["client_secret"],
        "scope": f"{known['audience']}/.default",
    }
    bearer = tenant.request(f"{known['login_url']}/{known['tenant']}/oauth2/v2.0/token", form)["access_token"]
    actions = tenant.request(f"{known['api_url']}/api/machineactions", bearer=bearer)["value"]
    link = tenant.request(f"{known['api_url']}/api/machineactions/{actions[0]['id']}/getPackageUri", bearer=bearer)
    # The service puts the link into quotation marks of its own.
    return str(link["value"]).strip('"')
