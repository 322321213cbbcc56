#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# A mount tells what it is doing: each file its region, protection and digest, the root its tag, by
# attributes that no copy takes along; and `fspf status` all of the mount, to root and its owner.
source "$(dirname "$0")/lib.sh"
need_mount
need python3 getfattr setfattr setpriv tar

HOST=$T/host
mkdir -p "$HOST" "$T/data/dir"
head -c 1000000 /dev/urandom >"$T/data/large"
: >"$T/data/empty"
echo small >"$T/data/small"
ln -s small "$T/data/link"
make_volume
want 0 '' "$FSPF" addr "$V" "${AUTH[@]}" /host --not-protected --kernel "$HOST"
want 0 '' "$FSPF" addr "$V" "${AUTH[@]}" /auth --authenticated
want 0 '' "$FSPF" addr "$V" "${AUTH[@]}" /place --authenticated --kernel "$T/data"
want 0 '' "$FSPF" addr "$V" "${AUTH[@]}" /secret --encrypted --ephemeral
want 0 '' "$FSPF" addr "$V" "${AUTH[@]}" /scratch --not-protected --ephemeral
want 0 '' "$FSPF" addf "$V" "${AUTH[@]}" /place "$T/data"

value() { getfattr -h --only-values -n "$1" "$2" 2>"$T/err"; }
is() { # NAME VALUE FILE
	local got
	got=$(value "$1" "$3") || fail "$1 of $3: $(cat "$T/err")"
	[[ $got == "$2" ]] || fail "$1 of $3 is '$got', not '$2'"
}
lacks() { # NAME FILE
	! value "$1" "$2" >"$T/out" || fail "$2 has $1: $(cat "$T/out")"
	grep -q 'No such attribute' "$T/err" || fail "$1 of $2: $(cat "$T/err")"
}
# As fsverity-utils: SHA-256 over blocks of 4 KiB, level by level, and a descriptor.
verity() {
	python3 - "$1" <<'END'
import hashlib, struct, sys
data = open(sys.argv[1], "rb").read()
level = [data[i:i + 4096].ljust(4096, b"\0") for i in range(0, len(data), 4096)]
root = bytes(32)
while level:
    hashes = b"".join(hashlib.sha256(block).digest() for block in level)
    if len(level) == 1:
        root = hashes
        break
    level = [hashes[i:i + 4096].ljust(4096, b"\0") for i in range(0, len(hashes), 4096)]
head = struct.pack("<BBBBLQ", 1, 1, 12, 0, 0, len(data)) + root.ljust(64, b"\0")
print("sha256:" + hashlib.sha256(head.ljust(256, b"\0")).hexdigest())
END
}

start
cp -a "$T/data/." "$M/"
for dir in auth secret scratch host; do cp -a "$T/data/." "$M/$dir/"; done
sync -f "$M"

note "attributes"
for file in "$M" "$M/dir" "$M/small" "$M/link"; do
	is fspf.region / "$file"
	is fspf.protection encrypted "$file"
done
is fspf.region /auth "$M/auth" && is fspf.protection authenticated "$M/auth/dir"
is fspf.region /place "$M/place/small" && is fspf.protection 'authenticated in-place' "$M/place/small"
is fspf.region /secret "$M/secret/small" && is fspf.protection 'encrypted ephemeral' "$M/secret"
is fspf.region /scratch "$M/scratch" && is fspf.protection 'not-protected ephemeral' "$M/scratch/small"
is fspf.region /host "$M/host" && is fspf.protection not-protected "$M/host/link"
for file in large small empty; do
	digest=$(verity "$T/data/$file")
	for dir in "$M" "$M/auth" "$M/place" "$M/secret"; do is fspf.digest "$digest" "$dir/$file"; done
	lacks fspf.digest "$M/host/$file"
	lacks fspf.digest "$M/scratch/$file"
done
if command -v fsverity >/dev/null; then
	is fspf.digest "$(fsverity digest "$T/data/large" | cut -d' ' -f1)" "$M/large"
fi
lacks fspf.digest "$M/dir" && lacks fspf.digest "$M/link" && lacks fspf.digest "$M"
is fspf.tag "$(cat "$G")" "$M"
lacks fspf.tag "$M/small"
lacks fspf.nonsense "$M/small"
echo more >>"$M/large"
cp "$M/large" "$T/longer"
sync "$M/large"
is fspf.digest "$(verity "$T/longer")" "$M/large"
is fspf.tag "$(cat "$G")" "$M"

