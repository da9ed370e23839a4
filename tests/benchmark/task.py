# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""One task of a module, from its options in a file to figures in another; processes.py starts it."""

from __future__ import annotations

import json
import os
import sys
import time
import typing as t
from collections.abc import Callable
from pathlib import Path

from ansible_collections.secops.defender.plugins.module_utils._tasks import collect_package, fetch_package
from ansible_collections.secops.defender.plugins.module_utils._tasks.door import Context, open_door
from ansible_collections.secops.defender.plugins.module_utils._words.secrets import Secrets

_MODULES = {"collect": collect_package.TASK, "fetch": fetch_package.TASK}


class Silent:
    """Says nothing to nobody."""

    launched_by: t.ClassVar[dict[str, str]] = {}

    def __getattr__(self, _name: str) -> Callable[..., float]:
        return lambda *_args, **_more: 30.0


def main() -> int:
    module, given, result_path = sys.argv[1:]
    options = json.loads(Path(given).read_text(encoding="utf-8"))
    began = time.monotonic()
    context = Context(False, t.cast(t.Any, Silent()), Secrets(), "here")
    result = open_door(_MODULES[module], options, os.environ, None, context)
    seconds = time.monotonic() - began
    stored = sum(package["package"] is not None for package in result["packages"])
    told = {"seconds": seconds, "stored": stored, "msg": result["msg"], "failed": result["failed"]}
    Path(result_path).write_text(json.dumps(told), encoding="utf-8")
    if result["failed"]:
        print(result["msg"], file=sys.stderr)
    return 1 if result["failed"] else 0


if __name__ == "__main__":
    sys.exit(main())
