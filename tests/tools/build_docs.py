# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Build the documentation site: usage build_docs.py TREE OUT. The pages end up in OUT/html.

The guides are the Markdown files of the repository, the reference is what antsibull-docs writes of the plugins and roles. A link
that leads nowhere inside of the repository or the site is a failure, and so is every warning.
"""

from __future__ import annotations

import os
import pathlib
import re
import shutil
import subprocess
import sys
import zlib

import yaml

REPOSITORY = "https://github.com/secops-defender/secops.defender"
IN_REPOSITORY = re.compile(re.escape(REPOSITORY) + r"/(?:blob|tree)/main/([^)\s#]*)")
TOP_PAGES = ("CHANGELOG.md", "CODE_OF_CONDUCT.md", "CONTRIBUTING.md", "SECURITY.md")
FENCED = re.compile(r"^(```.*?^```$)", re.MULTILINE | re.DOTALL)
# A name in code that is no link yet.
MENTION = re.compile(r"(?<!\[)`(?:secops\.defender\.)?(\w+)`(?!\])")


def stage(tree: pathlib.Path, source: pathlib.Path) -> None:
    """Lay the guides out as in the repository, so that links between them hold in both."""
    site = tree / "docs" / "site"
    shutil.copytree(tree / "docs", source / "docs", ignore=shutil.ignore_patterns("site", "docsite"))
    shutil.copy(site / "conf.py", source)
    (source / "static").mkdir()
    shutil.copy(site / "site.css", source / "static")
    for name in TOP_PAGES:
        shutil.copy(tree / name, source)
    readme = (tree / "README.md").read_text(encoding="utf-8") + (site / "contents.md").read_text(encoding="utf-8")
    (source / "index.md").write_text(readme, encoding="utf-8")
    write_inventory(site / "ansible.txt", source / "ansible.inv")


def write_inventory(listed: pathlib.Path, inventory: pathlib.Path) -> None:
    """Turn lines of C(domain:role name location) into the file that Sphinx resolves references to other projects with."""
    lines = []
    for line in listed.read_text(encoding="utf-8").splitlines():
        role, name, location = line.split()
        lines.append(f"{name} {role} -1 {location} -\n")
    head = "# Sphinx inventory version 2\n# Project: Ansible\n# Version: latest\n"
    head += "# The remainder of this file is compressed using zlib.\n"
    inventory.write_bytes(head.encode() + zlib.compress("".join(lines).encode()))


def write_reference(source: pathlib.Path) -> None:
    """Let antsibull-docs write a page for each plugin and role; it insists on a folder that nobody else may write to."""
    reference = source / "reference"
    reference.mkdir(mode=0o700)
    command = ["antsibull-docs", "collection", "--use-current", "--fail-on-error", "--squash-hierarchy"]
    subprocess.run([*command, "--dest-dir", str(reference), "secops.defender"], check=True)
    # The titles of the pages are too long for a list of contents.
    index = reference / "index.rst"
    text = index.read_text(encoding="utf-8")
    text = re.sub(r"^( {4})((\w+)_(?:module|inventory|role))$", r"\1\3 <\2>", text, flags=re.MULTILINE)
    index.write_text(text, encoding="utf-8")


def lost_links(tree: pathlib.Path) -> list[str]:
    """Links to the repository's own address, which are checked against its files instead of over the network."""
    pages = [*tree.glob("*.md"), *tree.glob("docs/**/*.md"), *tree.glob("roles/*/README.md")]
    return [
        f"{page.relative_to(tree)}: there is no {path} in the repository"
        for page in sorted(pages)
        for path in IN_REPOSITORY.findall(page.read_text(encoding="utf-8"))
        if not (tree / path).exists()
    ]


def connect(page: pathlib.Path, source: pathlib.Path) -> None:
    """Lead links to what the site has to the site, and the first mention of a plugin or role to its page."""

    def local(match: re.Match[str]) -> str:
        target = source / ("index.md" if match[1] == "README.md" else match[1])
        on_site = target.suffix == ".md" and target.is_file()
        return os.path.relpath(target, page.parent) if on_site else match[0]

    # Those links are absolute because Galaxy shows some of the pages as well.
    parts = FENCED.split(IN_REPOSITORY.sub(local, page.read_text(encoding="utf-8")))
    pages = {path.stem.rsplit("_", 1)[0]: path for path in sorted(source.glob("reference/*_*.rst"))}
    for number in range(0, len(parts), 2):
        lines = parts[number].split("\n")
        parts[number] = "\n".join(line if line.startswith("#") else linked(line, page, pages) for line in lines)
    page.write_text("".join(parts), encoding="utf-8")


def linked(line: str, page: pathlib.Path, pages: dict[str, pathlib.Path]) -> str:
    """The line with a link on each name in C(pages), which is taken out of there."""

    def link(match: re.Match[str]) -> str:
        target = pages.pop(match[1], None)
        return f"[{match[0]}]({os.path.relpath(target, page.parent)})" if target else match[0]

    return MENTION.sub(link, line)


def main() -> None:
    tree, out = (pathlib.Path(each).resolve() for each in sys.argv[1:])
    source = out / "source"
    shutil.rmtree(out, ignore_errors=True)
    source.mkdir(parents=True)
    if lost := lost_links(tree):
        sys.exit("\n".join(lost))
    stage(tree, source)
    write_reference(source)
    for page in source.rglob("*.md"):
        connect(page, source)
    os.environ["COLLECTION_VERSION"] = yaml.safe_load((tree / "galaxy.yml").read_text(encoding="utf-8"))["version"]
    sphinx = [
        "sphinx-build",
        "--quiet",
        "--fail-on-warning",
        "--builder",
        "html",
        "--doctree-dir",
        str(out / "doctrees"),
    ]
    done = subprocess.run([*sphinx, str(source), str(out / "html")], check=False)
    if done.returncode:
        sys.exit(done.returncode)
    print(f"the site is in {out / 'html'}")


if __name__ == "__main__":
    main()
