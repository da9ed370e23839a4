# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Start a simulated tenant in the background, and hand its connection facts to the play."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
import typing as t
from pathlib import Path

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase

from ansible_collections.secops.defender.plugins.module_utils._words import version as _version

# Where the package "simulator" lies: beside tests/integration in the collection that is being tested.
_TESTS = Path(_version.__file__).resolve().parents[3] / "tests"
_PATIENCE = 60.0


class ActionModule(ActionBase):
    """Options: below (the folder for its state), fleet (a dictionary as in a fleet file), and what its command line takes.

    The simulator ends with this ansible-playbook, however that ends, because it watches the process.
    """

    _requires_connection = False

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        result: dict[str, t.Any] = super().run(tmp, task_vars)
        options = dict(self._task.args)
        # Of its own: the one of the target before may be about to end, and takes its simulator.json away then.
        state = Path(tempfile.mkdtemp(prefix="simulator-", dir=options.pop("below")))
        fleet = state / "fleet.yml"
        # JSON is YAML. The round trip leaves nothing but plain values of what templating gave.
        fleet.write_text(json.dumps(options.pop("fleet")), encoding="utf-8")
        command = [sys.executable, "-m", "simulator", "--fleet", str(fleet), "--state-dir", str(state)]
        # This is a worker; its parent is ansible-playbook itself.
        command += ["--parent-pid", str(os.getppid())]
        for name, value in options.items():
            command += [f"--{name.replace('_', '-')}", str(value)]
        log_path = state / "simulator.log"
        with open(log_path, "wb") as log:
            process = subprocess.Popen(
                command, cwd=_TESTS, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        facts = state / "simulator.json"
        deadline = time.monotonic() + _PATIENCE
        while not facts.exists():
            if process.poll() is not None or time.monotonic() > deadline:
                process.kill()
                said = log_path.read_text(encoding="utf-8", errors="replace")
                raise AnsibleActionFail(f"The simulator did not start: {' '.join(command)}\n{said}")
            time.sleep(0.05)
        simulator = json.loads(facts.read_text(encoding="utf-8"))
        simulator["state_dir"] = str(state)
        result.update(changed=True, simulator=simulator, tests=str(_TESTS))
        return result
