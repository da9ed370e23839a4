# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Look for secrets in files and folders: find_secrets.py SIMULATOR_JSON MORE_SECRETS_JSON PATH…

Looks for everything that the simulator has issued or was sent, as it is and in the spellings that logs know, and for what else
is listed. Prints what it has looked through as JSON, without the secrets, and ends with 1 if one was found.
"""

from __future__ import annotations

import base64
import json
import ssl
import sys
import urllib.parse
import urllib.request
from pathlib import Path

# A shorter one would be found in ordinary words.
SHORTEST = 8


def issued(path: str) -> list[str]:
    facts = json.loads(Path(path).read_text(encoding="utf-8"))
    context = ssl.create_default_context(cafile=facts["ca_path"])
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context))
    with opener.open(facts["api_url"] + "/_simulator/secrets") as reply:
        return list(json.load(reply))


def spellings(secret: str) -> set[bytes]:
    forms = {secret, urllib.parse.quote(secret, safe=""), json.dumps(secret)[1:-1]}
    encoded = {form.encode() for form in forms}
    # Inside a longer text base64 looks different, but as a whole it is what an Authorization header or a file has.
    encoded.add(base64.b64encode(secret.encode()))
    return encoded


def main() -> None:
    simulator, more, *paths = sys.argv[1:]
    secrets = issued(simulator) + json.loads(more)
    wanted = {
        form: number for number, secret in enumerate(secrets) for form in spellings(secret) if len(secret) >= SHORTEST
    }
    files = [
        file
        for path in map(Path, paths)
        for file in (sorted(each for each in path.rglob("*") if each.is_file()) if path.is_dir() else [path])
    ]
    found = []
    size = 0
    for file in files:
        data = file.read_bytes()
        size += len(data)
        for form, number in wanted.items():
            at = data.find(form)
            if at >= 0:
                around = data[max(0, at - 200) : at].decode(errors="replace")
                found.append({"file": str(file), "secret": number, "before": around})
    json.dump({"found": found, "files": len(files), "bytes": size, "secrets": len(secrets)}, sys.stdout)
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main()
