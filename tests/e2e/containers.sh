#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# fspf run as a container's first process, under podman and runc: an interpreter, its modules and
# scripts that are authenticated in place, secrets in the image's own volume, data in a volume that
# outlives containers; what somebody changes in between is refused; the flags that docs/containers.md
# names suffice, and where one is missing the error says which.  The Containerfile and the script are
# those of docs/containers.md.
source "$(dirname "$0")/lib.sh"
need_mount
need podman runc python3 ldd

DOCUMENT=$ROOT/docs/containers.md
PACKAGES=python3-minimal,fuse3
CACHE=$ROOT/build/containers

# ---- podman, with nothing of ours outside the private directory

STORE=$T/podman
CGROUP=/fspf-test-${T##*.}
mkdir -p "$STORE/run"
export XDG_RUNTIME_DIR=$STORE/run TMPDIR=$T CONTAINERS_CONF=$STORE/containers.conf
unset CONTAINER_HOST CONTAINERS_STORAGE_CONF
printf '[engine]\nlock_type = "file"\n' >"$CONTAINERS_CONF" # the other kind is the whole machine's

# The limits are podman's defaults cut down to what any machine grants.
use_driver() { # DRIVER
	PODMAN=(podman --root "$STORE/root" --runroot "$STORE/runroot" --tmpdir "$STORE/tmp" --runtime runc
		--runtime-flag "root=$STORE/runc" --storage-driver "$1" --cgroup-manager cgroupfs --events-backend none)
	LIMITS=(--ulimit nofile=1024:1024 --ulimit nproc=1000:1000)
	RUN=("${PODMAN[@]}" run --network none --cgroup-parent "$CGROUP" "${LIMITS[@]}")
}
use_driver overlay

# Two places that no option moves: a cache of digests, and where a builder's runc keeps its state.
for place in /var/lib/containers /run/runc; do
	mkdir -p "$place"
	[[ $(findmnt -no PROPAGATION -T "$place") != private ]] || mount -t tmpfs -o mode=700 none "$place"
done

remove_containers() {
	{
		"${PODMAN[@]}" rm --all --force --time 0
		"${PODMAN[@]}" umount --all --force
	} >/dev/null 2>&1
	grep -o " $STORE/[^ ]*" /proc/self/mounts | sort -r | while read -r point; do umount -l "$point"; done
	find /sys/fs/cgroup -depth -type d -path "*$CGROUP*" -exec rmdir {} \; 2>/dev/null
}
trap 'status=$?; set +e; trap - ERR; remove_containers; (exit $status); inner_exit' EXIT

# ---- the base: Debian's or Ubuntu's smallest system with Python, as this machine's apt has it

# Where the first source that has the release is, and the file and line that say so.
source_of() { # RELEASE
	# shellcheck disable=SC2016 # apt's variables
	apt-get indextargets --format '$(RELEASE) $(COMPONENT) $(REPO_URI) $(SOURCESENTRY)' 'Created-By: Packages' 2>/dev/null |
		awk -v release="$1" '$1 == release && $2 == "main" && !n++ {print $3, $4}'
}

# The keys that such a file demands, if they are in a form that debootstrap takes.
keyring_of() { # FILE:LINE
	sed -n 's/.*[Ss]igned-[Bb]y[:=] *\([^] ]*\.gpg\).*/\1/p' "${1%:*}" 2>/dev/null | head -n 1
}

bootstrap() { # DIRECTORY
	local release from entry keyring proxy='' options=()
	need debootstrap apt-get
	release=$(. /etc/os-release && printf '%s' "${VERSION_CODENAME:-}")
	[[ -n $release ]] || skip "needs a system with a release that debootstrap knows"
	read -r from entry < <(source_of "$release") || skip "needs a source of packages for $release in apt's configuration"
	keyring=$(keyring_of "$entry") || keyring=''
	[[ ! -r $keyring ]] || options+=(--keyring="$keyring")
	proxy=$(apt-config shell proxy Acquire::http::Proxy)
	eval "$proxy"
	if [[ -n $proxy && $proxy != DIRECT ]]; then export http_proxy=$proxy https_proxy=$proxy; fi
	note "making the base system (kept in build/containers)"
	debootstrap --variant=minbase --include="$PACKAGES" "${options[@]}" "$release" "$1" "$from" \
		>"$T/debootstrap.log" 2>&1 || skip "needs packages to make an image of: $(grep -E '^[EW]:' "$T/debootstrap.log" | tail -1)"
	# What it mounts there it takes away, unless it was disturbed.
	! grep -q " $1/" /proc/self/mounts || fail "debootstrap left mounts: $(grep " $1/" /proc/self/mounts)"
	# Nothing of this is of use in a container.
	rm -rf --one-file-system "$1"/var/cache/apt/* "$1"/var/lib/apt/lists/* "$1"/var/log/* "$1"/usr/share/{doc,locale,man}
}

# $T/base, from the copy that an earlier run has left, if it has.
make_base() {
	local kept
	mkdir "$T/base"
	kept=$CACHE/base-$(. /etc/os-release && printf '%s-%s' "$ID" "${VERSION_ID:-0}")-$(uname -m)-${PACKAGES//,/-}.tar
	if ! tar -C "$T/base" -xpf "$kept" 2>/dev/null; then
		rm -rf --one-file-system "$T/base"
		bootstrap "$T/base"
		# The next run has it; where that is not possible it takes longer.
		{ mkdir -p "$CACHE" && tar -C "$T/base" --one-file-system -cf "$kept.$$" . && mv "$kept.$$" "$kept"; } 2>/dev/null || rm -f "$kept.$$"
	fi
	install_fspf "$T/base"
}

# The programs and the libraries that they need, as `cmake --install` and packages would bring them.
install_fspf() { # DIRECTORY
	local library
	install -m 755 "$FSPF" "$1/usr/bin/fspf"
	while read -r library; do
		install -D -m 644 "$(realpath "$library")" "$1/usr/lib/fspf/${library##*/}"
	done < <(ldd "$FSPF" | awk '$3 ~ /^\// && $1 !~ /^(libc|libm|libpthread|libdl)\.so/ {print $3}')
	echo /usr/lib/fspf >"$1/etc/ld.so.conf.d/fspf.conf"
	ldconfig -r "$1" 2>/dev/null || skip "the base system's loader is not this machine's"
}