note "nobody copies or changes them"
[[ -z $(getfattr -hd -m - "$M/small" "$M/auth/small") ]] || fail "they are listed"
want 0 '' cp -a "$M/small" "$T/copied"
want 0 '' cp -a "$M/small" "$M/auth/copied"
want 0 '' tar --xattrs --xattrs-include='*' -cf "$T/archive.tar" -C "$M" small auth
! tar --xattrs -tvvf "$T/archive.tar" | grep fspf || fail "tar took them along"
for name in fspf.region fspf.digest fspf.other system.fspf.status; do
	! setfattr -n "$name" -v x "$M/small" 2>"$T/err" || fail "$name can be set"
	grep -q 'Operation not permitted' "$T/err" || fail "setting $name: $(cat "$T/err")"
	! setfattr -x "$name" "$M/small" 2>"$T/err" || fail "$name can be removed"
	grep -q 'Operation not permitted' "$T/err" || fail "removing $name: $(cat "$T/err")"
done
chmod 600 "$M/auth/small"
! setpriv --reuid 1000 --clear-groups getfattr -n fspf.digest "$M/auth/small" 2>/dev/null || fail "told to who may not read"

note "status"
field() { # EXPRESSION [PATH]
	"$FSPF" status "${2:-$M}" --json | python3 -c "import json, sys; s = json.load(sys.stdin); print($1)"
}
[[ $(field 's["volume"]') == "$V" ]] || fail "volume: $(field 's["volume"]')"
[[ $(field 's["pid"]') == "$DAEMON" ]] || fail "pid: $(field 's["pid"]') is not $DAEMON"
[[ $(field 's["tag"]') == "$(cat "$G")" ]] || fail "tag"
[[ $(field 's["read_only"], s["ephemeral"], s["violations"], s["on_violation"]') == "False False 0 eio" ]] || fail "mode"
[[ $(field '[r["prefix"] + "=" + r["protection"] for r in s["regions"]]') == \
	"['/=encrypted', '/host=not-protected', '/auth=authenticated', '/place=authenticated in-place', '/secret=encrypted ephemeral', '/scratch=not-protected ephemeral']" ]] ||
	fail "regions: $(field 's["regions"]')"
[[ $(field 's["regions"][2]["tag"]') == "$("$FSPF" tag "$V" "${AUTH[@]}" /auth)" ]] || fail "a region's tag"
field '0 < s["blocks_sealed"] and 0 < s["requests"] and 0 <= s["uptime"] < 600 and s["node_cache"]["bytes"] <= s["node_cache"]["max"] == 64 << 20' |
	grep -qx True || fail "counters: $(field s)"
before=$(field 's["commits"]["generation"], s["commits"]["count"]')
head -c 5000000 /dev/zero >"$M/zeroes"
sync -f "$M/zeroes"
dirty=$(field 's["dirty_bytes"]')
sync "$M/zeroes"
[[ $(field 's["dirty_bytes"]') -le $dirty ]] || fail "dirty bytes after fsync"
[[ $(field 's["commits"]["generation"], s["commits"]["count"]') != "$before" ]] || fail "no commit was counted"
field "abs(s['commits']['last'] - $(date +%s)) < 60" | grep -qx True || fail "the last commit was at $(field 's["commits"]["last"]')"
want 0 "^tag +$(cat "$G")\$" "$FSPF" status "$M"
for pattern in "^volume +$V" "^daemon +$DAEMON, up 0 d" '^mode +read-write' '^violations +0' '  /place$' 'authenticated in-place'; do
	grep -qE "$pattern" "$T/out" || fail "no /$pattern/: $(cat "$T/out")"
