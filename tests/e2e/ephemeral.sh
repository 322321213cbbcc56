#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# What is ephemeral begins in its committed state, takes every change, and is back where it was with
# the next mount; nothing of it reaches the volume's files.
source "$(dirname "$0")/lib.sh"
need_mount
need cc python3
helper leak

# Every operation that a program may think of, in directory $1.
work() {
	mkdir "$1/made" && cp -a /etc/ssl "$1/made/" 2>/dev/null
	head -c 3000000 /dev/urandom >"$1/big" && cp "$1/big" "$T/big"
	printf 'changed\n' >"$1/committed/file" && rm "$1/committed/gone"
	mv "$1/committed/moved" "$1/made/moved" && ln "$1/made/moved" "$1/linked"
	ln -s target "$1/symlink" && truncate -s 1M "$1/big" && fallocate -l 2M "$1/promised"
	setfattr -n user.x -v y "$1/big" && chmod 600 "$1/big" && sync -f "$1"
	dd if=/dev/urandom of="$1/committed/large" bs=64k count=3 seek=2 conv=notrunc status=none
	fallocate -p -o 0 -l 4096 "$1/committed/large"
	sync "$1/big"
	cmp <(head -c 1M "$T/big") "$1/big" || fail "$1: not what was written"
	[[ $(cat "$1/committed/file") == changed && ! -e $1/committed/gone ]] || fail "$1: a change was lost"
}

mkdir -p "$T/source/committed" && echo original >"$T/source/committed/file"
echo gone >"$T/source/committed/gone" && echo moved >"$T/source/committed/moved"
head -c 1000000 /dev/urandom >"$T/source/committed/large"

check_committed() { # DIRECTORY
	diff -r "$T/source/committed" "$1/committed" || fail "$1 is not as committed"
	[[ $(find "$1" -mindepth 1 -maxdepth 1 | wc -l) -eq 1 ]] || fail "$1: something was left: $(ls "$1")"
}

# ---- regions
make_volume
for class in encrypted authenticated; do
	want 0 '' "$FSPF" addr "$V" "${AUTH[@]}" "/$class" --$class --ephemeral
	want 0 '' "$FSPF" addf "$V" "${AUTH[@]}" "/$class" "$T/source"
done
want 0 '' "$FSPF" addr "$V" "${AUTH[@]}" /none --not-protected --ephemeral
start
stop
before=$(volume_sums)
tag=$(cat "$G")
start
for class in encrypted authenticated; do
	check_committed "$M/$class"
	work "$M/$class"
done
mkdir -p "$M/none/committed" && cp -a "$T/source/committed/." "$M/none/committed/"
work "$M/none"
stop
[[ $(volume_sums) == "$before" ]] || fail "a session in ephemeral regions changed the volume's files"
[[ $(cat "$G") == "$tag" ]] || fail "it changed the tag"
start
for class in encrypted authenticated; do check_committed "$M/$class"; done
[[ -z $(ls -A "$M/none") ]] || fail "an unprotected ephemeral region has something in it"
# Beside stored changes, of which nothing is lost.
work "$M/encrypted"
echo stored >"$M/stored"
sync "$M/stored"
work "$M/authenticated"
restart
[[ $(cat "$M/stored") == stored ]] || fail "a stored file was lost"
for class in encrypted authenticated; do check_committed "$M/$class"; done
# A killed daemon leaves nothing of them either.
work "$M/encrypted"
crash
start
check_committed "$M/encrypted"
stop
verify_clean

# ---- the host looks at scratch space, changes it, and puts back what it was (X2, X3)
cat >"$T/scratch.py" <<'END'
import errno, os, sys
daemon, kept, regions = sys.argv[1], sys.argv[2], sys.argv[3:]
fds = "/proc/%s/fd" % daemon
def is_scratch(fd):
    try:
        link = os.readlink(os.path.join(fds, fd))
        return link.startswith("/") and link.endswith("(deleted)") and os.stat(os.path.join(fds, fd)).st_size > 0
    except OSError:
        return False
