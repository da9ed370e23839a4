# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Texts of a tenant are never taken for templates, whatever a C(#jinja2:) line makes of the delimiters."""

from __future__ import annotations

import pathlib
import typing as t

import pytest
from ansible import template as ansible_template
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.secops.defender.plugins.plugin_utils._unsafe import unsafe

_TRUST = getattr(ansible_template, "trust_as_template", lambda text: text)
_DELIMITER = st.text("<>[]()!$%&*+-=?@^_|~;:.,/{}#ab", min_size=2, max_size=4)
_FIELDS = ("tag", "name", "group", "comment", "requestor", "message")


def _hostile(start: str, end: str, before: str, kind: str) -> str:
    return f"#jinja2:{kind}_start_string:'{start}', {kind}_end_string:'{end}'\n{before}{start} lookup('pipe', 'touch RAN') {end}"


_TEXTS = st.builds(_hostile, _DELIMITER, _DELIMITER, st.text(max_size=5), st.sampled_from(["variable", "block"]))


def _seen_by_a_play(values: dict[str, t.Any], template: str) -> t.Any:
    return Templar(DataLoader(), variables=values).template(_TRUST(template))


@given(st.dictionaries(st.sampled_from(_FIELDS), _TEXTS | st.lists(_TEXTS, min_size=1, max_size=2), min_size=1))
@settings(max_examples=60)
def test_a_text_with_delimiters_of_its_own_stays_a_text(facts: dict[str, t.Any]) -> None:
    marked = unsafe({"machine": facts})["machine"]
    for name, value in facts.items():
        for each in value if isinstance(value, list) else [value]:
            assert Templar(DataLoader(), variables={}).template(unsafe(each)) == each
        seen = _seen_by_a_play({"machine": marked}, f"{{{{ machine.{name} }}}}")
        assert seen == value
    assert not pathlib.Path("RAN").exists()


@pytest.mark.skipif(
    hasattr(ansible_template, "trust_as_template"), reason="nothing is a template there unless it is trusted"
)
def test_what_is_not_marked_would_have_run(tmp_path: pathlib.Path) -> None:
    text = _hostile("<<", ">>", "", "variable").replace("RAN", str(tmp_path / "ran"))
    _seen_by_a_play({"machine": {"tag": text}}, "{{ machine.tag }}")
    Templar(DataLoader(), variables={}).template(text)
    assert (tmp_path / "ran").exists()
