#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Passthrough: the kernel reads and writes the files of a host's directory by itself, each side sees
# at once what the other did, and the volume's own regions beside it are as they were.
source "$(dirname "$0")/lib.sh"
need_mount
need python3

HOST=$T/host P=$M/host
mkdir "$HOST"
make_volume
want 0 '' "$FSPF" addr "$V" "${AUTH[@]}" /host --not-protected --kernel "$HOST"

# ---- where it cannot be had, it is refused in words, and the rest works
run "$FSPF" mount "$V" "$M" "${AUTH[@]}" -o passthrough
if [[ $STATUS -ne 0 ]]; then
	want_error 1 '-o passthrough: ' "$FSPF" mount "$V" "$M" "${AUTH[@]}" -o passthrough
	grep -q '^fspf: hint: ' "$T/err" || fail "there is no hint"
	why=$(sed -n 's/^fspf: error: //p' "$T/err")
	! mountpoint -q "$M" || fail "it is mounted nevertheless"
	want_error 1 '-o passthrough: ' "$FSPF" run "$V" "${AUTH[@]}" -o passthrough -- true
	start
	echo without >"$P/file" && [[ $(cat "$HOST/file") == without ]] || fail "a region does not work without"
	stop
	skip "the refusal is clear: $why"
fi
want 0 '' "$FSPF" umount "$M"

# Requests of one kind that the daemon got while a command ran: none where the kernel does it.
requests() { # KIND
	grep -c ", opcode: $1 " "$T/daemon.log" || true
}

fds() {
	sleep 0.2 # RELEASE comes after close(2)
	find "/proc/$DAEMON/fd" -mindepth 1 | wc -l
}

# FUSE's requests for data, which a file of the host does not cause.
start -o passthrough --debug
head -c 3000000 /dev/urandom >"$T/data"
before=$(requests WRITE):$(requests READ)
cp "$T/data" "$P/copied"
cmp "$T/data" "$HOST/copied" || fail "what was written is not on the host"
cp "$T/data" "$HOST/put" && cmp "$T/data" "$P/put" || fail "what is on the host is not read"
[[ $(requests WRITE):$(requests READ) == "$before" ]] || fail "data of the host's went through the daemon"
# By the same measure, the volume's does.
cp "$T/data" "$M/own" && sync "$M/own"
[[ $(requests WRITE):$(requests READ) != "$before" ]] || fail "no request is counted"
stop
: >"$T/daemon.log"

start -o passthrough
note "each side sees the other at once"
cat >"$T/sides.py" <<'EOF'
import mmap, os, sys, time

host, mount = sys.argv[1:3]


def check(what, got, wanted):
    if got != wanted:
        sys.exit(f"FAIL: {what}: {got!r}, not {wanted!r}")


def read(path):
    with open(path, "rb") as f:
        return f.read()


def both(name):
    return os.path.join(host, name), os.path.join(mount, name)


h, m = both("sides")
a = os.open(m, os.O_RDWR | os.O_CREAT, 0o640)
os.write(a, b"one")
check("on the host", read(h), b"one")
check("its size here", os.stat(m).st_size, 3)
check("mode", os.stat(h).st_mode & 0o7777, 0o640)
with open(h, "r+b") as f:
    f.write(b"ONE and more")
check("through the open file", os.pread(a, 100, 0), b"ONE and more")
check("size of the open file", os.fstat(a).st_size, 12)
check("by name", read(m), b"ONE and more")
check("times", os.stat(m).st_mtime_ns, os.stat(h).st_mtime_ns)
number = os.stat(m).st_ino
time.sleep(1.2)  # longer than an entry is believed
os.pwrite(a, b"o", 0)
check("the number stays", os.stat(m).st_ino, number)
with open(h, "ab") as f:
    f.write(b"!")
time.sleep(1.2)
check("the number stays when the host writes", os.stat(m).st_ino, number)
check("both", read(m), b"oNE and more!")

