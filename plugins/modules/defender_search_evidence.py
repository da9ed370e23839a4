#!/usr/bin/python
# SPDX-FileCopyrightText: 2026 secops.defender contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: defender_search_evidence
short_description: Find the devices whose packages mention an indicator
version_added: 1.0.0
author:
  - secops.defender contributors (@secops-defender)
description:
  - Searches all packages of an evidence folder for indicators at once, and tells on which devices they are, where, and of how many
    devices that can be said.
  - Searched are texts in UTF-8, ANSI and OEM code pages and UTF-16 with and without a byte order mark, event logs as far as they
    hold text, the members of cabinets, gzip and zip files, the names of entries, and base64 of texts, URLs and domains.
  - Before a package is read, its SHA-256 is held against its record and the custody log. One that differs is not read, which
    RV(not_searched) and a warning say.
  - Nothing is unpacked to disk, executed or sent anywhere, and no credentials are needed. Each call adds one line to the custody
    log, which says who has searched the folder; of the indicators it has only their number and SHA-256.
  - A hit is no failure.
requirements:
  - The Python package C(ahocorasick-rs) for more than 200 indicators; with it, searching is several times as fast.
  - The Python package C(yara-x) for O(yara_rules).
  - The Python package C(dissect.util) for the times in O(export) at which programs ran; what is left out without it, a warning says.
extends_documentation_fragment:
  - secops.defender.attributes
  - secops.defender.attributes.control_node
  - secops.defender.reading
attributes:
  check_mode:
    support: full
    details:
      - Searches as without it, but adds no line to the custody log and writes neither report nor export.
  idempotent:
    support: full
