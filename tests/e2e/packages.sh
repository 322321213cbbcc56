#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# What a package manager does: dpkg unpacks, installs, upgrades over a program that runs and removes
# packages under a root in the mount; a program maps a file and writes to it.
source "$(dirname "$0")/lib.sh"
need_mount
need dpkg dpkg-deb

make_deb() { # VERSION
	local d=$T/pkg_$1
	mkdir -p "$d/DEBIAN" "$d/usr/bin" "$d/usr/share/e2e-demo" "$d/etc"
	cat >"$d/DEBIAN/control" <<END
Package: e2e-demo
Version: $1
Architecture: all
Maintainer: Nobody <nobody@example.invalid>
Description: a package for a test
END
	echo /etc/e2e-demo.conf >"$d/DEBIAN/conffiles"
	echo "configured by $1" >"$d/etc/e2e-demo.conf"
	cp "$(realpath "$(command -v sleep)")" "$d/usr/bin/e2e-sleep"
	echo "$1" >>"$d/usr/bin/e2e-sleep"
	for ((i = 0; i < 300; i++)); do echo "$1 $i" >"$d/usr/share/e2e-demo/file_$i"; done
	ln -s file_1 "$d/usr/share/e2e-demo/link"
	ln "$d/usr/share/e2e-demo/file_2" "$d/usr/share/e2e-demo/hard"
	dpkg-deb --root-owner-group -b "$d" "$T/demo_$1.deb" >/dev/null
}
make_deb 1.0
make_deb 2.0

make_volume
start
root=$M/root
mkdir -p "$root/var/lib/dpkg/updates" "$root/var/lib/dpkg/info" "$root/tmp"
: >"$root/var/lib/dpkg/status"
dpkg_in() { dpkg --root="$root" --force-not-root --log=/dev/null "$@" >"$T/log" 2>&1 || fail "dpkg $*: $(tail -5 "$T/log")"; }

dpkg_in -i "$T/demo_1.0.deb"
[[ $(cat "$root/usr/share/e2e-demo/link") == '1.0 1' ]] || fail "not what was unpacked"
"$root/usr/bin/e2e-sleep" 100 &
running=$!
sleep 0.2
dpkg_in -i "$T/demo_2.0.deb"
kill -0 "$running" || fail "the running program died of its upgrade"
[[ $(readlink "/proc/$running/exe") == *deleted* ]] || fail "the running program is not the old one"
cmp -s "/proc/$running/exe" "$T/pkg_1.0/usr/bin/e2e-sleep" || fail "the running program's file changed"
[[ $(cat "$root/usr/share/e2e-demo/hard") == '2.0 2' ]] || fail "not upgraded"
kill "$running"
wait "$running" 2>/dev/null || true
restart
dpkg_in --verify e2e-demo
[[ $(dpkg --root="$root" -s e2e-demo | grep ^Version) == 'Version: 2.0' ]] || fail "the database is another"
dpkg_in -P e2e-demo
[[ ! -e $root/usr/share/e2e-demo ]] || fail "not removed"

note "a text file that is being executed cannot be written (ETXTBSY)"
cp "$(command -v sleep)" "$M/busy"
"$M/busy" 100 &
running=$!
sleep 0.2
run bash -c "echo x >>'$M/busy'"
[[ $STATUS -ne 0 ]] || fail "a running program could be written"
kill "$running"
wait "$running" 2>/dev/null || true

note "apt's cache pattern: a file mapped and grown"
python3 - "$M/map" <<'END'
import mmap, os, sys
with open(sys.argv[1], "w+b") as f:
    f.truncate(1 << 20)
    m = mmap.mmap(f.fileno(), 1 << 20)
    for i in range(0, 1 << 20, 4096):
        m[i:i + 8] = i.to_bytes(8, "little")
    m.flush()
    f.truncate(2 << 20)
    m.resize(2 << 20)
    m[-4:] = b"tail"
    m.close()
END
restart
python3 - "$M/map" <<'END'
import sys
data = open(sys.argv[1], "rb").read()
assert len(data) == 2 << 20 and data[-4:] == b"tail"
assert all(data[i:i + 8] == i.to_bytes(8, "little") for i in range(0, 1 << 20, 4096))
END
stop
verify_clean
pass
