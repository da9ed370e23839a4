# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Who runs this, as far as the control node itself knows: nothing that only the environment claims."""

from __future__ import annotations

import os
import pwd
import re
import socket
import typing as t

from ansible_collections.secops.defender.plugins.module_utils._words.errors import printable
from ansible_collections.secops.defender.plugins.module_utils._words.version import USER_AGENT

_JOB = re.compile(r"^[0-9]{1,18}\Z")


def asked_by(launched_by: t.Mapping[str, str] | None = None) -> dict[str, t.Any]:
    """For the log and the records. launched_by: what the reporter knows besides (AWX).

    The user is the process's own: LOGNAME and the like are anybody's to set. An AWX job's number is taken from JOB_ID only if it is
    a number.
    """
    uid = os.getuid()
    try:
        user = pwd.getpwuid(uid).pw_name
    except KeyError:
        user = str(uid)
    who: dict[str, t.Any] = {"user": printable(user), "host": printable(socket.gethostname()), "tool": USER_AGENT}
    if _JOB.match(os.environ.get("JOB_ID", "")):
        who["awx_job_id"] = os.environ["JOB_ID"]
    return {**who, **{key: printable(str(value)) for key, value in (launched_by or {}).items()}}
