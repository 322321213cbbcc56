#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# A full volume and a full host file system: ENOSPC, nothing lost, deleting works, and statfs tells
# the truth; what was deleted can be used again.
source "$(dirname "$0")/lib.sh"
need_mount

# Fills $M; leaves the sums of what went in whole in $T/sums.
fill() {
	local i
	: >"$T/sums"
	for ((i = 0; i < 4000; i++)); do
		if ! head -c $((RANDOM * 30 + 1)) /dev/urandom >"$T/piece" ||
			! cp "$T/piece" "$M/fill/file_$i" 2>"$T/cp.err" ||
			! sync "$M/fill/file_$i" 2>"$T/cp.err"; then
			grep -q 'No space left' "$T/cp.err" || fail "not ENOSPC: $(cat "$T/cp.err")"
			rm -f "$M/fill/file_$i"
			return 0
		fi
		(cd "$T" && sha256sum piece | sed "s/piece/file_$i/") >>"$T/sums"
	done
	fail "it never gets full"
}

nothing_lost() {
	(cd "$M/fill" && sha256sum --quiet -c "$T/sums") || fail "$1: something was lost"
	[[ $(cat "$M/before/keep") == "kept" ]] || fail "$1: an older file was lost"
}

free_bytes() { stat -f -c '%a %S' "$M" | { read -r n size && echo $((n * size)); }; }

exercise() { # WHAT
	mkdir "$M/before" "$M/fill"
	echo kept >"$M/before/keep"
	fill
	note "$1: full after $(wc -l <"$T/sums") files; statfs says $(free_bytes) bytes are free"
	[[ $(free_bytes) -lt $((8 << 20)) ]] || fail "$1: full, and statfs says $(free_bytes) bytes are free"
	nothing_lost "$1, full"
	note "$1: a large write fails with ENOSPC and the file system goes on"
	run dd if=/dev/zero of="$M/large" bs=1M count=64 conv=fsync
	[[ $STATUS -ne 0 ]] || fail "$1: 64 MiB went into a full volume"
	grep -q 'No space left' "$T/err" || fail "$1: not ENOSPC: $(cat "$T/err")"
	rm -f "$M/large"
	nothing_lost "$1, after a large write"

	note "$1: deleting works and gives the space back"
	local n=0 name
	while read -r _ name; do
		((n++ % 2)) || rm "$M/fill/$name"
	done <"$T/sums"
	awk 'NR % 2 == 0' "$T/sums" >"$T/half"
	mv "$T/half" "$T/sums"
	sync -f "$M" 2>/dev/null || true # tells once more of the large file
	sync "$M/before/keep"
	[[ $(free_bytes) -gt $((4 << 20)) ]] || fail "$1: half is deleted and $(free_bytes) bytes are free"
	head -c 3000000 /dev/urandom >"$T/again"
	cp "$T/again" "$M/again" && sync "$M/again" || fail "$1: no space after deleting half"
	nothing_lost "$1, half deleted"
	restart
	nothing_lost "$1, after a remount"
	cmp "$T/again" "$M/again" || fail "$1: the new file differs"
	rm -rf "$M/fill" "$M/again"
	stop
	verify_clean
}

make_volume --size $((32 << 20))
start
total=$(stat -f -c '%b %S' "$M" | { read -r n size && echo $((n * size)); })
[[ $total -le $((32 << 20)) && $total -ge $((24 << 20)) ]] || fail "statfs: $total bytes in all, not 32 MiB"
exercise "a volume with a size"
used=$(du -s --block-size=1 "$V" | cut -f1)
[[ $used -le $((34 << 20)) ]] || fail "the volume took $used bytes on the host"

note "a full host file system"
mkdir "$T/host"
mount -t tmpfs -o size=48m none "$T/host"
V=$T/host/volume
make_volume
start
exercise "a full tmpfs"

note "the host fills up with other things, then has room again"
start
mkdir "$M/dir"
head -c 2000000 /dev/urandom >"$T/first"
cp "$T/first" "$M/first"
sync "$M/first"
dd if=/dev/zero of="$T/host/other" bs=1M 2>/dev/null || true
run sh -c "cp '$T/first' '$M/second' && sync '$M/second'"
note "status of a write: $STATUS"
cmp "$T/first" "$M/first" || fail "the first file was lost"
rm -f "$T/host/other"
rm -f "$M/second"
cp "$T/first" "$M/third" && sync "$M/third" || fail "the host has room again and the volume has not"
restart
cmp "$T/first" "$M/third" || fail "the third file was lost"
stop
verify_clean
pass
