#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# New keys for regions: a rotation that is killed at any moment leaves a volume like any other, and
# goes on where it stopped; keys that were given out open one region each, and nothing after it.
# The last key slot stays, whoever removes others at the same moment.
source "$(dirname "$0")/lib.sh"
need_mount

rotate() { "$FSPF" key rotate "$V" "${AUTH[@]}" "$@"; }

nap() { sleep "$(($1 / 1000)).$(printf %03d $(($1 % 1000)))"; } # MILLISECONDS

rotating() { "$FSPF" show "$V" --key-file "$K" --json | grep -c '"rotating": true' || true; }

show_regions() { # OPTIONS...: the prefixes that can be seen
	"$FSPF" show "$V" --json "$@" | python3 -c '
import json, sys
print(*sorted(r["prefix"] for r in json.load(sys.stdin)["regions"] if not r["locked"]))'
}

note "a volume of $(pick 200 40) MB"
make_volume
want 0 '' "$FSPF" addr "$V" /data --encrypted "${AUTH[@]}"
want 0 '' "$FSPF" addr "$V" /data/inner --encrypted "${AUTH[@]}"
want 0 '' "$FSPF" addr "$V" /pub --authenticated "${AUTH[@]}"
mkdir -p "$T/source/small" "$T/source/linked"
head -c "$(pick 100M 20M)" /dev/urandom >"$T/source/large"
for ((i = 0; i < $(pick 2000 500); i++)); do head -c $((RANDOM % 9000)) /dev/urandom >"$T/source/small/$i"; done
truncate -s 3M "$T/source/holes"
printf 'behind a hole' >>"$T/source/holes"
ln "$T/source/small/1" "$T/source/linked/1"
ln -s ../small/2 "$T/source/linked/2"
setfattr -n user.note -v "$(head -c 900 /dev/zero | tr '\0' x)" "$T/source/large"
for where in / /data; do
	want 0 '' "$FSPF" addf "$V" "$where" "$T/source" "${AUTH[@]}"
done
echo inner >"$T/inner"
want 0 '' "$FSPF" addf "$V" /data/inner/file "$T/inner" "${AUTH[@]}"
echo public >"$T/public"
want 0 '' "$FSPF" addf "$V" /pub/file "$T/public" "${AUTH[@]}"
sums=$(cd "$T/source" && find . -type f -print0 | sort -z | xargs -0 sha256sum)

same() { # DIRECTORY: has what was brought in
	local got
	got=$(cd "$1" && for name in large holes small linked; do find "./$name" -type f -print0; done | sort -z | xargs -0 sha256sum)
	[[ $got == "$sums" ]] || fail "other contents in $1"
	[[ $(readlink "$1/linked/2") == ../small/2 ]] || fail "another link in $1"
}

note "mistakes change nothing"
before=$(volume_sums)
want_error 2 'missing argument' "$FSPF" key rotate
want_error 2 'unknown option' "$FSPF" key rotate "$V" "${AUTH[@]}" --regions /data
want_error 2 'no expected tag' "$FSPF" key rotate "$V" --key-file "$K"
want_error 1 'no region at /nowhere' rotate --region /nowhere
want_error 1 'is not encrypted' rotate --region /pub
want_error 5 'needs its key' "$FSPF" key rotate "$V" --tag-file "$G"
want_error 2 'missing argument' "$FSPF" key export-region "$V"
want_error 1 'no region at /nowhere' "$FSPF" key export-region "$V" /nowhere --key-file "$K"
want_error 1 'is not encrypted' "$FSPF" key export-region "$V" /pub --key-file "$K"
want_error 5 'volume.s key' "$FSPF" key export-region "$V" /data
want_error 2 'both --region-key-file' "$FSPF" show "$V" --key-file "$K" --region-key-file "$K"
want_error 5 'opens no region' "$FSPF" show "$V" --region-key-file "$K"
want_error 5 'opens no region' "$FSPF" mount "$V" "$M" -o "ro,tag_file=$G,region_key_file=$K"
want_error 2 'name of a file is empty' "$FSPF" mount "$V" "$M" -o "ro,tag_file=$G,region_key_file=$K:"
[[ $(volume_sums) == "$before" ]] || fail "the volume's bytes changed"

