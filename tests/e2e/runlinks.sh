#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# fspf run, when the host has symlinks on the way to a protected region that lies in a region which
# is passed through, from the beginning or in and out while the run starts: nothing of the host's is
# executed, nothing of the outside is shown in the region's place, and no other directory of the
# command's is covered.  Either the region is right or the run is refused.
source "$(dirname "$0")/lib.sh"
need_mount
need python3 ldd

HOST=$T/host IN=$T/r/in OWN=$T/own
mkdir -p "$HOST/x" "$HOST/y/app" "$OWN/app" "$T/bin"
cp /bin/true "$T/bin/elf"
cp /bin/false "$HOST/y/app/elf" # so its status tells whose it is
echo mine >"$OWN/app/file"
cp /bin/false "$OWN/app/elf"

make_volume
want 0 '' "$FSPF" addr "$V" "${AUTH[@]}" "$IN" --not-protected --kernel "$HOST"
want 0 '' "$FSPF" addr "$V" "${AUTH[@]}" "$IN/x/app" --authenticated
want 0 '' "$FSPF" addf "$V" "${AUTH[@]}" "$IN/x/app" "$T/bin"
want 0 '' "$FSPF" policy "$V" "${AUTH[@]}" --exec=protected

# The command: what is mounted, whether the program runs, what its own directory holds.
cat >"$T/look" <<END
cat /proc/self/mountinfo >$T/mounts
$IN/x/app/elf 2>/dev/null
echo \$? >$T/ran
cat $OWN/app/file >$T/file
END
given() { # [OPTIONS...]
	STATUS=0
	rm -f "$T/mounts" "$T/ran" "$T/file"
	timeout 60 "$FSPF" run "$V" "${AUTH[@]}" "$@" -- sh "$T/look" >"$T/out" 2>"$T/err" || STATUS=$?
}

own_shows() { [[ $(cat "$1") == mine ]] || fail "a directory of the command's is covered: $(cat "$1")"; }

