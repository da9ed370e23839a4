# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The option machines in every shape that people give it."""

from __future__ import annotations

import json
import typing as t

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.secops.defender.plugins.module_utils._fleet.device import Wish
from ansible_collections.secops.defender.plugins.module_utils._service.names import DEVICE_ID, DNS_NAME, IP
from ansible_collections.secops.defender.plugins.module_utils._tasks.collect_package import TASK as COLLECT
from ansible_collections.secops.defender.plugins.module_utils._tasks.collect_package import CollectOptions
from ansible_collections.secops.defender.plugins.module_utils._tasks.machines import names
from ansible_collections.secops.defender.plugins.module_utils._words.errors import OptionsError
from ansible_collections.secops.defender.plugins.module_utils._words.options import as_list, read

ID = "a" * 40
# What defender_machine_info returns of a device, and a row of a collecting task.
RECORD = {"id": ID, "machine_id": ID, "computer_dns_name": "pc01", "machine_tags": ["x"], "version": None}
ROW = {"machine": "pc01", "machine_id": ID, "status": "Succeeded", "action": {"comment": "old"}, "report": None}


def options(machines: t.Any, **given_: t.Any) -> CollectOptions:
    args = {"machines": machines, "comment": "Alert 4711", **given_}
    return CollectOptions.of(read(args, COLLECT.spec, {}, called=COLLECT.called, base="/playbooks"))


def values(machines: t.Any) -> list[str]:
    return [each.name.value for each in options(machines).asked]


def refusal(machines: t.Any, **given_: t.Any) -> str:
    with pytest.raises(OptionsError) as caught:
        options(machines, **given_)
    assert caught.value.advice and "Python" not in str(caught.value) and "<class" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("machines", "expected"),
    [
        (["pc01", "PC02.contoso.com."], ["pc01", "pc02.contoso.com"]),
        ("pc01", ["pc01"]),
        ("pc01, pc02 ,", ["pc01", "pc02"]),
        ("pc01; pc02", ["pc01", "pc02"]),
        ("pc01\npc02\n", ["pc01", "pc02"]),
        ('["pc01", "pc02"]', ["pc01", "pc02"]),
        (json.dumps([{"machine": "pc01", "comment": "mine"}, "pc02"]), ["pc01", "pc02"]),
        ({"machine": "pc01"}, ["pc01"]),
        ([RECORD, ROW], [ID, ID]),
        (RECORD, [ID]),
        ("10.0.0.1, fe80::1", ["10.0.0.1", "fe80::1"]),
        ("o'brien.contoso.com", ["o'brien.contoso.com"]),
        (f"https://security.microsoft.com/machines/v2/{ID}/overview?tid=4711", [ID]),
        (f"https://security.microsoft.com/machines/{ID.upper()}", [ID]),
    ],
)
def test_machines_as_people_have_them(machines: t.Any, expected: list[str]) -> None:
    assert values(machines) == expected


def test_names_are_kept_as_they_were_asked() -> None:
    url = f"https://security.microsoft.com/machines/v2/{ID}/overview"
    asked = options(["PC01", " 10.0.0.1 ", url]).asked
    assert [each.text for each in asked] == ["PC01", "10.0.0.1", url]
    assert [each.name.kind for each in asked] == [DNS_NAME, IP, DEVICE_ID]
    assert [name.asked for name in names([url])] == [url]


@pytest.mark.parametrize("pattern", ["!pc01", "&servers", "~pc.*", "pc01 pc02", "<pc>", "a|b", '"pc01"'])
def test_what_can_be_no_devices_name(pattern: str) -> None:
    said = refusal(["pc01", pattern])
    assert said.startswith(
        f"machines has {pattern!r}, which can be no device's name. Name each device by itself; of a group, "
    )
    assert "defender_machine_info" in said and "Nothing was started." in said


@pytest.mark.parametrize("pattern", ["ws*", "pc0?", "pc[01:99]"])
def test_wildcards_say_what_to_write_instead(pattern: str) -> None:
    said = refusal(["pc01", pattern])
    assert said.startswith(f"Malformed in machines: {pattern!r} has a wildcard") and "defender_machine_info" in said


def test_everything_that_is_no_name_is_told_at_once() -> None:
    assert refusal(["<a>", "pc01", "!x"]).startswith("machines has '<a>', '!x', which can be no device's name.")
    said = refusal(["1.2.3.999", "a" * 39, "ws*"])
    assert (
        "'1.2.3.999' looks like an IP address" in said and "has 39 hexadecimal digits" in said and "'ws*' has" in said
    )


_NO_NAME = "machines has a mapping without machine or machine_id: "