# O_TRUNC, O_APPEND, ftruncate
os.close(os.open(m, os.O_WRONLY | os.O_TRUNC))
check("truncated", (read(h), os.fstat(a).st_size), (b"", 0))
b = os.open(m, os.O_WRONLY | os.O_APPEND)
os.write(b, b"x")
with open(h, "ab") as f:
    f.write(b"y")
os.write(b, b"z")
check("appended", read(h), b"xyz")
os.ftruncate(a, 2)
check("cut", (read(h), read(m)), (b"xy", b"xy"))
os.posix_fallocate(a, 0, 4096)
check("allocated", os.stat(h).st_size, 4096)
os.close(b)

# Two openings with different modes, the one for reading first
h, m = both("modes")
with open(h, "wb") as f:
    f.write(b"before")
r = os.open(m, os.O_RDONLY)
w = os.open(m, os.O_WRONLY)
rw = os.open(m, os.O_RDWR)
os.pwrite(w, b"BEF", 0)
os.pwrite(rw, b"ORE", 3)
check("read beside", os.pread(r, 10, 0), b"BEFORE")
try:
    os.write(r, b"no")
    sys.exit("FAIL: written by a descriptor for reading")
except OSError:
    pass
for fd in r, w, rw:
    os.close(fd)

# Mapped: shared with the host's mapping
h, m = both("mapped")
with open(h, "wb") as f:
    f.write(bytes(8192))
old = os.stat(m).st_mtime_ns
time.sleep(0.05)
fd, hfd = os.open(m, os.O_RDWR), os.open(h, os.O_RDWR)
here, there = mmap.mmap(fd, 8192), mmap.mmap(hfd, 8192)
here[:4] = b"here"
there[4096:4101] = b"there"
check("mapped there", there[:4], b"here")
check("mapped here", here[4096:4101], b"there")
check("read there", read(h)[:4], b"here")
here.flush()
if os.stat(m).st_mtime_ns == old:
    sys.exit("FAIL: a mapped write has left the time alone")
here.close()
there.close()
os.close(fd)
os.close(hfd)

# Unlinked and renamed while open
h, m = both("gone")
fd = os.open(m, os.O_RDWR | os.O_CREAT)
os.write(fd, b"still ")
os.unlink(m)
check("gone", os.path.exists(h), False)
os.write(fd, b"here")
check("unlinked", os.pread(fd, 100, 0), b"still here")
check("its links", os.fstat(fd).st_nlink, 0)
os.close(fd)
h, m = both("from")
fd = os.open(m, os.O_RDWR | os.O_CREAT)
os.rename(m, os.path.join(mount, "to"))
os.write(fd, b"renamed")
check("renamed", read(os.path.join(host, "to")), b"renamed")
second = os.open(os.path.join(mount, "to"), os.O_RDONLY)
check("by the new name", os.read(second, 100), b"renamed")
os.close(second)
# The host puts another file there: the open one stays, the name is the new one.
with open(os.path.join(host, "other"), "wb") as f:
    f.write(b"other")
os.rename(os.path.join(host, "other"), os.path.join(host, "to"))
time.sleep(1.2)
check("replaced", read(os.path.join(mount, "to")), b"other")
check("the old one", os.pread(fd, 100, 0), b"renamed")
os.close(fd)

# Hard links are one file
h, m = both("link1")
fd = os.open(m, os.O_RDWR | os.O_CREAT)
os.link(m, os.path.join(mount, "link2"))
with open(os.path.join(mount, "link2"), "r+b") as f:
    f.write(b"linked")
check("linked", os.pread(fd, 100, 0), b"linked")

# Copied by the daemon and sent by the kernel
out = os.open(os.path.join(mount, "copy"), os.O_RDWR | os.O_CREAT)
os.copy_file_range(fd, out, 6, 0, 0)
check("copied", read(os.path.join(host, "copy")), b"linked")
os.sendfile(out, fd, 0, 6)
os.fsync(out)
check("sent", read(os.path.join(host, "copy")), b"linked")
os.close(out)
os.close(fd)
os.close(a)
EOF
python3 "$T/sides.py" "$HOST" "$P"

