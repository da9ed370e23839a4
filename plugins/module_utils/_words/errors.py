# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Errors that know what to do about them, and what the service's error codes mean."""

from __future__ import annotations

import typing as t


def printable(text: str) -> str:
    """A text on one line, without what would steer a terminal: names and messages come from devices and from the service."""
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else " " if each.isspace() else "\ufffd" for each in text)


class DefenderError(Exception):
    """Something a user can cause or must know of.

    message: one sentence that names what failed and for which device. advice: what to do. code: the service's error code,
    or one of this collection's own. tracking_id: what Microsoft's support asks for (the service's C(target)).
    """

    default_code = "Error"

    def __init__(
        self, message: str, *, advice: str = "", code: str | None = None, tracking_id: str | None = None
    ) -> None:
        self.message = printable(message)
        self.advice = printable(advice)
        self.code = printable(code or self.default_code)
        self.tracking_id = printable(tracking_id) if tracking_id else None
        super().__init__(self.message)

    def __str__(self) -> str:
        tracking = f" Tracking ID: {self.tracking_id}." if self.tracking_id else ""
        return " ".join(part for part in (self.message + tracking, self.advice) if part)

    def as_result(self) -> dict[str, t.Any]:
        """The C(error) of a device in a result."""
        return {
            "code": self.code,
            "message": self.message,
            "advice": self.advice,
            "tracking_id": self.tracking_id,
        }


class OptionsError(DefenderError):
    """Bad input: nothing was started."""

    default_code = "InvalidOptions"


class MissingLibrary(DefenderError):
    """requests or msal cannot be imported."""

    default_code = "MissingLibrary"


class AuthError(DefenderError):
    """No token, or one that does not fit: every further call would fail alike."""

    default_code = "AuthenticationFailed"


class MasterGone(DefenderError):
    """ansible-playbook, or whoever else waits for the result, is there no more."""

    default_code = "MasterGone"


class NetworkError(DefenderError):
    """The service was not reached; the request was never processed."""

    default_code = "NetworkError"


class TlsError(NetworkError):
    """The certificate was not trusted; asking again does not help."""

    default_code = "TlsError"


class ReplyLost(DefenderError):
    """The request may or may not have been carried out: look before asking again."""

    default_code = "ReplyLost"


class ServiceError(DefenderError):
    """The service refused, or answered something that is no answer. C(status) is the HTTP status, 0 if there was none."""

    default_code = "ServiceError"

    def __init__(self, message: str, *, status: int = 0, **kwargs: t.Any) -> None:
        self.status = status
        super().__init__(message, **kwargs)


class AlreadyRunning(ServiceError):
    """A collection is already running on the device: the one refusal that is forgiven."""


class NotFound(ServiceError):
    """The service itself says that there is no such thing (404 with an error code of its own)."""


class StrangeReply(ServiceError):
    """Something on the way answers in the service's place: a gateway, a proxy, a portal. Asking again does not help."""

    default_code = "StrangeReply"


class MachineError(DefenderError):
    """What the user typed names no device, or several."""

    default_code = "MachineNotFound"


class ActionError(DefenderError):
    """The machine action ended without a package, or did not end in time."""

    default_code = "ActionFailed"


class EvidenceError(DefenderError):
    """The evidence folder cannot be used: full, not writable, or not what its log says."""

    default_code = "EvidenceError"


class PackageBroken(DefenderError):
    """What was downloaded is not the package: truncated, damaged, or no zip at all. Worth another download."""

    default_code = "PackageBroken"
    # Of what was downloaded, where all of it was: the same bytes again are no better.
    sha256: str | None = None


# What to do about the service's error codes (Defender for Endpoint API: Common REST API error codes).
ADVICE: dict[str, str] = {
    "ActiveRequestAlreadyExists": "Wait until the running action ends, or cancel it.",
    "OsPlatformNotSupported": "Collect from this device by other means (live response, or on site); "
    "its operating system cannot run this action.",
    "ClientVersionNotSupported": "Update the Defender sensor on the device, then run again.",
    "Forbidden": "Check that the app has admin consent for Machine.CollectForensics and Machine.Read.All, and with "
    "a user's token that the user may see this device's device group and has the role Alerts Investigation.",
    "DisabledFeature": "The feature is off in this tenant: turn it on in the Defender portal, Settings, Endpoints, "
    "Advanced features. Collecting packages needs Defender for Endpoint Plan 2.",
    "DisallowedOperation": "The tenant does not allow this action on this device: check its state in the Defender portal.",
    "Unauthorized": "Get a new token: this one was refused. Check the clock of this computer, too.",
    "NotFound": "Check the device ID; the device may be past the tenant's data retention.",
    "ResourceNotFound": "Check the device ID; the device may be past the tenant's data retention.",
    "MissingRequiredParameter": "Give a comment that is not empty.",
    "InvalidRequestBody": "Shorten the comment and take out unusual characters; if it stays, report it as a bug.",
    "InvalidInput": "Check the device ID and the comment.",
    "BadRequest": "The service took the request for malformed: check the options, and that the device is onboarded; "
    "if it stays, report it as a bug.",
    "ODataError": "The service refused the query: check filter, if you gave one; otherwise report it as a bug.",
    "MaximumBatchSizeExceeded": "Report it as a bug: the query was too large.",
    "TooManyRequests": "The quota is used up by other work with the same app: run again later, or use an app of its own.",
    "InternalServerError": "Run again in some minutes; with the tracking ID Microsoft's support can look it up.",
}

_STATUS_CODES = {400: "BadRequest", 401: "Unauthorized", 403: "Forbidden", 404: "NotFound", 429: "TooManyRequests"}


def error_in(body: object) -> dict[str, t.Any]:
    """The C(error) object of a decoded reply; empty where there is none, and the reply is therefore not the service's."""
    error = body.get("error") if isinstance(body, dict) else None
    return error if isinstance(error, dict) else {}


def from_reply(status: int, body: object, doing: str) -> ServiceError:
    """The error for an HTTP reply that is none of success.

    doing: what was asked for, such as "start a collection on pc01.contoso.com". body: the decoded JSON, or anything else
    (Common REST API error codes: C({"error": {"code", "message", "target"}})).
    """
    error = error_in(body)
    code = str(error.get("code") or "")
    if not code or code.isdigit():
        code = _STATUS_CODES.get(status, "InternalServerError" if status >= 500 else "ServiceError")
    said = str(error.get("message") or "").strip() or "it gave no reason"
    tracking_id = str(error["target"]) if error.get("target") else None
    kind: type[ServiceError] = ServiceError
    if status == 400 and (code == "ActiveRequestAlreadyExists" or "already in progress" in said.lower()):
        kind = AlreadyRunning
    elif status == 404 and error.get("code") and "no http resource was found" not in said.lower():
        kind = NotFound
    return kind(
        f"Failed to {doing}: the service answered {status} {code}: {said.rstrip('.')}.",
        status=status,
        code=code,
        tracking_id=tracking_id,
        advice=ADVICE.get(code) or ADVICE.get(_STATUS_CODES.get(status, "InternalServerError"), ""),
    )
