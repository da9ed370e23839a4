# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Run one ansible-test command in virtual environments, without its own download site and without a container engine.

ansible-test passes on hardly any environment variable. So that its environments find the same package index as
everybody else on this machine, they get a home of their own with a pip configuration written from the present one.
"""

from __future__ import annotations

import ast
import configparser
import os
import pathlib
import subprocess
import sys
import typing as t
from types import SimpleNamespace

from ansible_test._internal.python_requirements import get_venv_packages

PYTHON_VERSION = f"{sys.version_info.major}.{sys.version_info.minor}"

# ansible-test fetches pip's installer from a site of its own, unless a file of the right name lies in its cache.
# Python carries a pip that serves as well.
GET_PIP = """\
import ensurepip

ensurepip.bootstrap(upgrade=True, default_pip=True)
"""


def provide_pip(home: pathlib.Path) -> None:
    version = get_venv_packages(t.cast(t.Any, SimpleNamespace(version=PYTHON_VERSION)))["pip"]
    cached = home / ".ansible" / "test" / "cache" / f"get_pip_{version.replace('.', '_')}.py"
    cached.parent.mkdir(parents=True, exist_ok=True)
    cached.write_text(GET_PIP, encoding="utf-8")


def provide_pip_configuration(home: pathlib.Path) -> None:
    config = configparser.RawConfigParser()
    config.read_dict({"global": {"quiet": "2"}})
    listed = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"], check=True, stdout=subprocess.PIPE, text=True
    ).stdout
    # pip lists the environment before the files, and the environment wins.
    for line in reversed(listed.splitlines()):
        name, value = line.split("=", 1)
        section, option = name.rsplit(".", 1)
        section = "global" if section == ":env:" else section
        config.read_dict({section: {option: ast.literal_eval(value)}})
    for option, variables in {
        "cert": ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"),
        "proxy": ("https_proxy", "HTTPS_PROXY"),
    }.items():
        given = next((os.environ[name] for name in variables if os.environ.get(name)), None)
        if given and not config.has_option("global", option):
            config.set("global", option, given)
    path = home / ".config" / "pip" / "pip.conf"
    path.parent.mkdir(parents=True, exist_ok=True)
    # An index address may hold a password.
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as stream:
        config.write(stream)


def main() -> None:
    tree, command, *arguments = sys.argv[1:]
    home = pathlib.Path(tree).parents[3] / "home"
    provide_pip(home)
    provide_pip_configuration(home)
    binaries = os.path.dirname(sys.executable)
    os.environ.update(HOME=str(home), PATH=f"{binaries}{os.pathsep}{os.environ['PATH']}")
    os.chdir(tree)
    os.execv(
        os.path.join(binaries, "ansible-test"),
        ["ansible-test", command, *arguments, "--venv", "--python", PYTHON_VERSION],
    )


if __name__ == "__main__":
    main()