note "set-id bits are dropped by who writes"
for first in read write; do
	install -m 6777 "$T/data" "$HOST/setid"
	if [[ $first == read ]]; then exec 9<"$P/setid"; fi
	setpriv --reuid 1234 --clear-groups bash -c "echo changed >>'$P/setid'" || fail "another cannot write"
	if [[ $first == read ]]; then exec 9<&-; fi
	[[ $(stat -c %a "$HOST/setid") == 777 ]] || fail "set-id bits stayed: $(stat -c %a "$HOST/setid")"
	[[ $(stat -c %a "$P/setid") == 777 ]] || fail "set-id bits are shown: $(stat -c %a "$P/setid")"
	rm "$P/setid"
done
install -m 755 "$(type -P true)" "$HOST/program"
"$P/program" || fail "a program on the host does not run"

note "200 files open at once"
fds_before=$(fds)
python3 - "$P" "/proc/$DAEMON/fd" "$fds_before" <<'EOF'
import os, sys
path, fds, before = sys.argv[1], sys.argv[2], int(sys.argv[3])
files = [os.open(f"{path}/many{i}", os.O_RDWR | os.O_CREAT) for i in range(200)]
for i, f in enumerate(files):
    os.write(f, b"%d" % i)
if len(os.listdir(fds)) > before:
    sys.exit("FAIL: the daemon holds descriptors of open files")
for i, f in enumerate(files):
    if os.pread(f, 10, 0) != b"%d" % i:
        sys.exit("FAIL: another file's data")
EOF
[[ $(cat "$HOST/many199") == 199 ]] || fail "not on the host"
[[ $(fds) -eq $fds_before ]] || fail "descriptors: $fds_before, now $(fds)"

note "openings and closings of the same files at the same time agree"
cat >"$T/agree.py" <<'EOF'
import mmap, os, random, sys

path, seed, rounds = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
FILES, WORKERS = 3, 4


def work(me):
    rng = random.Random(seed + me)
    for i in range(rounds):
        name = f"{path}/agree{rng.randrange(FILES)}"
        own = b"%d:%06d" % (me, i)
        fd = os.open(name, os.O_RDWR)
        os.pwrite(fd, own, 8 * me)
        other = os.open(name, rng.choice((os.O_RDONLY, os.O_RDWR)))
        os.close(fd)
        if rng.randrange(4) == 0:
            with mmap.mmap(other, 8 * WORKERS, prot=mmap.PROT_READ) as m:
                os.close(other)
                got = m[8 * me : 8 * me + 8]
        else:
            got = os.pread(other, 8, 8 * me)
            os.close(other)
        if got != own:
            sys.exit(f"FAIL: {got!r}, not {own!r}")


for i in range(FILES):
    with open(f"{path}/agree{i}", "wb") as f:
        f.write(bytes(8 * WORKERS))
pids = []
for me in range(WORKERS):
    pid = os.fork()
    if pid == 0:
        work(me)
        os._exit(0)
    pids.append(pid)
sys.exit(any(os.waitpid(pid, 0)[1] for pid in pids))
EOF
python3 "$T/agree.py" "$P" "$SEED" "$(pick 3000 500)" || fail "somebody was refused, or read something else"

note "an overlay of the host's, which the kernel does not take, is served by the daemon"
mkdir "$T/lower" "$T/upper" "$T/work" "$HOST/overlay"
echo lower >"$T/lower/file"
if mount -t overlay overlay -o "lowerdir=$T/lower,upperdir=$T/upper,workdir=$T/work" "$HOST/overlay" 2>"$T/err"; then
	[[ $(cat "$P/overlay/file") == lower ]] || fail "a file on an overlay cannot be read"
	echo upper >"$P/overlay/file" && [[ $(cat "$HOST/overlay/file") == upper ]] || fail "nor written"
	echo host >"$HOST/overlay/file" && [[ $(cat "$P/overlay/file") == host ]] || fail "what the host wrote is not read"
	umount -l "$HOST/overlay" # the daemon keeps what it wrote last open for a while
