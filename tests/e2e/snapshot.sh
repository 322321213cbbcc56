#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Snapshots by the commands: made, listed, mounted, exported, deleted, restored.  Each keeps its state
# to the byte, with its tag, whatever happens to the volume; a restored volume has a new tag, and the
# old ones are refused; the space comes back.  verify and the second reader agree at each step.
source "$(dirname "$0")/lib.sh"
need_mount

READER=$ROOT/tests/reader/fspf_reader.py
HAVE_READER=1
python3 -c 'import cryptography' 2>/dev/null || HAVE_READER=0

snapshot() { # COMMAND [NAME]
	want 0 '' "$FSPF" snapshot "$1" "$V" "${AUTH[@]}" "${@:2}"
}

# Both verifiers; the listings of the volume and of each snapshot NAME in $T/listing.NAME are the same.
check() { # [NAME...]
	local name
	verify_clean
	[[ $HAVE_READER == 1 ]] || return 0
	want 0 '' python3 "$READER" "$V" --key-file "$K" --tag "$(cat "$G")" --no-list
	for name; do
		want 0 '' python3 "$READER" "$V" --key-file "$K" --tag "$(cat "$G")" --snapshot "$name"
		cmp -s "$T/listing.$name" "$T/out" || fail "the snapshot $name lists otherwise"
	done
}

keep() { # NAME: a snapshot, and what it has to show for ever
	local before
	before=$(cat "$G")
	snapshot create "$1"
	[[ $(cat "$T/out") == "$(cat "$G")" && $(cat "$G") != "$before" ]] || fail "the new tag is not printed"
	rm -rf "$T/tree.$1"
	want 0 '' "$FSPF" export "$V" "${AUTH[@]}" / "$T/tree.$1"
	[[ $HAVE_READER == 0 ]] || python3 "$READER" "$V" --key-file "$K" --tag "$(cat "$G")" >"$T/listing.$1"
}

same_tree() { # DIR DIR
	diff -r --no-dereference "$1" "$2" >"$T/diff" || fail "$2 differs: $(head -3 "$T/diff")"
}

change() { # SEED: work on a mounted volume
	tree make "$M/tree$1" "$(pick 200 40)" "$SEED"
	rm -rf "$M/tree$(($1 - 1))/d"* 2>/dev/null || true
	echo "state $1" >"$M/state"
	head -c 3000000 /dev/urandom >"$M/data"
	head -c 1000 /dev/urandom | dd of="$M/data" bs=1 seek=1000000 conv=notrunc status=none
}

make_volume
want 0 '' "$FSPF" addr "$V" "${AUTH[@]}" /public --authenticated
start
change 1
cp -r "$M/tree1" "$M/public/copy"

note "not while it is mounted: one process writes a volume"
want_error 6 'in use' "$FSPF" snapshot create "$V" "${AUTH[@]}" one
want_error 6 'in use' "$FSPF" snapshot delete "$V" "${AUTH[@]}" one
want_error 6 'in use' "$FSPF" snapshot restore "$V" "${AUTH[@]}" one
want 0 '' "$FSPF" snapshot list "$V" --key-file "$K"
[[ ! -s $T/out ]] || fail "listed: $(cat "$T/out")"
stop

note "one is made, and the volume goes on"
keep one
check one
restart=$(cat "$G")
start
change 2
rm -r "$M/public/copy"
stop
[[ $(cat "$G") != "$restart" ]] || fail "the tag did not change"
check one
keep two
start
change 3
stop
check one two

note "the list"
want 0 '' "$FSPF" snapshot list "$V" --key-file "$K"
[[ $(awk '{print $3}' "$T/out" | paste -sd' ') == 'one two' ]] || fail "the list: $(cat "$T/out")"
[[ $(awk '{print $1}' "$T/out" | sort -u | wc -l) == 2 ]] || fail "two snapshots have one tag"
tag_one=$(awk '$3 == "one" {print $1}' "$T/out")
want 0 "$tag_one" "$FSPF" snapshot list "$V" --key-file "$K" --json
python3 -c 'import json, sys; assert [s["name"] for s in json.load(open(sys.argv[1]))] == ["one", "two"]' "$T/out"
want 0 "$tag_one" "$FSPF" show "$V" --key-file "$K"
want 0 '"snapshots"' "$FSPF" show "$V" --key-file "$K" --json
want 0 "^$tag_one" "$FSPF" tag "$V" --key-file "$K" --snapshot one
want_error 5 'key is needed' "$FSPF" snapshot list "$V"
want 0 '"two"' "$FSPF_DUMP" "$V" --key-file "$K" --json
want 0 "snapshot_record" "$FSPF_DUMP" "$V" --key-file "$K" --snapshot one
want 0 '' "$FSPF_DUMP" "$V" --key-file "$K" --snapshot one --path /state

