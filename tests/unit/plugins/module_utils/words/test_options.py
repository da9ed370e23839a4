# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.module_utils.common.parameters import AnsibleFallbackNotFound
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.secops.defender.plugins.doc_fragments.connection import ModuleDocFragment
from ansible_collections.secops.defender.plugins.module_utils._service.clouds import CLOUDS
from ansible_collections.secops.defender.plugins.module_utils._service.settings import (
    SECRETS,
    Settings,
    connection_spec,
)
from ansible_collections.secops.defender.plugins.module_utils._words.errors import OptionsError
from ansible_collections.secops.defender.plugins.module_utils._words.options import (
    SELECTORS,
    Given,
    Spec,
    as_list,
    read,
    seconds,
    secrets_in,
    unknown_variables,
    variables_of,
)

# The contract with playbooks and with AWX's Azure credential, in order of precedence.
ENVIRONMENT = {
    "auth_source": ["DEFENDER_AUTH_SOURCE"],
    "tenant": ["DEFENDER_TENANT", "AZURE_TENANT", "AZURE_TENANT_ID"],
    "client_id": ["DEFENDER_CLIENT_ID", "AZURE_CLIENT_ID"],
    "client_secret": ["DEFENDER_CLIENT_SECRET", "AZURE_SECRET", "AZURE_CLIENT_SECRET"],
    "certificate_path": ["DEFENDER_CERTIFICATE_PATH", "AZURE_CLIENT_CERTIFICATE_PATH"],
    "certificate_password": ["DEFENDER_CERTIFICATE_PASSWORD"],
    "federated_token_file": ["DEFENDER_FEDERATED_TOKEN_FILE", "AZURE_FEDERATED_TOKEN_FILE"],
    "username": ["DEFENDER_USERNAME"],
    "password": ["DEFENDER_PASSWORD"],
    "access_token": ["DEFENDER_ACCESS_TOKEN"],
    "cloud": ["DEFENDER_CLOUD", "AZURE_CLOUD_ENVIRONMENT"],
    "region": ["DEFENDER_REGION"],
    "api_url": ["DEFENDER_API_URL"],
    "login_url": ["DEFENDER_LOGIN_URL"],
    "audience": ["DEFENDER_AUDIENCE"],
    "ca_path": ["DEFENDER_CA_PATH"],
    "validate_certs": ["DEFENDER_VALIDATE_CERTS"],
    "timeout": ["DEFENDER_TIMEOUT"],
    "quota_share": ["DEFENDER_QUOTA_SHARE"],
    "quota_dir": ["DEFENDER_QUOTA_DIR"],
}
VALUES = {"auth_source": "client_secret", "cloud": "gcc", "region": "eu", "validate_certs": "false", "timeout": "7.5",
          "quota_share": "0.5"}  # fmt: skip
PARSED = {"validate_certs": False, "timeout": 7.5, "quota_share": 0.5}
SECRET = "s3cr3t-of-the-app"
# One option of each type, a selector, an alias and a secret: what reading has to do with.
SPEC: Spec = {
    "machines": {"type": "list", "elements": "raw", "aliases": ["machine", "machine_id"]},
    "comment": {"type": "str", "required": True},
    "wait": {"type": "bool", "default": False},
    "downloads": {"type": "int", "default": 4},
    "quota_share": {"type": "float", "default": 1},
    "quotas": {"type": "dict"},
    "dest": {"type": "path"},
    "cloud": {"type": "str", "choices": ["public", "gcc"], "default": "public"},
    "client_secret": {"type": "str", "no_log": True, "aliases": ["secret"]},
}


def taken(environ: dict[str, str] | None = None, **args: Any) -> Settings:
    return Settings.of(read(args, connection_spec(), environ or {}, called="secops.defender.test"))


def ask(base: str | None = None, **args: Any) -> Given:
    return read({"comment": "Alert 4711", **args}, SPEC, {}, called="secops.defender.test", base=base)


