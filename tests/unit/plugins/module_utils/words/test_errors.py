# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.secops.defender.plugins.module_utils._words import errors as _errors
from ansible_collections.secops.defender.plugins.module_utils._words.errors import (
    ADVICE,
    AlreadyRunning,
    DefenderError,
    NotFound,
    ServiceError,
    from_reply,
)

# Common REST API error codes, the whole table, by HTTP status.
DOCUMENTED = {
    400: [
        "BadRequest",
        "ODataError",
        "InvalidInput",
        "InvalidRequestBody",
        "InvalidHashValue",
        "InvalidDomainName",
        "InvalidIpAddress",
        "InvalidUrl",
        "MaximumBatchSizeExceeded",
        "MissingRequiredParameter",
        "OsPlatformNotSupported",
        "ClientVersionNotSupported",
    ],
    401: ["Unauthorized"],
    403: ["Forbidden", "DisabledFeature", "DisallowedOperation"],
    404: ["NotFound", "ResourceNotFound"],
    429: ["TooManyRequests"],
    500: ["InternalServerError"],
}
# Only calls that this collection never makes are refused with these, so they get the advice of their status.
OF_OTHER_CALLS = {"InvalidHashValue", "InvalidDomainName", "InvalidIpAddress", "InvalidUrl"}
CODES = [(status, code) for status, codes in DOCUMENTED.items() for code in codes]


def body(code: object, message: object = "Because", target: object = "6b9d-guid") -> dict[str, Any]:
    return {"error": {"code": code, "message": message, "target": target}}


@given(st.text())
def test_no_error_steers_a_terminal_or_spans_lines(text: str) -> None:
    error = from_reply(400, body("InvalidInput", f"a\x1b[2Jb\u202ec\ud800{text}"), f"start on {text}")
    assert str(error).isprintable()
    assert "a\ufffd[2Jb\ufffdc\ufffd" in error.message


@pytest.mark.parametrize(("status", "code"), CODES)
def test_every_documented_code_has_advice(status: int, code: str) -> None:
    error = from_reply(status, body(code), "start a collection on pc01")
    assert error.code == code and error.status == status
    assert error.advice.endswith(".")
    assert code in ADVICE or code in OF_OTHER_CALLS
    assert str(error) == (
        f"Failed to start a collection on pc01: the service answered {status} {code}: Because. Tracking ID: 6b9d-guid. "
        f"{error.advice}"
    )


@pytest.mark.parametrize(
    ("status", "reply", "kind", "code", "said", "tracking_id"),
    [
        # As observed: a busy device, by code, by message, by both.
        (400, body("ActiveRequestAlreadyExists", "Action is already in progress"), AlreadyRunning, None, "Action", "6b"),
        (400, body("BadRequest", "Action is ALREADY IN PROGRESS."), AlreadyRunning, "BadRequest", "PROGRESS.", "6b"),
        (400, body("ActiveRequestAlreadyExists", ""), AlreadyRunning, None, "it gave no reason", "6b"),
        # The same words with another status are something else.
        (409, body("ActiveRequestAlreadyExists", "Action is already in progress"), ServiceError, None, "Action", "6b"),
        (500, body("ActiveRequestAlreadyExists", "Action is already in progress"), ServiceError, None, "Action", "6b"),
        (403, body("Forbidden", "already in progress"), ServiceError, "Forbidden", "already", "6b"),
        # The quota's body has the number for a code (microsoft-365-docs issue 4616).
        (429, body("429", "API calls quota exceeded! maximum allowed 45 per 00:01:00"), ServiceError, "TooManyRequests", "45 per", "6b"),
        # The OData library answers for itself, without code and target.
        (400, {"error": {"code": "", "message": "The query is not valid.", "details": []}}, ServiceError, "BadRequest", "not valid.", None),
        (404, body("ResourceNotFound", "Machine 123123123 was not found"), NotFound, "ResourceNotFound", "123123123", "6b"),
        # Not the service's: it has an error code of its own for what it does not know.
        (404, "<html>", ServiceError, "NotFound", "it gave no reason", None),
        (404, {"message": "no route"}, ServiceError, "NotFound", "it gave no reason", None),
        (404, {"error": {"message": "no Route matched"}}, ServiceError, "NotFound", "no Route", None),
        # What stands before the service speaks HTML, or nothing.
        (504, None, ServiceError, "InternalServerError", "it gave no reason", None),
        (503, {}, ServiceError, "InternalServerError", "it gave no reason", None),
        (500, body("InternalServerError", ""), ServiceError, "InternalServerError", "it gave no reason", "6b"),
        (401, None, ServiceError, "Unauthorized", "it gave no reason", None),
        (403, {"error": "forbidden"}, ServiceError, "Forbidden", "it gave no reason", None),
        (302, None, ServiceError, "ServiceError", "it gave no reason", None),
        (418, body("Teapot", "Short and stout"), ServiceError, "Teapot", "Short and stout", "6b"),
        (400, body(None, None, None), ServiceError, "BadRequest", "it gave no reason", None),
        (400, body(17, ["a", "list"], 5), ServiceError, "BadRequest", "list", "5"),
        (400, {"error": None}, ServiceError, "BadRequest", "it gave no reason", None),
        (400, [1, 2], ServiceError, "BadRequest", "it gave no reason", None),
    ],
)  # fmt: skip
def test_replies(status: int, reply: object, kind: type, code: str | None, said: str, tracking_id: str | None) -> None:
    error = from_reply(status, reply, "do it")
    assert error.__class__ is kind
    assert error.code == (code or "ActiveRequestAlreadyExists")
    assert said in error.message and ".." not in error.message
    assert (error.tracking_id or "").startswith(tracking_id or "")
    assert bool(error.tracking_id) is bool(tracking_id)
    assert error.advice


_BODIES = st.recursive(
    st.none() | st.booleans() | st.text() | st.integers(),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["error", "code", "message", "target"]), inner),
)


@given(st.integers(300, 599), _BODIES)
def test_no_body_is_too_strange(status: int, reply: object) -> None:
    error = from_reply(status, reply, "do it")
    assert error.message.startswith("Failed to do it: the service answered")
    assert isinstance(error, AlreadyRunning) <= (status == 400)
    assert isinstance(error, NotFound) <= (status == 404)


def test_errors_know_themselves() -> None:
    kinds = [kind for kind in vars(_errors).values() if isinstance(kind, type) and issubclass(kind, DefenderError)]
    assert len(kinds) > 10
    for kind in kinds:
        error = kind("Something failed.", advice="Mend it.")
        assert str(error) == "Something failed. Mend it."
        assert error.as_result() == {
            "code": kind.default_code,
            "message": "Something failed.",
            "advice": "Mend it.",
            "tracking_id": None,
        }
        assert kind("x", code="Other").code == "Other"
    assert str(DefenderError("Something failed.")) == "Something failed."
    # A lost reply must never pass for a request that was not processed, nor the other way round.
    assert not issubclass(_errors.ReplyLost, _errors.NetworkError)
    assert not issubclass(_errors.NetworkError, _errors.ReplyLost)
