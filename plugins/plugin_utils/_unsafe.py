# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Texts that come from devices and from the service, marked so that nobody takes them for templates."""

from __future__ import annotations

import re
import typing as t

from ansible import template as ansible_template
from ansible.utils.unsafe_proxy import AnsibleUnsafeText

_HARMLESS = re.compile(r"[A-Za-z0-9 ._:-]*")
_ONLY_TRUSTED_TEMPLATES = hasattr(ansible_template, "trust_as_template")


def unsafe(value: t.Any) -> t.Any:
    """The same with every text marked as data that could be taken for a template: nobody may template what a tenant's texts say.

    Before ansible-core 2.19 any text is a template, and a C(#jinja2:) line redefines what a delimiter is. Only a text that can
    hold neither stays as it is: there C(ansible-inventory) writes marked ones as C({"__ansible_unsafe": …}), which AWX and jq
    do not read, so IDs, names, addresses and times are left plain. From 2.19 on nothing is a template unless it is trusted.
    """
    if _ONLY_TRUSTED_TEMPLATES:
        return value
    if isinstance(value, str):
        return value if _HARMLESS.fullmatch(value) else AnsibleUnsafeText(value)
    if isinstance(value, list):
        return [unsafe(each) for each in value]
    if isinstance(value, dict):
        return {unsafe(str(key)): unsafe(each) for key, each in value.items()}
    return value