note "mounted, exported, verified"
start -o snapshot=one
same_tree "$T/tree.one" "$M"
[[ $(cat "$M/state") == 'state 1' ]] || fail "another state"
! touch "$M/new" 2>"$T/err" || fail "a snapshot was written"
grep -qi 'read-only' "$T/err" || fail "not read-only: $(cat "$T/err")"
mkdir -p "$T/beside"
want 0 '' "$FSPF" mount "$V" "$T/beside" "${AUTH[@]}" --snapshot two
same_tree "$T/tree.two" "$T/beside"
want_error 6 '' "$FSPF" mount "$V" "$T/beside" "${AUTH[@]}"
want 0 '' "$FSPF" umount "$T/beside"
stop
[[ $TAG == "$tag_one" ]] || fail "a mounted snapshot has another tag"
want 0 '' "$FSPF" export "$V" "${AUTH[@]}" --snapshot two / "$T/two"
same_tree "$T/tree.two" "$T/two"
verify_clean --snapshot one
want_error 1 'no snapshot three' "$FSPF" verify "$V" "${AUTH[@]}" --snapshot three
want_error 5 'key is needed' "$FSPF" mount "$V" "$M" --tag-file "$G" -o snapshot=one
want_error 4 'rollback' "$FSPF" mount "$V" "$M" --key-file "$K" --tag "$tag_one" -o snapshot=one

note "refusals"
want_error 1 'already' "$FSPF" snapshot create "$V" "${AUTH[@]}" one
want_error 1 'name' "$FSPF" snapshot create "$V" "${AUTH[@]}" a/b
want_error 1 'name' "$FSPF" snapshot create "$V" "${AUTH[@]}" ''
want_error 1 'no snapshot three' "$FSPF" snapshot delete "$V" "${AUTH[@]}" three
want_error 1 'no snapshot three' "$FSPF" snapshot restore "$V" "${AUTH[@]}" three
want_error 2 'unknown' "$FSPF" snapshot rename "$V"
check one two

note "a restore is a new state, and the one before is a rollback from then on"
want 0 '' "$FSPF" addr "$V" "${AUTH[@]}" /later --encrypted
before=$(cat "$G")
cp -a "$V" "$T/before"
snapshot restore one
grep -q '/later' "$T/err" || fail "the region that is gone is not named: $(cat "$T/err")"
after=$(cat "$G")
[[ $(cat "$T/out") == "$after" && $after != "$before" && $after != "$tag_one" ]] || fail "no new tag"
check one two
want_error 4 'rollback' "$FSPF" verify "$V" --key-file "$K" --tag "$before"
want_error 4 'rollback' "$FSPF" verify "$V" --key-file "$K" --tag "$tag_one"
mv "$V" "$T/kept"
mv "$T/before" "$V"
want_error 4 'rollback' "$FSPF" mount "$V" "$M" "${AUTH[@]}"
rm -rf "$V"
mv "$T/kept" "$V"
start
same_tree "$T/tree.one" "$M"
echo 'state 4' >"$M/state"
stop
check one two
snapshot restore two
want 0 '' "$FSPF" export "$V" "${AUTH[@]}" / "$T/again"
same_tree "$T/tree.two" "$T/again"
check one two

note "a crash in between"
start
change 5
sync -f "$M/state" || true
python3 -c "import os; fd = os.open('$M/state', os.O_RDWR); os.fsync(fd)"
crash
check one two
start
stop
check one two

note "damage in what only a snapshot has: told with its path there, and nothing else is concerned"
addr=$("$FSPF_DUMP" "$V" --key-file "$K" --snapshot one --path /data --json |
	python3 -c 'import json, re, sys; print(re.search(r"\"addr\": (\d+)", json.dumps(json.load(sys.stdin))).group(1))')
segment_blocks=$("$FSPF_DUMP" "$V" --key-file "$K" --json |
	python3 -c 'import json, sys; print(json.load(sys.stdin)["header"]["segment_blocks"])')
file=$V/segments/$(printf '%08x' $((addr / segment_blocks)))
cp -a "$file" "$T/segment"
printf '\377\0\377\0' | dd of="$file" bs=1 seek=$((addr % segment_blocks * 4096 + 77)) conv=notrunc status=none
want 3 'snapshot one: /data' "$FSPF" verify "$V" "${AUTH[@]}"
start
[[ $(cat "$M/state") == 'state 5' ]] || fail "the volume is concerned"
stop
cp -a "$T/segment" "$file"
check one two

note "deleted: the space comes back"
bytes() { du -s -B1 "$V" | cut -f1; }
used() { "$FSPF" show "$V" --key-file "$K" --json | python3 -c 'import json, sys; print(json.load(sys.stdin)["bytes_used"])'; }
full=$(bytes) full_used=$(used)
snapshot delete one
check two
start
stop
[[ $(used) -lt $((full_used - 2000000)) ]] || fail "$(used) of $full_used bytes are in use"
[[ $(bytes) -lt $((full - 2000000)) ]] || fail "$(bytes) of $full bytes are taken"
snapshot delete two
check
want 0 '' "$FSPF" snapshot list "$V" --key-file "$K"
[[ ! -s $T/out ]] || fail "listed: $(cat "$T/out")"
start
[[ $(cat "$M/state") == 'state 5' ]] || fail "another state"
stop

note "a volume without a key"
rm -rf "$V" "$G"
want 0 '' "$FSPF" create "$V" --authenticated --tag-file "$G"
AUTH=(--tag-file "$G")
echo one >"$T/file"
want 0 '' "$FSPF" addf "$V" "${AUTH[@]}" /f "$T/file"
snapshot create one
echo two >"$T/file"
want 0 '' "$FSPF" addf "$V" "${AUTH[@]}" /f "$T/file"
want 0 ' one$' "$FSPF" snapshot list "$V"
verify_clean
snapshot restore one
want 0 '' "$FSPF" export "$V" "${AUTH[@]}" /f "$T/f"
[[ $(cat "$T/f") == one ]] || fail "other contents"
snapshot delete one
verify_clean
pass
