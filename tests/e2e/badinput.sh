#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Malformed options, arguments, key files, tag files, environment variables and volumes: one line of
# error, the right status, and not a byte of the volume changes.
source "$(dirname "$0")/lib.sh"
need_mount

make_volume
start
echo hello >"$M/file"
stop
tag=$TAG
SUMS=$(volume_sums)

unchanged() { [[ $(volume_sums) == "$SUMS" ]] || fail "the volume changed: $*"; }

bad() { # STATUS PATTERN CMD...
	want_error "$@"
	! mountpoint -q "$M" || fail "mounted: $*"
	unchanged "$@"
}

note "the command line"
bad 2 '' "$FSPF"
bad 2 'nonsense' "$FSPF" nonsense
bad 2 '' "$FSPF" --nonsense
for command in create addr addf mount umount tag show verify export; do
	bad 2 '' "$FSPF" "$command"
	bad 2 'nonsense' "$FSPF" "$command" "$V" --nonsense
	bad 1,2 '' "$FSPF" "$command" "$V" a b c d e f
	want 0 'Usage' "$FSPF" "$command" --help
done
bad 2 '' "$FSPF" key
bad 2 '' "$FSPF" key nonsense "$V"
bad 2 '' "$FSPF" key remove "$V" --key-file "$K" 99
bad 2 '' "$FSPF" key remove "$V" --key-file "$K" -- -1
bad 1,2 '' "$FSPF" key remove "$V" --key-file "$K" 7
bad 1,2,5 '' "$FSPF" key remove "$V" --key-file "$K" 0
bad 2 '' "$FSPF" mount "$V" "$M" "${AUTH[@]}" -o nonsense
bad 2 '' "$FSPF" mount "$V" "$M" "${AUTH[@]}" -o commit=never
bad 2 '' "$FSPF" mount "$V" "$M" "${AUTH[@]}" -o dirty_max=-1
bad 1,2 '' "$FSPF" mount "$V" "$T/nowhere" "${AUTH[@]}"
bad 1,2 '' "$FSPF" mount "$V" "$K" "${AUTH[@]}"
bad 1,2 '' "$FSPF" mount "$V" "$V" "${AUTH[@]}"
bad 1,2,3 '' "$FSPF" mount "$T/nowhere" "$M" "${AUTH[@]}"
bad 1,2 '' "$FSPF" create "$V" --key-file "$K" --no-rollback-protection
bad 1,2 '' "$FSPF" create "$K" --key-file "$K"
for size in 0x10 -5 1Q '' 12345678901234567890123 1K; do
	bad 1,2 '' "$FSPF" create "$T/new" --key-file "$K" --size "$size"
	[[ ! -e $T/new ]] || fail "create left something behind"
done
bad 5 '' "$FSPF" create "$T/new"
[[ ! -e $T/new ]] || fail "create left something behind"
bad 1,2 '' "$FSPF" export "$V" "${AUTH[@]}" /none "$T/x"
bad 1,2 '' "$FSPF" export "$V" "${AUTH[@]}" /file "$K"
want_error 1,2 '' "$FSPF" addf "$V" "${AUTH[@]}" / "$T/nowhere"
verify_clean # a failed addf may commit, but harms nothing
SUMS=$(volume_sums)
tag=$(cat "$G")

note "keys"
printf '' >"$T/bad"
bad 1,2,5 '' "$FSPF" verify "$V" --key-file "$T/bad" --tag-file "$G"
head -c 31 "$K" >"$T/bad"
bad 1,2,5 '' "$FSPF" verify "$V" --key-file "$T/bad" --tag-file "$G"
head -c 100000 /dev/zero >"$T/bad"
bad 1,2,5 '' "$FSPF" verify "$V" --key-file "$T/bad" --tag-file "$G"
tr '0-9' 'g-p' <"$K" >"$T/bad"
bad 1,2,5 '' "$FSPF" verify "$V" --key-file "$T/bad" --tag-file "$G"
bad 1,2,5 '' "$FSPF" verify "$V" --key-file "$T/nowhere" --tag-file "$G"
bad 1,2,5 '' "$FSPF" verify "$V" --key-file "$T" --tag-file "$G"
bad 1,2,5 '' env FSPF_KEY= "$FSPF" verify "$V" --tag-file "$G"
bad 1,2,5 '' env FSPF_KEY=xyz "$FSPF" verify "$V" --tag-file "$G"
bad 1,2,5 '' env FSPF_KEY="$(cat "$K")00" "$FSPF" verify "$V" --tag-file "$G"
printf '\n' >"$T/bad"
bad 1,2,5 '' "$FSPF" verify "$V" --passphrase-file "$T/bad" --tag-file "$G"
! grep -qF "$(cat "$K")" "$T/err" || fail "a message shows the key"
# 32 bytes as they are
python3 -c "import sys; sys.stdout.buffer.write(bytes.fromhex(open('$K').read().strip()))" >"$T/raw"
want 0 '' "$FSPF" verify "$V" --key-file "$T/raw" --tag-file "$G"
want 0 '' sh -c "'$FSPF' verify '$V' --key-file - --tag-file '$G' <'$K'"
want 1,2 '' "$FSPF" keygen "$K" # never over a key that is there
want 0 '' "$FSPF" verify "$V" "${AUTH[@]}"