def refusal(**args: Any) -> str:
    with pytest.raises(OptionsError) as caught:
        ask(**args)
    return str(caught.value)


# ---- the environment ----


@pytest.mark.parametrize("option", ENVIRONMENT)
def test_environment_first_filled_wins(option: str) -> None:
    value = VALUES.get(option, "/value")
    for at, name in enumerate(ENVIRONMENT[option]):
        # Those before are there but empty, as AWX leaves them; those behind would say something else.
        environ = dict(zip(ENVIRONMENT[option][:at], ("", "  "), strict=False))
        environ |= dict.fromkeys(ENVIRONMENT[option][at + 1 :], "wrong")
        settings = taken({**environ, name: value})
        assert getattr(settings, option) == PARSED.get(option, value)
        assert settings.origins == {option: name}


@pytest.mark.parametrize("option", ENVIRONMENT)
def test_environment_empty_counts_as_unset(option: str) -> None:
    assert taken(dict.fromkeys(ENVIRONMENT[option], " ")) == taken()


def test_options_win_over_the_environment() -> None:
    environ = {"DEFENDER_TENANT": "environment", "DEFENDER_CLIENT_SECRET": "environment"}
    settings = taken(environ, tenant="option", secret="option")
    assert (settings.tenant, settings.client_secret) == ("option", "option")
    assert settings.origins == {"tenant": "task", "client_secret": "task"}


def test_all_options_with_an_environment_are_known_here() -> None:
    assert {name: names for name, option in connection_spec().items() if (names := variables_of(option))} == ENVIRONMENT


@pytest.mark.parametrize(
    ("said", "cloud"),
    [("AzureCloud", "public"), ("azurepubliccloud", "public"), ("AzureUSGovernment", "gcc_high"), (" AzureCloud ", "public"), ("gcc", "gcc")],
)  # fmt: skip
def test_azure_cloud_environment(said: str, cloud: str) -> None:
    assert taken({"AZURE_CLOUD_ENVIRONMENT": said}).cloud == cloud
    assert taken({"AZURE_CLOUD_ENVIRONMENT": said, "DEFENDER_CLOUD": "dod"}).cloud == "dod"


def test_azure_clouds_that_the_service_is_not_in() -> None:
    with pytest.raises(OptionsError, match="AZURE_CLOUD_ENVIRONMENT is 'AzureChinaCloud'"):
        taken({"AZURE_CLOUD_ENVIRONMENT": "AzureChinaCloud"})


@pytest.mark.parametrize(
    ("variable", "value"),
    [("DEFENDER_TIMEOUT", "soon"), ("DEFENDER_VALIDATE_CERTS", "perhaps"), ("DEFENDER_QUOTA_SHARE", "half")],
)
def test_a_refused_variable_is_named_as_what_it_is(variable: str, value: str) -> None:
    with pytest.raises(OptionsError) as caught:
        taken({variable: value})
    assert f"{variable} is {value!r}." in str(caught.value)


@pytest.mark.parametrize("name", ["tenant", "client_id", "client_secret", "username"])
def test_a_blank_at_the_end_of_what_entra_id_gives_out_is_none_of_it(name: str) -> None:
    given: dict[str, Any] = {name: " value\n"}
    for settings in (taken(**given), taken({f"DEFENDER_{name.upper()}": " value "})):
        assert getattr(settings, name) == "value"


def test_core_finds_no_value_of_its_own() -> None:
    """Of several variables it would take an empty one, and could not say which."""
    fallback, names = connection_spec()["tenant"]["fallback"]
    with pytest.raises(AnsibleFallbackNotFound):
        fallback(*names)


def test_variables_that_nobody_reads_are_told_with_the_near_one() -> None:
    environ = {
        "DEFENDER_TENANT_ID": "b",
        "DEFENDER_TENANT": "a",
        "DEFENDER_REGOIN": "",
        "AZURE_X": "y",
        "DEFENDER_Q": "1",
    }
    told = unknown_variables(environ, connection_spec())
    assert told == [
        "The environment variable DEFENDER_Q is not read by anything.",
        "The environment variable DEFENDER_TENANT_ID is not read by anything. Did you mean DEFENDER_TENANT?",
    ]


