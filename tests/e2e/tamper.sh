#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Single blocks of the store are flipped, zeroed, swapped, copied and replayed, files cut and
# removed, on a closed volume (tamper.py) and under a running daemon: the right bytes or an error
# that names what is damaged, all else readable, nothing crashes.
source "$(dirname "$0")/lib.sh"
need_mount

# Few large files, so that a good part of the blocks are nodes.
tree make "$T/tree" 60 "$SEED"
for size in 0 1 100 5000 20000 70000 300000 1000000; do head -c "$size" /dev/urandom >"$T/tree/random_$size"; done
for ((i = 0; i < $(pick 1500 500); i++)); do
	((i % 100)) || mkdir "$T/tree/small_$i" && dir=small_$((i - i % 100))
	head -c $((RANDOM % 300)) /dev/urandom >"$T/tree/$dir/small_file_$i"
done
ln -s random_100 "$T/tree/link"

note "the volume before, and after a change of half of its files"
make_volume
start
cp -a "$T/tree" "$M/tree"
stop
cp -a "$V" "$T/old"
start
i=0
while read -r file; do
	((i++ % 2)) || continue
	head -c $((RANDOM + 5000)) /dev/urandom >"$T/piece"
	for top in "$T/tree" "$M/tree"; do
		dd if="$T/piece" of="$top/$file" conv=notrunc status=none
	done
done < <(cd "$T/tree" && find . -type f | sort)
diff -r --no-dereference "$T/tree" "$M/tree" || fail "the tree differs before any damage"
stop

python3 "$E2E/tamper.py" "$FSPF" "$V" "$T/old" "$T/tree" "$M" "$(pick 80 25)" "$SEED" -- "${AUTH[@]}" 2>&1 ||
	fail "see above"

note "export leaves out what is damaged and brings the rest"
segment=$(find "$V/segments" -type f | sort | head -1)
cp -a "$segment" "$T/segment"
python3 - "$segment" "$SEED" <<'END'
import os, random, sys
rng = random.Random(int(sys.argv[2]))
blocks = []
with open(sys.argv[1], "r+b") as f:
    for at in range(0, os.path.getsize(sys.argv[1]), 4096):
        f.seek(at)
        if f.read(4096).strip(b"\0"):
            blocks.append(at)
    # The data of the large files lies in long runs: most blocks are theirs.
    for at in rng.sample(blocks, 3):
        f.seek(at + 100)
        f.write(b"damaged")
END
run "$FSPF" export "$V" "${AUTH[@]}" /tree "$T/exported"
[[ $STATUS == 3 || $STATUS == 0 ]] || fail "export: status $STATUS: $(cat "$T/err")"
while read -r file; do
	[[ ! -e $T/exported/$file ]] || cmp "$T/tree/$file" "$T/exported/$file" || fail "exported with other bytes: $file"
done < <(cd "$T/tree" && find . -type f)
cat "$T/segment" >"$segment"

note "under a running daemon"
cp -a "$V" "$T/before_mount"
start
find "$M/tree" -type f -exec cat {} + >/dev/null
for ((i = 0; i < 20; i++)); do
	at=$((RANDOM * RANDOM % ($(stat -c %s "$segment") / 4096)))
	dd if=/dev/urandom of="$segment" bs=4096 seek="$at" count=1 conv=notrunc status=none
done
echo 3 >/proc/sys/vm/drop_caches
errors=0
while read -r file; do
	if cat "$M/tree/$file" >"$T/piece" 2>"$T/err"; then
		cmp -s "$T/tree/$file" "$T/piece" || fail "$file: other bytes under a running daemon"
	else
		grep -q 'Input/output error' "$T/err" || fail "$file: $(cat "$T/err")"
		errors=$((errors + 1))
	fi
done < <(cd "$T/tree" && find . -type f)
kill -0 "$DAEMON" || fail "the daemon died"
note "$errors files failed"
echo "still writable" >"$M/new" || true
run "$FSPF" umount "$M"
status=0
wait "$DAEMON" || status=$?
DAEMON=''
[[ $status -lt 126 ]] || fail "the daemon ended with status $status"
pass