note "tags"
for value in '' xyz "${tag}0" "${tag%?}" "${tag%?}g"; do
	bad 1,2 '' "$FSPF" verify "$V" --key-file "$K" --tag "$value"
	printf '%s\n' "$value" >"$T/badtag"
	bad 1,2 '' "$FSPF" verify "$V" --key-file "$K" --tag-file "$T/badtag"
	bad 1,2 '' "$FSPF" mount "$V" "$M" --key-file "$K" --tag-file "$T/badtag"
done
bad 1,2 '' env FSPF_TAG=xyz "$FSPF" verify "$V" --key-file "$K"
bad 1,2 '' "$FSPF" verify "$V" --key-file "$K" --tag-file "$T/nowhere"
[[ ! -e $T/nowhere ]] || fail "a tag file was made"
bad 2 '' "$FSPF" verify "$V" --key-file "$K" --tag "$tag" --tag-file "$G"
bad 2 '' "$FSPF" verify "$V" --key-file "$K" --tag "$(printf '0%.0s' {1..64})"
bad 4 '' "$FSPF" verify "$V" --key-file "$K" --tag "$(printf 'f%.0s' {1..64})"
want 0 '' "$FSPF" verify "$V" --key-file "$K" --tag "${tag^^}"

note "volumes that are none"
mkdir "$T/empty"
bad 1,2,3 '' "$FSPF" verify "$T/empty" "${AUTH[@]}"
mkdir "$T/odd"
for content in '' 'not a volume'; do
	printf '%s' "$content" >"$T/odd/volume.fspf"
	bad 1,2,3 '' "$FSPF" verify "$T/odd" "${AUTH[@]}"
	bad 1,2,3 '' "$FSPF" show "$T/odd"
done
for size in 1 100 512 4095 4096 8192 16384 100000; do
	head -c "$size" /dev/urandom >"$T/odd/volume.fspf"
	bad 1,2,3,5 '' "$FSPF" show "$T/odd"
	head -c "$size" /dev/zero >"$T/odd/volume.fspf"
	bad 1,2,3,5 '' "$FSPF" verify "$T/odd" "${AUTH[@]}"
done

note "the header, byte by byte"
cp -a "$V" "$T/copy"
python3 - "$T/copy/volume.fspf" >"$T/offsets" <<'END'
import sys
data = open(sys.argv[1], "rb").read()
used = [i for i, b in enumerate(data) if b]
step = max(1, len(used) // 150)
for i in sorted(set(list(range(0, 128)) + used[::step])):
    print(i)
END
count=0
while read -r offset; do
	[[ $QUICK == 0 || $((offset % 7)) == 0 ]] || continue
	for value in '\0' '\377'; do
		printf "$value" | dd of="$T/copy/volume.fspf" bs=1 seek="$offset" conv=notrunc status=none
		run "$FSPF" tag "$T/copy" "${AUTH[@]}" # peeks
		run "$FSPF" show "$T/copy"
		[[ $STATUS -eq 0 || $(wc -l <"$T/err") -le 2 ]] || fail "byte $offset: more than a line: $(cat "$T/err")"
		run "$FSPF" verify "$T/copy" "${AUTH[@]}"
		[[ " 0 1 3 4 5 " == *" $STATUS "* ]] || fail "byte $offset: verify gives $STATUS: $(cat "$T/err")"
		[[ $STATUS -ne 0 || $(cmp "$V/volume.fspf" "$T/copy/volume.fspf" | wc -l) -le 1 ]] || fail "byte $offset"
		count=$((count + 1))
	done
	cat "$V/volume.fspf" >"$T/copy/volume.fspf"
done <"$T/offsets"
note "$count changed headers"
unchanged "by tests on a copy"

note "cut files"
for size in 0 1 511 512 4096 8192; do
	head -c "$size" "$V/volume.fspf" >"$T/copy/volume.fspf"
	bad 1,2,3,5 '' "$FSPF" mount "$T/copy" "$M" "${AUTH[@]}"
done

note "the dump of a damaged volume is no crash either"
if [[ -n $FSPF_DUMP ]]; then
	want 0 '' "$FSPF_DUMP" "$V" "${AUTH[@]}"
	! grep -qiF "$(cat "$K")" "$T/out" || fail "the dump shows the key"
	bad 2 '' "$FSPF_DUMP" "$V" --nonsense
	run "$FSPF_DUMP" "$T/copy" "${AUTH[@]}"
fi
pass
