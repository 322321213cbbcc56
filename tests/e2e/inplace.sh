#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Contents in place: the system's own Python runs from a directory of the host that is verified and
# not copied; whatever the host does to a file is an error of that file alone, with its two paths in
# the log; nothing can be changed, or, with copying up, the volume has the changes and the host none;
# deliberate changes are recorded anew, and shown.
source "$(dirname "$0")/lib.sh"
need_mount
need python3 ldd

PYTHON=/usr/bin/python3
[[ -x $PYTHON ]] || skip "needs $PYTHON"
run "$PYTHON" -S -c 'import json, ssl, sqlite3'
[[ $STATUS -eq 0 ]] || skip "needs $PYTHON with ssl and sqlite3"
lib=$("$PYTHON" -c 'import sysconfig; print(sysconfig.get_path("stdlib"))')
version=${lib##*/}
H=$T/host

note "a copy of $lib and of the libraries that its modules need"
mkdir -p "$H/lib" "$H/so" "$H/dir" "$H/empty"
cp -a "$lib" "$H/lib/"
ldd "$lib"/lib-dynload/_{ssl,sqlite3,hashlib}*.so | sed -n 's/.* => \(\/[^ ]*\) .*/\1/p' | sort -u |
	grep -vE '/(libc|ld-linux[^/]*|libm|libpthread|libdl)\.so' | xargs -r cp -L -t "$H/so"
[[ -n $(ls "$H/so") ]] || fail "no libraries"
printf 'a\n' >"$H/dir/a"
: >"$H/nothing"
printf 'two names\n' >"$H/names"
ln -s "dir/a" "$H/symlink"
ln "$H/names" "$H/hardlink"

# No key anywhere: not for making it, nor for anything after that.
rm -rf "$V" "$G"
AUTH=(--tag-file "$G")
want 0 '^[0-9a-f]{64}$' "$FSPF" create "$V" --authenticated "${AUTH[@]}"
want 0 '^[0-9a-f]{64}$' "$FSPF" addr "$V" "${AUTH[@]}" /py --authenticated --kernel "$H"
want 0 '^[0-9a-f]{64}$' "$FSPF" addf "$V" "${AUTH[@]}" /py "$H"
[[ $(du -sm "$V" | cut -f1) -lt $(($(du -sm "$H" | cut -f1) / 2)) ]] || fail "contents came along"
verify_clean

start
tree compare "$H" "$M/py" || fail "differs"
note "it runs from the mount"
cat >"$T/modules.py" <<'END2'
import json, ssl, sqlite3, sys, _json, _ssl, _sqlite3
top = sys.argv[1] + "/"
for module in json, ssl, sqlite3, _json, _ssl, _sqlite3:
    assert module.__file__.startswith(top + "lib/"), module.__file__
for library in "libssl", "libsqlite3":
    assert any(top + "so/" + library in line for line in open("/proc/self/maps")), library
assert json.loads(json.dumps({"a": [1]})) == {"a": [1]}
assert ssl.create_default_context().verify_mode == ssl.CERT_REQUIRED
assert sqlite3.connect(":memory:").execute("select 6 * 7").fetchone() == (42,)
END2
mounted_python() {
	timeout 120 env PYTHONHOME="$M/py" LD_LIBRARY_PATH="$M/py/so" "$PYTHON" -S -s -B "$@"
}
# Built-in extensions have no file: then only those that have are looked at.
"$PYTHON" -S -c 'import _json; _json.__file__' 2>/dev/null || sed -i 's/ _json,//' "$T/modules.py"
want 0 '' mounted_python "$T/modules.py" "$M/py"

note "one byte of one file at a time"
trials=$(pick 60 20)
run python3 "$E2E/inplace.py" flip "$H" "$M/py" "$trials" "$SEED"
[[ $STATUS -eq 0 ]] || fail "$(cat "$T/out" "$T/err")"
while read -r path; do
	grep -qE "damaged: block [0-9]+ of /py/$path \(host file $path\)" "$T/daemon.log" || fail "not told of $path"
done <"$T/out"
[[ $(wc -l <"$T/out") == "$trials" ]] || fail "not all were tried"
[[ $(grep -c damaged "$T/daemon.log") == "$trials" ]] || fail "told of others: $(grep damaged "$T/daemon.log")"

note "whatever else can be done to a file"
for path in "lib/$version/json/__init__.py" "lib/$version/ast.py" "dir/a"; do
	want 0 '' timeout 120 python3 "$E2E/inplace.py" damage "$H" "$M/py" "$path"
done
grep -qE 'damaged: the host file dir/a of /py/dir/a is (gone|shorter)' "$T/daemon.log" || fail "not told"
want 0 '' mounted_python "$T/modules.py" "$M/py"

note "what is not recorded is not there"
echo new >"$H/dir/planted"
mkdir "$H/lib/$version/planted"
for path in dir/planted "lib/$version/planted"; do [[ ! -e $M/py/$path ]] || fail "$path shows"; done
[[ $(ls "$M/py/dir") == a ]] || fail "dir has $(ls "$M/py/dir")"
rm -r "$H/dir/planted" "$H/lib/$version/planted"

note "read-only in every way"
before=$(find "$H" -printf '%p %s %m %T@\n' | sort | sha256sum)
want 0 '' python3 "$E2E/inplace.py" refused "$M/py" dir/a
[[ $(find "$H" -printf '%p %s %m %T@\n' | sort | sha256sum) == "$before" ]] || fail "the host was changed"
stop

note "verify names every damaged file"
broken=("lib/$version/ast.py" "lib/$version/ssl.py" "lib/$version/json/decoder.py" "nothing" "dir/a")
cp -a "$H" "$T/sound"
printf 'X' | dd of="$H/${broken[0]}" bs=1 seek=100 conv=notrunc status=none
truncate -s -1 "$H/${broken[1]}"
rm "$H/${broken[2]}"
echo more >"$H/${broken[3]}"
ln -sf /etc/passwd "$H/${broken[4]}"
run "$FSPF" verify "$V" "${AUTH[@]}"
[[ $STATUS -eq 3 ]] || fail "verify gives $STATUS"
for path in "${broken[@]}"; do grep -qE "/py/$path\b" "$T/err" || fail "verify does not name $path: $(cat "$T/err")"; done
grep -qE "^damaged ${#broken[@]} files" "$T/out" || fail "it counts others: $(cat "$T/out" "$T/err")"
want 3 '' "$FSPF" verify "$V" "${AUTH[@]}" --json
python3 -m json.tool <"$T/out" >/dev/null || fail "verify --json is not JSON"
rm -rf "$H"
mv "$T/sound" "$H"
verify_clean

note "deliberate changes are recorded anew, and shown"
want 0 '^[0-9a-f]{64}$' "$FSPF" addf "$V" "${AUTH[@]}" /py "$H" --update
want 0 '^[0-9a-f]{64}$' "$FSPF" addf "$V" "${AUTH[@]}" /py "$H" --update
[[ $(wc -l <"$T/out") == 1 ]] || fail "an update without changes shows some: $(cat "$T/out")"
old=$(cat "$G")
stamp=$(stat -c %y "$H/lib/$version")
echo '# changed' >>"$H/lib/$version/ast.py"
chmod 600 "$H/lib/$version/ssl.py"
rm "$H/lib/$version/this.py"
mkdir "$H/lib/$version/fresh"
echo x >"$H/lib/$version/fresh/x"
ln -sfn other "$H/symlink"
touch -d "$stamp" "$H/lib/$version"
touch -d '2020-01-01' "$H"
sed 's,VERSION,'"$version"',' >"$T/expected" <<'END2'
+ /py/lib/VERSION/fresh
+ /py/lib/VERSION/fresh/x
- /py/lib/VERSION/this.py
M /py/lib/VERSION/ast.py
M /py/symlink
m /py
m /py/lib/VERSION/ssl.py
END2
cp -a "$V" "$T/copy"
want 0 '' "$FSPF" addf "$V" "${AUTH[@]}" /py "$H" --update
[[ $(head -n -1 "$T/out" | sort) == "$(cat "$T/expected")" ]] || fail "shown: $(cat "$T/out")"
[[ $(tail -1 "$T/out") == "$(cat "$G")" && ! -s $T/err ]] || fail "no tag, or more: $(cat "$T/out" "$T/err")"
want 0 '' "$FSPF" addf "$T/copy" --tag "$old" /py "$H" --update --json
python3 - "$T/out" "$T/expected" <<'END2' || fail "--json shows others: $(cat "$T/out")"
import json, sys
shown = json.load(open(sys.argv[1]))
lines = sorted(f"{c['kind']} {c['path']}" for c in shown["changes"])
assert lines == open(sys.argv[2]).read().splitlines(), lines
assert len(shown["tag"]) == 64
END2
verify_clean
want_error 4 '' "$FSPF" verify "$V" --tag "$old"
want_error 4 '' "$FSPF" mount "$V" "$M" --tag "$old"
start
tree compare "$H" "$M/py" || fail "differs after the update"
want 0 '' mounted_python "$T/modules.py" "$M/py"
stop

note "digests are those of fsverity"
if command -v fsverity >/dev/null && [[ -n $FSPF_DUMP ]]; then
	for path in "lib/$version/ast.py" dir/a nothing "lib/$version/fresh/x"; do
		digest=$(fsverity digest --compact "$H/$path")
		want 0 "digest:? $digest" "$FSPF_DUMP" "$V" "${AUTH[@]}" --path "/py/$path"
		want 0 "^digest +sha256:$digest$" "$FSPF" show "$V" "${AUTH[@]}" "/py/$path"
	done
else
	note "left out: needs fsverity"
fi

note "copying up"
mkdir -p "$T/up/dir" "$T/up/empty"
for name in read written replaced; do head -c 300000 /dev/urandom >"$T/up/dir/$name"; done
cp -a "$T/up" "$T/up.before"
want 0 '' "$FSPF" addr "$V" "${AUTH[@]}" /up --authenticated --kernel "$T/up" --copy-up
want 0 '' "$FSPF" addf "$V" "${AUTH[@]}" /up "$T/up"
start
cp "$T/up/dir/written" "$T/written"
printf 'in the middle' | dd of="$T/written" bs=1 seek=150000 conv=notrunc status=none
printf 'in the middle' | dd of="$M/up/dir/written" bs=1 seek=150000 conv=notrunc status=none
echo replaced >"$M/up/dir/replaced"
echo added >"$M/up/added"
for round in now "after another mount"; do
	cmp "$T/written" "$M/up/dir/written" || fail "not what was written, $round"
	[[ $(cat "$M/up/dir/replaced" "$M/up/added") == $'replaced\nadded' ]] || fail "not what was written, $round"
	cmp "$T/up.before/dir/read" "$M/up/dir/read" || fail "what was only read is other, $round"
	restart
done
tree compare "$T/up.before" "$T/up" || fail "the host's files were changed"
note "what the host does to them has no effect any more"
echo other >"$T/up/dir/written"
rm "$T/up/dir/replaced"
echo other >"$T/up/dir/read"
restart
cmp "$T/written" "$M/up/dir/written" || fail "the host changed a file that was copied up"
[[ $(cat "$M/up/dir/replaced") == replaced ]] || fail "the host removed a file that was copied up"
run cat "$M/up/dir/read"
[[ $STATUS -ne 0 && ! -s $T/out ]] || fail "the host changed a file that was not"
want 0 '' python3 "$E2E/inplace.py" changed "$M/up" dir/written
stop
cp -a "$T/up.before/dir/read" "$T/up/dir/read"
verify_clean
start
[[ -d $M/up/dir2 && -p $M/up/made/fifo && ! -e $M/up/empty && ! -e $M/up/moved ]] || fail "not all changes are there"
stop
pass
