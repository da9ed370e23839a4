# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which hosts are one fleet, and which are refused."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.secops.defender.plugins.plugin_utils._role_fleets import Request, Sheet, fingerprint, judge

ONE, TWO = "7f1b2c3d-4e5f-4a6b-8c7d-9e0f1a2b3c4d", "11111111-2222-4333-8444-555555555555"


def nobody(tenant: str, login: Mapping[str, Any]) -> str | None:
    raise AssertionError("nobody has to be asked")


def test_fleets_in_the_order_of_their_first_hosts() -> None:
    requests = [Request("a", "x", "a"), Request("b", "y", "b"), Request("c", "x", "c")]
    assert [(sheet.fleet, [each.host for each in sheet.requests]) for sheet in judge(requests, nobody)] == [
        ("x", ["a", "c"]),
        ("y", ["b"]),
    ]


def test_a_sheet_survives_being_written_down() -> None:
    (sheet,) = judge([Request("a", "x", "a", comment="ü", login={"cloud": "public"})], nobody)
    assert Sheet.of(sheet.as_mapping()) == sheet


def test_a_refused_host_is_in_no_fleet() -> None:
    (sheet,) = judge([Request("a", "", refused="no"), Request("b", "x", "b", limit=1)], nobody)
    assert [each.host for each in sheet.requests] == ["b"] and sheet.refusal is None


@pytest.mark.parametrize(
    ("limit", "known", "hosts", "refused"),
    [(2, True, 9, False), (1, True, 9, True), (0, True, 9, False), (2, False, 9, True), (9, False, 9, False)],
)
def test_the_limit(limit: int, known: bool, hosts: int, refused: bool) -> None:
    requests = [Request(name, name, name, limit=limit, hosts=hosts, known=known) for name in ("a", "b")]
    for sheet in judge(requests, nobody):
        assert (sheet.refusal is not None) is refused
        assert not refused or "collect_package_max_machines" in str(sheet.refusal)


def test_one_device_by_one_name_and_two_wishes() -> None:
    requests = [Request("a", "x", "PC1", comment="one"), Request("b", "x", "pc1", comment="two", dest="/d")]
    (sheet,) = judge(requests, nobody)
    assert str(sheet.refusal).startswith(
        "The hosts a and b lead to one device, pc1, but want another comment and dest."
    )
    assert judge([Request("a", "x", "PC1"), Request("b", "x", "pc1")], nobody)[0].refusal is None


def test_one_folder_of_two_tenants_refuses_both_and_no_other(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "real")
    requests = [
        Request("a", "x", "a", dest=str(tmp_path / "real"), tenant=ONE),
        Request("b", "y", "b", dest=str(tmp_path / "link"), tenant=TWO),
        Request("c", "z", "c", dest=str(tmp_path / "other"), tenant=TWO),
    ]
    first, second, third = judge(requests, nobody)
    assert first.refusal == second.refusal and ONE in str(first.refusal) and TWO in str(first.refusal)
    assert third.refusal is None


def test_a_tenant_by_its_id_and_by_its_domain_is_one() -> None:
    asked = []

    def discover(tenant: str, login: Mapping[str, Any]) -> str | None:
        asked.append((tenant, login["cloud"]))
        return ONE if tenant == "contoso.com" else None

    requests = [
        Request("a", "x", "a", dest="/d", tenant=ONE.upper()),
        Request("b", "y", "b", dest="/d", tenant="Contoso.com", login={"cloud": "public"}),
    ]
    assert [sheet.refusal for sheet in judge(requests, discover)] == [None, None]
    assert asked == [("contoso.com", "public")]
    requests.append(Request("c", "z", "c", dest="/d", tenant="fabrikam.com", login={"cloud": "public"}))
    assert all(sheet.refusal for sheet in judge(requests, discover))


def test_a_domain_alone_is_not_looked_up() -> None:
    requests = [Request(name, name, name, dest="/d", tenant="contoso.com") for name in ("a", "b")]
    assert [sheet.refusal for sheet in judge(requests, nobody)] == [None, None]


def test_a_fingerprint_tells_nothing_but_that_it_is_the_same() -> None:
    assert fingerprint({"secret": "s", "a": 1}) == fingerprint({"a": 1, "secret": "s"})
    assert fingerprint({"secret": "s"}) != fingerprint({"secret": "t"})
    assert len(fingerprint("s")) == 32


def test_ten_thousand_hosts_are_no_trouble() -> None:
    requests = [Request(f"h{n}", "x", f"pc{n}", dest=f"/e/{n}", tenant=ONE, comment=str(n)) for n in range(10_000)]
    (sheet,) = judge(requests, nobody)
    assert sheet.refusal is None and len(sheet.requests) == 10_000
