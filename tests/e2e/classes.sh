#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# All classes of regions in one volume, three deep: each file is served by the region of its longest
# prefix and none moves between them; a protected region inside a directory of the host is out of the
# host's reach; what the host does in a directory that is passed through shows, and never leads out
# of it; programs work there as on any file system.
source "$(dirname "$0")/lib.sh"
need_mount
need python3 findmnt

H=$T/host
P=$T/place
mkdir -p "$H/sub/deep" "$H/prot" "$P/dir"
echo in the host >"$H/file"
echo in place >"$P/dir/file"
echo single >"$T/single"

make_volume
add() { want 0 '^[0-9a-f]{64}$' "$FSPF" addr "$V" "${AUTH[@]}" "$@"; }
add /auth --authenticated
add /auth/passed --not-protected --kernel "$H"
add /auth/passed/prot --encrypted
add /auth/passed/sub/deep/scratch --encrypted --ephemeral
add /auth/single --not-protected --kernel "$T/single"
add /place --authenticated --kernel "$P"
add /place/up --authenticated --kernel "$P" --copy-up
add /scratch --authenticated --ephemeral
add /scratch/inner --encrypted --ephemeral
add /none --not-protected --ephemeral
# What is there at first of the region within the host's directory, and what is recorded.
mkdir "$T/source" && echo from the source >"$T/source/brought"
want 0 '' "$FSPF" addf "$V" "${AUTH[@]}" /auth/passed/prot "$T/source"
want 0 '' "$FSPF" addf "$V" "${AUTH[@]}" /place "$P"
want 0 '' "$FSPF" addf "$V" "${AUTH[@]}" /place/up "$P"
want 0 '' "$FSPF" addf "$V" "${AUTH[@]}" /scratch/inner "$T/source"
mkdir "$H/sub/deep/scratch"

# The daemon has few descriptors for all that follows.
start_few() {
	(ulimit -n 256 && exec "$FSPF" mount "$V" "$M" -f "${AUTH[@]}") >>"$T/daemon.log" 2>&1 &
	DAEMON=$!
	for ((i = 0; i < 600; i++)); do
		! mountpoint -q "$M" || return 0
		kill -0 "$DAEMON" 2>/dev/null || fail "the daemon ended: $(tail -3 "$T/daemon.log")"
		sleep 0.05
	done
	fail "not mounted"
}

writable=(. auth auth/passed auth/passed/prot auth/passed/sub/deep/scratch place/up scratch scratch/inner none)

note "each file is where the longest prefix says"
start_few
[[ $(cat "$M/auth/passed/file" "$M/auth/single" "$M/place/dir/file" "$M/place/up/dir/file") == $'in the host\nsingle\nin place\nin place' ]] ||
	fail "other contents"
[[ $(cat "$M/auth/passed/prot/brought" "$M/scratch/inner/brought") == $'from the source\nfrom the source' ]] || fail "not what was brought in"
for i in "${!writable[@]}"; do echo "in region $i" >"$M/${writable[i]}/here"; done
for i in "${!writable[@]}"; do
	[[ $(cat "$M/${writable[i]}/here") == "in region $i" ]] || fail "${writable[i]}: other contents"
	[[ $(stat -c %i "$M/${writable[i]}/here") -ge $((i > 0 ? 1 << 48 : 0)) ]] || fail "${writable[i]}: another region's number"
done
[[ $(cat "$H/here") == "in region 2" ]] || fail "it did not come to the host"
[[ $(find "$H" "$P" -name here | wc -l) == 1 ]] || fail "a protected file is on the host"
note "nothing moves between them"
want 0 '' python3 "$E2E/classes.py" between "$M" "${writable[@]}"
for top in auth auth/passed auth/passed/prot auth/passed/sub auth/passed/sub/deep auth/single place scratch none; do
	want 0 '' python3 "$E2E/classes.py" stays "$M/$top"
done
restart
[[ ! -e $M/none/here && ! -e $M/scratch/here && ! -e $M/auth/passed/sub/deep/scratch/here ]] || fail "something ephemeral stayed"
for i in 0 1 2 3 5; do [[ $(cat "$M/${writable[i]}/here") == "in region $i" ]] || fail "${writable[i]}: lost"; done

