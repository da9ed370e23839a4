# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The one style sheet of all pages: light and dark, wide and narrow, screen and print."""

from __future__ import annotations

# RUN_ID is put in where a page is made.
STYLE = """
:root {
  --paper: #fff; --ink: #1b1b1a; --quiet: #55534e; --line: #cfccc4; --band: #f5f4f0; --bad: #9c1c1c; --link: #1f4b8f;
  color-scheme: light dark;
}
@media screen and (prefers-color-scheme: dark) {
  :root {
    --paper: #161718; --ink: #e6e4df; --quiet: #a9a69e; --line: #43423e; --band: #1f2122; --bad: #ff9d93; --link: #9fc3ff;
  }
}
* { box-sizing: border-box; }
html { background: var(--paper); color: var(--ink); font: 0.9375rem/1.5 system-ui, "Segoe UI", Roboto, "Noto Sans", sans-serif; }
body { max-width: 91rem; margin: 0 auto; padding: 2.5rem 2rem 4rem; }
h1, h2, .figures dd { font-family: Charter, "Bitstream Charter", Cambria, Georgia, "Noto Serif", serif; font-weight: 600; }
h1 { font-size: 2rem; line-height: 1.2; margin: 0.2rem 0 0.8rem; white-space: pre-line; overflow-wrap: anywhere; }
h2 { font-size: 1.35rem; margin: 0 0 1rem; padding-bottom: 0.35rem; border-bottom: 2px solid var(--ink); }
p { margin: 0 0 0.6rem; max-width: 75ch; }
a { color: var(--link); }
:focus-visible { outline: 3px solid var(--link); outline-offset: 2px; }
section { margin-top: 3rem; }
section:focus { outline: none; }
.kind { color: var(--quiet); margin: 0; }
.lead { font-size: 1.05rem; overflow-wrap: anywhere; }
.skip { position: absolute; left: -100vw; background: var(--paper); padding: 0.5rem 1rem; }
.skip:focus { left: 1rem; top: 0.5rem; z-index: 2; }
nav ul { display: flex; flex-wrap: wrap; gap: 0.3rem 1.5rem; list-style: none; margin: 1.2rem 0 0; padding: 0.6rem 0;
  border: solid var(--line); border-width: 1px 0; }
code { font: 0.8125rem/1.45 ui-monospace, "Cascadia Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace; overflow-wrap: anywhere; }
dl { margin: 0 0 1rem; }
dd { margin: 0; overflow-wrap: anywhere; white-space: pre-line; }
section > dl:not(.figures) > div { display: grid; grid-template-columns: 12rem 1fr; gap: 1rem; padding: 0.3rem 0; }
section > dl:not(.figures) > div + div { border-top: 1px solid var(--line); }
section > dl:not(.figures) dt { color: var(--quiet); }
.figures { display: flex; flex-wrap: wrap; gap: 0.5rem 3.5rem; margin-bottom: 1.2rem; }
.figures > div { display: flex; flex-direction: column-reverse; }
.figures dt { color: var(--quiet); }
.figures dd { font-size: 2.2rem; line-height: 1.15; font-variant-numeric: lining-nums tabular-nums; }
.bad dd, .code { color: var(--bad); }
table { border-collapse: collapse; width: 100%; }
caption { text-align: left; color: var(--quiet); padding-bottom: 0.4rem; }
th, td { text-align: left; vertical-align: top; padding: 0.5rem 1rem 0.55rem 0; border-bottom: 1px solid var(--line); overflow-wrap: anywhere; }
thead th { position: sticky; top: 0; background: var(--band); padding: 0.5rem 1rem 0.5rem 0; border-bottom: 1px solid var(--ink); z-index: 1; }
th:first-child, td:first-child { padding-left: 0.6rem; }
tbody th { font-weight: 600; }
.devices { table-layout: fixed; }
.devices th:nth-child(1) { width: 20rem; }
.devices th:nth-child(3) { width: 19rem; }
.devices th:nth-child(4) { width: 16rem; }
.devices small, .devices code { font-weight: 400; }
.quota { width: auto; }
.quota th, .quota td { padding-right: 3rem; }
.quota td:nth-child(2) { text-align: right; font-variant-numeric: tabular-nums; }
small { display: block; font-size: 0.8125rem; color: var(--quiet); }
small code { font-size: 0.75rem; }
td p { margin: 0 0 0.3rem; }
.small { font-size: 0.8125rem; color: var(--quiet); }
.advice span { color: var(--quiet); }
.times { margin: 0; font-size: 0.8125rem; font-variant-numeric: tabular-nums; }
.times div { display: flex; gap: 0.8rem; }
.times dt { color: var(--quiet); flex: 0 0 5.6rem; }
.times dd { white-space: nowrap; }
summary { cursor: pointer; }
details[open] summary { margin-bottom: 0.5rem; }
footer { margin-top: 3rem; color: var(--quiet); font-size: 0.8125rem; }
@media screen and (max-width: 60rem) {
  body { padding: 1rem 1rem 3rem; }
  section > dl:not(.figures) > div { grid-template-columns: 1fr; gap: 0; }
  .devices, .devices caption, .devices tbody, .devices tr, .devices th, .devices td { display: block; width: auto; }
  .devices thead { position: absolute; left: -100vw; }
  .devices tr { padding: 0.5rem 0; border-bottom: 1px solid var(--ink); }
  .devices tbody th, .devices td { padding: 0.15rem 0; border: 0; }
  .quota th, .quota td { padding-right: 1rem; }
}
@page {
  size: A4 landscape; margin: 16mm 14mm;
  @bottom-left { content: "Run RUN_ID"; font: 8pt sans-serif; color: #555; }
  @bottom-right { content: counter(page) " / " counter(pages); font: 8pt sans-serif; color: #555; }
}
@media print {
  html { font-size: 8.5pt; }
  body { max-width: none; margin: 0; padding: 0; }
  nav, .skip { display: none; }
  a { color: inherit; text-decoration: none; }
  section { margin-top: 7mm; }
  #failed, #collected { break-before: page; }
  #quota, #custody { break-inside: avoid; }
  thead th { position: static; }
  tr, .figures, section > dl > div { break-inside: avoid; }
  details::details-content { content-visibility: visible; height: auto; }
  .devices th:nth-child(1), .devices th:nth-child(3) { width: 62mm; }
  .devices th:nth-child(4) { width: 52mm; }
}
"""
