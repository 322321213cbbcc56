#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# fspf run: the command finds the regions at their prefixes and nobody else does; its arguments,
# environment, input, output, signals and exit status pass through; and however it ends, whatever it
# leaves behind, no mount and no process stays, and the volume is closed with its tag published.
source "$(dirname "$0")/lib.sh"
need_mount
need setpriv ldd python3

# Prefixes inside our own directory: mount points are made where the tree lacks them.
A=$T/r/app D=$T/r/data
make_volume
want 0 '' "$FSPF" addr "$V" "${AUTH[@]}" "$A" --authenticated
want 0 '' "$FSPF" addr "$V" "${AUTH[@]}" "$D" --encrypted
want 0 '' "$FSPF" addr "$V" "${AUTH[@]}" "$D/in/ner" --authenticated

# As want, for any status; the last argument is a script for sh in the run.
given() { # STATUS [OPTIONS...] SCRIPT
	local status=$1 got=0
	shift
	timeout 60 "$FSPF" run "$V" "${AUTH[@]}" "${@:1:$#-1}" -- sh -c "${@: -1}" >"$T/out" 2>"$T/err" || got=$?
	[[ $got == "$status" ]] || fail "status $got, not $status, of: ${*: -1}"
}

appears() { # FILE
	local i
	for ((i = 0; i < 1200; i++)); do
		[[ ! -e $1 ]] || return 0
		sleep 0.025
	done
	fail "$1 does not appear"
}

# In the background; the command says that it is there by making $T/ready.
launch() { # [OPTIONS...] -- COMMAND...
	rm -f "$T/ready"
	"$FSPF" run "$V" "${AUTH[@]}" "$@" >"$T/out" 2>"$T/daemon.log" &
	DAEMON=$!
	appears "$T/ready"
}

lives() { # PID
	local state
	state=$(awk '{print $3}' "/proc/$1/stat" 2>/dev/null) || return 1
	[[ $state != Z ]]
}

gone() { # PID WHAT
	local i
	for ((i = 0; i < 800; i++)); do
		lives "$1" || return 0
		sleep 0.025
	done
	fail "$2 does not end"
}

ends() { # STATUS: of what was launched
	local got=0
	gone "$DAEMON" "fspf run"
	wait "$DAEMON" || got=$?
	DAEMON=''
	[[ $got == "$1" ]] || fail "status $got, not $1: $(cat "$T/daemon.log")"
}

mounts() { cat "/proc/$$/mountinfo"; }
MOUNTS=$(mounts)

