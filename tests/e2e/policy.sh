#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# What a volume's policy demands holds in every mount of it: with exec=protected nothing that comes
# from an unprotected region is executed or mapped executable, by anybody, and what is protected is,
# also inside of an unprotected region; with --require-protected there are no such regions.
source "$(dirname "$0")/lib.sh"
need_mount
need python3 ldd setfacl setpriv nsenter findmnt

# Prefixes inside our own directory: a run makes mount points where the tree lacks them.
HOST=$T/host P=$T/r
mkdir -p "$HOST/prot" "$HOST/sub" "$T/bin"
libc=$(ldd /bin/true | sed -n 's/.*libc\.so[^ ]* => \([^ ]*\).*/\1/p')
[[ -e $libc ]] || skip "no libc.so that ldd names"
cp "$libc" "$T/bin/libc.so"
cp /bin/true "$T/bin/elf"
printf '#!/bin/sh\nexit 0\n' >"$T/bin/script"
chmod 755 "$T/bin/script" "$T/bin/elf" "$T/bin/libc.so"

loads() { python3 -c "import ctypes, sys; ctypes.CDLL(sys.argv[1])" "$1" 2>"$T/err"; }
maps() { # FILE already open as descriptor 9
	python3 -c "import mmap; mmap.mmap(9, 4096, mmap.MAP_PRIVATE, mmap.PROT_READ | mmap.PROT_EXEC)" 2>"$T/err"
}
forked() { "$@" >/dev/null 2>"$T/err"; }

executes() { # DIRECTORY
	forked "$1/elf" || fail "$1/elf is not executed: $(cat "$T/err")"
	forked "$1/script" || fail "$1/script is not executed: $(cat "$T/err")"
	loads "$1/libc.so" || fail "$1/libc.so is not loaded: $(cat "$T/err")"
}

refused() { # DIRECTORY
	local file
	for file in elf script; do
		! forked "$1/$file" || fail "$1/$file is executed"
		grep -q 'Permission denied' "$T/err" || fail "$1/$file: $(cat "$T/err")"
		[[ ! -x $1/$file ]] || fail "$1/$file: looks executable to $(id -un)"
		[[ $(stat -c %a "$1/$file") != *[1357]* ]] || fail "$1/$file shows $(stat -c %a "$1/$file")"
		! find "$1/" -maxdepth 1 -name "$file" -perm /111 | grep -q . || fail "$1/$file: readdir shows execute bits"
	done
	! loads "$1/libc.so" || fail "$1/libc.so is loaded"
	# The loader maps what it is given: only the mount can refuse that.
	! forked "$(python3 -c 'import glob; print(glob.glob("/lib64/ld-linux*")[0])')" "$1/elf" || fail "$1/elf runs by the loader"
	exec 9<"$1/libc.so"
	! maps || fail "$1/libc.so is mapped executable"
	exec 9<&-
	cmp "$1/libc.so" "$T/bin/libc.so" || fail "$1/libc.so cannot be read"
}

policy() { want 0 '^[0-9a-f]{64}$' "$FSPF" policy "$V" "${AUTH[@]}" "$@"; }
mounts() { grep -c " ${M}[ /]" /proc/self/mounts || true; }

make_volume --authenticated
want 0 '' "$FSPF" addr "$V" "${AUTH[@]}" "$P/encrypted" --encrypted
want 0 '' "$FSPF" addr "$V" "${AUTH[@]}" "$P/host" --not-protected --kernel "$HOST"
want 0 '' "$FSPF" addr "$V" "${AUTH[@]}" "$P/host/prot" --authenticated
want 0 '' "$FSPF" addr "$V" "${AUTH[@]}" "$P/host/prot/deep" --not-protected --ephemeral
want 0 '' "$FSPF" addr "$V" "${AUTH[@]}" "$P/eph emeral" --not-protected --ephemeral
want 0 '' "$FSPF" addr "$V" "${AUTH[@]}" "$P/auth" --authenticated
want 0 '' "$FSPF" addf "$V" "${AUTH[@]}" "$P/auth" "$T/bin"
UNPROTECTED=("$M$P/host" "$M$P/host/prot/deep" "$M$P/eph emeral")
PROTECTED=("$M/root" "$M$P/encrypted" "$M$P/auth" "$M$P/host/prot")

