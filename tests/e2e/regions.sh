#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Several regions in one volume, nested: each file is served by the region of its longest prefix,
# moving between them is EXDEV, authenticated regions can be read and verified without the key while
# nothing of the encrypted ones shows, and the tags of other regions do not change.
source "$(dirname "$0")/lib.sh"
need_mount
need cc
helper leak

make_volume
want 0 '' "$FSPF" addr "$V" "${AUTH[@]}" /public --authenticated
want 0 '' "$FSPF" addr "$V" "${AUTH[@]}" /public/inner/secret --encrypted
want 0 '' "$FSPF" addr "$V" "${AUTH[@]}" /public/inner/secret/open --authenticated
want 0 '' "$FSPF" addr "$V" "${AUTH[@]}" /private --encrypted

region_tag() { # PREFIX
	want 0 '' "$FSPF" tag "$V" "${AUTH[@]}" "$1"
	grep -oE '[0-9a-f]{64}' "$T/out" | tail -1
}

start
places=("" /public /public/inner /public/inner/secret /public/inner/secret/open /private)
for i in "${!places[@]}"; do
	at=$M${places[i]}
	head -c 60 /dev/urandom | base64 >"$at/${i}_is_the_file_here"
	mkdir "$at/${i}_is_the_directory_here"
	head -c 100000 /dev/urandom >"$at/${i}_is_the_directory_here/${i}_is_the_data"
done
note "moves and links between regions"
for i in 1 3 5; do
	at=$M${places[i]}
	run python3 -c "import os; os.rename('$M/0_is_the_file_here', '$at/moved')"
	grep -q 'Errno 18' "$T/err" || fail "rename into $at: $(tail -1 "$T/err")"
	run python3 -c "import os; os.link('$at/${i}_is_the_file_here', '$M/linked')"
	grep -q 'Errno 18' "$T/err" || fail "link from $at: $(tail -1 "$T/err")"
done
cp "$M/private/5_is_the_file_here" "$T/copy"
mv "$M/private/5_is_the_file_here" "$M/public/inner/secret/moved" || fail "mv copies over the border"
cmp "$T/copy" "$M/public/inner/secret/moved" || fail "mv brought other bytes"
mv "$M/public/inner/secret/moved" "$M/private/5_is_the_file_here"
run rmdir "$M/private"
[[ $STATUS -ne 0 ]] || fail "the root of a region could be removed"
stop

note "a change in one region changes no other region's tag"
before=()
for prefix in / /public /public/inner/secret /public/inner/secret/open /private; do
	before+=("$(region_tag "$prefix")")
done
volume_before=$(tag_of)
start
echo more >>"$M/private/5_is_the_file_here"
stop
i=0
for prefix in / /public /public/inner/secret /public/inner/secret/open /private; do
	now=$(region_tag "$prefix")
	if [[ $prefix == /private ]]; then
		[[ $now != "${before[i]}" ]] || fail "the tag of $prefix did not change"
	else
		[[ $now == "${before[i]}" ]] || fail "the tag of $prefix changed"
	fi
	i=$((i + 1))
done
tag=$(tag_of)
[[ $tag != "$volume_before" ]] || fail "the volume's tag did not change"
verify_clean
verify_clean --region /public
verify_clean --region /private

note "nothing of the encrypted regions shows; the authenticated ones are in the clear"
start
mkdir "$T/secret" "$T/public"
cp -a "$M/private/." "$M"/public/inner/secret/3_* "$T/secret/"
cp -a "$M"/public/1_* "$M"/public/inner/secret/open/4_* "$T/public/"
stop
"$T/leak" "$V" "$T/secret" || fail "something of an encrypted region is to be seen"
! "$T/leak" "$V" "$T/public" >"$T/out" || fail "authenticated data should be in the clear"

note "without the key"
want 0 '' "$FSPF" verify "$V" --tag "$tag" --region /public
want 0 '' "$FSPF" export "$V" --tag "$tag" /public/1_is_the_directory_here "$T/exported"
cmp "$T/exported/1_is_the_data" "$T/public/1_is_the_directory_here/1_is_the_data" || fail "exported other bytes"
want_error 1,3,5 '' "$FSPF" export "$V" --tag "$tag" /private/5_is_the_directory_here "$T/x"
want 0 '' "$FSPF" show "$V"
! grep -q private "$T/out" || fail "show tells an encrypted prefix without the key"
want 0 'authenticated' "$FSPF" show "$V" --json
python3 -m json.tool <"$T/out" >/dev/null || fail "show --json is not JSON"

note "a changed byte of public data without the key"
cp -a "$V" "$T/whole"
python3 - "$V/segments" "$T/public/1_is_the_directory_here/1_is_the_data" <<'END'
import os, sys
piece = open(sys.argv[2], "rb").read()[8192:8292]
for directory, _, names in os.walk(sys.argv[1]):
    for name in names:
        path = os.path.join(directory, name)
        data = open(path, "rb").read()
        at = data.find(piece)
        if at >= 0:
            with open(path, "r+b") as f:
                f.seek(at)
                f.write(b"altered")
            sys.exit(0)
sys.exit("not found in the clear")
END
want 3 '/public/1_is_the_directory_here/1_is_the_data' "$FSPF" verify "$V" --tag "$tag" --region /public
rm -rf "$V"
mv "$T/whole" "$V"

note "a volume that is authenticated alone has no key at all"
rm -rf "$V" "$G"
want 0 '' "$FSPF" create "$V" --authenticated --tag-file "$G"
AUTH=(--tag-file "$G")
start
echo open >"$M/file"
stop
start
[[ $(cat "$M/file") == open ]] || fail "other contents"
stop
verify_clean
want_error 1,2,5 '' "$FSPF" addr "$V" "${AUTH[@]}" /secret --encrypted

note "mistakes with regions"
AUTH=(--key-file "$K" --tag-file "$G")
make_volume
want 0 '' "$FSPF" addr "$V" "${AUTH[@]}" /r --encrypted
sums=$(volume_sums)
for mistake in "/r --encrypted" "r --encrypted" "/.. --encrypted" "/r/../x --authenticated" "/x" "/x --encrypted --authenticated" \
	"/ --authenticated" "/$(printf 'x%.0s' {1..300}) --encrypted"; do
	# shellcheck disable=SC2086 # words
	want_error 1,2 '' "$FSPF" addr "$V" "${AUTH[@]}" $mistake
	[[ $(volume_sums) == "$sums" ]] || fail "changed by a mistake: addr $mistake"
done
start
mkdir -p "$M/full/dir"
echo x >"$M/full/dir/file"
stop
sums=$(volume_sums)
want_error 1 '' "$FSPF" addr "$V" "${AUTH[@]}" /full/dir --encrypted
want_error 1 '' "$FSPF" addr "$V" "${AUTH[@]}" /full/dir/file --encrypted
want_error 1 '' "$FSPF" addr "$V" "${AUTH[@]}" /full/dir/file/below --encrypted
[[ $(volume_sums) == "$sums" ]] || fail "changed by a mistake"
pass
