#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Regions that there cannot be, and files for regions that do not take any: one clear line of error
# each, the right status, and not a byte of the volume changed.
source "$(dirname "$0")/lib.sh"
need_mount

make_volume
mkdir -p "$T/host/sub" "$T/source/sub" "$T/source/none"
echo host >"$T/host/file"
echo source | tee "$T/source/file" "$T/source/sub/file" >"$T/source/none/file"
mkfifo "$T/fifo"
echo single >"$T/single"

add() { want 0 '^[0-9a-f]{64}$' "$FSPF" addr "$V" "${AUTH[@]}" "$@"; }
add /stored --encrypted
add /place --authenticated --kernel "$T/host"
add /scratch --encrypted --ephemeral
add /none --not-protected --ephemeral
add /passed --not-protected --kernel "$T/host"
add /single --not-protected --kernel "$T/single"
want 0 '' "$FSPF" addf "$V" "${AUTH[@]}" /full/dir "$T/source"

SUMS=$(volume_sums) TAG=$(cat "$G")
unchanged() { # WHAT
	[[ $(volume_sums) == "$SUMS" && $(cat "$G") == "$TAG" ]] || fail "changed by a mistake: $1"
	[[ $(find "$T/host" | wc -l) == 3 && $(cat "$T/host/file" "$T/single") == $'host\nsingle' ]] ||
		fail "something on the host was changed by a mistake: $1"
}

# STATUS PATTERN COMMAND ARGUMENTS...; what only the system's words say is not clear.
wrong() {
	local status=$1 pattern=$2 command=$3
	shift 3
	want_error "$status" "$pattern" "$FSPF" "$command" "$V" "${AUTH[@]}" "$@"
	! grep -qE 'Invalid argument|Stale file|Is a directory|Not a directory|Operation not' "$T/err" ||
		fail "not clear: $(cat "$T/err")"
	[[ ! -s $T/out ]] || fail "printed something: $(cat "$T/out")"
	unchanged "$command $*"
}

note "classes that there are not"
wrong 1 'encrypted region cannot be a host' addr /x --encrypted --kernel "$T/host"
for class in encrypted authenticated not-protected; do
	wrong 1 'ephemeral|encrypted region cannot' addr /x --$class --ephemeral --kernel "$T/host"
	wrong 1 'copies files up' addr /x --$class --ephemeral --copy-up
done
for class in encrypted authenticated; do wrong 1 'copies files up' addr /x --$class --copy-up; done
wrong 1 'copies files up' addr /x --not-protected --kernel "$T/host" --copy-up
wrong 1 'not protected is not kept' addr /x --not-protected
wrong 2 'is needed' addr /x
wrong 2 'is needed' addr /x --ephemeral
wrong 2 'exclude each other' addr /x --encrypted --authenticated
wrong 2 'exclude each other' addr /x --authenticated --not-protected --ephemeral
wrong 2 'unknown option' addr /x --encrypted --persistent
wrong 2 'unknown option' addr /x --encrypt
wrong 2 'missing argument' addr --encrypted
wrong 2 'unexpected argument' addr /x /y --encrypted
wrong 2 'kernel' addr /x --not-protected --kernel

note "prefixes that there are not"
long=$(printf 'x%.0s' {1..250})
for prefix in x '' ./x ../x /.. /x/../y /x/.. /./x; do
	wrong 1 'is not a prefix' addr "$prefix" --encrypted
done
wrong 1 'too long' addr "/${long}xxxxxx" --encrypted
wrong 1 'too long' addr "/$long/$long/$long/$long/$long" --encrypted
for prefix in / // /stored /stored/ //stored /place /none /passed; do
	wrong 1 'there is a region at /[a-z]* already' addr "$prefix" --encrypted
done
wrong 1 'not a directory' addr /full/dir/file --encrypted
wrong 1 'not a directory' addr /full/dir/file/below --encrypted
wrong 1 'there are files already' addr /full/dir --authenticated
wrong 1 'there are files already' addr /full --not-protected --kernel "$T/host"
wrong 1 'there is a directory' addr /full/dir/sub --not-protected --kernel "$T/single"
wrong 1 'there are files already' addr /full/dir/file --not-protected --kernel "$T/single"
wrong 1 'below the file' addr /single/x --encrypted
for class in --encrypted --authenticated "--authenticated --kernel $T/host" "--not-protected --kernel $T/host"; do
	# shellcheck disable=SC2086 # words
	wrong 1 'ephemeral region /scratch' addr /scratch/x $class
done
wrong 1 'begins empty' addr /none/x --encrypted --ephemeral