options:
  indicators:
    description:
      - What to look for. A list, or a text with commas, semicolons or lines between the indicators, each a text or a mapping of
        C(value), C(type) and C(note).
      - What a text is, is told by its form. C(ip), C(ip_range) (CIDR), C(hash), C(domain) (with its subdomains), C(url) (whatever the
        scheme), C(file_name), and C(text) for anything else. A text under four characters needs its type said. Defanged forms are
        understood.
      - A text that holds a comma is written as a mapping with C(type=text); blanks at its ends are part of it then.
      - Numbers and wildcards are refused, with what to write instead; C(*.) before a domain is understood.
    type: raw
  indicators_file:
    description:
      - A file of indicators. One a line with C(#) for comments; CSV C(value[,type,note]), with headings or without; Defender's
        indicator CSV; CSV and type words of MISP; a JSON list; STIX 2.1 (comparisons with C(=), lists with C(OR) and C(IN), C(ISSUBSET)).
    type: path
  allow:
    description:
      - What is never reported, only counted, given as O(indicators) are. Addresses, ranges, domains with their subdomains, and others
        as they are.
    type: raw
  artefacts:
    description:
      - Only these kinds of artefact, as M(secops.defender.defender_package_info) names them. A package that lacks one of them was not
        searched whole, which RV(not_searched) says. An empty list selects none.
    type: list
    elements: str
  since:
    description:
      - Only what was written at that time (UTC, such as V(2026-11-23T10:00:00Z)) or later, for what is dated, which are event records
        and the lines of Defender's own logs. What has no date is kept, and marked so (C(dated)).
    type: str
  until:
    description: Only what was written at that time or earlier; a day means all of it. See O(since).
    type: str
  max_hits:
    description:
      - How many hits of one indicator are listed. It bounds the list only, never a count, and every device with a hit keeps at least one.
    type: int
    default: 100
  yara_rules:
    description:
      - A file with YARA rules, or a folder with C(.yar) and C(.yara) files. C(filename), C(filepath), C(extension), C(filetype) and C(owner)
        are defined. A rule that does not compile is left out, with a warning that names it. Entries over 64 MiB are not scanned.
    type: path
  on_refused:
    description:
      - What to do if indicators cannot be understood. V(fail) before anything is read, or V(continue) with the others.
    type: str
    choices:
      - fail
      - continue
    default: fail
  require_complete:
    description: Fail if anything was not searched.
    type: bool
    default: false
  report:
    description:
      - Write the findings as a page that needs nothing else into a new folder beside the (first) evidence folder, C(findings.html). It
        tells first of how many devices anything can be said, then what was found, and what was left out; its tables can be sorted and
        filtered, and link to the packages.
      - Only hits that are listed are in it; see O(max_hits).
    type: bool
    default: false
  export:
    description:
      - Write the hits into a new folder beside the (first) evidence folder (that of O(report)), as C(hits.jsonl), C(hits.csv) and
        C(timesketch.jsonl). Only hits that are listed are written; see O(max_hits).
      - In C(hits.csv), a cell that a spreadsheet would take for a formula begins with an apostrophe; C(hits.jsonl) has all as it was.
      - C(timesketch.jsonl) has facts of which the time and its zone are known, and no others. These are event records and lines of
        Defender's own logs that are hits, the times at which a program ran whose prefetch file is one by its name, and when the
        collection of a package with a hit was asked for.
    type: bool
    default: false
seealso:
  - module: secops.defender.defender_package_info
  - module: secops.defender.defender_collect_package
"""

EXAMPLES = r"""
- name: Which devices mention it?
  secops.defender.defender_search_evidence:
    path: /srv/evidence/incident-4711
    indicators:
      - 203.0.113.7
      - evil[.]example
      - hxxps://bad[.]example/stage2
      - {value: "-enc ", type: text, note: PowerShell}
    allow: [10.0.0.0/8]
  register: searched

- name: Say so
  ansible.builtin.debug:
    msg: "{{ searched.msg }}"

- name: Collect again from the devices that do
  secops.defender.defender_collect_package:
    machines: "{{ searched.machines }}"
    comment: Incident 4711, second look
    dest: /srv/evidence/incident-4711
  when: searched.found

- name: Search for what a feed says, and stop if anything could not be searched
  secops.defender.defender_search_evidence:
    path: /srv/evidence/incident-4711
    indicators_file: feed.stix.json
    artefacts: [event_log, network_connections, defender_logs]
    require_complete: true
    report: true
"""

RETURN = r"""
msg:
  description: What was found, and of how many devices that can be said.
  returned: always
  type: str
  sample: "203.0.113.7 on 3 of 400 devices (pc1, pc2, pc9); 371 searched whole, 26 partly, 3 not."
error:
  description: Why nothing could be read. Null if it could be.
  returned: always
  type: dict
  sample: null
  contains:
    code:
      description: The kind of failure.
      returned: on failure
      type: str
      sample: EvidenceMissing
    message:
      description: What failed.
      returned: on failure
      type: str
      sample: There is no package in /srv/evidence/incident-4711.
    advice:
      description: What to do about it.
      returned: on failure
      type: str
      sample: Give the folder that packages were collected into, or a package.
    tracking_id:
      description: Always null, since no service is asked.
      returned: on failure
      type: str
      sample: null
found:
  description: Whether anything was found.
  returned: always
  type: bool
  sample: true
complete:
  description: Whether all that was to be searched was, that is, whether RV(not_searched) is empty.
  returned: always
  type: bool
  sample: false
indicators:
  description: The indicators, in the order given; YARA rules behind them.
  returned: always
  type: list
  elements: dict
  contains:
    value:
      description: What was looked for, without what defanged it.
      returned: always
      type: str
      sample: 203.0.113.7
    type:
      description: What it was taken for.
      returned: always
      type: str
      sample: ip
    note:
      description: The note that was given with it.
      returned: always
      type: str
      sample: C2
    devices:
      description: On how many devices it was found.
      returned: always
      type: int
      sample: 3
    hits:
      description: How often it was found, listed or not.
      returned: always
      type: int
      sample: 17
    allowed:
      description: How often it was found and not reported, by O(allow).
      returned: always
      type: int
      sample: 0
    searched:
      description:
        - Of how many devices the artefacts that can show it were read C(whole), C(partly), or not at all (C(none)). The contents of
          prefetch files, which are not read, can show file names and texts only.
      returned: always
      type: dict
      sample: {whole: 371, partly: 26, none: 3}
machines:
  description: The devices with a hit. M(secops.defender.defender_collect_package) takes them as they are.
  returned: always
  type: list
  elements: dict
  contains:
    machine_id:
      description: The device's ID, from the record. Null without one.
      returned: always
      type: str
      sample: 1e5bc9d7e413ddd7902c2932e418702b84d0cc07
    computer_dns_name:
      description: The device's DNS name, from the record. Null without one.
      returned: always
      type: str
      sample: pc1.contoso.com
    indicators:
      description: What was found on it.
      returned: always
      type: list
      elements: str
      sample: [203.0.113.7]
    artefacts:
      description: In which kinds of artefact.
      returned: always
      type: list
      elements: str
      sample: [network_connections]
    verified:
      description:
        - Whether a package that shows it is called verified. Where none is, anybody who can write files may have made it up, so think
          before anything is done to the device.
      returned: always
      type: bool
      sample: true
hits:
  description: Where it was found, up to O(max_hits) of each indicator.
  returned: always
  type: list
  elements: dict
  contains:
    machine_id:
      description: The device's ID, from the record. Null without one.
      returned: always
      type: str
      sample: 1e5bc9d7e413ddd7902c2932e418702b84d0cc07
    computer_dns_name:
      description: The device's DNS name, from the record. Null without one.
      returned: always
      type: str
      sample: pc1.contoso.com
    package:
      description: The package.
      returned: always
      type: str
      sample: /srv/evidence/incident-4711/pc1.contoso.com/20261123T101500Z_5382f7ea-7557-4ab7-9782-d50480024a4e.zip
    entry:
      description: The entry; members of containers as V(a.cab!/b.log).
      returned: always
      type: str
      sample: Network Connections/ActiveNetConnections.txt
    artefact:
      description: Its kind.
      returned: always
      type: str
      sample: network_connections
    indicator:
      description: What was found.
      returned: always
      type: str
      sample: 203.0.113.7
    type:
      description: What it was taken for.
      returned: always
      type: str
      sample: ip
    offset:
      description: At which byte of the entry. Null for a hit in its name.
      returned: always
      type: int
      sample: 1234
    line:
      description: In which line, from 1. Null in event logs and names.
      returned: always
      type: int
      sample: 17
    record:
      description: The number of the event record. Null elsewhere.
      returned: always
      type: int
      sample: 48151
    time:
      description: When the event record or the line of Defender's logs was written, ISO 8601 UTC. Null where that is not known.
      returned: always
      type: str
      sample: '2026-11-23T09:14:10.123456Z'
    dated:
      description: Whether C(time) is known.
      returned: always
      type: bool
      sample: true
    excerpt:
      description: What stands around it, on one line. Untrusted text from the device.
      returned: always
      type: str
      sample: "TCP    10.0.0.5:52344    203.0.113.7:443    ESTABLISHED"
    collected:
      description: When the package was collected.
      returned: always
      type: str
      sample: '2026-11-23T10:15:00.1234567Z'
    verified:
      description: Whether the package is what its record says, and the custody log of its folder knows it.
      returned: always
      type: bool
      sample: true
not_searched:
  description: What was left out.
  returned: always
  type: list
  elements: dict
  contains:
    machine_id:
      description: The device's ID, from the record. Null without one.
      returned: always
      type: str
      sample: 1e5bc9d7e413ddd7902c2932e418702b84d0cc07
    computer_dns_name:
      description: The device's DNS name, from the record. Null without one.
      returned: always
      type: str
      sample: pc1.contoso.com
    package:
      description: The package.
      returned: always
      type: str
      sample: /srv/evidence/incident-4711/pc1.contoso.com/20261123T101500Z_5382f7ea-7557-4ab7-9782-d50480024a4e.zip
    entry:
      description: The entry. Null for the package, for the rest of it, or for several that are not named.
      returned: always
      type: str
      sample: Prefetch Files/CMD.EXE-4A81B364.pf
    artefact:
      description: The kind of artefact. Null for the package, or the rest of it.
      returned: always
      type: str
      sample: prefetch
    why:
      description: Why.
      returned: always
      type: str
      sample: it is encrypted
    entries:
      description: How many entries the row stands for.
      returned: always
      type: int
      sample: 1
event_logs:
  description: The event logs that were searched, with the time that they cover. A Security log may cover few hours.
  returned: always
  type: list
  elements: dict
  contains:
    machine_id:
      description: The device's ID, from the record. Null without one.
      returned: always
      type: str
      sample: 1e5bc9d7e413ddd7902c2932e418702b84d0cc07
    computer_dns_name:
      description: The device's DNS name, from the record. Null without one.
      returned: always
      type: str
      sample: pc1.contoso.com
    package:
      description: The package.
      returned: always
      type: str
      sample: /srv/evidence/incident-4711/pc1.contoso.com/20261123T101500Z_5382f7ea-7557-4ab7-9782-d50480024a4e.zip
    entry:
      description: The entry.
      returned: always
      type: str
      sample: Security Event Log/Security.evtx
    records:
      description: How many records it has.
      returned: always
      type: int
      sample: 31877
    first:
      description: When the oldest was written.
      returned: always
      type: str
      sample: '2026-11-23T03:44:10.123456Z'
    last:
      description: When the newest was written.
      returned: always
      type: str
      sample: '2026-11-23T10:15:40.654321Z'
refused:
  description: The indicators that cannot be understood, all of them.
  returned: always
  type: list
  elements: dict
  contains:
    where:
      description: The line of the file, the STIX object's ID, or the element of the option.
      returned: always
      type: str
      sample: line 17
    value:
      description: What stands there.
      returned: always
      type: str
      sample: 203.0.113.7/24
    why:
      description: Why it is refused, and what to write instead.
      returned: always
      type: str
      sample: it has bits set behind its prefix; write 203.0.113.0/24 for the range, or the address alone
summary:
  description: The search in figures.
  returned: always
  type: dict
  contains:
    devices:
      description: Devices that were to be searched.
      returned: always
      type: int
      sample: 400
    packages:
      description: Packages that were searched.
      returned: always
      type: int
      sample: 397
    older:
      description: Packages that were left out, since their device has a newer one.
      returned: always
      type: int
      sample: 0
    indicators:
      description: Indicators and YARA rules.
      returned: always
      type: int
      sample: 1
    devices_with_hits:
      description: Devices on which anything was found.
      returned: always
      type: int
      sample: 3
    hits:
      description: Hits, listed or not.
      returned: always
      type: int
      sample: 17
    allowed:
      description: What was found and not reported.
      returned: always
      type: int
      sample: 0
    searched:
      description: Devices that were searched C(whole), C(partly) or not (C(none)), for an indicator that any artefact can show.
      returned: always
      type: dict
      sample: {whole: 371, partly: 26, none: 3}
    unpacked_bytes:
      description: How much was unpacked, in memory.
      returned: always
      type: int
      sample: 21474836480
summary_text:
  description: The same for a chat or a ticket, in Markdown.
  returned: always
  type: str
  sample: "**Search of evidence: found, but not everything could be searched**"
report:
  description: The page that O(report) asked for. Null without it, in check mode, and where nothing was searched.
  returned: always
  type: dict
  sample: null
  contains:
    html:
      description: Its path.
      returned: if there is a report
      type: str
      sample: /srv/evidence/incident-4711-search-20261123T120000Z-1f2e3d4c/findings.html
exported:
  description: The files that O(export) has written.
  returned: always
  type: list
  elements: str
  sample: []
recorded:
  description:
    - Whether the custody log of every evidence folder that was read has a line of it. V(false) in check mode, and where a folder
      could not be written, or a package lies in none; a warning says which.
  returned: always
  type: bool
  sample: true
node:
  description: The computer whose files were read. Without C(delegate_to) that is the control node, whatever the play's host is.
  returned: always
  type: str
  sample: control.contoso.com
"""

from ansible_collections.secops.defender.plugins.module_utils._tasks.door import run_module
from ansible_collections.secops.defender.plugins.module_utils._tasks.search_evidence import TASK


def main() -> None:
    run_module(TASK)


if __name__ == "__main__":
    main()