fi

note "the volume beside it"
cp -a "$ROOT/tests" "$M/tests"
python3 - "$M/mapped" <<'EOF'
import mmap, os, sys
fd = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT)
os.ftruncate(fd, 10000)
m = mmap.mmap(fd, 10000)
m[9000:9003] = b"end"
m.flush()
os.close(fd)
EOF
echo first >"$M/appended" && echo second >>"$M/appended" && sync "$M/appended"
crash
start -o passthrough
[[ $(cat "$M/appended") == $'first\nsecond' ]] || fail "what was synced is lost"
cp -a "$ROOT/tests/." "$M/tests/"
restart -o passthrough
diff -r "$ROOT/tests" "$M/tests" || fail "the volume's files are not what was written"
[[ $(tail -c 1000 "$M/mapped" | head -c 3) == end ]] || fail "a mapped write to the volume is lost"

note "who may not write, does not"
stop
start -o passthrough,ephemeral
[[ $(cat "$P/many1") == 1 ]] || fail "cannot be read"
! echo changed 2>/dev/null >"$P/many1" || fail "an ephemeral mount writes to the host"
! echo changed 2>/dev/null >>"$P/many1" || fail "an ephemeral mount appends to a file of the host"
echo own >"$M/own"
stop
start -o passthrough,ro
[[ $(cat "$P/many1") == 1 ]] || fail "cannot be read"
! echo changed 2>/dev/null >"$P/many1" || fail "a read-only mount writes to the host"
stop
[[ $(cat "$HOST/many1") == 1 ]] || fail "it was changed"

note "who may mount but not have the kernel do this, is told so"
as_nobody() { setpriv --reuid 65534 --regid 65534 --clear-groups "$@"; }
mknod "$T/fuse" c 10 229 && chmod 666 "$T/fuse" && mount --bind "$T/fuse" /dev/fuse
install -d -o 65534 -g 65534 "$T/theirs" "$T/theirs/mnt"
theirs=("$T/theirs/volume" --key-file "$T/theirs/key" --tag-file "$T/theirs/tag")
if as_nobody "$FSPF" keygen "$T/theirs/key" && as_nobody "$FSPF" create "${theirs[@]}" >/dev/null &&
	as_nobody "$FSPF" mount "${theirs[@]:0:1}" "$T/theirs/mnt" "${theirs[@]:1}"; then
	want 0 '' as_nobody "$FSPF" umount "$T/theirs/mnt"
	want_error 1 'CAP_SYS_ADMIN' as_nobody "$FSPF" mount "${theirs[@]:0:1}" "$T/theirs/mnt" "${theirs[@]:1}" -o passthrough
	! mountpoint -q "$T/theirs/mnt" || fail "it is mounted nevertheless"
	want 0 '' as_nobody "$FSPF" verify "${theirs[@]}"
else
	note "nobody can mount here at all"
fi
umount /dev/fuse

note "by fspf run"
want 0 '' "$FSPF" run "$V" "${AUTH[@]}" -o passthrough --no-root -- sh -c 'cat /host/many7 >/host/run && echo more >>/host/run'
[[ $(cat "$HOST/run") == 7more ]] || fail "fspf run: $(cat "$HOST/run")"

note "an end while files are open"
start -o passthrough
exec 8<>"$P/many8"
kill -TERM "$DAEMON"
status=0
wait "$DAEMON" || status=$?
DAEMON=''
[[ $status -eq 0 ]] || fail "the daemon ended with status $status"
exec 8>&-
verify_clean
pass