@pytest.mark.parametrize(
    ("machines", "said"),
    [
        ({"machines": [RECORD], "changed": False}, _NO_NAME + "machines, changed. It looks like a module's result: give its machines."),
        ({"packages": [ROW], "msg": "x"}, _NO_NAME + "packages, msg. It looks like a module's result: give its packages."),
        ({"name": "pc01"}, "machines has a mapping without machine or machine_id: name. A request has machine, a record has machine_id."),
        ({}, "machines has a mapping without machine or machine_id: an empty one."),
        ([{"machine_id": None, "machine": "ghost"}], "machines has a mapping whose machine_id is null, so it names no device."),
        ([{"machine": False}], "machines has a mapping whose machine is false, so it names no device."),
        ([{"machine": ["pc01", "pc02"]}], 'machines has a mapping whose machine is ["pc01", "pc02"], so it names no device.'),
        ([{"machine": "pc01, pc02"}], "machines has 'pc01, pc02', which can be no device's name."),
        ([{"machine": "pc01", "coment": "x"}], "The request for pc01 has no option coment. Did you mean comment? Known are machine, comment, dest, "),
        ([{"machine": "pc01", "downloads": 9}], "The request for pc01 has no option downloads."),
        ([{"machine": "pc01", "wait_timeout": "soon"}], "wait_timeout is 'soon'."),
        ([{"machine": "pc01", "cancel_on_timeout": "perhaps"}], "cancel_on_timeout is 'perhaps'. Give true or false."),
        ([{"machine": "pc01", "comment": ["x"]}], "comment takes one value, but was given a list."),
        ([{"machine": "pc01", "reuse_within": "1 week"}], "reuse_within is '1 week'."),
        (12345, "machines holds 12345, which is no text. Write names in quotes where they look like numbers"),
        (False, "machines holds false, which is no text."),
        ([None], "machines holds null, which is no text."),
        ("[pc01, pc02]", "machines holds '[pc01, pc02]', which begins like JSON but is none."),
        ([], "machines is empty. Name at least one device. Nothing was started."),
        (" , ;", "machines is empty."),
    ],
)  # fmt: skip
def test_what_is_refused(machines: t.Any, said: str) -> None:
    assert refusal(machines).startswith(said), refusal(machines)


# ---- what each one wishes ----


def test_a_request_has_its_own_wishes_and_else_the_tasks() -> None:
    own = {"machine": "pc01", "comment": " mine ", "dest": "own", "reuse_within": "4h", "wait_timeout": "1h", "cancel_on_timeout": True}  # fmt: skip
    first, second, third = options(
        [own, "pc02", {**RECORD, "comment": "of the record", "msg": "ignored"}],
        comment="the task's",
        dest="/srv/e",
        wait_timeout="15m",
    ).asked
    assert first.wish == Wish("mine", 3600, True, 14400, "/playbooks/own")
    assert second.wish == Wish("the task's", 900, False, 0, "/srv/e")
    assert third.wish == Wish("of the record", 900, False, 0, "/srv/e")


def test_a_request_may_wish_less_than_the_task() -> None:
    own = {"machine": "pc01", "reuse_within": 0, "cancel_on_timeout": False}
    (asked,) = options([own], reuse_within="4h", cancel_on_timeout=True).asked
    assert (asked.wish.reuse_within, asked.wish.cancel_on_timeout) == (0, False)


@pytest.mark.parametrize("blank", [None, "", "  "])
def test_a_blank_wish_is_the_tasks(blank: t.Any) -> None:
    own = dict.fromkeys(("comment", "dest", "reuse_within", "wait_timeout", "cancel_on_timeout"), blank)
    (asked,) = options([{"machine": "pc01", **own}], dest="/srv/e", reuse_within="4h").asked
    assert asked.wish == Wish("Alert 4711", 3600, False, 14400, "/srv/e")


def test_comments_are_trimmed() -> None:
    """A blank at the end would make a request another one, and start everything anew."""
    assert options(["pc01"], comment=" Alert 4711 \n").comment == "Alert 4711"
    assert options(["pc01"], comment=" Alert 4711 \n").asked == options(["pc01"]).asked


# ---- what contradicts itself ----


@pytest.mark.parametrize("given_", [{"dest": "/srv/e"}, {"machines": [{"machine": "pc01", "dest": "/srv/e"}]}])
@pytest.mark.parametrize("no", [False, "no", "false"])
def test_not_to_wait_and_a_dest_exclude_each_other(given_: dict[str, t.Any], no: t.Any) -> None:
    given_ = {"machines": ["pc01"], **given_}
    machines = given_.pop("machines")
    assert refusal(machines, wait=no, **given_).startswith("wait is false, but there is a dest: ")
    assert options(machines, **given_).asked[0].wish.dest
    assert options(machines, wait=True, **given_).asked[0].wish.dest


def test_more_than_max_machines_are_counted_once_each() -> None:
    assert len(options(["pc01", "PC01", "pc02"], max_machines=2).asked) == 3
    assert refusal(["pc01", "pc02", "pc03"], max_machines=2).startswith("3 machines were named, but max_machines is 2.")
    assert refusal(["pc01"], max_machines=-1).startswith("max_machines is -1.")


_SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.text(), st.sampled_from(["pc01", ID, "10.0.0.1", "ws*"])
)
_KEYS = st.sampled_from(["machine", "machine_id", "comment", "dest", "reuse_within", "wait_timeout", "cancel_on_timeout", "zzz"])  # fmt: skip
_MAPPINGS = st.dictionaries(_KEYS, st.one_of(_SCALARS, st.lists(_SCALARS, max_size=2)))


@given(st.one_of(_SCALARS, st.lists(st.one_of(_SCALARS, _MAPPINGS), max_size=4), _MAPPINGS))
def test_nothing_but_options_errors_are_raised_and_no_device_is_lost(machines: t.Any) -> None:
    try:
        asked = options(machines).asked
    except OptionsError as failure:
        assert str(failure).isprintable()
    else:
        assert len(asked) == len(as_list("machines", machines))
        assert all(each.wish.comment for each in asked)
