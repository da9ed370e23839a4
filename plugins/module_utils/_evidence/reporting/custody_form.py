# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A form for each package, to be printed: what it is, and room for everybody whose hands it goes through."""

from __future__ import annotations

import typing as t

from ansible_collections.secops.defender.plugins.module_utils._evidence.reporting.markup import moment, text

_Facts = t.Mapping[str, t.Any]

# What a person fills in by hand; the style sheet rules the lines, for a report may have thousands of forms.
_HANDS = '<div class="hands"></div>'


def forms(devices: t.Sequence[_Facts], facts: _Facts) -> str:
    """The forms of the devices that have a package, one after the other."""
    made = [_form(device, facts) for device in devices if device["package"]]
    if not made:
        return "<p>There is no package to hand over.</p>"
    return f"<details><summary>{len(made):,} to print, one for each package</summary>{''.join(made)}</details>"


def _form(device: _Facts, facts: _Facts) -> str:
    package = device["package"]
    name = text(device["computer_dns_name"] or device["machine"])
    comment = device["comment"] or facts["comment"]
    return (
        f'<article class="form"><h3><bdi>{name}</bdi></h3><p>{text(comment)}</p>'
        f"<p>Device ID <code>{text(device['machine_id'] or '')}</code><br>Downloaded {moment(package['downloaded'])}<br>"
        f"SHA-256 of the package <code>{text(package['sha256'])}</code></p>{_HANDS}</article>"
    )
