# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""How a device can fail, said to a person, and what a failure means for the others and for another try."""

from __future__ import annotations

from ansible_collections.secops.defender.plugins.module_utils._fleet.device import Device
from ansible_collections.secops.defender.plugins.module_utils._words.errors import (
    ActionError,
    AuthError,
    DefenderError,
    NotFound,
    ServiceError,
)
from ansible_collections.secops.defender.plugins.module_utils._words.models import (
    CANCELLED,
    FAILED,
    SUCCEEDED,
    TIMED_OUT,
    Action,
)

# How an action ended badly, and what to do.
OUTCOMES = {
    FAILED: (
        "failed on the device",
        "Look at the action in the device's Action center, then run again.",
    ),
    TIMED_OUT: (
        "was not taken up by the device in time",
        "Check that the device is on and connected, then run again.",
    ),
    CANCELLED: (
        "was cancelled",
        "Find out who cancelled it and why (the action's cancellation comment), then run again.",
    ),
}


def concerns_all(failure: DefenderError) -> bool:
    """Whether every further device would meet it too: no token, or one that is refused although it is new (401)."""
    return isinstance(failure, AuthError) or failure.code == "Unauthorized"


def refused_for_good(failure: DefenderError) -> bool:
    """Whether asking for the package again is useless. A link that was refused has expired, and 404 is also: not yet."""
    if not isinstance(failure, ServiceError) or isinstance(failure, NotFound):
        return False
    passing = failure.code == "LinkRefused" or failure.status in (408, 429)
    return failure.code == "LinkNotTrusted" or (400 <= failure.status < 500 and not passing)


def ended_badly(device: Device, action: Action) -> ActionError:
    """The action has ended without having done what it was for."""
    what, advice = OUTCOMES[action.status]
    advice = device.wish.kind.advice.get(action.status, advice)
    trouble = action.raw.get("troubleshootInfo") or ""
    hresult = action.raw.get("errorHResult") or 0
    more = f" (errorHResult {int(hresult) & 0xFFFFFFFF:#010x})" if isinstance(hresult, int) and hresult else ""
    said = f"{what}{more}{': ' + str(trouble) if trouble else ''}"
    return ActionError(f"The {device.wish.kind.noun} on {device.label} {said}.", code=action.status, advice=advice)


def no_package(device: Device, newest: Action | None, ready: Action | None) -> ActionError:
    """There is nothing to fetch.

    newest: the device's newest collection, if any is known. ready: an older one that has a package, which is not taken
    because the newest decides.
    """
    advice = "Wait until a running collection has ended, or collect with secops.defender.defender_collect_package."
    if newest is None:
        state = "no collection is known"
    elif newest.status == SUCCEEDED:
        state = f"the newest is from {newest.updated}, older than max_age"
    else:
        state = f"the newest action {newest.id} of {newest.created} is {newest.status}"
        if ready:
            state += f", and the package of {ready.id} is older, from {ready.updated}"
            advice += " With newest_only: false the older package is fetched."
    return ActionError(f"There is no package of {device.label} to fetch: {state}.", code="NoPackage", advice=advice)


def not_finished(device: Device, action: Action, trouble: str) -> ActionError:
    """trouble: why the last look failed, if it did."""
    said = f" The last look failed: {trouble}" if trouble else ""
    return ActionError(
        f"The {device.wish.kind.noun} on {device.label} is still {action.status} after {device.wish.wait_timeout:g} seconds.{said}",
        code="NotFinishedInTime",
        advice="The action goes on. Run again to follow it, with a longer wait_timeout if the device is offline.",
    )


def start_unconfirmed(device: Device) -> ActionError:
    """A start's reply was lost, and no action is listed."""
    return ActionError(
        f"Whether the {device.wish.kind.noun} on {device.label} was started is not known: no reply came, and no action is listed.",
        code="StartUnconfirmed",
        advice="Run again in a few minutes: an action that was made is then found and followed.",
    )


def started_elsewhere(device: Device) -> ActionError:
    """Another run of the folder has announced the same start, and nothing comes of it."""
    return ActionError(
        f"Another run with the same dest and comment is about to start the {device.wish.kind.noun} on {device.label}, but no action came of it.",
        code="StartedElsewhere",
        advice="Nothing was started here, so that it is not done twice. Run again when the other run has ended.",
    )


def wrong_machine(device: Device, action: Action) -> ActionError:
    """The service has answered a start with an action of another machine."""
    return ActionError(
        f"The start on {device.label} ({device.machine.id}) was answered with the action {action.id} of another machine, "
        f"{action.dns_name or 'unnamed'} ({action.machine_id}).",
        code="WrongMachine",
        advice="It was not followed. Look at both devices in the Defender portal: their records may have been merged.",
    )


def expired(device: Device, action: Action) -> ActionError:
    """The package is not kept any more."""
    return ActionError(
        f"The package of {device.label} is no longer kept by the service: action {action.id} succeeded on {action.updated}.",
        code="PackageExpired",
        advice="Collect anew with secops.defender.defender_collect_package.",
    )


def broken_twice(failure: DefenderError) -> DefenderError:
    """The second copy has the same bytes."""
    return DefenderError(
        f"{failure.message} A second copy was the same.",
        code=failure.code,
        advice="Collect anew: the package is damaged at the service.",
        tracking_id=failure.tracking_id,
    )


def undone_later(device: Device, other: Action) -> ActionError:
    """The opposite of what is wanted is under way."""
    return ActionError(
        f"On {device.label} an action of the type {other.type} is {other.status}, which is the opposite of a {device.wish.kind.noun}: "
        f"{other.id}, asked for on {other.created}.",
        code="OppositeRunning",
        advice="Cancel it with secops.defender.defender_cancel_action (action_ids), or wait until it has ended, then run again. A device "
        "that is away takes an action up when it comes back.",
    )


def isolated_otherwise(device: Device, action: Action, scope: str, wanted: str) -> ActionError:
    """It is isolated, or being isolated, but not as it is wanted."""
    return ActionError(
        f"The isolation of {device.label} is {scope} and not {wanted}: action {action.id} of {action.created} is {action.status}.",
        code="IsolatedOtherwise",
        advice="Nothing was asked for. If the other type is meant, release the device first.",
    )


def gone(device: Device, failure: DefenderError) -> ActionError:
    """The service does not know the action any more."""
    return ActionError(
        f"The {device.wish.kind.noun} on {device.label} is gone. {failure.message}",
        code=failure.code,
        advice="Run again to start a new one.",
        tracking_id=failure.tracking_id,
    )


def not_stored(device: Device, failure: DefenderError) -> DefenderError:
    """The package could not be got."""
    what = "was not stored" if device.folder else "cannot be taken"
    return named(failure, f"The package of {device.label} {what}: {failure.message}")


def named(failure: DefenderError, message: str) -> DefenderError:
    """The same failure, in other words."""
    return DefenderError(message, code=failure.code, advice=failure.advice, tracking_id=failure.tracking_id)
