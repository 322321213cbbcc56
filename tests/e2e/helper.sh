#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# After cmake --install: `mount -t fuse.fspf`, with and without /etc/fstab, options as others have
# them, and what the mount table then shows.
source "$(dirname "$0")/lib.sh"
need_mount
need cmake

note "installed over the system's directories, as this test alone sees them"
mkdir "$T/over" "$T/upper" "$T/work"
mount -t tmpfs none "$T/over"
mkdir "$T/over/upper" "$T/over/work"
mount -t overlay -o "lowerdir=/usr,upperdir=$T/over/upper,workdir=$T/over/work" overlay /usr 2>"$T/err" ||
	skip "needs overlayfs: $(cat "$T/err")"
cmake --install "$FSPF_BUILD" --prefix /usr >"$T/log" 2>&1 || fail "install: $(tail -3 "$T/log")"
command -v fspf fspf-dump >/dev/null || fail "the programs were not installed"
[[ -e /usr/share/man/man1/fspf.1 || -e /usr/share/man/man1/fspf.1.gz ]] || fail "the man pages were not installed"

FSPF=/usr/bin/fspf
[[ -x $FSPF ]] || FSPF=$(command -v fspf)
make_volume

wait_gone() {
	for ((i = 0; i < 100; i++)); do
		pgrep -x fspf >/dev/null || return 0
		sleep 0.05
	done
	fail "the daemon lives on"
}

note "mount -t fuse.fspf"
want 0 '' mount -t fuse.fspf "$V" "$M" -o "key_file=$K,tag_file=$G,noatime,nodev"
grep -q " $M fuse.fspf .*nodev" /proc/self/mounts || fail "the mount table shows: $(grep " $M " /proc/self/mounts)"
echo one >"$M/file"
want 0 '' umount "$M"
wait_gone
want 0 '' mount -t fuse.fspf "$V" "$M" -o "ro,key_file=$K,tag_file=$G"
[[ $(cat "$M/file") == one ]] || fail "other contents"
run touch "$M/new"
[[ $STATUS -ne 0 ]] || fail "not read-only"
want 0 '' "$FSPF" umount "$M"

note "fstab"
cp /etc/fstab "$T/fstab" 2>/dev/null || : >"$T/fstab"
echo "$V $M fuse.fspf noauto,nofail,_netdev,x-systemd.automount,key_file=$K,tag_file=$G,commit=2 0 0" >>"$T/fstab"
[[ -e /etc/fstab ]] || skip "no /etc/fstab to put one over"
mount --bind "$T/fstab" /etc/fstab
want 0 '' mount "$M"
[[ $(cat "$M/file") == one ]] || fail "other contents"
echo two >"$M/file"
want 0 '' umount "$M"
wait_gone
want 0 '' mount "$V"
[[ $(cat "$M/file") == two ]] || fail "other contents"
want 0 '' "$FSPF" umount "$M"
verify_clean

note "errors come through mount(8)"
want 1,2,3,4,5,32 '' mount -t fuse.fspf "$V" "$M" -o "key_file=$T/nowhere,tag_file=$G"
[[ $STATUS -ne 0 ]] || fail "mounted without a key"
grep -q 'error' "$T/err" || fail "no word of what is wrong: $(cat "$T/err")"
want 1,2,32 '' mount -t fuse.fspf "$V" "$M" -o "key_file=$K,tag_file=$G,nonsense"
! mountpoint -q "$M" || fail "mounted with a nonsensical option"

note "users other than root"
want 0 '' mount -t fuse.fspf "$V" "$M" -o "key_file=$K,tag_file=$G"
mkdir -m 1777 "$M/shared"
chmod 755 "$T"
python3 - "$M" <<'END' || fail "another user"
import os, sys
os.setgroups([]); os.setgid(1234); os.setuid(1234)
os.chdir(sys.argv[1])
open("shared/mine", "w").write("x")
assert os.stat("shared/mine").st_uid == 1234
try:
    open("file", "w")
    raise SystemExit("wrote root's file")
except PermissionError:
    pass
END
want 0 '' "$FSPF" umount "$M"
pass
