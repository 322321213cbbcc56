#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# One writer at a time: a second one gets status 6 and the first goes on; read-only opens share, and
# a writer is kept out while they last.  A killed writer leaves no lock behind.
source "$(dirname "$0")/lib.sh"
need_mount

make_volume
start
echo first >"$M/file"
mkdir "$T/second"
want_error 6 '' "$FSPF" mount "$V" "$T/second" "${AUTH[@]}"
want_error 6 '' "$FSPF" addf "$V" "${AUTH[@]}" /x /etc/hostname
want_error 6 '' "$FSPF" addr "$V" "${AUTH[@]}" /r --encrypted
echo more >>"$M/file"
stop

note "two readers and no writer"
mkdir "$T/r1" "$T/r2"
want 0 '' "$FSPF" mount "$V" "$T/r1" "${AUTH[@]}" -o ro
want 0 '' "$FSPF" mount "$V" "$T/r2" "${AUTH[@]}" -o ro
[[ $(cat "$T/r1/file" "$T/r2/file") == $'first\nmore\nfirst\nmore' ]] || fail "readers see other bytes"
want_error 6 '' "$FSPF" mount "$V" "$M" "${AUTH[@]}"
want 0 '' "$FSPF" umount "$T/r1"
want 0 '' "$FSPF" umount "$T/r2"

note "a killed writer"
start
echo third >"$M/third"
crash
start
stop
verify_clean
pass