def test_a_module_that_reads_no_variables_warns_of_none() -> None:
    assert unknown_variables({"DEFENDER_TENANT": "a"}, {"path": {"type": "path"}}) == []


# ---- blank and null ----


@pytest.mark.parametrize("blank", [None, "", "  ", "\n", b""])
def test_blank_and_null_count_as_unset(blank: Any) -> None:
    given = ask(dest=blank, wait=blank, downloads=blank, quota_share=blank, quotas=blank, cloud=blank, secret=blank)
    assert given.values == ask().values
    assert set(given.origins) == {"comment"}


def test_zero_and_false_are_no_blanks() -> None:
    given = ask(wait=False, downloads=0)
    assert (given["wait"], given["downloads"]) == (False, 0) and {"wait", "downloads"} <= set(given.origins)


@pytest.mark.parametrize("blank", [None, "", "  ", "\n"])
@pytest.mark.parametrize("name", ["machines", "machine", "machine_id"])
def test_what_selects_is_never_unset_by_a_blank(name: str, blank: Any) -> None:
    said = refusal(**{name: blank})
    word = "null" if blank is None else "blank"
    assert said.startswith(f"machines is {word}, which could mean nothing as well as everything. ")
    assert "an empty list selects nothing" in said and "None" not in said


@pytest.mark.parametrize("number", [8, 1.1])
def test_a_number_is_no_selector(number: float) -> None:
    """YAML has made it of 010 or 1.10."""
    spec: Spec = {"tag": {"type": "str"}}
    with pytest.raises(OptionsError, match=f"tag is {number}, a number"):
        read({"tag": number}, spec, {}, called="secops.defender.test")
    assert read({"tag": "010"}, spec, {}, called="secops.defender.test")["tag"] == "010"


def test_everything_that_selects_is_known_as_such() -> None:
    assert {"machines", "tag", "filter", "action_ids", "type", "status"} <= SELECTORS


def test_what_is_required_and_not_given() -> None:
    for args, how in (
        ({}, "and it is not given"),
        ({"comment": None}, "but it is blank"),
        ({"comment": " "}, "but it is blank"),
    ):
        with pytest.raises(OptionsError) as caught:
            read(args, SPEC, {}, called="secops.defender.test")
        assert str(caught.value) == (
            f"secops.defender.test needs comment, {how}. Say in comment why this is done: it stays with the action, for the "
            "audit trail. Nothing was started."
        )


def test_all_that_is_required_is_named_at_once() -> None:
    spec: Spec = {"machines": {"type": "list", "required": True}, "comment": {"type": "str", "required": True}}
    with pytest.raises(OptionsError) as caught:
        read({}, spec, {}, called="secops.defender.test")
    assert str(caught.value) == (
        "secops.defender.test needs machines, comment, and not all of them are given. Give machines. Say in comment why this is "
        "done: it stays with the action, for the audit trail. Nothing was started."
    )


# ---- names of options ----


def test_two_names_of_one_option() -> None:
    said = refusal(machines=["pc01"], machine="pc02")
    assert said == (
        "machines and machine are two names of one option, and both are given. Give one of the two. Nothing was started."
    )
    assert "are two names of one option" in refusal(machine="pc01", machine_id="pc01")
    said = refusal(client_secret=SECRET, secret="another secret")
    assert "client_secret and secret" in said and SECRET not in said and "another" not in said


def test_two_names_of_one_option_of_which_one_is_blank() -> None:
    """As a template leaves it; but not of what selects, where a blank could mean everything."""
    for args in ({"client_secret": "", "secret": SECRET}, {"secret": SECRET, "client_secret": None}):
        assert ask(**args)["client_secret"] == SECRET


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("coment", "comment"),
        ("Comment", "comment"),
        ("machins", "machines"),
        ("dst", "dest"),
        ("download", "downloads"),
        ("destination", "dest"),
    ],
)
def test_misspelt_options_are_refused_with_the_near_name(typed: str, meant: str) -> None:
    said = refusal(**{typed: "x"})
    assert said.startswith(f"secops.defender.test has no option {typed}. Did you mean {meant}? ")


