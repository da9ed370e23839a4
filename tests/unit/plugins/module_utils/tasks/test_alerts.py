# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import typing as t
from pathlib import Path

import pytest

from ansible_collections.secops.defender.plugins.module_utils._tasks.alerts import Source, open_source
from ansible_collections.secops.defender.plugins.module_utils._words.errors import OptionsError
from ansible_collections.secops.defender.plugins.module_utils._words.models import Alert as Told
from ansible_collections.secops.defender.tests.unit.plugins.module_utils.task_world import Teller, Tenant
from simulator import Alert, Change, Device
from simulator.settings import App

PC = Device("pc01.contoso.com")
HOUR = 3600.0
SECRET = "s3cret-value-of-the-app"


class Watched:
    """A source on a simulated tenant, and what it has said."""

    def __init__(self, tenant: Tenant, **args: t.Any) -> None:
        self.tenant = tenant
        self.simulator = tenant.simulator
        self.clock = tenant.clock
        self.teller = Teller()
        given = {**tenant.connection("secops-alerts"), **args}
        self.source: Source = open_source(given, {}, lambda secrets: self.teller, tenant.clock)
        self.pause = 0.0

    def turn(self) -> list[str]:
        """The titles of what is told; the clock then stands where the next turn is due."""
        events, self.pause = self.source.turn()
        self.clock.sleep(self.pause)
        return [event["alert"]["title"] for event in events]


@pytest.fixture
def watch(tenant: t.Callable[..., Tenant]) -> t.Callable[..., Watched]:
    def start(*alerts: Alert, settings: t.Mapping[str, t.Any] | None = None, **args: t.Any) -> Watched:
        return Watched(tenant(PC, alerts=alerts, **settings or {}), **args)

    return start


def alert(title: str, age: float = 60.0, **more: t.Any) -> Alert:
    return Alert(PC.name, title=title, age=age, **more)


def test_recent_alerts_are_told_once_and_older_ones_counted(watch: t.Callable[..., Watched]) -> None:
    watched = watch(alert("old", 2 * HOUR), alert("older", 9 * HOUR), alert("second", 60), alert("first", 120))
    assert watched.turn() == ["first", "second"]
    assert watched.teller.told("warn") == [
        "2 alerts (High; New, InProgress) with no change in the last 1 h 0 min (look_back): not told, look at them in the "
        "Defender portal."
    ]
    assert watched.pause == 60.0
    assert watched.turn() == watched.turn() == []
    assert len(watched.teller.told("warn")) == 1


def test_a_new_source_tells_the_last_look_back_again(watch: t.Callable[..., Watched]) -> None:
    watched = watch(alert("one"))
    assert watched.turn() == ["one"]
    assert Watched(watched.tenant).turn() == ["one"]


def test_later_alerts_are_told_when_they_come(watch: t.Callable[..., Watched]) -> None:
    watched = watch(alert("coming", -90), alert("listed late", 10, late=200))
    assert [watched.turn() for _turn in range(5)] == [[], [], ["coming"], [], ["listed late"]]


def test_an_alert_is_told_when_its_severity_rises(watch: t.Callable[..., Watched]) -> None:
    day_old = alert("raised", 24 * HOUR, severity="Low", changes=(Change(24 * HOUR + 90, "High"),))
    watched = watch(day_old, alert("only commented", 24 * HOUR, changes=(Change(24 * HOUR + 90, status="InProgress"),)))
    assert [watched.turn() for _turn in range(4)] == [[], [], ["raised"], []]


def test_what_was_raised_while_nobody_listened_is_told_at_the_start(watch: t.Callable[..., Watched]) -> None:
    watched = watch(alert("raised", 24 * HOUR, severity="Low", changes=(Change(23.5 * HOUR, "High"),)))
    assert watched.turn() == ["raised"]


def test_severities_statuses_and_filter_choose(watch: t.Callable[..., Watched]) -> None:
    watched = watch(
        alert("low", severity="Low"),
        alert("medium", severity="Medium"),
        alert("resolved", status="Resolved"),
        alert("av", detection_source="WindowsDefenderAv"),
        severities="medium, HIGH",
        statuses=["new"],
        filter="detectionSource eq 'WindowsDefenderAtp'",
    )
    assert watched.turn() == ["medium"]


