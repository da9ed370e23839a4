# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from collections.abc import Callable
from email.utils import parsedate_to_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator import Device, Settings, Simulator
from simulator.quota import Quota
from simulator.testing import Client, FakeClock, error_of

Start = Callable[..., Simulator]

DEVICE = "pc01.contoso.com"


def test_the_documented_limits() -> None:
    quota = Quota(Settings())
    assert quota.limits("package_link") == (2, 120)
    assert {quota.limits(name) for name in ("collect", "machine_actions", "cancel", "machines")} == {(100, 1500)}


def test_a_sliding_window_frees_a_call_when_the_oldest_leaves_it() -> None:
    quota = Quota(Settings())
    assert quota.take("app", "package_link", 0.0) is None
    assert quota.take("app", "package_link", 50.0) is None
    refusal = quota.take("app", "package_link", 59.9)
    assert refusal is not None and refusal.seconds == pytest.approx(0.1)
    assert quota.take("app", "package_link", 60.0) is None
    assert quota.take("app", "package_link", 61.0) is not None


def test_a_ticking_window_frees_all_calls_at_once() -> None:
    quota = Quota(Settings(quota_window="tick"))
    assert [quota.take("app", "package_link", at) is None for at in (58.0, 59.0, 59.5, 60.0, 61.0, 62.0)] == [
        True,
        True,
        False,
        True,
        True,
        False,
    ]


def test_the_hour_binds_although_the_minute_is_free() -> None:
    quota = Quota(Settings(quotas={"machines": (2, 4)}))
    assert all(quota.take("app", "machines", 100.0 * number) is None for number in range(4))
    refusal = quota.take("app", "machines", 400.0)
    assert refusal is not None and refusal.window == "01:00:00" and refusal.seconds == pytest.approx(3200.0)


def test_a_rejected_call_uses_no_quota_unless_told_so() -> None:
    for count_rejected in (False, True):
        quota = Quota(Settings(count_rejected=count_rejected, quotas={"machines": (1, 100)}))
        quota.take("app", "machines", 0.0)
        assert quota.take("app", "machines", 59.0) is not None
        assert (quota.take("app", "machines", 61.0) is None) is not count_rejected


def test_apps_and_endpoints_have_budgets_of_their_own() -> None:
    quota = Quota(Settings(quotas={"machines": (1, 1)}))
    assert quota.take("one", "machines", 0.0) is None
    assert quota.take("two", "machines", 0.0) is None
    assert quota.take("one", "collect", 0.0) is None
    assert quota.take("one", "machines", 0.0) is not None
    assert quota.report(0.0) == {
        "rejected": {"machines": 1},
        "used": {
            "one": {"machines": {"minute": 1, "hour": 1}, "collect": {"minute": 1, "hour": 1}},
            "two": {"machines": {"minute": 1, "hour": 1}},
        },
    }


# Eighths of a second: nothing is rounded, neither here nor in the simulator.
_MOMENTS = st.integers(0, 2400).map(lambda eighths: eighths / 8)


@given(st.lists(_MOMENTS, max_size=80).map(sorted), st.sampled_from(["sliding", "tick"]))
def test_no_window_ever_holds_more_than_the_limit(times: list[float], window: str) -> None:
    quota = Quota(Settings(quota_window=window, quotas={"machines": (3, 10)}))  # type: ignore[arg-type]
    accepted = [at for at in times if quota.take("app", "machines", at) is None]
    for at in accepted:
        if window == "sliding":
            assert sum(at - 60 < other <= at for other in accepted) <= 3
        else:
            assert sum(other // 60 == at // 60 for other in accepted) <= 3
    assert len(accepted) <= 10


def test_429_says_when_to_come_back(start: Start, clock: FakeClock) -> None:
    simulator = start(Device(DEVICE), quotas={"machines": (2, 100)})
    client = Client(simulator)
    client.get("/api/machines")
    clock.advance(20.5)
    client.get("/api/machines")
    response = client.get("/api/machines")
    assert error_of(response) == (429, "429")
    assert response.headers["Retry-After"] == "40"
    assert (
        "Maximum allowed 2 per 00:01:00 for the key Destination+TenantID+AppID" in response.json()["error"]["message"]
    )
    assert simulator.throttled() == {"machines": 1}
    clock.advance(40)
    assert client.get("/api/machines").status_code == 200


def test_retry_after_can_be_missing_or_a_date(start: Start, clock: FakeClock) -> None:
    client = Client(start(Device(DEVICE), quotas={"machines": (1, 100)}, retry_after=False))
    client.get("/api/machines")
    assert "Retry-After" not in client.get("/api/machines").headers
    client = Client(start(Device(DEVICE), quotas={"machines": (1, 100)}, retry_after="http-date"))
    client.get("/api/machines")
    moment = parsedate_to_datetime(client.get("/api/machines").headers["Retry-After"])
    assert moment.timestamp() == clock.now + 60


def test_a_short_minute_still_answers_in_whole_seconds(start: Start) -> None:
    client = Client(start(Device(DEVICE), quotas={"machines": (1, 100)}, minute=0.2, hour=10))
    client.get("/api/machines")
    assert client.get("/api/machines").headers["Retry-After"] == "1"


def test_failed_calls_use_quota_as_well(start: Start) -> None:
    client = Client(start(Device(DEVICE), quotas={"package_link": (1, 100)}))
    unknown = "/api/machineactions/00000000-0000-4000-8000-000000000000/getPackageUri"
    assert client.get(unknown).status_code == 404
    assert client.get(unknown).status_code == 429