note "paths on the host that there are not"
wrong 1 'cannot find' addr /x --not-protected --kernel "$T/nowhere"
(cd "$T" && wrong 1 'cannot find' addr /x --authenticated --kernel nowhere)
wrong 1 'neither a directory nor a regular file' addr /x --not-protected --kernel "$T/fifo"
wrong 1 'neither a directory nor a regular file' addr /x --not-protected --kernel /dev/null
wrong 1 'is not a directory' addr /x --authenticated --kernel "$T/fifo"
wrong 1 'is not a directory' addr /x --authenticated --kernel "$T/single"
wrong 1 'cannot find' addr /x --not-protected --kernel ''
wrong 1 'too long' addr /x --authenticated --kernel "/$long/$long/$long/$long/$long"

note "files for what does not take any"
for path in /none /none/x /./none/ //none/x/y; do
	wrong 1 'region /none is not protected' addf "$path" "$T/source"
	wrong 1 'region /none is not protected' addf "$path" "$T/source" --update
done
for path in /passed /passed/x /passed/file; do
	wrong 1 'region /passed is not protected' addf "$path" "$T/source"
	wrong 1 'region /passed is not protected' addf "$path" "$T/single"
done
wrong 1 'region /single is not protected' addf /single "$T/single"
wrong 1 'cannot import.*single.*is not protected' addf / "$T/single"
wrong 1 'absolute path' addf stored "$T/source"
wrong 1 'absolute path' addf /stored/../x "$T/source" --update
wrong 1 'cannot import' addf /stored "$T/nowhere" --update
wrong 1 'volume itself' addf /stored "$T"
wrong 2 'missing argument' addf /stored --update
wrong 2 'takes no value|unexpected|--update' addf /stored "$T/source" --update=yes
[[ ! -e $T/host/file/x ]] || fail "a file came to the host"

note "a volume that cannot be changed"
actions=("addr /x --encrypted" "addr /x --not-protected --ephemeral" "addr /x --authenticated --kernel $T/host"
	"addf /stored $T/source" "addf /place $T/host --update" "addf /stored $T/source --update --json")
each() { # STATUS PATTERN
	local action
	for action in "${actions[@]}"; do
		# shellcheck disable=SC2086 # words
		wrong "$1" "$2" $action
	done
}
start
TAG=$(cat "$G") SUMS=$(volume_sums)
each 6 'in use'
stop
TAG=$(cat "$G") SUMS=$(volume_sums)
auth=("${AUTH[@]}")
want 0 '' "$FSPF" keygen "$T/other"
AUTH=(--key-file "$T/other" --tag-file "$G")
each 5 'key'
AUTH=(--tag-file "$G")
each 1,5 'key|read-only'
AUTH=(--key-file "$K" --tag "$(printf '%064d' 7)")
each 4 'tag'
AUTH=(--key-file "$K")
each 2 'tag'
AUTH=("${auth[@]}")
stored=$V
mkdir "$T/readonly"
mount --bind "$V" "$T/readonly" && mount -o remount,bind,ro "$T/readonly"
V=$T/readonly
each 1 'read-only|Read-only'
V=$stored
umount "$T/readonly"

note "a region around another, in a directory of the host"
mkdir -p "$T/around/x/y"
want 0 '' "$FSPF" addr "$V" "${AUTH[@]}" /around --not-protected --kernel "$T/around"
want 0 '' "$FSPF" addr "$V" "${AUTH[@]}" /around/x/y --encrypted
TAG=$(cat "$G") SUMS=$(volume_sums)
wrong 1 'there is a region at /around/x/y, which /around/x would be around' addr /around/x --encrypted

note "as many regions as there can be"
for ((i = $("$FSPF" show "$V" "${AUTH[@]}" | grep -cE '^  (encrypted|authenticated|not-protected) '); i < 64; i++)); do
	want 0 '' "$FSPF" addr "$V" "${AUTH[@]}" "/many/$i" --encrypted
done
TAG=$(cat "$G") SUMS=$(volume_sums)
wrong 1 'as many regions as it can' addr /many/65 --encrypted
wrong 1 'as many regions as it can' addr /many/65 --not-protected --ephemeral
verify_clean
start
[[ $(find "$M/many" -mindepth 1 -maxdepth 1 | wc -l) -ge 50 ]] || fail "not all of the regions are to be seen"
stop

note "a volume without a key"
V=$T/keyless G=$T/keyless.tag AUTH=(--tag-file "$T/keyless.tag")
want 0 '' "$FSPF" create "$V" --authenticated "${AUTH[@]}"
TAG=$(cat "$G") SUMS=$(volume_sums)
wrong 5 'without a key cannot have an encrypted' addr /x --encrypted
wrong 5 'without a key cannot have an encrypted' addr /x --encrypted --ephemeral
pass