def test_an_event_has_its_keys_and_nothing_that_jinja_would_run(watch: t.Callable[..., Watched]) -> None:
    watched = watch(alert("{{ lookup('pipe', 'id') }}{% x %}\x1b[2J", incident_id=7001), Alert("", title="no device"))
    events, _pause = watched.source.turn()
    first, second = (event["alert"] for event in events)
    if first["title"] == "no device":
        first, second = second, first
    assert first["title"] == "{ { lookup('pipe', 'id') }}{ % x %}\ufffd[2J"
    assert set(first) == {
        "id", "severity", "status", "title", "category", "detection_source", "incident_id", "machine_id",
        "computer_dns_name", "created", "updated",
    }  # fmt: skip
    assert (first["incident_id"], first["machine_id"], first["computer_dns_name"]) == (7001, PC.id, PC.name)
    assert (second["machine_id"], second["computer_dns_name"]) == (None, None)


def test_texts_are_bounded() -> None:
    assert len(Told.from_api({"id": "a", "title": "x" * 5000}).title or "") == 1000


def test_more_alerts_than_a_page_are_all_told(watch: t.Callable[..., Watched]) -> None:
    watched = watch(*(alert(str(number)) for number in range(40)), settings={"short_page": 7})
    assert len(set(watched.turn())) == 40
    assert watched.turn() == []


def test_a_restarted_tenant_clock_ahead_or_behind_changes_nothing(watch: t.Callable[..., Watched]) -> None:
    for skew in (-5 * HOUR, 5 * HOUR):
        watched = watch(alert("one"), alert("coming", -90), settings={"clock_skew": skew})
        assert [watched.turn() for _turn in range(3)] == [["one"], [], ["coming"]]


def test_a_date_from_the_future_hides_nothing(watch: t.Callable[..., Watched]) -> None:
    watched = watch(alert("one"), alert("coming", -90))
    future = "2099-01-01T00:00:00Z"
    watched.simulator.add_fault("alerts", "field", name="lastUpdateTime", value=future)
    assert [watched.turn() for _turn in range(3)] == [["one"], [], ["coming"]]


@pytest.mark.parametrize(
    ("kind", "more"),
    [
        ("status", {"status": 500}),
        ("status", {"status": 400}),
        ("gateway", {"status": 404, "form": "text"}),
        ("garbage", {}),
        ("wrong_shape", {}),
        ("field", {"name": "id", "value": None}),
        ("field", {"name": "severity", "value": ["High"]}),
        ("field", {"name": "lastUpdateTime", "value": {"at": 1}}),
        ("reset", {}),
        ("unauthorized", {}),
    ],
)
def test_no_bad_answer_is_the_end(watch: t.Callable[..., Watched], kind: str, more: dict[str, t.Any]) -> None:
    watched = watch(alert("one"), alert("coming", -90))
    assert watched.turn() == ["one"]
    watched.simulator.add_fault("alerts", kind, count=6, **more)
    told = [title for _turn in range(12) for title in watched.turn()]
    assert told == ["coming"]


def test_trouble_is_said_once_and_again_while_it_stays_and_its_end_is_said(watch: t.Callable[..., Watched]) -> None:
    watched = watch(alert("one"))
    watched.simulator.add_fault("alerts", "status", count=0, status=503)
    for _turn in range(20):
        assert watched.turn() == []
    trouble = watched.teller.told("trouble")
    assert len(trouble) == 2
    assert trouble[0].startswith("No alerts can be read: Failed to list alerts: the service answered 503")
    assert trouble[1].startswith("No alerts can be read for 16 min: ") or " for 15 min: " in trouble[1]
    watched.simulator.faults.reset()
    assert watched.turn() == ["one"]
    [said] = watched.teller.told("say")
    assert said.startswith("Alerts are read again, after ") and said.endswith(" and 20 attempts that failed.")


def test_a_sign_in_that_is_refused_is_tried_less_and_less_often(watch: t.Callable[..., Watched]) -> None:
    watched = watch(alert("one"))
    watched.simulator.app("secops-alerts").secret_expired = True
    pauses = []
    for _turn in range(6):
        assert watched.turn() == []
        pauses.append(round(watched.pause))
    assert pauses == [120, 240, 480, 900, 900, 900]
    watched.simulator.app("secops-alerts").secret_expired = False
    assert watched.turn() == ["one"]


