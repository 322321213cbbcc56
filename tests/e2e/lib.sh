# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash disable=SC2034 # variables are for the tests that source this
#
# tests/e2e/lib.sh - what every end-to-end test sources first
#
# A test is a bash file that begins with a comment saying what it shows, and
#	source "$(dirname "$0")/lib.sh"
# It runs twice: the outer run makes a private directory and starts the inner one in mount and PID
# namespaces of its own, so that whatever the test leaves behind (daemons, mounts, loop devices)
# ends with it.  The inner run is the test.  Exit status: 0 passed, 77 skipped, else failed.
#
# Given by the caller, all optional:
#	FSPF_BUILD	build directory with the programs (default: build/release)
#	E2E_SEED	seed of everything random; printed, so that a failure can be run again
#	E2E_QUICK=1	smaller sizes and fewer rounds
#	E2E_KEEP=1	keep the private directory
#	E2E_TMP		where the private directory is made (default: $TMPDIR or /tmp)
#
# For the test: $T private directory; $V, $K, $G, $M a volume's directory, key file, tag file and
# mount point; $FSPF and $FSPF_DUMP the programs; $SEED; $QUICK.
set -euo pipefail

E2E=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
ROOT=$(cd "$E2E/../.." && pwd)
TEST=$(basename "$0")
TEST=${TEST%.sh}
FSPF_BUILD=$(realpath -m "${FSPF_BUILD:-$ROOT/build/release}")
QUICK=${E2E_QUICK:-0}
SEED=${E2E_SEED:-$((RANDOM * 32768 + RANDOM))}
export FSPF_BUILD E2E_SEED=$SEED E2E_QUICK=$QUICK E2E ROOT
export LC_ALL=C PYTHONDONTWRITEBYTECODE=1
unset FSPF_KEY FSPF_TAG

note() { printf '# %s\n' "$*"; }

fail() {
	printf 'FAIL: %s\n' "$*"
	exit 1
}

skip() {
	printf 'SKIP: %s\n' "$*"
	exit 77
}

# ---- the outer run

# What a sanitizer wrote fails the test, whatever the test thought of it.
sanitizer_reports() {
	local report found=0
	for report in "$E2E_DIR"/sanitizer.*; do
		[[ -e $report ]] || continue
		printf 'FAIL: a sanitizer reported:\n'
		head -60 "$report"
		found=1
	done
	return $found
}

outer() {
	local status=0 wrapper=()
	E2E_DIR=$(mktemp -d "${E2E_TMP:-${TMPDIR:-/tmp}}/fspf-$TEST.XXXXXX")
	chmod 755 "$E2E_DIR" # tests look in as other users
	export E2E_DIR
	local log="log_path=$E2E_DIR/sanitizer:exitcode=99"
	export ASAN_OPTIONS="$log:detect_stack_use_after_return=0" TSAN_OPTIONS="$log:halt_on_error=0"
	export LSAN_OPTIONS="suppressions=$E2E/lsan.supp:print_suppressions=0"
	export UBSAN_OPTIONS="$log:print_stacktrace=1"
	# shellcheck disable=SC2064 # the directory is fixed now
	[[ -n ${E2E_KEEP:-} ]] || trap "rm -rf --one-file-system '$E2E_DIR'" EXIT
	# In a chroot the root is no mount point, and its propagation cannot be changed.
	local propagation
	for propagation in private unchanged; do
		wrapper=(unshare --mount --propagation "$propagation" --pid --fork --kill-child --mount-proc)
		! "${wrapper[@]}" true 2>/dev/null || break
		wrapper=()
	done
	note "$TEST: seed $SEED, programs of $(basename "$FSPF_BUILD")"
	"${wrapper[@]}" bash "$0" "$@" || status=$?
	sanitizer_reports || status=1
	if [[ $status -ne 0 && $status -ne 77 ]]; then
		[[ -z ${E2E_KEEP:-} ]] || printf '# kept: %s\n' "$E2E_DIR"
		printf 'replay: E2E_SEED=%s E2E_QUICK=%s FSPF_BUILD=%s tests/e2e/%s.sh\n' \
			"$SEED" "$QUICK" "${FSPF_BUILD#"$ROOT"/}" "$TEST${*:+ $*}"
	fi
	exit "$status"
}

if [[ -z ${E2E_DIR:-} ]]; then
	outer "$@"
fi

# ---- the inner run

T=$E2E_DIR
V=$T/volume K=$T/key G=$T/tag M=$T/mnt
AUTH=(--key-file "$K" --tag-file "$G")
DAEMON=''
mkdir -p "$M"
cd "$T"
RANDOM=$((SEED % 32768))

inner_exit() {
	local status=$?
	trap - ERR
	set +e
	if [[ $status -ne 0 && $status -ne 77 ]]; then
		[[ $status -eq 1 ]] || printf 'FAIL: ended with status %s\n' "$status"
		if [[ -s $T/err ]]; then
			printf '# last standard error:\n'
			tail -5 "$T/err"
		fi
		if [[ -s $T/daemon.log ]]; then
			printf '# the daemon said:\n'
			tail -20 "$T/daemon.log"
		fi
	fi
	cd /
	if [[ -n $DAEMON ]]; then
		disown "$DAEMON"
		kill -9 "$DAEMON" 2>/dev/null
	fi
	grep -o " $T/[^ ]*" /proc/self/mounts | sort -r | while read -r point; do umount -l "$point"; done
	exit "$status"
}
trap inner_exit EXIT
trap 'printf "FAIL: %s:%s: %s\n" "${BASH_SOURCE[0]##*/}" "$LINENO" "$BASH_COMMAND"' ERR
set -E