scratch, = [os.path.join(fds, fd) for fd in os.listdir(fds) if is_scratch(fd)]
def write(n):
    for region in regions:
        with open(region + "/scratch", "wb") as f:
            f.write(b"".join(b"%d: what nobody is to see, %d of %s\n" % (i * 7919, n, region.encode())
                             for i in range(150000)))
            os.fsync(f.fileno())
def read(region):
    with open(region + "/scratch", "rb") as f:
        os.posix_fadvise(f.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        try:
            return f.read()
        except OSError as e:
            assert e.errno == errno.EIO, e
            return None
write(1)
first = [read(r) for r in regions]
assert all(first)
stored = open(scratch, "rb").read()
os.makedirs(kept + "/seen")
open(kept + "/seen/first", "wb").write(stored)
write(2)
second = [read(r) for r in regions]
open(kept + "/seen/second", "wb").write(open(scratch, "rb").read())
for region, content in zip(regions, second):
    os.makedirs(kept + "/secret" + region.rsplit("/", 1)[1])
    open(kept + "/secret" + region.rsplit("/", 1)[1] + "/content", "wb").write(content)
blocks = [stored[i:i + 4096] for i in range(0, len(stored), 4096)]
blocks = [b for b in blocks if any(b)]
assert len(blocks) > 100 and len(set(blocks)) == len(blocks), "two blocks are alike"
good = open(scratch, "rb").read()
wrong = {"put back": stored + good[len(stored):],
         "changed": bytes(b ^ (i % 4096 == 77) for i, b in enumerate(good)), "zeroes": bytes(len(good))}
for what, data in wrong.items():
    with open(scratch, "r+b") as f:
        f.write(data)
    got = [read(r) for r in regions]
    assert all(g is None or g == s for g, s in zip(got, second)), what
    assert what == "put back" or not any(got), what
END
start -o dirty_max=1M # so that it does not stay in memory
want 0 '' python3 "$T/scratch.py" "$DAEMON" "$T/kept" "$M/encrypted" "$M/authenticated" "$M/none"
"$T/leak" "$T/kept/seen" "$T/kept/secretnone" || fail "scratch space shows something"
for class in encrypted authenticated; do
	"$T/leak" "$T/kept/seen" "$T/kept/secret$class" || fail "scratch space of $class shows something"
done
grep -q 'damaged.*/none/scratch' "$T/daemon.log" || fail "damage was not told"
stop
verify_clean

# ---- the whole volume
before=$(volume_sums)
tag=$(cat "$G")
start -o ephemeral
[[ $(cat "$M/stored") == stored ]] || fail "an ephemeral mount does not show the volume"
echo changed >"$M/stored"
mkdir "$M/committed" && cp -a "$T/source/committed/." "$M/committed/"
work "$M"
stop
[[ $(volume_sums) == "$before" && $(cat "$G") == "$tag" ]] || fail "an ephemeral mount changed the volume"
verify_clean

# On a directory that cannot be written at all.
mkdir "$T/ro"
mount --bind "$V" "$T/ro" && mount -o remount,bind,ro "$T/ro"
stored=$V V=$T/ro
start -o ephemeral,scratch="$T"
echo changed >"$M/stored" || fail "an ephemeral mount of a read-only directory cannot be written"
stop
umount "$T/ro"
V=$stored
[[ $(volume_sums) == "$before" ]] || fail "an ephemeral mount changed the volume"

# ---- mistakes
want_error 1 '' "$FSPF" addr "$V" "${AUTH[@]}" /encrypted/stored --encrypted
want_error 1 '' "$FSPF" addr "$V" "${AUTH[@]}" /e --encrypted --ephemeral --kernel /tmp
want_error 1 '' "$FSPF" mount "$V" "$M" "${AUTH[@]}" -o ephemeral,scratch="$T/nowhere"
pass
