# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The one style sheet of all pages: light and dark, wide and narrow, screen and print."""

from __future__ import annotations

# PAGE_MARK is put in where a page is made.
STYLE = """
:root {
  --paper: #fff; --ink: #1b1b1a; --quiet: #55534e; --line: #cfccc4; --band: #f5f4f0; --bad: #9c1c1c; --link: #1f4b8f;
  --wait: #b9c7dc; --get: #1f4b8f; --lost: #c0504a;
  color-scheme: light dark;
}
@media screen and (prefers-color-scheme: dark) {
  :root {
    --paper: #161718; --ink: #e6e4df; --quiet: #a9a69e; --line: #43423e; --band: #1f2122; --bad: #ff9d93; --link: #9fc3ff;
    --wait: #3d4f6b; --get: #9fc3ff; --lost: #ff9d93;
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
.devices th:nth-child(1) { width: 17rem; }
.devices th:nth-child(2) { width: 14rem; }
.devices th:last-child { width: 18.5rem; }
.devices.items th:nth-child(1) { width: auto; }
.devices.items th:nth-child(2) { width: 18rem; }
.devices.items th:last-child { width: 11rem; }
.devices.changes th:nth-child(1) { width: 13rem; }
.devices.changes th:nth-child(2), .devices.changes th:last-child { width: auto; }
.devices small, .devices code { font-weight: 400; }
.tools { display: flex; flex-wrap: wrap; align-items: baseline; gap: 0.4rem 1.5rem; margin: 0 0 0.8rem; color: var(--quiet); }
.tools input, .tools select { font: inherit; max-width: 100%; color: var(--ink); background: var(--paper);
  border: 1px solid var(--quiet); padding: 0.2rem 0.4rem; }
.tools input { width: 18rem; }
.facts { margin: 0; font-size: 0.8125rem; }
.facts div { display: flex; gap: 0.6rem; }
.facts dt { color: var(--quiet); flex: 0 0 4.2rem; }
.devices td:last-child .facts dt { flex-basis: 5.8rem; }
.facts dd { min-width: 0; }
.form { margin: 1.2rem 0 2rem; }
.form p { margin: 0; }
.hands { height: 9rem; border-bottom: 1px solid var(--ink);
  background: repeating-linear-gradient(var(--paper) 0 calc(2.25rem - 1px), var(--line) 0 2.25rem); print-color-adjust: exact; }
.hands::before { content: "Date and time / given by / taken by / purpose / signatures"; color: var(--quiet); font-size: 0.8125rem; }
.warn { color: var(--bad); font-weight: 600; }
figure { margin: 0 0 1rem; }
figcaption { color: var(--quiet); margin-bottom: 0.6rem; }
.key { white-space: nowrap; }
.key::before { content: ""; display: inline-block; width: 0.9em; height: 0.7em; margin-right: 0.4em; background: var(--wait); }
.key.get::before { background: var(--get); }
.key.lost::before { background: var(--lost); }
.chart { display: block; overflow: visible; }
.chart text { fill: var(--quiet); font-size: 11px; text-anchor: middle; font-variant-numeric: tabular-nums; }
.chart .name { fill: var(--ink); text-anchor: start; }
.chart line { stroke: var(--line); }
.chart rect { fill: var(--wait); }
.chart .get { fill: var(--get); }
.chart .lost { fill: var(--lost); }
.list .name { display: inline-block; min-width: 13rem; }
.list .indicator { display: inline-block; min-width: 8rem; }
.list + .tools, .list + .list { margin-top: 1.5rem; }
.quota { width: auto; }
.quota th, .quota td { padding-right: 3rem; }
.quota td:nth-child(2) { text-align: right; font-variant-numeric: tabular-nums; }
small { display: block; font-size: 0.8125rem; color: var(--quiet); }
small code { font-size: 0.75rem; }
td p { margin: 0 0 0.3rem; }
.small { font-size: 0.8125rem; color: var(--quiet); }
.advice span { color: var(--quiet); }
summary { cursor: pointer; }
details[open] summary { margin-bottom: 0.5rem; }
footer { margin-top: 3rem; color: var(--quiet); font-size: 0.8125rem; }
@media screen and (max-width: 60rem) {
  body { padding: 1rem 1rem 3rem; }
  section > dl:not(.figures) > div { grid-template-columns: 1fr; gap: 0; }
  :is(.devices, .list), :is(.devices, .list) :is(caption, tbody, tr, th, td) { display: block; width: auto; }
  :is(.devices, .list) thead { position: absolute; left: -100vw; }
  :is(.devices, .list) tr[hidden] { display: none; }
  :is(.devices, .list) tr { padding: 0.5rem 0; border-bottom: 1px solid var(--ink); }
  :is(.devices, .list) tbody th, :is(.devices, .list) td { padding: 0.15rem 0; border: 0; }
  .list td[data-head]:not(:empty)::before { content: attr(data-head) ": "; color: var(--quiet); }
  .quota th, .quota td { padding-right: 1rem; }
}
@page {
  size: A4 landscape; margin: 16mm 14mm;
  @bottom-left { content: "PAGE_MARK"; font: 8pt sans-serif; color: #555; }
  @bottom-right { content: counter(page) " / " counter(pages); font: 8pt sans-serif; color: #555; }
}
@media print {
  html { font-size: 8.5pt; }
  body { max-width: none; margin: 0; padding: 0; }
  nav, .skip, .tools { display: none; }
  a { color: inherit; text-decoration: none; }
  section { margin-top: 7mm; }
  #failed, #collected { break-before: page; }
  #timeline, #quota, #custody { break-inside: avoid; }
  thead th { position: static; }
  tr, .figures, .form, section > dl > div { break-inside: avoid; }
  details::details-content { content-visibility: visible; height: auto; }
  .devices th:nth-child(1) { width: 50mm; }
  .devices th:nth-child(2) { width: 38mm; }
  .devices th:last-child { width: 56mm; }
  .chart { print-color-adjust: exact; }
}
"""