# Only the region itself may be executed from, and only its place have it.
judge() {
	local type options root point
	while read -r type options root point; do
		[[ $type == fuse.fspf ]] || fail "the outside's $root is at $point"
		[[ ,$options, != *,noexec,* ]] || continue
		[[ ${root%//deleted} == "$IN/x/app" && ${point%//deleted} == "$IN/x/app" ]] ||
			fail "$root is at $point, and may be executed"
	done < <(python3 - "$T/mounts" "$IN" "$OWN" <<'END'
import sys
for line in open(sys.argv[1]):
    before, after = line.split(" - ")
    fields = before.split()
    if any((fields[4] + "/").startswith(place + "/") for place in sys.argv[2:]):
        print(after.split()[0], fields[5], fields[3], fields[4])
END
	)
}

refused() { # WHY
	[[ $STATUS == 1 && ! -e $T/ran ]] || fail "status $STATUS, not refused ($1): $(cat "$T/ran" "$T/err")"
	grep -q "^fspf: error: cannot show region $IN/x/app to the command: .*$1" "$T/err" || fail "not '$1': $(cat "$T/err")"
}

note "directories on the way"
given --no-root
[[ $STATUS == 0 && $(cat "$T/ran") == 0 ]] || fail "status $STATUS, $(cat "$T/ran" "$T/err")"
judge
own_shows "$T/file"
[[ $(grep -c ' fuse.fspf ' "$T/mounts") == 2 ]] || fail "mounts: $(grep fuse.fspf "$T/mounts")"

note "symlinks from the beginning"
for to in y ./../host/y "$HOST/y" "$IN/y" "$OWN" ../own /proc/self/cwd; do
	rmdir "$HOST/x"
	ln -s "$to" "$HOST/x"
	given --no-root
	refused symlink
	rm "$HOST/x"
	mkdir "$HOST/x"
done
rmdir "$HOST/x"
given --no-root
refused 'No such file'
touch "$HOST/x"
given --no-root
refused 'Not a directory'
rm "$HOST/x"
mkdir -p "$HOST/x/app"
cp /bin/false "$HOST/x/app/elf"
given --no-root
[[ $STATUS == 0 && $(cat "$T/ran") == 0 ]] || fail "the host's directory is there instead: $(cat "$T/ran" "$T/err")"
judge
rm -r "$HOST/x/app"

note "symlinks that come and go"
cat >"$T/switch.py" <<'EOF2'
import ctypes, os, sys, time
libc = ctypes.CDLL(None, use_errno=True)
a, b, pause = os.fsencode(sys.argv[1]), os.fsencode(sys.argv[2]), float(sys.argv[3])
while True:
    if libc.renameat2(-100, a, -100, b, 2) < 0:  # RENAME_EXCHANGE
        sys.exit(os.strerror(ctypes.get_errno()))
    time.sleep(pause)
EOF2
right=0 wrong=0
for to in y "$OWN"; do
	ln -sfn "$to" "$HOST/link"
	for ((i = 0; i < $(pick 150 40); i++)); do
		python3 "$T/switch.py" "$HOST/x" "$HOST/link" "0.000$((RANDOM % 10))" &
		SWITCH=$!
		sleep 0.03
		given --no-root
		kill "$SWITCH" || fail "the host cannot switch"
		wait "$SWITCH" 2>/dev/null || true
		if [[ -e $T/ran ]]; then
			judge
			own_shows "$T/file"
			# A symlink at that moment leads where it leads, which may be to the command's own.
			[[ $to != y || $(cat "$T/ran") != 1 ]] || fail "the host's program ran"
			right=$((right + 1))
		else
			refused ''
			wrong=$((wrong + 1))
		fi
	done
done
note "$right ran, $wrong were refused"
rm -rf "$HOST/x" "$HOST/link" && mkdir "$HOST/x"

note "in the whole root"
for program in sh cat; do
	file=$(readlink -f "$(command -v $program)")
	mkdir -p "$T/root/bin"
	cp "$file" "$T/root/bin/$program"
	ldd "$file" | grep -oE '/[^ ]+' | while read -r library; do
		mkdir -p "$T/root$(dirname "$library")"
		cp -L "$library" "$T/root$library"
	done
done
mkdir -p "$T/root$OWN/app"
cp "$OWN/app/file" "$T/root$OWN/app/file"
start
cp -a "$T/root/." "$M/"
stop
inside() { timeout 60 "$FSPF" run "$V" "${AUTH[@]}" --root -- sh -c "$1" >"$T/out" 2>"$T/err"; }
inside "cat /proc/self/mountinfo; $IN/x/app/elf" || fail "in the whole root: $(cat "$T/err")"
cp "$T/out" "$T/mounts"
judge
inside "cat $OWN/app/file; echo >$OWN/kept" || fail "in the whole root: $(cat "$T/err")"
own_shows "$T/out"
[[ ! -e $OWN/kept ]] || fail "the root is not the volume's"
rmdir "$HOST/x"
for to in y "$OWN"; do
	ln -sfn "$to" "$HOST/x"
	! inside "echo >$OWN/ran" || fail "not refused in the whole root"
	grep -q "^fspf: error: cannot show region $IN/x/app to the command: .*symlink" "$T/err" || fail "$(cat "$T/err")"
done

note "the environment's own symlinks are followed"
mkdir -p "$T/real"
ln -s real "$T/lib"
rm -rf "$V" "$K" "$G"
make_volume
want 0 '' "$FSPF" addr "$V" "${AUTH[@]}" "$T/lib/deep/app" --authenticated
want 0 '' "$FSPF" run "$V" "${AUTH[@]}" --no-root -- sh -c "echo x >$T/real/deep/app/file"
want 0 x "$FSPF" run "$V" "${AUTH[@]}" --no-root -- cat "$T/lib/deep/app/file"
[[ ! -e $T/real/deep/app/file ]] || fail "written outside"
pass
