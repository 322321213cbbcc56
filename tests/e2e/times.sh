#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# What stat says of a file right after it was written is what it says after a remount: times to the
# nanosecond, size, blocks, links.  Build tools and git compare exactly this.
source "$(dirname "$0")/lib.sh"
need_mount

make_volume
start
cat >"$T/times.py" <<'END'
import os, random, sys
mode, top, record = sys.argv[1:4]

def facts(path):
    st = os.lstat(path)
    return "%s %d %d %d %d %o %d" % (os.path.basename(path), st.st_ino, st.st_size, st.st_mtime_ns, st.st_ctime_ns,
                                     st.st_mode, st.st_nlink)

if mode == "write":
    rng = random.Random(int(sys.argv[4]))
    with open(record, "w") as out:
        for i in range(int(sys.argv[5])):
            path = "%s/file_%d" % (top, i)
            with open(path, "wb") as f:
                for _ in range(rng.randrange(1, 4)):
                    f.write(rng.randbytes(rng.randrange(30000)))
                    f.flush()
            kind = rng.randrange(6)
            if kind == 0:
                os.chmod(path, 0o600)
            elif kind == 1:
                os.truncate(path, 100)
            elif kind == 2:
                os.setxattr(path, "user.x", b"y")
            elif kind == 3:
                with open(path, "ab") as f:
                    f.write(b"more")
            out.write(facts(path) + "\n")
else:
    wrong = 0
    for line in open(record):
        now = facts(os.path.join(top, line.split()[0]))
        if now != line.strip():
            wrong += 1
            if wrong <= 5:
                print("was", line.strip())
                print("is ", now)
    print("# %d differ" % wrong)
    sys.exit(wrong != 0)
END
python3 "$T/times.py" write "$M" "$T/record" "$SEED" "$(pick 5000 2500)"
python3 "$T/times.py" check "$M" "$T/record" || fail "before the remount"
sync # the kernel writes its pages
python3 "$T/times.py" check "$M" "$T/record" || fail "after write-out"
restart
python3 "$T/times.py" check "$M" "$T/record" || fail "after the remount"
stop
pass