def test_misspelt_options_come_before_what_is_missing() -> None:
    with pytest.raises(OptionsError, match="has no option coment"):
        read({"coment": "x"}, SPEC, {}, called="secops.defender.test")


def test_all_unknown_options_are_named() -> None:
    said = refusal(destination="/srv", zzz=1)
    assert "has no option destination, zzz." in said
    assert "ansible_collections" not in said and "module_utils" not in said


# ---- types ----

_BAD: list[tuple[str, dict[str, Any], str]] = [
    ("bool", {"wait": "perhaps"}, "wait is 'perhaps'. Give true or false."),
    ("list for bool", {"wait": [True]}, "wait takes one value, but was given a list. Give one true or false."),
    ("int", {"downloads": "many"}, "downloads is 'many'. Give a whole number."),
    ("fraction", {"downloads": 1.5}, "downloads is 1.5. Give a whole number."),
    ("bool for int", {"downloads": True}, "downloads is true. Give a whole number."),
    ("float", {"quota_share": "half"}, "quota_share is 'half'. Give a number."),
    ("dict", {"quotas": "x"}, "quotas is 'x'. Give a mapping."),
    ("list for dict", {"quotas": ["2/60"]}, 'quotas is ["2/60"]. Give a mapping.'),
    ("list for text", {"comment": ["a"]}, "comment takes one value, but was given a list. Give one text."),
    ("mapping for path", {"dest": {"a": 1}}, "dest takes one value, but was given a mapping. Give one path."),
    ("yaml", {"comment": False}, "comment is false: YAML reads words such as off, on, yes and no as true or false. Write it in quotes."),
    ("NUL", {"dest": "evi\0dence"}, "dest has a NUL character. Give the path of a file or folder."),
    ("choice", {"cloud": "gc"}, "cloud is 'gc'. Did you mean gcc? Give one of public, gcc."),
    ("off", {"machine": False}, "machines holds false, which is no text. Write names in quotes where they look like numbers"),
    ("number", {"machine": 42}, "machines holds 42, which is no text. "),
    ("null in a list", {"machines": ["pc01", None]}, "machines holds null, which is no text. "),
    ("JSON", {"machines": '["pc01", '}, "machines holds '[\"pc01\",', which begins like JSON but is none. Give a list, "),
]  # fmt: skip


@pytest.mark.parametrize(("given_", "sentence"), [each[1:] for each in _BAD], ids=[each[0] for each in _BAD])
def test_what_is_of_another_type_is_refused_in_plain_words(given_: dict[str, Any], sentence: str) -> None:
    said = refusal(**given_)
    assert said.startswith(sentence), said
    assert not re.search(r"<class|\bNone\b|\bdict\b|\bTrue\b|\bFalse\b|ansible_collections", said)


def test_types_as_survey_and_command_line_give_them() -> None:
    given = ask(wait="yes", downloads=" 7 ", quota_share="0.5", quotas='{"default": ["1/1"]}', cloud=" GCC ")
    values = [given[name] for name in ("wait", "downloads", "quota_share", "quotas", "cloud")]
    assert values == [True, 7, 0.5, {"default": ["1/1"]}, "gcc"]
    assert ask(comment=4711)["comment"] == "4711"


def test_paths_are_whole_even_where_the_base_is_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert ask(".", dest="evidence")["dest"] == f"{tmp_path}/evidence"


def test_relative_paths_are_below_the_base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/jane")
    monkeypatch.setenv("CASE", "4711")
    for text, path in {"evidence": f"{tmp_path}/evidence", "/srv/e": "/srv/e", "~/e": "/home/jane/e", "$CASE/e": f"{tmp_path}/4711/e"}.items():  # fmt: skip
        assert ask(str(tmp_path), dest=text)["dest"] == path