note "the keys of single regions"
want 0 '' "$FSPF" key export-region "$V" /data "$T/key.data" --key-file "$K"
[[ $(stat -c '%a %s' "$T/key.data") == "600 65" ]] || fail "key.data is $(stat -c '%a %s' "$T/key.data")"
want_error 1 'exists already' "$FSPF" key export-region "$V" /data "$T/key.data" --key-file "$K"
(umask 077 && "$FSPF" key export-region "$V" /data/inner --key-file "$K" >"$T/key.inner")
[[ $(show_regions) == /pub ]] || fail "without a key: $(show_regions)"
[[ $(show_regions --region-key-file "$T/key.inner") == "/data/inner /pub" ]] || fail "with one key: other regions"
want 0 'checked' "$FSPF" verify "$V" --tag-file "$G" --region-key-file "$T/key.inner" --region-key-file "$T/key.data"
want 0 '' "$FSPF" export "$V" /data/inner/file "$T/inner.out" --tag-file "$G" --region-key-file "$T/key.inner"
cmp "$T/inner" "$T/inner.out" || fail "exported other bytes"
want_error 5 'a key is needed' "$FSPF" export "$V" /data/large "$T/leaked" --tag-file "$G" --region-key-file "$T/key.inner"
[[ ! -e $T/leaked ]] || fail "exported from a locked region"

# Mounted with the key of /data/inner alone, the top and /data are nothing but the way there.
want_error 5 'needs its key' "$FSPF" mount "$V" "$M" --tag-file "$G" --region-key-file "$T/key.inner"
want 0 '' "$FSPF" mount "$V" "$M" -o "ro,tag_file=$G,region_key_file=$T/key.inner"
[[ $(cd "$M" && find . | sort | tr '\n' ' ') == ". ./data ./data/inner ./data/inner/file ./pub ./pub/file " ]] ||
	fail "mounted with one key: $(cd "$M" && find . | sort | tr '\n' ' ')"
[[ $(cat "$M/data/inner/file" "$M/pub/file") == $'inner\npublic' ]] || fail "other bytes through the mount"
for name in large data/large nothing data/nothing; do
	want 1 'Permission denied' cat "$M/$name"
done
[[ $(stat -c %a "$M" "$M/data") == $'555\n555' ]] || fail "the way has permissions $(stat -c %a "$M" "$M/data")"
want 1 'Read-only' touch "$M/data/inner/new"
want 0 '' "$FSPF" umount "$M"
# With that of /data, the directory of the inner region is shut.
want 0 '' "$FSPF" mount "$V" "$M" --tag-file "$G" --region-key-file "$T/key.data" -o ro
same "$M/data"
[[ $(stat -c %a "$M/data/inner") == 0 ]] || fail "a locked region's directory has permissions"
want 1,2 'Permission denied' ls "$M/data/inner/"
want 1 'Permission denied' cat "$M/data/inner/file"
want 0 '' "$FSPF" umount "$M"

note "a rotation"
start_ms=$(date +%s%3N)
want 0 '[0-9a-f]{64}' rotate
took_ms=$(($(date +%s%3N) - start_ms))
note "took $took_ms ms"
[[ $(rotating) == 0 ]] || fail "still rotating"
verify_clean
for key in data inner; do
	want_error 5 'opens no region' "$FSPF" show "$V" --region-key-file "$T/key.$key"
	want_error 5 'opens no region' "$FSPF" mount "$V" "$M" -o "ro,tag_file=$G,region_key_file=$T/key.$key"
done
! mountpoint -q "$M" || fail "mounted with a key of before"
want 0 '' "$FSPF" key export-region "$V" /data/inner "$T/key.inner2" --key-file "$K"
[[ $(show_regions --region-key-file "$T/key.inner2") == "/data/inner /pub" ]] || fail "the new key opens other regions"

