# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Times as the API writes and reads them."""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_UTC = re.compile(r"(\d{4}-\d{2}-\d{2})(?:T(\d{2}:\d{2})(?:(:\d{2})(\.\d{1,7})?)?)?Z")


def iso(seconds: float) -> str:
    """The API counts in units of 100 ns, hence seven digits; the seventh is beyond a float and is always 0 here."""
    return (_EPOCH + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%S.%f") + "0Z"


def parse_utc(text: str) -> float:
    """Seconds since the epoch; ValueError for anything but a UTC date or date and time that ends in Z."""
    match = _UTC.fullmatch(text)
    if not match:
        raise ValueError(f"not a UTC date: {text!r}")
    day, minutes, seconds, fraction = match.groups()
    text = f"{day}T{minutes or '00:00'}{seconds or ':00'}"
    moment = datetime.strptime(text, "%Y-%m-%dT%H:%M:%S").replace(tzinfo=timezone.utc)
    return (moment - _EPOCH).total_seconds() + float(f"0{fraction or ''}")