note "a change in one region changes no other region's tag"
tags() { for prefix in / /auth /auth/passed/prot /place /place/up /scratch; do "$FSPF" tag "$V" "${AUTH[@]}" "$prefix"; done; }
changed_tag() { # N FILE: only the Nth changes
	local before after
	before=$(tags)
	start
	echo more >>"$M/$2"
	stop
	after=$(tags)
	[[ $(diff <(echo "$before") <(echo "$after") | grep -c '^[<>]') == $(($1 ? 2 : 0)) ]] || fail "$2 changes others: $(diff <(echo "$before") <(echo "$after"))"
	[[ $1 == 0 || $(sed -n "$1p" <<<"$before") != $(sed -n "$1p" <<<"$after") ]] || fail "$2 changes another"
}
stop
changed_tag 1 here
changed_tag 2 auth/here
changed_tag 3 auth/passed/prot/brought
changed_tag 5 place/up/dir/file
changed_tag 0 auth/passed/file
changed_tag 0 auth/single
changed_tag 0 scratch/here
changed_tag 0 none/here
verify_clean

note "files brought in around the regions"
mkdir -p "$T/around/none" "$T/around/auth" && echo x | tee "$T/around/none/lost" "$T/around/auth/kept" >"$T/around/here"
want 1 'around/none.*not protected' "$FSPF" addf "$V" "${AUTH[@]}" / "$T/around"
rm -r "$T/around/none"
want 0 '' "$FSPF" addf "$V" "${AUTH[@]}" / "$T/around" --update
grep -qxF -e '- /auth/here' "$T/out" || fail "not updated: $(cat "$T/out")"
! grep -qE 'none|passed|single|scratch|place' "$T/out" || fail "regions were touched: $(cat "$T/out")"
want 0 '' "$FSPF" addf "$V" "${AUTH[@]}" / "$T/around" --update
[[ $(wc -l <"$T/out") == 1 ]] || fail "an update without changes shows some: $(cat "$T/out")"
verify_clean

note "the host cannot hide or replace a protected region inside its directory"
start
protected() {
	[[ $(head -1 "$M/auth/passed/prot/brought") == "from the source" ]] || fail "the protected region is hidden: $1"
	[[ ! -e $M/auth/passed/prot/evil ]] || fail "something of the host is in the protected region: $1"
	[[ $(find "$M/auth/passed" -maxdepth 1 -name prot | wc -l) == 1 ]] || fail "its name shows $1"
}
protected "at first"
echo evil >"$H/prot/evil"
protected "a file in its place"
rm -r "$H/prot"
sleep 1.2
protected "its place is gone"
mkdir "$T/evil" && echo evil | tee "$T/evil/evil" >"$T/evil/brought"
ln -s "$T/evil" "$H/prot"
sleep 1.2
protected "a symlink in its place"
rm "$H/prot"
echo evil >"$H/prot"
sleep 1.2
protected "a file for its place"
rm "$H/prot"
mv "$T/evil" "$H/prot"
sleep 1.2
protected "a directory for its place"
restart
protected "after another mount"
mv "$H/prot" "$H/elsewhere"
[[ $(cat "$M/auth/passed/elsewhere/brought") == evil ]] || fail "the host's own directory is hidden elsewhere"
rm -r "$H/elsewhere"

note "what the host does is seen"
want 0 '' python3 "$E2E/classes.py" visible "$H" "$M/auth/passed"
note "a single file, from both sides"
[[ -f $M/auth/single ]] || fail "not a file"
both() { # WHAT: what is on the host shows within two seconds
	local i
	for ((i = 0; i < 100; i++)); do
		! cmp -s "$T/single" "$M/auth/single" || return 0
		sleep 0.02
	done
	fail "$1: $(cat "$T/single") on the host, $(cat "$M/auth/single") here"
}
echo '127.0.0.1 localhost' >"$T/single"
both "written by the host"
echo '127.0.0.1 here' >>"$M/auth/single"
[[ $(tail -1 "$T/single") == '127.0.0.1 here' ]] || fail "not written to the host"
echo '127.0.0.1 there' >>"$T/single"
both "written by the host again"
printf 'all of it\n' >"$M/auth/single"
[[ $(cat "$T/single") == 'all of it' ]] || fail "not written to the host"
chmod 600 "$M/auth/single"
[[ $(stat -c %a "$T/single") == 600 ]] || fail "chmod did not come to the host"
run rm -f "$M/auth/single"
[[ $STATUS -ne 0 && -e $T/single ]] || fail "the place of a region could be removed"

note "symlinks of the host are symlinks, and directories swapped for them lead nowhere"
echo secret >"$T/secret"
ln -s "$T/secret" "$H/out"
ln -s ../../.. "$H/up"
ln -s /proc/self/root "$H/magic"
for link in out up magic; do
	[[ -L $M/auth/passed/$link && $(readlink "$M/auth/passed/$link") == "$(readlink "$H/$link")" ]] || fail "$link is no symlink here"
