#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# The benchmark runs, at a tiny size, and prints a table with a number in each cell.
source "$(dirname "$0")/lib.sh"
need_mount

mkdir "$T/work"
tree make "$T/tree" 100 "$SEED"
"$ROOT/bench/run" --rounds 1 --seconds 1 --size 8 --tree "$T/tree" --systems native,fspf --fspf "$FSPF" \
	--dir "$T/work" --only untar,find,read_tree,grep,copy,remove,sqlite_rollback,sqlite_wal >"$T/out" 2>"$T/err" ||
	fail "bench/run failed: $(tail -3 "$T/err")"
cat "$T/out"
[[ $(grep -cE '^\| .*[0-9] \| .*[0-9] \| .*[0-9] \|$' "$T/out") -eq 8 ]] || fail "not a table of eight rows"
[[ -z $(ls "$T/work") ]] || fail "it leaves something behind"
pass
