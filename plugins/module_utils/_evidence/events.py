# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The words of the custody log: its events, and what belongs to an evidence folder besides packages and records."""

from __future__ import annotations

import re

LOG_NAME = "custody.jsonl"
# The reports' names, in the evidence folder itself.
REPORT_NAME = re.compile(r"^report-\d{8}T\d{6}Z-[0-9a-f]{8}\.(html|json)\Z")

# The folder of the seals, and their names in the evidence folder: of the line that is sealed.
SEALS = "seals"
SEAL_NAME = re.compile(r"^seals/([1-9]\d{0,17})\.(sig|tsr)\Z")
# Certificates and revocation lists that people keep beside them.
BESIDE_SEALS = re.compile(r"^seals/[A-Za-z0-9][A-Za-z0-9._-]{0,99}\.(pem|crt|cer|crl)\Z")

# What a run resumes from is told by these alone.
RUN_STARTED, RUN_ENDED = "run_started", "run_ended"
RUN_ABORTED = "run_aborted"  # it gave up; what it left open is taken up by the next run
RUN_INTERRUPTED = "run_interrupted"  # an earlier run has no end, and nobody is at it any more
START_REQUESTED = "start_requested"  # a collection is about to be asked for
ACTION_KNOWN = "action_known"  # the machine action that will give the package: started, adopted, reused or resumed
DOWNLOAD_STARTED = "download_started"
PACKAGE_VERIFIED = "package_verified"  # the whole package is on disk under its .part name
PACKAGE_STORED = "package_stored"  # package and record have their final names
PACKAGE_RESTORED = "package_restored"  # a recorded package that was missing is back, byte for byte
PACKAGE_DIFFERS = "package_differs"  # the service gave other bytes for a recorded package; they are kept beside it
DEVICE_FAILED = "device_failed"
REPORT_STORED = "report_stored"  # a report of the run is on disk, and about to get its final name
SEAL_STORED = "seal_stored"  # a seal of an earlier line is on disk, and about to get its final name
NOTED = "noted"  # what a person said, of a hand-over for instance
EVIDENCE_READ = "evidence_read"  # packages were read
LOG_REPAIRED = "log_repaired"  # the line before was cut short by a crash

# Lines that change nothing of what is sealed.
QUIET = frozenset({SEAL_STORED, EVIDENCE_READ})
