#!/bin/sh
# SPDX-FileCopyrightText: 2026 secops.defender contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# full_disk.sh FOLDER PYTHON CHECKER COMMAND…: runs the command, which writes to FOLDER/evidence, on a full disk, on one that
# fills up, and on one with space, and tells how each ended. Wants a mount namespace of its own.
set -eu
folder=$1 python=$2 checker=$3
shift 3

mount -t tmpfs -o size=160k tmpfs "$folder"

printf 'RUN full\n'
dd if=/dev/zero of="$folder/filler" bs=4096 2>/dev/null || true
"$@" || true

printf 'RUN filling\n'
rm "$folder/filler"
"$@" || true
printf 'EVIDENCE filling\n'
"$python" "$checker" "$folder/evidence" --unfinished
printf '\n'

printf 'RUN enough\n'
mount -o remount,size=8m "$folder"
"$@"
printf 'EVIDENCE enough\n'
"$python" "$checker" "$folder/evidence"
