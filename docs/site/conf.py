# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Sphinx configuration of the documentation site; tests/tools/build_docs.py lays out what it reads."""

from __future__ import annotations

import os
import typing as t

from pygments.lexers.special import TextLexer

project = "secops.defender"
author = "secops.defender contributors"
copyright = f"2026, {author}"  # noqa: A001
version = release = os.environ["COLLECTION_VERSION"]

extensions = ["myst_parser", "sphinx.ext.intersphinx", "sphinx_antsibull_ext"]
source_suffix = {".rst": "restructuredtext", ".md": "markdown"}

# Every reference leads somewhere, or the build fails: those to Ansible's own documentation by the short list beside this
# file, since fetching that project's whole inventory would make the build depend on its server.
nitpicky = True
intersphinx_mapping = {"ansible": ("https://docs.ansible.com/projects/ansible/latest/", "ansible.inv")}

# As deep as the guides' headings go, so that a link to any of them is checked.
myst_heading_anchors = 4

pygments_style = "ansible"
highlight_language = "none"
html_theme = "sphinx_ansible_theme"
html_title = f"secops.defender {release}"
html_short_title = project
html_css_files = ["site.css"]
html_static_path = ["static"]
html_show_sphinx = False
html_copy_source = False
html_use_index = False
html_theme_options = {
    "topbar_links": {"Source": "https://github.com/secops-defender/secops.defender"},
    "vcs_pageview_mode": "",
}


def setup(app: t.Any) -> None:
    # GitHub draws these; here they stay text, since drawing them would load a program from elsewhere.
    app.add_lexer("mermaid", TextLexer)