done
run python3 -c "import os; os.open('$M/auth/passed/out', os.O_RDONLY | os.O_NOFOLLOW)"
grep -q 'Errno 40' "$T/err" || fail "a symlink was opened: $(tail -1 "$T/err")"
rm "$H/out" "$H/up" "$H/magic"
mkdir -p "$H/swaps"
run timeout 120 python3 "$E2E/classes.py" swap "$H/swaps" "$M/auth/passed/swaps" "$(pick 10 3)" "$SEED"
[[ $STATUS -eq 0 ]] || fail "$(tail -n 3 "$T/err")"
note "$(cat "$T/out")"
stop

note "programs work in a directory that is passed through"
start_few
mkdir "$M/auth/passed/work"
run timeout 120 python3 "$E2E/classes.py" posix "$M/auth/passed/work"
[[ $STATUS -eq 0 ]] || fail "$(cat "$T/out" "$T/err")"
stop # the kernel has times of its own of what it has written
start_few
tree compare "$H/work" "$M/auth/passed/work" || fail "the host has others"
note "and in the single file's and the nested regions' neighbourhood"
for place in . auth scratch none auth/passed/prot; do
	mkdir "$M/$place/work"
	run timeout 120 python3 "$E2E/classes.py" posix "$M/$place/work"
	[[ $STATUS -eq 0 ]] || fail "$place: $(cat "$T/out" "$T/err")"
	rm -r "$M/$place/work"
done
note "thousands of files"
mkdir "$H/many"
(cd "$H/many" && for i in {1..30}; do mkdir "$i" && (cd "$i" && for j in {1..100}; do echo "$j" >"$j"; done); done)
[[ $(find "$M/auth/passed/many" -type f | wc -l) == 3000 ]] || fail "not all are found"
[[ $(find "$M/auth/passed/many" -type f -print0 | xargs -0 cat | sort -n | uniq -c | awk '$1 == 30' | wc -l) == 100 ]] || fail "not all are read"
[[ $(find "$M/auth/passed/many" -type f -size 0 | wc -l) == 0 ]] || fail "some are empty"
rm -r "$M/auth/passed/many" "$M/auth/passed/work"
[[ ! -e $H/many && ! -e $H/work ]] || fail "rm left something"
[[ $(ls "/proc/$DAEMON/fd" | wc -l) -lt 250 ]] || fail "too many descriptors"
stop

note "read-only, and ephemeral"
echo kept >"$H/kept"
host_state() { find "$H" "$P" "$T/single" -printf '%p %y %s %m %u %T@ %l\n' | sort | sha256sum; }
before=$(host_state)
refuse() { # the command that is to be refused
	run "$@"
	[[ $STATUS -ne 0 ]] && grep -q 'Read-only file system' "$T/err" || fail "not refused: $*: $(cat "$T/err")"
}
passed_is_read_only() {
	[[ $(cat "$M/auth/passed/kept") == kept ]] || fail "not to be read"
	refuse touch "$M/auth/passed/new"
	refuse mkdir "$M/auth/passed/new"
	refuse rm "$M/auth/passed/kept"
	refuse mv "$M/auth/passed/kept" "$M/auth/passed/moved"
	refuse chmod 600 "$M/auth/passed/kept"
	refuse truncate -s 0 "$M/auth/passed/kept"
	refuse dd if=/dev/zero of="$M/auth/passed/kept" count=1 conv=notrunc
	refuse dd if=/dev/zero of="$M/auth/single" count=1 conv=notrunc
	refuse ln -s x "$M/auth/passed/new"
	refuse setfattr -n user.x -v y "$M/auth/passed/kept"
	[[ $(cat "$M/auth/passed/kept") == kept ]] || fail "changed all the same"
}
start -o ro
passed_is_read_only
refuse touch "$M/new"
stop
sums=$(volume_sums)
start -o ephemeral
passed_is_read_only
for place in . auth auth/passed/prot place/up scratch none; do
	echo gone tomorrow >"$M/$place/gone" || fail "$place cannot be written in an ephemeral mount"
done
stop
[[ $(host_state) == "$before" ]] || fail "the host's files were changed"
[[ $(volume_sums) == "$sums" ]] || fail "the volume was changed"
start
for place in . auth auth/passed/prot place/up scratch none; do [[ ! -e $M/$place/gone ]] || fail "$place/gone stayed"; done
stop

note "a directory of the host that is gone is missed, and nothing else"
mv "$H" "$T/away"
start
[[ ! -e $M/auth/passed && $(cat "$M/auth/kept") == x ]] || fail "the rest is not served"
[[ $(ls "$M/auth") == $'kept\nsingle' && $(ls "$M") == *auth*here*none*place*scratch* ]] || fail "it hides others: $(ls "$M" "$M/auth")"
grep -q "region /auth/passed is not there: $H" "$T/daemon.log" || fail "not told"
stop
mv "$T/away" "$H"
verify_clean
pass