# ---- lists ----


@pytest.mark.parametrize(
    ("value", "elements"),
    [
        (["pc01", "pc02"], ["pc01", "pc02"]),
        (("pc01",), ["pc01"]),
        ("pc01", ["pc01"]),
        ("pc01,pc02", ["pc01", "pc02"]),
        ("pc01, pc02,", ["pc01", "pc02"]),
        ("pc01; pc02;", ["pc01", "pc02"]),
        ("pc01\npc02\n", ["pc01", "pc02"]),
        ("pc01\r\n\r\npc02\r\n", ["pc01", "pc02"]),
        ('["pc01", "pc02"]', ["pc01", "pc02"]),
        (' ["pc01"]\n', ["pc01"]),
        ('{"machine": "pc01", "comment": "mine"}', [{"machine": "pc01", "comment": "mine"}]),
        (["pc01,pc02", "pc03\n"], ["pc01", "pc02", "pc03"]),
        ({"machine": "pc01"}, [{"machine": "pc01"}]),
        ([{"machine_id": "a"}, "pc01"], [{"machine_id": "a"}, "pc01"]),
        ([["pc01"]], None),
        ([], []),
        ("[]", []),
        (["", " "], []),
        (b"pc01", ["pc01"]),
    ],
)
def test_lists_as_people_have_them(value: Any, elements: list[Any] | None) -> None:
    if elements is None:
        with pytest.raises(OptionsError, match="machines"):
            as_list("machines", value)
    else:
        assert as_list("machines", value) == elements


def test_a_list_of_nothing_is_not_a_blank() -> None:
    assert ask(machines=[]).values["machines"] == []
    assert ask().values["machines"] is None


# ---- durations ----


@pytest.mark.parametrize(
    ("text", "expected"),
    [("0", 0), (0, 0), ("90", 90), (90, 90), (1.5, 1.5), ("90s", 90), ("90m", 5400), ("4h", 14400), ("2d", 172800), ("0.5h", 1800),
     (" 4 H ", 14400), ("1.25m", 75)],
)  # fmt: skip
def test_durations(text: object, expected: float) -> None:
    assert seconds("reuse_within", text) == expected


@pytest.mark.parametrize(
    "text",
    ["", " ", "h", "-1", "-4h", "4w", "4 hours", "4h30m", "1e3", "inf", "nan", ".5h", "1.", "4h;", None, True, [4]],
)
def test_durations_that_are_none(text: object) -> None:
    with pytest.raises(OptionsError, match="reuse_within is") as caught:
        seconds("reuse_within", text)
    assert "4h" in caught.value.advice and "Nothing was started" in caught.value.advice


def test_a_duration_beyond_all_clocks_is_a_very_long_one() -> None:
    assert seconds("reuse_within", "99999999d") == 50 * 365 * 86400


@pytest.mark.parametrize("value", [0.1, 1, "1s", "0.5"])
def test_positive_numbers(value: Any) -> None:
    assert Given({"downloads": value}).positive("downloads") > 0


@pytest.mark.parametrize("value", [0, -1, float("nan"), float("inf"), "0", "0s", "-1"])
def test_numbers_that_are_not_positive(value: Any) -> None:
    with pytest.raises(OptionsError, match="downloads is"):
        Given({"downloads": value}).positive("downloads")


# ---- secrets ----


def test_secrets_are_marked() -> None:
    marked = {name for name, option in connection_spec().items() if option.get("no_log", False)}
    assert marked == set(SECRETS) == {"client_secret", "certificate_password", "password", "access_token"}