fill() {
	local dir
	mkdir -p "$M/root"
	for dir in "${UNPROTECTED[@]}" "${PROTECTED[@]}"; do cp -a "$T/bin/." "$dir/"; done
	setfacl -m u:1000:rwx "$HOST/elf" 2>/dev/null || note "no ACLs on the host"
}

note "exec=any"
want 0 '"exec": "any"' "$FSPF" policy "$V" --key-file "$K" --json
start
fill
for dir in "${UNPROTECTED[@]}" "${PROTECTED[@]}"; do executes "$dir"; done
[[ $(mounts) == 1 ]] || fail "$(mounts) mounts"
stop

note "exec=protected"
policy --exec=protected
want 0 '"exec": "protected"' "$FSPF" policy "$V" --key-file "$K" --json
want 0 '^policy .*nothing unprotected is executed' "$FSPF" show "$V" --key-file "$K"
for session in first second; do
	note "the $session session"
	start
	fill
	for dir in "${UNPROTECTED[@]}"; do refused "$dir"; done
	for dir in "${PROTECTED[@]}"; do executes "$dir"; done
	! setpriv --reuid 1000 --clear-groups "$M$P/host/elf" 2>"$T/err" || fail "an ACL lets it be executed"
	chmod 700 "$M$P/host/script" && [[ $(stat -c %a "$M$P/host/script") == 600 ]] || fail "chmod shows execute bits"
	[[ $(stat -c %a "$HOST/script") == 700 ]] || fail "chmod does not reach the host"
	chmod 755 "$M$P/host/script"
	(umask 0 && touch "$M$P/host/new" && ln "$M$P/host/script" "$M$P/host/link")
	[[ $(stat -c %a "$M$P/host/link") == 644 ]] || fail "a link shows execute bits"
	rm "$M$P/host/new" "$M$P/host/link"
	[[ -x $M$P/host/sub ]] || fail "a directory cannot be entered"
	stop # which wants status 0, and nothing mounted
	[[ $(mounts) == 0 ]] || fail "mounts are left"
done

note "what takes the mounts within it away"
start
exec 7<"$M/root/elf"
want_error 6 'busy' "$FSPF" umount "$M"
exec 7<&-
for dir in "${UNPROTECTED[@]}"; do [[ -e $dir/elf ]] || cp -a "$T/bin/." "$dir/"; done
for dir in "${UNPROTECTED[@]}"; do refused "$dir"; done
executes "$M$P/host/prot"
exec 7<"$M$P/host/elf"
want_error 6 'busy' "$FSPF" umount "$M"
for dir in "${UNPROTECTED[@]}"; do refused "$dir"; done
exec 7<&-
! umount "$M" 2>"$T/err" || fail "umount(8) did not find it busy"
umount -R "$M"
wait "$DAEMON" || fail "the daemon failed after umount -R"
DAEMON=''
start
exec 7<"$M$P/host/elf"
kill -TERM "$DAEMON"
wait "$DAEMON" || fail "the daemon failed after SIGTERM"
DAEMON=''
exec 7<&-
[[ $(mounts) == 0 ]] || fail "mounts are left after SIGTERM"
start
kill -9 "$DAEMON"
wait "$DAEMON" 2>/dev/null || true
DAEMON=''
want 1 'was gone' "$FSPF" umount "$M"
[[ $(mounts) == 0 ]] || fail "mounts are left of a daemon that was killed"

note "read-only, and without the key"
start -o ro
refused "$M$P/host"
executes "$M$P/auth"
stop
AUTH=(--tag "$(cat "$G")")
start -o ro
refused "$M$P/host"
executes "$M$P/auth"
executes "$M$P/host/prot"
stop
AUTH=(--key-file "$K" --tag-file "$G")

note "where mounts are shared with other name spaces"
mkdir -p "$T/shared"
mount --bind "$T/shared" "$T/shared"
mount --make-shared "$T/shared"
mkdir "$T/shared/mnt"
unshare --mount --propagation unchanged sleep 1000 &
OTHER=$!
INSIDE=$M M=$T/shared/mnt
sleep 0.5
start
for dir in host auth host/prot; do cp -a "$T/bin/." "$M$P/$dir/"; done
for path in host host/prot auth; do
	here=$(findmnt -nro OPTIONS -T "$M$P/$path")
	[[ $(nsenter -m -t "$OTHER" findmnt -nro OPTIONS -T "$M$P/$path") == "$here" ]] || fail "$path is mounted otherwise elsewhere"
