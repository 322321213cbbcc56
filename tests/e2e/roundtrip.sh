#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# A real tree and one of everything that a file system can hold go in with cp -a and with addf, and
# come back identical after a remount and by export.  No name and no byte of it is to be seen in the
# volume's directory, which holds few files.
source "$(dirname "$0")/lib.sh"
need_mount
need cc setfattr
helper leak

tree make "$T/tree" "$(pick 8000 1500)" "$SEED"
tree specials "$T/tree/specials" "$SEED"

nothing_shows() {
	local files
	files=$(find "$V" -type f | wc -l)
	[[ $files -lt 20 ]] || fail "$files files in the volume's directory"
	"$T/leak" "$V" "$T/tree" || fail "something of the tree is to be seen in the volume's directory"
}

note "the search for leaks finds a planted one"
mkdir "$T/planted"
{
	head -c 5000 /dev/urandom
	tail -c 80 "$T/tree/specials/sizes/size_8192_bytes"
} >"$T/planted/file"
! "$T/leak" "$T/planted" "$T/tree" >"$T/out" || fail "leak sees nothing"

note "in with cp -a"
make_volume
start
cp -a "$T/tree" "$M/copied"
tree compare "$T/tree" "$M/copied" || fail "differs before the remount"
stop
start
tree compare "$T/tree" "$M/copied" || fail "differs after the remount"
diff -r --no-dereference "$T/tree/specials/sizes" "$M/copied/specials/sizes" || fail "diff"
stop
verify_clean
nothing_shows

note "out with export"
want 0 '' "$FSPF" export "$V" "${AUTH[@]}" /copied "$T/exported"
tree compare "$T/tree" "$T/exported" || fail "differs after export"

note "in with addf"
make_volume
want 0 '' "$FSPF" addf "$V" "${AUTH[@]}" /below/added "$T/tree"
start
tree compare "$T/tree" "$M/below/added" || fail "differs after addf"
stop
verify_clean
nothing_shows
pass