# Every process but this shell and those that it looks with is one too many.
nothing_left() {
	local pid name
	for pid in /proc/[0-9]*; do
		pid=${pid#/proc/}
		[[ $pid != "$$" ]] || continue
		read -r name 2>/dev/null <"/proc/$pid/comm" || continue
		fail "left behind: $name ($pid)"
	done
	[[ $(mounts) == "$MOUNTS" ]] || fail "the outside's mounts are others: $(diff <(echo "$MOUNTS") <(mounts))"
	want 0 '' "$FSPF" verify "$V" --key-file "$K" --tag "$(cat "$G")"
}

note "regions at their prefixes, nested ones too, and only there"
given 0 "echo application >$A/program; echo secret >$D/file; mkdir $D/dir; echo public >$D/in/ner/file"
[[ -z $(find "$A" "$D" -type f) ]] || fail "outside: $(find "$A" "$D" -type f)"
given 0 "cat $A/program $D/file $D/in/ner/file; pwd"
[[ $(cat "$T/out") == $'application\nsecret\npublic\n'"$T" ]] || fail "other contents: $(cat "$T/out")"
want 0 '' "$FSPF" export "$V" "${AUTH[@]}" "$D/in/ner/file" "$T/exported"
[[ $(cat "$T/exported") == public ]] || fail "the nested region was not written"
launch -- sh -c "cat /proc/self/mountinfo >$T/inside; touch $T/ready; exec sleep 60"
[[ $(mounts) == "$MOUNTS" ]] || fail "the outside's mounts changed during a run"
[[ ! -e $A/program && ! -e $D/file ]] || fail "files show outside"
[[ $(grep -c ' fuse.fspf ' "$T/inside") == 2 ]] || fail "inside: $(grep fuse.fspf "$T/inside")"
want_error 6 '' "$FSPF" run "$V" "${AUTH[@]}" -- true
kill "$DAEMON"
ends 143
nothing_left

note "the working directory is a path, not the directory that a region hides"
cd "$D" || exit 1
given 0 'cat file; cd /; pwd'
[[ $(cat "$T/out") == $'secret\n/' ]] || fail "in the hidden directory: $(cat "$T/out")"
cd "$T" || exit 1

note "exit statuses"
given 0 true
given 3 'exit 3'
given 255 'exit 255'
given 137 "kill -9 \$\$"
given 139 "kill -SEGV \$\$"
STATUS=0
"$FSPF" run "$V" "${AUTH[@]}" -- "$T/no such program" 2>"$T/err" || STATUS=$?
[[ $STATUS == 127 ]] || fail "not found: $STATUS"
STATUS=0
"$FSPF" run "$V" "${AUTH[@]}" -- "$K" 2>"$T/err" || STATUS=$?
[[ $STATUS == 126 ]] || fail "not executable: $STATUS"
grep -q '^fspf: error: cannot run' "$T/err" || fail "nothing said: $(cat "$T/err")"
want_error 2 'no command' "$FSPF" run "$V" "${AUTH[@]}"
want_error 2 'no command' "$FSPF" run "$V" "${AUTH[@]}" --
want_error 2 '' "$FSPF" run "$V" "${AUTH[@]}" -- ''
want_error 2 '' "$FSPF" run "$V" "${AUTH[@]}" true
want_error 2 '' "$FSPF" run "${AUTH[@]}" -- true
want_error 2 '' "$FSPF" run "$V" "${AUTH[@]}" --grace soon -- true
want_error 2 '' "$FSPF" run "$V" "${AUTH[@]}" --root --no-root -- true
want_error 2 '' "$FSPF" run "$V" "${AUTH[@]}" -o nonsense -- true
want 0 'Usage: fspf run VOLUME \[OPTIONS\] -- COMMAND' "$FSPF" run --help
nothing_left

note "key and tag as for every command"
cp "$G" "$T/older"
cp -a "$V" "$T/copy"
before=$(cat "$G")
given 0 "echo more >>$D/file"
[[ $(cat "$G") != "$before" ]] || fail "the tag file was not brought up to date"
"$FSPF" keygen "$T/other"
want_error 5 '' "$FSPF" run "$V" --key-file "$T/other" --tag-file "$G" -- touch "$T/ran"
want_error 4 '' "$FSPF" run "$T/copy" "${AUTH[@]}" -- touch "$T/ran"
want_error 4 '' "$FSPF" run "$V" --key-file "$K" --tag-file "$T/older" -- touch "$T/ran"
want_error 2 '' "$FSPF" run "$V" --key-file "$K" -- touch "$T/ran"
want_error 1 '' "$FSPF" run "$T/nowhere" "${AUTH[@]}" -- touch "$T/ran"
[[ ! -e $T/ran ]] || fail "the command ran without its volume"
tag=$(cat "$G")
want 0 '' "$FSPF" run "$V" --key-file "$K" --tag "$tag" -- sh -c "echo pinned >$D/pinned; echo mine"
[[ $(cat "$T/out") == mine ]] || fail "something else on the command's standard output: $(cat "$T/out")"
tag=$(grep -oE '[0-9a-f]{64}' "$T/err" | tail -1)
want 0 '' "$FSPF" verify "$V" --key-file "$K" --tag "$tag"
echo "$tag" >"$G"
given 0 "cat $D/pinned"
given 2 -o ro "echo x >$D/x"
grep -q 'Read-only file system' "$T/err" || fail "not read-only: $(cat "$T/err")"
nothing_left

note "closing fails: that is the status, unless the command has one of its own"
for status in 0 3; do
	cp "$G" "$T/published"
	given $((status == 0 ? 4 : status)) "echo lost >$D/lost; tr 0-9a-f 1-9a-f0 <$T/published >$G; exit $status"
	grep -q '^fspf: error: ' "$T/err" || fail "nothing said: $(cat "$T/err")"
	cp "$T/published" "$G"
	nothing_left
done

note "arguments, input and output"
want 0 '' "$FSPF" run "$V" "${AUTH[@]}" -- printf '%s|' -x '--help' 'a b' '' '--'
[[ $(cat "$T/out") == '-x|--help|a b||--|' ]] || fail "other arguments: $(cat "$T/out")"
head -c 3000000 /dev/urandom >"$T/data"
"$FSPF" run "$V" "${AUTH[@]}" -- cat <"$T/data" | cmp - "$T/data" || fail "other bytes through the run"
"$FSPF" run "$V" "${AUTH[@]}" -- sh -c "cat >$D/data" <"$T/data"
"$FSPF" run "$V" "${AUTH[@]}" -- cat "$D/data" | cmp - "$T/data" || fail "other bytes from the region"
"$FSPF" run "$V" --key-file - --tag-file "$G" -- true <"$K" || fail "the key from standard input"
"$FSPF" run "$V" "${AUTH[@]}" -- sh -c "exec >&-; until [ -e $T/eof ]; do sleep 0.05; done" |
	(cat >/dev/null && touch "$T/eof") || fail "the end of the output is not told"

note "environment, and no secret in it"
key=$(cat "$K")
rm -f "$T/ready"
FSPF_KEY=$key FSPF_TAG=$(cat "$G") FSPF_OTHER=1 PLAIN=kept "$FSPF" run "$V" -- \
	sh -c "echo \$\$ >$T/pid; env >$T/env; touch $T/ready; while :; do sleep 0.1; done" 2>"$T/daemon.log" &
DAEMON=$!
appears "$T/ready"
command=$(cat "$T/pid")
helper=$(pgrep -x fspf-outside)
for pid in "$command" "$DAEMON" "$helper"; do
	for file in environ cmdline; do
		! tr '\0' '\n' <"/proc/$pid/$file" | grep -qF "$key" || fail "the key is in /proc/$pid/$file"
	done
done
! grep -q FSPF_ "$T/env" || fail "passed on: $(grep FSPF_ "$T/env")"
! tr '\0' '\n' <"/proc/$command/environ" | grep -q FSPF_ || fail "in the command's environment"
grep -qx PLAIN=kept "$T/env" || fail "the environment does not pass"
kill "$DAEMON"
ends 143
grep -oE '[0-9a-f]{64}' "$T/daemon.log" | tail -1 >"$G"
PLAIN=lost FSPF_OTHER=1 HOME=/elsewhere TERM=dumb given 0 --env-clear "tr '\\0' '\\n' </proc/self/environ"
[[ $(cut -d= -f1 "$T/out" | grep -vxE 'PWD|OLDPWD|SHLVL|_' | sort | paste -sd' ') == 'HOME LOGNAME PATH TERM USER' ]] ||
	fail "left: $(cat "$T/out")"
! grep -q elsewhere "$T/out" || fail "HOME is not the user's"

note "users"
given 0 "chmod 777 $D; touch $D/roots; chmod 600 $D/roots"
given 0 --user nobody "id -u; id -g; echo \$HOME \$USER; touch $D/nobodys; cat $D/roots 2>&1; stat -c %U $D/nobodys"
[[ $(sed -n 1p "$T/out") == "$(id -u nobody)" && $(sed -n 2p "$T/out") == "$(id -g nobody)" ]] ||
	fail "not nobody: $(cat "$T/out")"
grep -q 'Permission denied' "$T/out" || fail "root's file could be read: $(cat "$T/out")"
grep -qx nobody "$T/out" || fail "not nobody's file"
given 0 --user 12345 'id -u; id -g; id -G'
[[ $(paste -sd' ' "$T/out") == '12345 12345 12345' ]] || fail "$(cat "$T/out")"
given 0 --user 12345:daemon 'id -u; id -gn; id -G; grep -h ^Cap /proc/self/status'
[[ $(head -2 "$T/out" | paste -sd' ') == '12345 daemon' ]] || fail "$(cat "$T/out")"
grep -q 'CapEff:.*0000000000000000' "$T/out" || fail "still privileged: $(cat "$T/out")"
given 1 --user no-such-user true
grep -q 'no user' "$T/err" || fail "nothing said: $(cat "$T/err")"
given 1 --user nobody:no-such-group true
nothing_left

note "signals"
cat >"$T/signals.sh" <<'EOF'
for s in HUP INT QUIT USR1 USR2 WINCH CONT ALRM; do trap "echo $s >>$1/got" "$s"; done
trap 'echo TERM >>$1/got; exit 42' TERM
touch "$1/ready"
while :; do sleep 0.05; done
EOF
rm -f "$T/got"
set -m # else a job in the background ignores SIGINT and SIGQUIT
launch -- bash "$T/signals.sh" "$T"
set +m
for signal in HUP INT QUIT USR1 USR2 WINCH CONT ALRM TERM; do
	kill "-$signal" "$DAEMON"
	for ((i = 0; i < 400; i++)); do
		! grep -qx "$signal" "$T/got" 2>/dev/null || break
		sleep 0.025
	done
	grep -qx "$signal" "$T/got" || fail "SIG$signal does not reach the command"
done
ends 42
[[ $(wc -l <"$T/got") == 9 ]] || fail "more than once: $(cat "$T/got")"
nothing_left

note "a command that does not end"
launch --grace 1 -- sh -c "trap '' TERM INT; echo late >$D/late; touch $T/ready; while :; do sleep 0.1; done"
kill "$DAEMON"
ends 137
grep -q 'did not end within 1 s' "$T/daemon.log" || fail "nothing said: $(cat "$T/daemon.log")"
nothing_left
given 0 "cat $D/late"

note "what a command leaves behind"
cat >"$T/daemons.py" <<'EOF'
import os, signal, sys, time
directory, deaf, ready = sys.argv[1], sys.argv[2] == "deaf", sys.argv[3]
def daemon(n):
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            if deaf:
                signal.signal(signal.SIGTERM, signal.SIG_IGN)
            f = open("%s/daemon_%d" % (directory, n), "w")
            f.write("begun\n")
            f.flush()
            open("%s_%d" % (ready, n), "w")
            while True:
                time.sleep(0.01)
                f.write("x")
        os._exit(0)
    os.wait()
for n in range(5):
    daemon(n)
while not all(os.path.exists("%s_%d" % (ready, n)) for n in range(5)):
    time.sleep(0.01)
open(ready, "w")
EOF
for deaf in no deaf; do
	rm -f "$T"/ready*
	want 0 '' timeout 30 "$FSPF" run "$V" "${AUTH[@]}" -- python3 "$T/daemons.py" "$D" $deaf "$T/ready"
	nothing_left
	given 0 "grep -q begun $D/daemon_4 && rm $D/daemon_*"
done
rm -f "$T"/ready*
launch -- sh -c "echo \$\$ >$T/pid; python3 $T/daemons.py $D deaf $T/ready; while :; do sleep 0.1; done"
kill -9 "$(cat "$T/pid")"
ends 137
nothing_left
given 0 "(sh -c 'sleep 0.1 & sleep 0.1 &' &); sleep 0.5; grep -h ^State: /proc/[0-9]*/status | grep -c Z; true"
[[ $(cat "$T/out") == 0 ]] || fail "zombies: $(cat "$T/out")"

note "fspf run itself is killed"
launch -- sh -c "echo \$\$ >$T/pid; echo flushed >$D/flushed; sync $D/flushed; touch $T/ready; while :; do sleep 0.1; done"
kill -9 "$DAEMON"
ends 137
gone "$(cat "$T/pid")" "the command of a killed run"
sleep 0.3
nothing_left
given 0 "cat $D/flushed"
[[ $(cat "$T/out") == flushed ]] || fail "what was synced is gone"

note "as process 1"
STATUS=0
unshare --pid --fork --mount-proc "$FSPF" run "$V" "${AUTH[@]}" -- sh -c \
	"(sh -c 'setsid sleep 0.1 & setsid sleep 100 &' &); sleep 0.5; cat /proc/1/comm; grep -h ^State: /proc/[0-9]*/status | grep -c Z; exit 7" \
	>"$T/out" 2>"$T/err" || STATUS=$?
[[ $STATUS == 7 && $(paste -sd' ' "$T/out") == 'fspf 0' ]] || fail "status $STATUS: $(cat "$T/out" "$T/err")"
nothing_left
# Another's /proc: its numbers are not ours.
unshare --pid --fork "$FSPF" run "$V" "${AUTH[@]}" -- \
	sh -c "rm -f $T/ready*; python3 $T/daemons.py $D deaf $T/ready" >"$T/out" 2>"$T/err" || fail "with another's /proc: $(cat "$T/err")"
nothing_left
rm -f "$T/ready"
unshare --pid --fork --mount-proc "$FSPF" run "$V" "${AUTH[@]}" -- \
	sh -c "echo as-1 >$D/as-1; touch $T/ready; exec sleep 100" 2>"$T/daemon.log" &
DAEMON=$!
appears "$T/ready"
kill -TERM "$(pgrep -x fspf)"
ends 143
nothing_left
given 0 "cat $D/as-1"

note "at a terminal: Ctrl-C comes once, and Ctrl-Z stops both until somebody lets them go on"
cat >"$T/terminal.py" <<'EOF'
import os, pty, signal, sys, time
command = ("import os, signal, time\n"
           "signal.signal(signal.SIGINT, lambda *a: os.write(1, b'int '))\n"
           "os.write(1, b'begun ')\n"
           "while True: time.sleep(0.05)\n")
pid, fd = pty.fork()
if pid == 0:  # the leader of the session, as a shell is
    job = os.fork()
    if job == 0:
        os.setpgid(0, 0)
        signal.signal(signal.SIGTTOU, signal.SIG_IGN)
        os.tcsetpgrp(0, os.getpid())
        signal.signal(signal.SIGTTOU, signal.SIG_DFL)
        os.execvp(sys.argv[1], sys.argv[1:] + ["--", "python3", "-c", command])
    _, status = os.waitpid(job, os.WUNTRACED)
    os.write(1, b"stopped " if os.WIFSTOPPED(status) else b"ended ")
    os.killpg(job, signal.SIGCONT)
    time.sleep(0.5)
    os.kill(job, signal.SIGTERM)
    _, status = os.waitpid(job, 0)
    os.write(1, b"status %d " % os.waitstatus_to_exitcode(status))
    time.sleep(0.2)
    os._exit(0)
seen = b""
def until(text):
    global seen
    deadline = time.time() + 20
    while text not in seen:
        if time.time() > deadline:
            sys.exit("no %r in %r" % (text, seen))
        seen += os.read(fd, 1000)
until(b"begun")
os.write(fd, b"\x03")
until(b"int")
time.sleep(1.5)  # longer than --grace: it is no request to end, when it was not passed on
os.write(fd, b"\x1a")
until(b"stopped")
until(b"status")
os.waitpid(pid, 0)
if seen.count(b"int ") != 1 or b"status 143" not in seen:
    sys.exit("saw %r" % seen)
EOF
timeout 60 python3 "$T/terminal.py" "$FSPF" run "$V" "${AUTH[@]}" --grace 1 || fail "at a terminal"
nothing_left

note "mount points that cannot be made, and what a container may lack"
want 0 '' "$FSPF" addr "$V" "${AUTH[@]}" "$T/fixed/there/region" --encrypted
mkdir "$T/fixed"
mount -t tmpfs -o ro none "$T/fixed"
MOUNTS=$(mounts)
given 1 "touch $T/ran"
grep -q '^fspf: error: cannot make a mount point' "$T/err" && grep -q '^fspf: hint' "$T/err" || fail "$(cat "$T/err")"
umount "$T/fixed"
MOUNTS=$(mounts)
given 0 "mkdir $T/fixed/there/region/x"
want_error 1 '' setpriv --bounding-set=-sys_admin "$FSPF" run "$V" "${AUTH[@]}" -- touch "$T/ran"
grep -q 'hint: .*--cap-add SYS_ADMIN' "$T/err" || fail "no hint: $(cat "$T/err")"
mkdir "$T/dev"
want_error 1 '' unshare --mount sh -c "mount -t tmpfs none $T/dev && touch $T/dev/null && mount --bind /dev/null $T/dev/null &&
	mount --move $T/dev /dev && exec $FSPF run $V ${AUTH[*]} -- touch $T/ran"
grep -q 'hint: .*--device /dev/fuse' "$T/err" || fail "no hint: $(cat "$T/err")"
want_error 1 'needs root' setpriv --reuid 65534 --clear-groups "$FSPF" run "$V" "${AUTH[@]}" -- touch "$T/ran"
[[ ! -e $T/ran ]] || fail "the command ran"
nothing_left

note "the whole root"
root=$T/root
mkdir -p "$root"/{bin,etc,tmp,usr/bin}
for program in sh cat ls id; do
	file=$(readlink -f "$(command -v $program)")
	cp "$file" "$root/bin/$program"
	ldd "$file" | grep -oE '/[^ ]+' | while read -r library; do
		mkdir -p "$root$(dirname "$library")"
		cp -L "$library" "$root$library"
	done
done
echo 'keeper:x:777:778::/home/keeper:/bin/sh' >"$root/etc/passwd"
printf 'keepers:x:778:\nothers:x:779:keeper\n' >"$root/etc/group"
D=$T/w/data
make_volume
want_error 1 'no region' "$FSPF" run "$V" "${AUTH[@]}" -- true
given 1 --no-root true
want 0 '' "$FSPF" addr "$V" "${AUTH[@]}" "$D" --encrypted
given 0 "echo kept >$D/kept; [ -e $V ]"
want 0 '' "$FSPF" addf "$V" "${AUTH[@]}" / "$root"
given 0 'ls /; ls /proc/self/fd >/dev/null; echo >/dev/null'
for name in bin dev etc proc sys tmp usr; do
	grep -qx $name "$T/out" || fail "no /$name: $(cat "$T/out")"
done
! grep -qx run "$T/out" || fail "another root: $(cat "$T/out")"
given 1 "[ -e $V ]"
given 0 "cat /proc/self/mountinfo $D/kept"
head -1 "$T/out" | grep -q ' / / .*fuse.fspf' || fail "the root is not the volume: $(head -1 "$T/out")"
! awk '{print $5}' "$T/out" | grep -qF "$T" || fail "the outside shows: $(cat "$T/out")"
[[ $(tail -1 "$T/out") == kept ]] || fail "the region in the root"
given 0 --user keeper "id -u; id -g; id -G; echo \$HOME"
[[ $(paste -sd' ' "$T/out") == '777 778 778 779 /home/keeper' ]] || fail "not the volume's user: $(cat "$T/out")"
given 0 --no-root "cat $D/kept; [ -e $V ]"
given 0 -o ro "ls /proc/self >/dev/null; cat $D/kept"
nothing_left
note "in a chroot, whose root is no mount point, on a file system whose mounts are passed on"
mkdir "$T/shared"
mount -t tmpfs none "$T/shared"
mount --make-shared "$T/shared"
cage=$T/shared/cage
mkdir -p "$cage"/{usr,proc,dev,mnt,vault}
for directory in usr proc dev; do mount --rbind /$directory "$cage/$directory"; done
for directory in bin lib lib64; do
	if [[ -L /$directory ]]; then
		cp -P /$directory "$cage/"
	elif [[ -d /$directory ]]; then
		mkdir "$cage/$directory"
		mount --rbind /$directory "$cage/$directory"
	fi
done
cp -a "$V" "$K" "$FSPF" "$cage/vault/"
MOUNTS=$(mounts)
# A sanitizer finds none of its files in there.
caged=(env -u LSAN_OPTIONS -u UBSAN_OPTIONS -u TSAN_OPTIONS ASAN_OPTIONS=detect_leaks=0 chroot "$cage"
	/vault/fspf run /vault/volume --key-file /vault/key --no-rollback-protection)
"${caged[@]}" --no-root -- sh -c "cat $D/kept >/ready; exec sleep 100" 2>"$T/daemon.log" &
DAEMON=$!
appears "$cage/ready"
[[ $(mounts) == "$MOUNTS" ]] || fail "the outside's mounts changed: $(diff <(echo "$MOUNTS") <(mounts))"
kill "$DAEMON"
ends 143
[[ $(head -1 "$cage/ready") == kept ]] || fail "other contents in a chroot"
want 0 '^keeper:' "${caged[@]}" -- sh -c "cat /etc/passwd; [ ! -e /vault ] && ls /proc/self"
umount -R "$T/shared"
MOUNTS=$(mounts)
nothing_left

pass