done
[[ $(findmnt -nro OPTIONS -T "$M$P/host") == *noexec* ]] || fail "not noexec"
[[ $(mounts) == 5 ]] || fail "$(mounts) mounts"
[[ $(grep -c " ${M}[ /]" "/proc/$OTHER/mounts") == 5 ]] || fail "other mounts elsewhere"
refused "$M$P/host"
executes "$M$P/host/prot"
exec 7<"$M$P/auth/elf"
want_error 6 'busy' "$FSPF" umount "$M"
[[ $(mounts) == 5 ]] || fail "$(mounts) mounts after a busy unmount"
[[ $(grep -c " ${M}[ /]" "/proc/$OTHER/mounts") == 5 ]] || fail "other mounts elsewhere after a busy unmount"
refused "$M$P/host"
exec 7<&-
stop
[[ $(mounts) == 0 && $(grep -c " ${M}[ /]" "/proc/$OTHER/mounts") == 0 ]] || fail "mounts are left"
kill "$OTHER"
wait "$OTHER" 2>/dev/null || true
umount "$T/shared"
M=$INSIDE

note "all of it noexec; the right to mount lacks"
start -o noexec
[[ $(mounts) == 1 ]] || fail "$(mounts) mounts"
refused "$M$P/host"
! forked "$M$P/auth/elf" || fail "noexec does not hold"
stop
if [[ -u $(command -v fusermount3) && -e /etc/mtab ]] && mknod -m 666 "$T/fuse" c 10 229 && mount --bind "$T/fuse" /dev/fuse; then
	mkdir -p "$T/user/mnt" && cp -a "$V" "$T/user/volume" && cp "$K" "$G" "$T/user/"
	chown -R 65534:65534 "$T/user"
	as_user() { setpriv --reuid 65534 --regid 65534 --clear-groups "$FSPF" "$@"; }
	USERS=("$T/user/volume" "$T/user/mnt" --key-file "$T/user/key" --tag-file "$T/user/tag")
	want_error 1 'policy demands' as_user mount "${USERS[@]}"
	! mountpoint -q "$T/user/mnt" || fail "mounted all the same"
	want 0 '' as_user mount "${USERS[@]}" -o noexec
	want 0 '' as_user umount "$T/user/mnt"
	umount /dev/fuse
else
	note "left out: a user's mount, which needs fusermount3 and a device for it"
fi

note "fspf run"
given() { timeout 60 "$FSPF" run "$V" "${AUTH[@]}" --no-root -- "$@" >"$T/out" 2>"$T/err"; }
rm -rf "$HOST/prot" && mkdir "$HOST/prot"
given "$P/auth/elf" || fail "a protected program does not run"
given "$P/host/prot/elf" || fail "a protected program within an unprotected region does not run"
! given "$P/host/elf" || fail "an unprotected program runs"
! given python3 -c "import ctypes; ctypes.CDLL('$P/host/libc.so')" || fail "an unprotected library is loaded"
given python3 -c "import ctypes; ctypes.CDLL('$P/auth/libc.so')" || fail "a protected library is not loaded"

note "exec=any again"
policy --exec=any
start
fill
for dir in "${UNPROTECTED[@]}" "${PROTECTED[@]}"; do executes "$dir"; done
stop

note "--require-protected"
want_error 1 'not protected' "$FSPF" policy "$V" "${AUTH[@]}" --require-protected
rm -rf "$V" "$K" "$G"
make_volume
policy --require-protected --exec=protected
want 0 '"require_protected": true' "$FSPF" policy "$V" --key-file "$K" --json
want 0 'every region is protected nothing unprotected' "$FSPF" show "$V" --key-file "$K"
want_error 1 'every region is protected' "$FSPF" addr "$V" "${AUTH[@]}" "$P/host" --not-protected --kernel "$HOST"
want_error 1 'every region is protected' "$FSPF" addr "$V" "${AUTH[@]}" "$P/eph" --not-protected --ephemeral
want 0 '' "$FSPF" addr "$V" "${AUTH[@]}" "$P/auth" --authenticated
restart() { stop && start; }
start
restart
[[ $(mounts) == 1 ]] || fail "$(mounts) mounts, of a volume with nothing unprotected"
stop
policy --allow-unprotected
want 0 '"exec": "protected"' "$FSPF" policy "$V" --key-file "$K" --json
want 0 '' "$FSPF" addr "$V" "${AUTH[@]}" "$P/host" --not-protected --kernel "$HOST"
pass