make_base
# What docs/containers.md says that a container needs.
NEEDS=(--device /dev/fuse --cap-add SYS_ADMIN)

# Can there be a container at all, from an image, with the device and the right to mount?  The product
# has no part in this.
probe() { # DRIVER
	use_driver "$1"
	"${PODMAN[@]}" import -q "$T/base.tar" python-with-fspf >/dev/null 2>"$T/err" &&
		"${RUN[@]}" --rm "${NEEDS[@]}" python-with-fspf sh -c 'unshare --mount true && : <>/dev/fuse' >/dev/null 2>"$T/err"
}

tar -C "$T/base" -cf "$T/base.tar" .
probe overlay || probe vfs || skip "podman and runc cannot run a container here: $(tail -n 1 "$T/err" | cut -c 1-200)"
rm -rf --one-file-system "$T/base" "$T/base.tar"
"${RUN[@]}" --rm python-with-fspf fspf --version >"$T/out" 2>"$T/err" ||
	fail "fspf does not run in the image: $(cat "$T/err")"

# ---- the image

# The fenced block of the document whose text has the line "# NAME", or begins so.
block() { # NAME
	awk -v name="# $1" '
		/^```/ { if (inside && found) { printf "%s", text; exit } inside = !inside; text = ""; found = 0; next }
		inside { text = text $0 "\n"; if ($0 == name || index($0, name " - ") == 1) found = 1 }' "$DOCUMENT" >"$T/context/$1"
	[[ -s $T/context/$1 ]] || fail "docs/containers.md has no $1"
}

note "an image by the Containerfile and the script of docs/containers.md"
mkdir -p "$T/context/app" "$T/context/secrets"
block Containerfile
block make-volume
cat >"$T/context/app/record.py" <<'END'
def append(path, line):
    with open(path, "a") as f:
        f.write(line + "\n")
END
cat >"$T/context/app/main.py" <<'END'
import os, re, textwrap
import record
secret = open("/secret/password").read().strip()
record.append("/data/log", secret + " of uid " + str(os.getuid()))
print(open("/data/log").read(), end="")
END
cat >"$T/context/app/serve.py" <<'END'
import os, signal, sys, time
def end(number, frame):
    with open("/data/end", "w") as f:
        f.write("ended in order\n")
    sys.exit(42)
signal.signal(signal.SIGTERM, end)
print("ready", os.getpid(), flush=True)
while True:
    time.sleep(1)
END
PASSWORD=password-$SEED
echo "$PASSWORD" >"$T/context/secrets/password"
"$FSPF" keygen "$T/image-key"
"$FSPF" keygen "$T/context/secrets/data-key"
chmod 600 "$T/context/secrets/data-key"
BUILD=("${PODMAN[@]}" build --runtime runc --runtime-flag "root=$STORE/runc" --cgroup-parent "$CGROUP-build" "${LIMITS[@]}" --network none --quiet)
"${BUILD[@]}" --secret "id=image-key,src=$T/image-key" --tag app "$T/context" >"$T/out" 2>"$T/err" || {
	mkdir "$T/nothing"
	printf 'FROM python-with-fspf\nRUN true\n' >"$T/nothing/Containerfile"
	"${BUILD[@]}" "$T/nothing" >/dev/null 2>"$T/nothing/err" || skip "podman cannot build an image here: $(tail -n 1 "$T/nothing/err" | cut -c 1-200)"
	fail "the image is not built: $(tail -n 5 "$T/out" "$T/err")"
}
"${RUN[@]}" --rm --entrypoint fspf app tag /volume >"$T/out" 2>"$T/err" || fail "no tag: $(cat "$T/err")"
IMAGE_TAG=$(head -1 "$T/out")
[[ $IMAGE_TAG =~ ^[0-9a-f]{64}$ ]] || fail "no tag: $IMAGE_TAG"

# ---- judging

# How the document has containers get keys, tags and data.
KEY=(--secret "image-key,mode=0400" --env "FSPF_TAG=$IMAGE_TAG")
DATA=(-v "$V:/data-volume" -v "$T/trusted:/trusted")
"${PODMAN[@]}" secret create image-key "$T/image-key" >/dev/null

# contained STATUS PATTERN OPTIONS-AND-IMAGE...: as want, of a container; any status is possible.
contained() {
	local status=$1 pattern=$2 got=0
	shift 2
	timeout -k 5 60 "${RUN[@]}" --rm "$@" >"$T/out" 2>"$T/err" || got=$?
	[[ $got == "$status" ]] || fail "status $got, not $status, of a container: $* ($(cat "$T/out" "$T/err"))"
	[[ -z $pattern ]] || grep -qE -e "$pattern" "$T/out" "$T/err" ||
		fail "no /$pattern/ from a container: $* ($(cat "$T/out" "$T/err"))"
}
# refused STATUS ERROR HINT ...: one error, and one hint.
refused() {
	local status=$1 error=$2 hint=$3
	shift 3
	contained "$status" "^fspf: error: .*$error" "$@"
	[[ $(grep -c '^fspf: error: ' "$T/err") == 1 ]] || fail "not one error: $(cat "$T/err")"
	[[ -z $hint ]] || grep -qE -e "^fspf: hint: .*$hint" "$T/err" || fail "no hint /$hint/: $(cat "$T/err")"
}

G=$T/trusted/tag K=$T/context/secrets/data-key
AUTH=(--key-file "$K" --tag-file "$G")
data_clean() {
	want 0 '' "$FSPF" verify "$V" "${AUTH[@]}"
	want 0 '^state *closed' "$FSPF" show "$V" "${AUTH[@]}"
}

note "a data volume, and a program from the image that uses it"
mkdir -p "$T/trusted" "$T/empty"
chown 1000:1000 "$T/empty"
want 0 '' "$FSPF" create "$V" "${AUTH[@]}"
want 0 '' "$FSPF" addr "$V" /data --encrypted "${AUTH[@]}"
want 0 '' "$FSPF" addf "$V" /data "$T/empty" "${AUTH[@]}"
contained 0 "^$PASSWORD of uid 1000$" "${NEEDS[@]}" "${KEY[@]}" "${DATA[@]}" app
data_clean
! grep -rqa "$PASSWORD" "$V" || fail "the data shows outside"
! grep -rqa "$PASSWORD" "$STORE" || fail "the secret shows in the image"
cp -a "$V" "$T/older"

note "a second container sees what the first one wrote"
contained 0 '' "${NEEDS[@]}" "${KEY[@]}" "${DATA[@]}" app
[[ $(grep -c "^$PASSWORD of uid 1000$" "$T/out") == 2 ]] || fail "other data: $(cat "$T/out")"
data_clean

note "an older data volume is refused"
mv "$V" "$T/newer"
mv "$T/older" "$V"
refused 4 "volume's tag is not the expected one" '' "${NEEDS[@]}" "${KEY[@]}" "${DATA[@]}" app
rm -rf "$V"
mv "$T/newer" "$V"
contained 0 '' "${NEEDS[@]}" "${KEY[@]}" "${DATA[@]}" app

# ---- the image is changed

note "the same image from a root directory, by podman import"
mkdir "$T/root"
"${PODMAN[@]}" create --name copy app >/dev/null
"${PODMAN[@]}" export copy | tar -C "$T/root" -xp
"${PODMAN[@]}" rm copy >/dev/null
rm -rf "$T/root/volume"
rmdir "$T/root/secret" "$T/root/data"
contained 0 '' -v "$T/image-key:/run/secrets/image-key:ro" -v "$T/context/secrets:/run/to-protect:ro" \
	-v "$T/context/make-volume:/tmp/make-volume:ro" --rootfs "$T/root" sh /tmp/make-volume
want 0 '' "$FSPF" tag "$T/root/volume"
ROOT_TAG=$(head -1 "$T/out")
ROOT_KEY=(--secret "image-key,mode=0400" --env "FSPF_TAG=$ROOT_TAG")
ENTRY='ENTRYPOINT ["fspf", "run", "/volume", "-o", "ro", "--grace", "20", "--key-file", "/run/secrets/image-key", "--"]'
import_root() { tar -C "$T/root" -c . | "${PODMAN[@]}" import --quiet --change "$ENTRY" - "$1" >/dev/null 2>"$T/err" || fail "import: $(cat "$T/err")"; }
import_root imported
contained 0 '^from an import$' "${NEEDS[@]}" "${ROOT_KEY[@]}" imported python3 -c 'print("from an import")'

# In the root directory itself, as somebody who owns the storage would.
rooted() { # STATUS PATTERN COMMAND...
	local status=$1 pattern=$2
	shift 2
	contained "$status" "$pattern" "${NEEDS[@]}" "${ROOT_KEY[@]}" --rootfs "$T/root" \
		fspf run /volume -o ro --key-file /run/secrets/image-key -- "$@"
}
READ=(python3 -c 'import sys; sys.path.insert(0, "/app"); import record; print("unchanged")')
rooted 0 '^unchanged$' "${READ[@]}"

# changed FILE STATUS PATTERN COMMAND...: with one byte of FILE another one; and whole again after that.
changed() {
	local file=$1 status=$2 pattern=$3
	shift 3
	cp -a "$T/root$file" "$T/whole"
	python3 - "$T/root$file" "$RANDOM" <<'END'
import os, sys
with open(sys.argv[1], "r+b") as f:
    at = int(sys.argv[2]) % os.fstat(f.fileno()).st_size
    f.seek(at)
    old = f.read(1)
    f.seek(at)
    f.write(bytes([old[0] ^ 1]))
END
	rooted "$status" "$pattern" "$@"
	cp -a "$T/whole" "$T/root$file"
}

note "a changed module, script, interpreter, and library"
changed /app/record.py 1 '^fspf: error: damaged: .*/app/record.py' "${READ[@]}"
changed /app/main.py 1 '^fspf: error: damaged: .*/app/main.py' sh -c 'cat /app/main.py >/dev/null'
changed /app/main.py 0 '^unchanged$' "${READ[@]}" # who does not read it is not disturbed
python=$(realpath "$T/root/usr/bin/python3")
changed "${python#"$T/root"}" 1 "^fspf: error: damaged: .*${python#"$T/root"}" sh -c "cat ${python#"$T/root"} >/dev/null"
module=$(cd "$T/root" && find usr/lib/python3* -name textwrap.py | head -1)
changed "/$module" 1 "^fspf: error: damaged: .*/$module" \
	python3 -c 'import importlib.util as u; open(u.find_spec("textwrap").origin).read()'
echo 'print("from the host")' >"$T/root/app/added.py"
rooted 2 'No such file' python3 /app/added.py
rm "$T/root/app/added.py"
mv "$T/root/app/record.py" "$T/whole"
rooted 1 '^fspf: error: damaged: .*/app/record.py' "${READ[@]}"
mv "$T/whole" "$T/root/app/record.py"
rooted 0 '^unchanged$' "${READ[@]}"

note "an image with a changed script, and one with a changed volume"
sed -i s/append/Append/ "$T/root/app/record.py"
import_root changed
contained 1 '^fspf: error: damaged: .*/app/record.py' "${NEEDS[@]}" "${ROOT_KEY[@]}" changed "${READ[@]}"
sed -i s/Append/append/ "$T/root/app/record.py"
cp -a "$T/root/volume" "$T/whole"
want 0 '' "$FSPF" addf "$T/root/volume" /secret "$E2E/lib.sh" --key-file "$T/image-key" --tag "$ROOT_TAG"
refused 4 'tag is not the expected one' '' "${NEEDS[@]}" "${ROOT_KEY[@]}" --rootfs "$T/root" \
	fspf run /volume -o ro --key-file /run/secrets/image-key -- true
rm -rf "$T/root/volume"
mv "$T/whole" "$T/root/volume"
"$FSPF" keygen "$T/other-key"
refused 5 '' '' "${NEEDS[@]}" --env FSPF_TAG="$ROOT_TAG" --env FSPF_KEY="$(cat "$T/other-key")" --rootfs "$T/root" \
	fspf run /volume -o ro -- true

# ---- the first process

note "exit status, signals, orphans"
IMAGE=("${NEEDS[@]}" "${KEY[@]}" app)
contained 7 '' "${IMAGE[@]}" sh -c 'exit 7'
contained 137 '' "${IMAGE[@]}" sh -c 'kill -9 $$'
contained 127 'cannot run' "${IMAGE[@]}" /no/such/program
contained 0 '^none left$' "${IMAGE[@]}" sh -c '(sh -c "sleep 0.2 &" &); sleep 1
	grep -l "^State:.Z" /proc/[0-9]*/status || echo none left'
contained 0 '^no variable$' "${IMAGE[@]}" sh -c 'env | grep FSPF_ || echo no variable'

# Waits for the words of a container that was started in the background.
said() { # NAME WORDS
	local i
	for ((i = 0; i < 400; i++)); do
		! "${PODMAN[@]}" logs "$1" 2>&1 | grep -q "$2" || return 0
		sleep 0.05
	done
	fail "the container does not say '$2': $("${PODMAN[@]}" logs "$1" 2>&1 | tail -n 5)"
}

note "podman stop closes the volume in order"
before=$(cat "$G")
want 0 '' "${RUN[@]}" --detach --name server "${NEEDS[@]}" "${KEY[@]}" "${DATA[@]}" app \
	fspf run /data-volume --key-file /secret/data-key --tag-file /trusted/tag --user 1000 -- python3 /app/serve.py
said server ready
want_error 6 '' "$FSPF" verify "$V" "${AUTH[@]}"
want 0 '' "${PODMAN[@]}" stop --time 30 server
want 0 '^42$' "${PODMAN[@]}" wait server
[[ $(cat "$G") != "$before" ]] || fail "no new tag was published"
want 0 '' "${PODMAN[@]}" rm server
data_clean
want 0 '' "$FSPF" export "$V" "${AUTH[@]}" /data/end "$T/end"
[[ $(cat "$T/end") == "ended in order" ]] || fail "the command's last words were lost"

note "a container that is killed, and one after it"
want 0 '' "${RUN[@]}" --detach --name server "${NEEDS[@]}" "${KEY[@]}" "${DATA[@]}" app \
	fspf run /data-volume --key-file /secret/data-key --tag-file /trusted/tag --user 1000 -- python3 /app/serve.py
said server ready
want 0 '' "${PODMAN[@]}" kill server
want 0 '^137$' "${PODMAN[@]}" wait server
want 0 '' "${PODMAN[@]}" rm server
contained 0 '' "${NEEDS[@]}" "${KEY[@]}" "${DATA[@]}" app
[[ $(grep -c "^$PASSWORD of uid 1000$" "$T/out") == 4 ]] || fail "other data: $(cat "$T/out")"
data_clean

# ---- flags: these suffice too, and each that lacks is named

note "fewer rights"
DROP=(--cap-drop all "${NEEDS[@]}")
contained 0 '^ran$' "${DROP[@]}" "${KEY[@]}" app sh -c 'echo ran'
contained 0 "of uid 1000$" "${DROP[@]}" --cap-add SETUID --cap-add SETGID --security-opt no-new-privileges \
	--read-only --tmpfs /run/secrets "${KEY[@]}" "${DATA[@]}" app
refused 1 'cannot become user 1000' '--cap-add SETUID --cap-add SETGID' "${DROP[@]}" "${KEY[@]}" "${DATA[@]}" app
WITH_VARIABLES=("${NEEDS[@]}" --env FSPF_TAG="$IMAGE_TAG" --env FSPF_KEY="$(cat "$T/image-key")" --entrypoint fspf app run /volume -o ro)
contained 0 '^FSPF_KEY=$' "${WITH_VARIABLES[@]}" -- sh -c 'tr "\0" "\n" </proc/1/environ'
contained 1 '/proc/1/mem.*denied' "${WITH_VARIABLES[@]}" -- head -c 1 /proc/1/mem
contained 0 '^not allowed$' "${WITH_VARIABLES[@]}" --user 1000 -- sh -c 'umount -l /app || cat /proc/1/environ || echo not allowed'
contained 0 '^fspf: this processor shows no AES instructions' "${NEEDS[@]}" "${KEY[@]}" "${DATA[@]}" \
	--env OPENSSL_ia32cap='~0x200000200000000' app
data_clean

# Root of a user name space: everybody has to have permission on the device, so one of ours is put over
# this machine's, as this test alone sees it.
if [[ $QUICK != 1 ]] && mknod -m 600 "$T/fuse" c 10 229 && true 2>/dev/null <>"$T/fuse"; then
	note "a user name space"
	mount --bind "$T/fuse" /dev/fuse
	MAPPED=(--uidmap 0:100000:65536 --gidmap 0:100000:65536 "${NEEDS[@]}" --env "FSPF_TAG=$IMAGE_TAG" --env FSPF_KEY="$(cat "$T/image-key")"
		--entrypoint fspf app run /volume -o ro -- sh -c 'echo ran')
	refused 1 '/dev/fuse: Permission denied' 'chmod 666 /dev/fuse' "${MAPPED[@]}"
	chmod 666 "$T/fuse"
	contained 0 '^ran$' "${MAPPED[@]}"
	umount /dev/fuse
fi

note "what lacks is named"
PRINT=(sh -c 'echo ran')
refused 1 '/dev/fuse: No such file' '--device /dev/fuse' --cap-add SYS_ADMIN "${KEY[@]}" app "${PRINT[@]}"
refused 1 '/dev/fuse: Operation not permitted' '--device /dev/fuse' --cap-add SYS_ADMIN -v /dev/fuse:/dev/fuse "${KEY[@]}" app "${PRINT[@]}"
refused 1 'mount name space' '--cap-add SYS_ADMIN' --device /dev/fuse "${KEY[@]}" app "${PRINT[@]}"
refused 1 'needs root' '--user' --user 1000 "${NEEDS[@]}" "${KEY[@]}" app "${PRINT[@]}"
rmdir "$T/root/secret"
refused 1 'mount point for /secret: Read-only' 'mkdir -p /secret' --read-only --tmpfs /run/secrets "${NEEDS[@]}" "${ROOT_KEY[@]}" --rootfs "$T/root" \
	fspf run /volume -o ro --key-file /run/secrets/image-key -- true
refused 1 'read-only file system' '-o ro' --read-only --tmpfs /run/secrets "${NEEDS[@]}" "${KEY[@]}" --entrypoint fspf app \
	run /volume --key-file /run/secrets/image-key -- true
refused 1 'tag' '' "${NEEDS[@]}" "${KEY[@]}" -v "$V:/data-volume" -v "$T/trusted:/trusted:ro" app

note "fspf mount by another user than root"
cat >"$T/context/as-user" <<'END'
chmod 666 /dev/fuse
mkdir /v /m
chown 1000:1000 /v /m
unset FSPF_TAG
exec setpriv --reuid=1000 --regid=1000 --clear-groups sh -c '
	fspf create /v --authenticated --no-rollback-protection >/dev/null
	fspf mount /v /m --no-rollback-protection -o allow_other'
END
refused 1 'cannot mount at /m' 'user_allow_other in /etc/fuse.conf' "${NEEDS[@]}" -v "$T/context/as-user:/as-user:ro" --entrypoint sh app /as-user
pass "with the $(sed -n 's/.*--storage-driver //p' <<<"${PODMAN[*]}" | cut -d ' ' -f 1) driver"
