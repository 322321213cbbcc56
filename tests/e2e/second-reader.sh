#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# tests/reader/fspf_reader.py, which was written from docs/format.md and shares no code with the
# product, reads volumes that the product wrote: several regions, sessions, segments, a crash, no key
# at all.  It lists what is in them exactly, and notices each changed byte that counts.
source "$(dirname "$0")/lib.sh"
need_mount
python3 -c 'import cryptography' 2>/dev/null || skip "needs python3-cryptography"

READER=$ROOT/tests/reader
reader() { python3 "$READER/fspf_reader.py" "$@"; }
host() { python3 "$READER/reader_test.py" host "$@"; }
flips() { python3 "$READER/reader_test.py" flips "$@"; }

# The lines of a listing at PREFIX and below.
lines_at() { grep -E "^$1( |/)" "$2"; }

reads_as() { # LINES: the reader's listing of $V, in $T/listing, has these
	want 0 '' reader "$V" --key-file "$K" --tag "$(cat "$G")"
	cp "$T/out" "$T/listing"
	diff "$1" "$T/listing" >"$T/diff" || fail "the listing differs: $(head -6 "$T/diff")"
}

has() { # PATTERN: what the reader met
	want 0 "$1" python3 "$READER/reader_test.py" facts "$V" "$K" "$(cat "$G")"
}

want 0 '' python3 "$READER/reader_test.py" vectors

note "a tree in three regions, brought in by addf, a session each"
tree make "$T/tree" "$(pick 300 60)" "$SEED"
rm -rf "$T/tree/include"
tree specials "$T/tree/specials" "$SEED"
rm "$T/tree/specials/sparse/huge" # nobody can hash a terabyte of zeroes
make_volume
want 0 '' "$FSPF" addr "$V" "${AUTH[@]}" /public --authenticated
want 0 '' "$FSPF" addr "$V" "${AUTH[@]}" /public/in/secret --encrypted
prefixes=(/a/b /public/copy /public/in/secret/copy)
for prefix in "${prefixes[@]}"; do want 0 '' "$FSPF" addf "$V" "${AUTH[@]}" "$prefix" "$T/tree"; done
want 0 '' reader "$V" --key-file "$K" --tag "$(cat "$G")"
cp "$T/out" "$T/listing"
for prefix in "${prefixes[@]}"; do
	host "$T/tree" "$prefix" >"$T/lines"
	lines_at "$prefix" "$T/listing" | diff "$T/lines" - >"$T/diff" || fail "$prefix differs: $(head -6 "$T/diff")"
done

note "without the key: what is authenticated, and nothing else"
want 0 '' reader "$V" --tag "$(cat "$G")"
lines_at /public/copy "$T/listing" | diff - <(lines_at /public/copy "$T/out") >"$T/diff" ||
	fail "other lines without the key: $(head -6 "$T/diff")"
! grep -q '^/a\|/secret/' "$T/out" || fail "lines of encrypted regions without the key"

note "with the key of one region: that too"
want 0 '' "$FSPF" key export-region "$V" /public/in/secret "$T/key.secret" --key-file "$K"
want 0 '' reader "$V" --region-key-file "$T/key.secret" --tag "$(cat "$G")"
for prefix in /public/copy /public/in/secret; do
	lines_at "$prefix" "$T/listing" | diff - <(lines_at "$prefix" "$T/out") >"$T/diff" ||
		fail "other lines with the key of one region: $(head -6 "$T/diff")"
done
! grep -q '^/a' "$T/out" || fail "lines of another region with the key of one"

note "other tags, other keys"
want 4 '' reader "$V" --key-file "$K" --tag "$(printf '%064d' 1)"
want 0 '' "$FSPF" keygen "$T/other"
want 5 '' reader "$V" --key-file "$T/other" --tag "$(cat "$G")"

note "a volume that was worked on: small segments, holes, promised space, other names, many sessions"
make_volume --size 64M
want 0 '' "$FSPF" addr "$V" "${AUTH[@]}" /public --authenticated
for round in 1 2 3; do
	start
	python3 - "$M" "$SEED$round" <<'END'
import os, random, sys
rng = random.Random(sys.argv[2])
for top in (sys.argv[1], sys.argv[1] + "/public"):
    for i in range(150):
        path = "%s/file_%d" % (top, i)
        fd = os.open(path, os.O_RDWR | os.O_CREAT)
        for _ in range(rng.randrange(4)):
            os.pwrite(fd, rng.randbytes(rng.randrange(1, 20000)), rng.randrange(1 << rng.randrange(8, 18)))
        if rng.random() < 0.3:
            os.posix_fallocate(fd, rng.randrange(100000), rng.randrange(1, 100000))
        if rng.random() < 0.3:
            os.ftruncate(fd, rng.randrange(60000))
        os.utime(fd, ns=(rng.randrange(2**60), rng.randrange(2**60)))
        os.close(fd)
    for i in rng.sample(range(150), 60):
        os.rename("%s/file_%d" % (top, i), "%s/file_%d" % (top, rng.randrange(150)))
    os.makedirs("%s/d%s/e" % (top, sys.argv[2]))
    os.link("%s/%s" % (top, next(n for n in os.listdir(top) if n.startswith("file"))), "%s/d%s/link" % (top, sys.argv[2]))
END
	host "$M" / >"$T/lines"
	stop
	reads_as "$T/lines"
done
has 'map=yes .*sessions=5 .*unwritten=[1-9].* bitmaps=[1-9]'

note "after a crash, with a file that has no name left"
start
touch "$T/ready"
python3 -c "
import os, time
fd = os.open('$M/nameless', os.O_RDWR | os.O_CREAT)
os.write(fd, bytes(range(256)) * 1000)
os.unlink('$M/nameless')
os.fsync(fd)
print('ready', flush=True)
time.sleep(600)" >"$T/ready" &
HOLDER=$!
for ((i = 0; i < 200; i++)); do ! grep -q ready "$T/ready" || break; sleep 0.05; done
host "$M" / >"$T/lines"
crash # before the file is let go
kill -9 "$HOLDER"
wait "$HOLDER" 2>/dev/null || true
reads_as "$T/lines"
has 'map=no .*orphans=1'
start
stop
reads_as "$T/lines"
has 'map=yes .*orphans=0'

note "each byte counts"
flips "$V" "$K" "$(cat "$G")" "$(pick 120 40)" "$SEED" || fail "see above"

note "a volume without a key"
rm -rf "$V" "$G"
want 0 '' "$FSPF" create "$V" --authenticated --tag-file "$G"
want 0 '' "$FSPF" addf "$V" --tag-file "$G" /copy "$T/tree/specials"
want 0 '' reader "$V" --tag "$(cat "$G")"
host "$T/tree/specials" /copy >"$T/lines"
lines_at /copy "$T/out" | diff "$T/lines" - >"$T/diff" || fail "/copy differs: $(head -6 "$T/diff")"
flips "$V" - "$(cat "$G")" "$(pick 40 20)" "$SEED" || fail "see above"
pass
