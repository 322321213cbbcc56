#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# A Python program whose interpreter, library modules and scripts all live in the mount; it writes
# its byte code there, and a changed script is seen.
source "$(dirname "$0")/lib.sh"
need_mount
PYTHON=$(realpath /usr/bin/python3 2>/dev/null) && [[ -x $PYTHON ]] || skip "needs /usr/bin/python3"
unset PYTHONDONTWRITEBYTECODE
LIBRARY=$("$PYTHON" -S -c 'import os; print(os.path.dirname(os.__file__))')

make_volume
start
mkdir -p "$M/usr/bin" "$M/usr/lib" "$M/app/pkg"
cp -a "$PYTHON" "$M/usr/bin/python3"
cp -a "$LIBRARY" "$M/usr/lib/"
find "$M/usr/lib" -name __pycache__ -prune -exec rm -rf {} +
cat >"$M/app/pkg/__init__.py" <<'END'
VALUE = 41
END
cat >"$M/app/main.py" <<'END'
import asyncio, collections, ctypes, decimal, hashlib, json, os, pkg, re, sqlite3, ssl, subprocess, sys, threading, zipfile
assert json.__file__.startswith(sys.argv[1]), json.__file__
here = os.path.dirname(os.path.abspath(__file__))
database = sqlite3.connect(os.path.join(here, "data.db"))
database.execute("create table if not exists t (x integer)")
database.execute("insert into t values (1)")
database.commit()
child = subprocess.run([sys.executable, "-c", "print(6*7)"], capture_output=True, text=True, check=True)
print(json.dumps({"value": pkg.VALUE + 1, "child": int(child.stdout), "rows": database.execute("select sum(x) from t").fetchone()[0]}))
END
python_in() { env PYTHONHOME="$M/usr" PYTHONPATH="$M/app" "$M/usr/bin/python3" "$@"; }

check() { # EXPECTED
	python_in "$M/app/main.py" "$M" >"$T/out" 2>"$T/err" || fail "the program failed"
	[[ $(cat "$T/out") == "$1" ]] || fail "the program said $(cat "$T/out")"
}
check '{"value": 42, "child": 42, "rows": 1}'
[[ -n $(find "$M/usr/lib" -name '*.pyc' -print -quit) ]] || fail "no byte code was written"
restart
check '{"value": 42, "child": 42, "rows": 2}'
# Of another length: byte code knows its source by its size and by whole seconds of its time.
sed -i 's/41/199/' "$M/app/pkg/__init__.py"
check '{"value": 200, "child": 42, "rows": 3}'
python_in -m compileall -q "$M/usr/lib" || true
restart
check '{"value": 200, "child": 42, "rows": 4}'
stop
verify_clean
pass
