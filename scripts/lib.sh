# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
#
# scripts/lib.sh - what the scripts share: where the tree is, how they speak, what they install.
# Sourced, never run.

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

# Packages by purpose.  A purpose that is not named here does not exist.
BUILD_PACKAGES=(gcc libc6-dev cmake ninja-build pkg-config libfuse3-dev fuse3 libssl-dev libsodium-dev
	uthash-dev libcmocka-dev libjansson-dev)
TEST_PACKAGES=(python3 python3-cryptography attr acl sqlite3 git e2fsprogs binutils procps mount util-linux
	mandoc shellcheck ca-certificates fsverity)
CONTAINER_PACKAGES=(podman runc debootstrap) # the test of containers is skipped without
BENCH_PACKAGES=(fio gocryptfs sqlite3 python3)

# shellcheck disable=SC2034 # for those who source this
if [[ -t 1 && -z ${NO_COLOR:-} ]]; then
	BOLD=$'\e[1m' GREEN=$'\e[32m' RED=$'\e[31m' YELLOW=$'\e[33m' PLAIN=$'\e[0m'
else
	BOLD='' GREEN='' RED='' YELLOW='' PLAIN=''
fi

die() { # MESSAGE [HINT]
	printf '%s: error: %s\n' "${0##*/}" "$1" >&2
	[[ -z ${2:-} ]] || printf '%s: hint: %s\n' "${0##*/}" "$2" >&2
	exit 1
}

# Prints the packages among "$@" that dpkg does not have.
missing_packages() {
	local package status
	for package in "$@"; do
		# shellcheck disable=SC2016 # a dpkg-query format, not a shell variable
		status=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null) || status=''
		[[ $status == installed ]] || printf '%s\n' "$package"
	done
}

# Installs what is missing of "$@" with apt-get, asking nothing.  Says nothing when all is there.
install_packages() {
	local missing sudo=()
	command -v dpkg-query >/dev/null && command -v apt-get >/dev/null ||
		die "this system has no apt-get: the scripts install packages on Debian and Ubuntu alone" \
			"install a C compiler, cmake >= 3.25, ninja, pkg-config, libfuse >= 3.14, OpenSSL >= 3.0, libsodium, jansson, cmocka and uthash by hand, and set FSPF_NO_INSTALL=1"
	mapfile -t missing < <(missing_packages "$@")
	[[ ${#missing[@]} -gt 0 ]] || return 0
	if [[ $EUID -ne 0 ]]; then
		command -v sudo >/dev/null ||
			die "missing packages: ${missing[*]}" "install them as root, or run this script as root"
		sudo=(sudo)
	fi
	printf 'installing %s\n' "${missing[*]}"
	"${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq update </dev/null ||
		printf 'apt-get update failed; trying with the lists that are here\n' >&2
	"${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq -y --no-install-recommends \
		-o Dpkg::Use-Pty=0 install "${missing[@]}" </dev/null >/dev/null ||
		die "apt-get could not install: ${missing[*]}"
}

# FSPF_NO_INSTALL=1: on other systems, or where the caller has seen to it.
install_for() { # PURPOSE...
	local purpose packages=()
	[[ -z ${FSPF_NO_INSTALL:-} ]] || return 0
	for purpose in "$@"; do
		case $purpose in
		build) packages+=("${BUILD_PACKAGES[@]}") ;;
		test) packages+=("${TEST_PACKAGES[@]}") ;;
		bench) packages+=("${BENCH_PACKAGES[@]}") ;;
		*) die "no such purpose: $purpose" "build, test or bench" ;;
		esac
	done
	install_packages "${packages[@]}"
	[[ " $* " != *" test "* ]] || (install_packages "${CONTAINER_PACKAGES[@]}") ||
		printf 'going on without: the test of containers will be skipped\n' >&2
}

# Configures and builds PRESET; quiet unless it fails.
build_preset() { # PRESET LOG
	local log=$2
	(cd "$ROOT" && cmake --preset "$1" && cmake --build --preset "$1") >"$log" 2>&1 </dev/null
}
