# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The one script of all pages: it sorts and filters tables, and knows nothing of what stands in them.

The policy of a page allows it by its hash. Where scripts are off, the tables stand as they were written.
"""

from __future__ import annotations

# A table's data-sort names what it can be sorted by: label|selector of an element in the row, with ; between them.
SCRIPT = """
"use strict";
function labelled(bar, text, control) {
  const label = document.createElement("label");
  label.append(text + " ", control);
  bar.append(label);
  return control;
}
function compare(a, b) {
  return a.localeCompare(b, undefined, {numeric: true, sensitivity: "base"});
}
function equip(table) {
  const body = table.tBodies[0], rows = Array.from(body.rows);
  if (rows.length < 2) return;
  const words = new Map(rows.map(row => [row, row.textContent.toLowerCase()]));
  const bar = document.createElement("div");
  bar.className = "tools";
  const filter = labelled(bar, "Filter", document.createElement("input"));
  filter.type = "search";
  const order = labelled(bar, "Sort by", document.createElement("select"));
  order.add(new Option("as written", ""));
  for (const each of table.dataset.sort.split(";")) {
    const [label, selector] = each.split("|");
    order.add(new Option(label, selector + "|1"));
    order.add(new Option(label + ", descending", selector + "|-1"));
  }
  const shown = document.createElement("output");
  bar.append(shown);
  filter.addEventListener("input", () => {
    const wanted = filter.value.toLowerCase().split(/\\s+/).filter(Boolean);
    let count = 0;
    for (const row of rows) {
      row.hidden = !wanted.every(word => words.get(row).includes(word));
      count += !row.hidden;
    }
    shown.textContent = wanted.length ? count + " of " + rows.length + " shown" : "";
  });
  order.addEventListener("change", () => {
    const [selector, direction] = order.value.split("|");
    const key = row => {
      const found = selector && row.querySelector(selector);
      return found ? found.value || found.textContent.replace(/,/g, "").trim() : "";
    };
    const keys = new Map(rows.map(row => [row, key(row)]));
    const sorted = selector ? rows.slice().sort((a, b) => direction * compare(keys.get(a), keys.get(b))) : rows;
    body.append(...sorted);
  });
  table.before(bar);
}
document.querySelectorAll("table[data-sort]").forEach(equip);
"""