note "killed at ten moments"
kills=0 midway=0
for ((try = 0; kills < 10 && try < 100; try++)); do
	"$FSPF" key rotate "$V" "${AUTH[@]}" >"$T/out" 2>"$T/err" &
	pid=$!
	# From a tenth of the time that a whole one took.
	nap $((took_ms / 10 + RANDOM % took_ms))
	kill -9 "$pid" 2>/dev/null || true
	status=0
	wait "$pid" 2>/dev/null || status=$?
	[[ $status == 0 || $status == 137 ]] || fail "status $status of a rotation: $(cat "$T/err")"
	[[ $status == 137 ]] || continue
	kills=$((kills + 1))
	[[ $(rotating) == 0 ]] || midway=$((midway + 1))
	want 0 '' "$FSPF" verify "$V" "${AUTH[@]}"
done
[[ $kills == 10 ]] || fail "only $kills of $try rotations could be killed"
note "$midway of them in the midst"

note "between two keys"
for ((try = 0; try < 50 && $(rotating) == 0; try++)); do
	"$FSPF" key rotate "$V" "${AUTH[@]}" >"$T/out" 2>"$T/err" &
	pid=$!
	nap $((RANDOM % (took_ms + 1)))
	kill -9 "$pid" 2>/dev/null || true
	wait "$pid" 2>/dev/null || true
done
[[ $(rotating) -gt 0 ]] || fail "no rotation could be caught in the midst"
want 0 'rotating' "$FSPF" show "$V" --key-file "$K"
want_error 1 'is being rotated' "$FSPF" key export-region "$V" /data "$T/key.none" --key-file "$K"
[[ ! -e $T/key.none ]] || fail "a key was given out during a rotation"
want 0 '' "$FSPF_DUMP" "$V" --key-file "$K"
if python3 -c 'import cryptography' 2>/dev/null; then
	want 0 '' python3 "$ROOT/tests/reader/fspf_reader.py" "$V" --key-file "$K" --tag "$(cat "$G")" --no-list
fi
start
want_error 6 'in use' rotate
same "$M"
same "$M/data"
echo more >"$M/data/more"
rm "$M/small/3"
stop
verify_clean
cp "$T/source/small/3" "$T/three"
want 0 '' "$FSPF" addf "$V" /small/3 "$T/three" "${AUTH[@]}"
want 0 '[0-9a-f]{64}' rotate
[[ $(rotating) == 0 ]] || fail "still rotating"
verify_clean
start
same "$M"
same "$M/data"
[[ $(cat "$M/data/more" "$M/data/inner/file" "$M/pub/file") == $'more\ninner\npublic' ]] || fail "other bytes at the end"
stop

note "the last slot, and two who remove one each"
want 0 '' "$FSPF" keygen "$T/second"
want 0 '^1$' "$FSPF" key add "$V" --key-file "$K" --new-key-file "$T/second"
for ((round = 0; round < $(pick 40 15); round++)); do
	"$FSPF" key remove "$V" 0 --key-file "$T/second" 2>"$T/err1" &
	first=$!
	"$FSPF" key remove "$V" 1 --key-file "$K" 2>"$T/err2" &
	second=$!
	status1=0 status2=0
	wait "$first" || status1=$?
	wait "$second" || status2=$?
	[[ $status1 == 0 || $status2 == 0 ]] && [[ $status1 != 0 || $status2 != 0 ]] ||
		fail "status $status1 and $status2: $(cat "$T/err1" "$T/err2")"
	# The one who came late found the file in use, or no slot that would stay.
	[[ ",0,1,5,6," == *",$status1,"* && ",0,1,5,6," == *",$status2,"* ]] || fail "status $status1 and $status2"
	left=$T/second
	[[ $status1 == 0 ]] || left=$K
	[[ $("$FSPF" key list "$V" --json | grep -c '"kind"') == 1 ]] || fail "not one slot is left"
	slot=$("$FSPF" key list "$V" --json | python3 -c 'import json, sys; print(json.load(sys.stdin)[0]["slot"])')
	want_error 1 'last one' "$FSPF" key remove "$V" "$slot" --key-file "$left"
	want 0 '' "$FSPF" tag "$V" --key-file "$left" --tag-file "$G"
	other=$K
	[[ $left != "$K" ]] || other=$T/second
	want 0 '' "$FSPF" key add "$V" --key-file "$left" --new-key-file "$other"
done
pass "$midway kills in the midst"
