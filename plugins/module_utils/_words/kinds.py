# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a device can be asked to do: starting, adopting and following an action is the same for all of it."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, field

from ansible_collections.secops.defender.plugins.module_utils._words.models import COLLECT, FAILED, ISOLATE, UNISOLATE


@dataclass(frozen=True, eq=False)
class ActionKind:
    """A kind of machine action, and how the API is asked for one.

    type: its machine actions' C(type). call: the last part of the start call's path; endpoint: that call's class in the budget.
    noun, doing: the action, and asking for it, in messages. permission: the application permission, role: what a user needs in
    Defender besides. body: what the start call says apart from the comment. advice: what to do where it is not what everybody
    is told, by error code or final status.
    """

    type: str
    call: str
    endpoint: str
    noun: str
    doing: str
    permission: str
    role: str
    body: t.Mapping[str, str] = field(default_factory=dict)
    advice: t.Mapping[str, str] = field(default_factory=dict)


COLLECTION = ActionKind(
    COLLECT,
    "collectInvestigationPackage",
    "collect",
    "collection",
    "start a collection on",
    "Machine.CollectForensics",
    "Alerts Investigation",
    advice={
        FAILED: "Look at the action in the device's Action center, then run again. Low battery and metered connections make it fail.",
    },
)

_BY_OTHER_MEANS = {
    "OsPlatformNotSupported": "Isolate this device by other means (at its switch or firewall); its operating system cannot run this "
    "action.",
    "DisabledFeature": "The feature is off in this tenant: turn it on in the Defender portal, Settings, Endpoints, Advanced features.",
}


def _isolation(scope: str) -> ActionKind:
    return ActionKind(
        ISOLATE,
        "isolate",
        "isolate",
        "isolation",
        "isolate",
        "Machine.Isolate",
        "Active remediation actions",
        {"IsolationType": scope},
        _BY_OTHER_MEANS,
    )


# By what a task calls the type of isolation; Isolate machine API, C(IsolationType).
ISOLATIONS = {"full": _isolation("Full"), "selective": _isolation("Selective")}
RELEASE = ActionKind(
    UNISOLATE,
    "unisolate",
    "unisolate",
    "release",
    "release",
    "Machine.Isolate",
    "Active remediation actions",
    advice=_BY_OTHER_MEANS,
)