done
# The value may grow between the question for its length and the one for itself.
python3 - "$M" <<'END' || fail "the length that is told is too small"
import ctypes, json, os, sys
libc = ctypes.CDLL(None, use_errno=True)
path, name = sys.argv[1].encode(), b"system.fspf.status"
n = libc.getxattr(path, name, None, 0)
value = ctypes.create_string_buffer(n)
m = libc.getxattr(path, name, value, n)
assert n == 65536 and 0 < m < n, (n, m)
json.loads(value.raw[:m])
assert libc.getxattr(path, name, value, m // 2) == -1 and ctypes.get_errno() == 34
END

note "who may ask, and where"
want_error 1 'permi' setpriv --reuid 1000 --clear-groups "$FSPF" status "$M"
mkdir "$T/bind" "$T/bound"
mount --bind "$M" "$T/bind"
mount --bind "$M/auth" "$T/bound"
for path in "$T/bind" "$T/bound" "$M/auth/small"; do
	[[ $(field 's["volume"]' "$path") == "$V" ]] || fail "no status through $path"
done
umount "$T/bind" "$T/bound"
want_error 1 'not in a mount of fspf' "$FSPF" status "$T"
want_error 1 'not in a mount of fspf' "$FSPF" status /proc
want_error 1 'No such file' "$FSPF" status "$T/nowhere"
want_error 2 '' "$FSPF" status
echo damage >"$T/data/small"
! cat "$M/place/small" >"$T/out" 2>&1 || fail "changed contents are given out"
[[ $(field 's["violations"]') -ge 1 ]] || fail "the violation is not counted"
stop

note "other mounts"
start -o ro
[[ $(field 's["read_only"], s["ephemeral"], s["commits"]["last"]') == "True False None" ]] || fail "$(field s)"
is fspf.protection encrypted "$M/small"
stop
start -o ephemeral,on_violation=abort,node_cache=8M
[[ $(field 's["ephemeral"], s["on_violation"], s["node_cache"]["max"] >> 20') == "True abort 8" ]] || fail "$(field s)"
is fspf.protection 'encrypted ephemeral' "$M/small"
want 0 'nothing is stored' "$FSPF" status "$M"
kill -9 "$DAEMON"
wait "$DAEMON" 2>/dev/null || true
DAEMON=''
want_error 1 'not connected' "$FSPF" status "$M"
umount -l "$M"

if [[ -u $(command -v fusermount3) && -e /etc/mtab ]] && mknod -m 666 "$T/fuse" c 10 229 && mount --bind "$T/fuse" /dev/fuse; then
	note "a user's mount: to the user, and to root"
	mkdir -p "$T/user/mnt" && cp -a "$V" "$T/user/volume" && cp "$K" "$G" "$T/user/"
	chown -R 65534:65534 "$T/user"
	as() { setpriv --reuid "$1" --regid "$1" --clear-groups "$FSPF" "${@:2}"; }
	want 0 '' as 65534 mount "$T/user/volume" "$T/user/mnt" --key-file "$T/user/key" --tag-file "$T/user/tag"
	want 0 "^volume +$T/user/volume" as 65534 status "$T/user/mnt"
	want 0 "^volume +$T/user/volume" "$FSPF" status "$T/user/mnt"
	want_error 1 'not permitted|denied' as 1001 status "$T/user/mnt"
	want 0 '' as 65534 umount "$T/user/mnt"
	umount /dev/fuse
else
	note "left out: a user's mount, which needs fusermount3 and a device for it"
fi

note "more regions than an attribute has room for"
name=$(printf '\377%.0s' {1..240}) # five characters each
make_volume
for ((i = 0; i < 20; i++)); do
	want 0 '' "$FSPF" addr "$V" "${AUTH[@]}" "/$name/$name/$name/$i" --authenticated
done
start
[[ $(field 'len(s["regions"]) + s["regions_left_out"], 0 < s["regions_left_out"] < 15') == '21 True' ]] ||
	fail "$(field 'len(s["regions"]), s["regions_left_out"]') of 21 regions"
want 0 'and [0-9]+ more' "$FSPF" status "$M"
stop

note "the soft limit of descriptors"
(
	ulimit -Sn 256
	start
	grep -q "^Max open files *$(ulimit -Hn) " "/proc/$DAEMON/limits" || fail "the daemon's is $(grep files "/proc/$DAEMON/limits")"
	stop
	[[ $("$FSPF" run "$V" "${AUTH[@]}" --root -- /bin/sh -c 'ulimit -Sn' 2>/dev/null) == 256 ]] ||
		[[ $("$FSPF" run "$V" "${AUTH[@]}" --no-root -- sh -c 'ulimit -Sn') == 256 ]] || fail "a command gets another limit"
)
pass
