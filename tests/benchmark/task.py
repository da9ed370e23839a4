# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""One task of a module, from its options in a file to figures in another; processes.py starts it."""

from __future__ import annotations

import json
import sys
import time
import typing as t
from collections.abc import Callable
from pathlib import Path

from ansible.module_utils.common.arg_spec import ArgumentSpecValidator

from ansible_collections.secops.defender.plugins.module_utils._tasks import packages as _tasks
from ansible_collections.secops.defender.plugins.module_utils._words import options as _spec
from ansible_collections.secops.defender.plugins.module_utils._words.secrets import Secrets

_MODULES = {
    "collect": (_spec.collect_spec, _tasks.collect_package),
    "fetch": (_spec.fetch_spec, _tasks.fetch_package),
}


class Silent:
    """Says nothing to nobody."""

    launched_by: t.ClassVar[dict[str, str]] = {}

    def __getattr__(self, _name: str) -> Callable[..., float]:
        return lambda *_args, **_more: 30.0


def main() -> int:
    module, given, result_path = sys.argv[1:]
    spec, task = _MODULES[module]
    options = json.loads(Path(given).read_text(encoding="utf-8"))
    validated = ArgumentSpecValidator({**_spec.connection_spec(), **spec()}).validate(options)
    if validated.error_messages:
        print("\n".join(validated.error_messages), file=sys.stderr)
        return 1
    began = time.monotonic()
    result = task(validated.validated_parameters, False, t.cast(t.Any, Silent()), Secrets())
    seconds = time.monotonic() - began
    stored = sum(package["package"] is not None for package in result["packages"])
    told = {"seconds": seconds, "stored": stored, "msg": result["msg"], "failed": result["failed"]}
    Path(result_path).write_text(json.dumps(told), encoding="utf-8")
    if result["failed"]:
        print(result["msg"], file=sys.stderr)
    return 1 if result["failed"] else 0


if __name__ == "__main__":
    sys.exit(main())