@pytest.mark.parametrize("name", [*SECRETS, "secret"])
@pytest.mark.parametrize("shape", [SECRET, [SECRET], {"value": SECRET}, (SECRET, 1), [[SECRET]], SECRET.encode()])
@pytest.mark.parametrize("wrong", [{}, {"zzz": 1}, {"timeout": "soon"}, {"cloud": "x"}, {"validate_certs": "perhaps"}])
def test_no_secret_is_shown_where_options_are_refused(name: str, shape: Any, wrong: dict[str, Any]) -> None:
    try:
        settings = taken(**{name: shape}, **wrong)
    except OptionsError as failure:
        assert SECRET not in str(failure)
    else:
        assert not wrong and SECRET not in repr(settings)


@pytest.mark.parametrize("shape", [SECRET, [SECRET], {"value": SECRET}, [{"a": [SECRET]}], SECRET.encode()])
def test_every_text_in_a_secret_argument_is_a_secret(shape: Any) -> None:
    assert SECRET in secrets_in({"client_secret": shape}, connection_spec())
    assert SECRET in secrets_in({"secret": shape, "tenant": "x"}, connection_spec())


_TEXTS = st.one_of(
    st.text(), st.sampled_from(["", " ", "0", "off", "[", "{", "[1]", '{"machine": 1}', "4h", "\0", "[[[["])
)
_ANYTHING = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), _TEXTS, st.binary()),
    lambda inner: st.one_of(
        st.lists(inner), st.dictionaries(_TEXTS, inner), st.tuples(inner), st.dictionaries(st.integers(), inner)
    ),
    max_leaves=6,
)
_NAMES = st.sampled_from([*SPEC, "machine", "machine_id", "secret", "coment", "zzz"])


@given(st.dictionaries(_NAMES, _ANYTHING), st.dictionaries(_NAMES.map(lambda name: f"DEFENDER_{name.upper()}"), _TEXTS))
def test_reading_raises_nothing_but_options_errors(args: dict[str, Any], environ: dict[str, str]) -> None:
    try:
        given = read(args, SPEC, environ, called="secops.defender.test", base="/base")
    except OptionsError as failure:
        assert str(failure).isprintable() and failure.advice
    else:
        assert set(given.values) == set(SPEC)
        assert all(isinstance(each, (str, dict)) for each in given["machines"] or ())


@given(_ANYTHING)
def test_lists_raise_nothing_but_options_errors(value: Any) -> None:
    try:
        elements = as_list("machines", value)
    except OptionsError as failure:
        assert "machines" in str(failure) and failure.advice
    else:
        assert all(isinstance(each, dict) or (isinstance(each, str) and each.strip()) for each in elements)


_SHAPES = st.recursive(st.just(SECRET), lambda inner: st.one_of(st.lists(inner, min_size=1), st.dictionaries(st.text(), inner, min_size=1)))  # fmt: skip


@given(st.sampled_from(["client_secret", "secret"]), _SHAPES, st.dictionaries(_NAMES, _ANYTHING))
def test_no_message_ever_shows_a_secret(name: str, shape: Any, others: dict[str, Any]) -> None:
    try:
        read({**others, name: shape}, SPEC, {}, called="secops.defender.test")
    except OptionsError as failure:
        assert SECRET not in str(failure) + json.dumps(failure.as_result())


# ---- what is documented ----

DOCUMENTED: dict[str, Any] = yaml.safe_load(ModuleDocFragment.DOCUMENTATION)["options"]


def test_the_same_options_are_documented() -> None:
    assert set(DOCUMENTED) == set(connection_spec())


@pytest.mark.parametrize("option", connection_spec())
def test_documentation_says_what_the_spec_does(option: str) -> None:
    spec, documented = connection_spec()[option], DOCUMENTED[option]
    for key in ("type", "default", "choices", "aliases"):
        assert documented.get(key) == spec.get(key), key
    text = " ".join(documented["description"])
    named = [name for name in re.findall(r"E\((\w+)\)", text) if name.startswith(("DEFENDER_", "AZURE_"))]
    assert named == ENVIRONMENT.get(option, [])


def test_every_cloud_can_be_chosen() -> None:
    assert connection_spec()["cloud"]["choices"] == list(CLOUDS)