def test_a_login_host_in_trouble_is_no_refusal(watch: t.Callable[..., Watched]) -> None:
    watched = watch(alert("one"))
    watched.simulator.add_fault("token", "status", count=0, status=503)
    for _turn in range(4):
        assert watched.turn() == []
        assert watched.pause <= 60.0
    watched.simulator.faults.reset()
    assert watched.turn() == ["one"]


def test_a_file_that_is_being_replaced_is_not_the_end(tenant: t.Callable[..., Tenant], tmp_path: Path) -> None:
    """A federated token is read at each renewal, and whoever renews it may be at it just then."""
    app = App("secops-alerts", roles=("Alert.Read.All",), federated_subject="system:serviceaccount:soc:runner")
    one = tenant(PC, apps=[app], alerts=[alert("one"), alert("coming", -700)], token_lifetime=600)
    token = tmp_path / "token"
    token.write_text(one.simulator.federated_token())
    watched = Watched(one, client_secret=None, federated_token_file=str(token))
    assert watched.turn() == ["one"]
    token.rename(tmp_path / "elsewhere")
    for _turn in range(12):
        assert watched.turn() == []
    assert "federated_token_file" in watched.teller.told("trouble")[0]
    token.write_text(one.simulator.federated_token())
    assert watched.turn() == ["coming"]


def test_a_file_that_was_never_there_is_an_end(tenant: t.Callable[..., Tenant], tmp_path: Path) -> None:
    with pytest.raises(OptionsError, match="federated_token_file"):
        Watched(tenant(PC), client_secret=None, federated_token_file=str(tmp_path / "none")).turn()


def test_a_permission_that_is_granted_later_is_found(tenant: t.Callable[..., Tenant]) -> None:
    app = App("secops-alerts", roles=("Machine.Read.All",))
    watched = Watched(tenant(PC, apps=[app], alerts=[alert("one")]))
    assert watched.turn() == []
    assert "lacks the application permission Alert.Read.All" in watched.teller.told("trouble")[0]
    watched.simulator.app("secops-alerts").roles = ("Alert.Read.All",)
    assert watched.turn() == ["one"]


def test_tokens_are_renewed(watch: t.Callable[..., Watched]) -> None:
    watched = watch(alert("one"), settings={"token_lifetime": 600})
    for _turn in range(60):
        watched.turn()
    assert watched.teller.told("trouble") == []
    assert 6 <= sum(entry.endpoint == "token" for entry in watched.simulator.requests) <= 10


def test_a_quiet_night_is_quiet(watch: t.Callable[..., Watched]) -> None:
    watched = watch(alert("one"))
    for _turn in range(600):
        watched.turn()
    assert [kind for kind, _text in watched.teller.lines if kind in ("warn", "say", "trouble")] == []
    assert watched.simulator.throttled() == {}


def test_a_filter_that_the_service_refuses_at_the_start_is_an_end(watch: t.Callable[..., Watched]) -> None:
    watched = watch(alert("one"), filter="machineName = 'x'")
    with pytest.raises(OptionsError, match="Check filter, which is \"machineName = 'x'\""):
        watched.source.turn()


@pytest.mark.parametrize(
    ("args", "said"),
    [
        ({"severities": ["Hihg"]}, "Did you mean High?"),
        ({"severities": []}, "no alert would ever be told"),
        ({"statuses": ""}, "statuses is blank"),
        ({"filter": " "}, "filter is blank"),
        ({"poll_interval": 0}, "poll_interval is 0"),
        ({"look_back": "soon"}, "look_back is 'soon'"),
        ({"lookback": "1h"}, "Did you mean look_back?"),
        ({"quotas": {"alert": "1/1"}}, "unknown endpoint class 'alert'"),
    ],
)
def test_bad_options_are_refused_before_anything_is_sent(args: dict[str, t.Any], said: str) -> None:
    with pytest.raises(OptionsError) as refused:
        open_source({"client_secret": SECRET, "client_id": "a", "tenant": "b", **args}, {})
    assert said in str(refused.value)
    assert SECRET not in str(refused.value)


def test_what_ansible_rulebook_adds_is_no_option(tenant: t.Callable[..., Tenant]) -> None:
    assert Watched(tenant(PC, alerts=[alert("one")]), eda_feedback_queue=object()).turn() == ["one"]