# ---- what a test needs

need() { # COMMAND...
	local command
	for command in "$@"; do
		command -v "$command" >/dev/null || skip "needs $command"
	done
}

need_root() { [[ $EUID -eq 0 ]] || skip "needs root"; }

need_mount() { # everything over a real mount
	need_root
	[[ -c /dev/fuse ]] || skip "needs /dev/fuse"
	[[ $$ -eq 1 ]] || skip "needs namespaces of its own (unshare)"
	need_program
}

need_program() {
	FSPF=$(find "$FSPF_BUILD" -type f -perm -100 -name fspf 2>/dev/null | head -1)
	FSPF_DUMP=$(find "$FSPF_BUILD" -type f -perm -100 -name fspf-dump 2>/dev/null | head -1)
	[[ -n $FSPF ]] || fail "no program fspf in $FSPF_BUILD: build it first"
}

# A file system image of SIZE mounted at DIR, through a loop device.
loop_mount() { # SIZE DIR [MKFS-OPTIONS...]
	local size=$1 dir=$2
	shift 2
	need mkfs.ext4
	truncate -s "$size" "$dir.img"
	mkfs.ext4 -q -F "$@" "$dir.img"
	mkdir -p "$dir"
	mount -o loop "$dir.img" "$dir" 2>"$T/err" || skip "needs a loop device: $(head -1 "$T/err")"
}

# The first argument, or the second in a quick run.
pick() { if [[ $QUICK == 1 ]]; then printf '%s' "$2"; else printf '%s' "$1"; fi; }

# A C program of this directory.  It is the load, not the product: no sanitizer is built into it.
helper() { # NAME -> $T/NAME
	[[ -x $T/$1 ]] || cc -std=gnu11 -D_GNU_SOURCE -O2 -Wall -Wextra -Werror -pthread -o "$T/$1" "$E2E/$1.c"
}

# ---- running and judging

# Runs CMD; leaves STATUS, $T/out and $T/err.  A program that dies of a signal is a failure always.
run() {
	STATUS=0
	"$@" >"$T/out" 2>"$T/err" || STATUS=$?
	[[ $STATUS -lt 126 ]] || fail "status $STATUS of: $*"
}

# want STATUS PATTERN CMD...: the status, and PATTERN (extended regular expression; '' for none) in
# what was printed.  STATUS may be several: 1,2.
want() {
	local status=$1 pattern=$2
	shift 2
	run "$@"
	[[ ",$status," == *",$STATUS,"* ]] || fail "status $STATUS, not $status, of: $*"
	[[ -z $pattern ]] || grep -qE -e "$pattern" "$T/out" "$T/err" ||
		fail "no /$pattern/ from: $*: $(cat "$T/out" "$T/err")"
}

# As want, and standard error is one line "fspf: error: ..." and at most one hint.
want_error() {
	want "$@"
	[[ $(grep -c '^fspf\(-dump\)\?: error: ' "$T/err") == 1 ]] &&
		[[ $(grep -vc '^fspf\(-dump\)\?: \(error\|hint\): ' "$T/err") == 0 ]] &&
		[[ $(wc -l <"$T/err") -le 2 ]] ||
		fail "not one line of error: $(cat "$T/err") (of: ${*:3})"
}

# ---- the volume

make_volume() { # [OPTIONS...]: $V with key $K and tag file $G
	rm -rf "$V" "$K" "$G"
	want 0 '' "$FSPF" keygen "$K"
	want 0 '[0-9a-f]{64}' "$FSPF" create "$V" "${AUTH[@]}" "$@"
}

# Serves $V at $M, in the foreground as a job of ours, and waits until it is mounted.
start() { # [OPTIONS...]
	local i
	"$FSPF" mount "$V" "$M" -f "${AUTH[@]}" "$@" >>"$T/daemon.log" 2>&1 &
	DAEMON=$!
	for ((i = 0; i < 600; i++)); do
		! mountpoint -q "$M" || return 0
		kill -0 "$DAEMON" 2>/dev/null || fail "the daemon ended instead of mounting: $(tail -3 "$T/daemon.log")"
		sleep 0.05
	done
	fail "not mounted after 30 s"
}

# Ends the daemon of start() in order; its tag is in $TAG.
stop() {
	local status=0
	want 0 '[0-9a-f]{64}' "$FSPF" umount "$M"
	TAG=$(grep -oE '[0-9a-f]{64}' "$T/out" | tail -1)
	wait "$DAEMON" || status=$?
	DAEMON=''
	[[ $status -eq 0 ]] || fail "the daemon ended with status $status"
	! mountpoint -q "$M" || fail "still mounted after fspf umount"
}

restart() {
	stop
	start "$@"
}

# What a power cut or the host's kill leaves behind.
crash() {
	kill -9 "$DAEMON" 2>/dev/null || true # it may have ended by itself
	wait "$DAEMON" 2>/dev/null || true
	DAEMON=''
	umount -l "$M" 2>/dev/null || true
}

verify_clean() { want 0 '' "$FSPF" verify "$V" "${AUTH[@]}" "$@"; }

volume_sums() { (cd "$V" && find . -type f -print0 | sort -z | xargs -0 sha256sum); }

tag_of() { "$FSPF" tag "$V" "${AUTH[@]}" "$@" | head -1; }

tree() { python3 "$E2E/tree.py" "$@"; }

pass() { note "passed${*:+: $*}"; }
