#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What the test of the second reader needs beside it.

	reader_test.py host DIR PREFIX		the lines that the reader must print for a copy of DIR at PREFIX
	reader_test.py flips VOLUME KEY TAG FLIPS SEED	change single bytes of the volume, everywhere that
						counts; the reader must refuse each time
	reader_test.py facts VOLUME KEY TAG	what is in the volume, so that a test knows what was read
	reader_test.py vectors			the primitives that the reader makes itself
"""

import contextlib
import hashlib
import io
import os
import random
import stat
import sys

import fspf_reader as reader

BLOCK = reader.BLOCK


# ---- host


def digest(path):
    result = hashlib.sha256()
    with open(path, "rb") as f:
        while piece := f.read(1 << 20):
            result.update(piece)
    return result.hexdigest()


def host_line(path, shown, first_names):
    st = os.lstat(path)
    kind = reader.TYPES[stat.S_IFMT(st.st_mode)]
    facts = {"type": kind, "mode": "%04o" % stat.S_IMODE(st.st_mode), "owner": "%d:%d" % (st.st_uid, st.st_gid),
             "mtime": st.st_mtime_ns,
             "xattrs": {os.fsencode(n): os.getxattr(path, n, follow_symlinks=False)
                        for n in os.listxattr(path, follow_symlinks=False) if n != "security.selinux"}}
    if kind != "dir":
        facts["nlink"] = st.st_nlink
        facts["same"] = reader.escape(first_names.setdefault((st.st_dev, st.st_ino), shown))
    if kind == "file":
        facts["size"] = st.st_size
        facts["sha256"] = digest(path)
    elif kind == "link":
        facts["target"] = reader.escape(os.readlink(path))
    elif kind in ("char", "block"):
        facts["device"] = st.st_rdev
    return reader.line(shown, facts)


def host(top, prefix):
    top, prefix = os.fsencode(top), os.fsencode(prefix).rstrip(b"/")
    paths = [(top, prefix or b"/")]
    for directory, directories, files in os.walk(top):
        at = prefix + directory[len(top):]
        paths += [(os.path.join(directory, name), at + b"/" + name) for name in directories + files]
    names = {}
    for path, shown in sorted(paths, key=lambda p: p[1]):
        print(host_line(path, shown, names))


# ---- flips


def status(volume, key, tag):
    """What the reader's main would end with."""
    with contextlib.redirect_stderr(io.StringIO()):
        try:
            v = reader.Volume(volume, key, tag)
            v.verify()
        except reader.Damage:
            return 3, None
        except reader.WrongTag:
            return 4, None
        except reader.WrongKey:
            return 5, None
        except SystemExit:
            return 1, None
    return 3 if v.damages else 0, v


def places(v):
    """(where it is, statuses, first byte, number of bytes) of what a reader must notice."""
    slot = 16 if v.store.segment(0, 16, 1)[64:72] == v.record.generation.to_bytes(8, "little") else 32
    record = v.store.segment(0, slot, 16)
    result = [("header", (1, 3, 5), "volume.fspf", 0, BLOCK),
              ("root record", (3, 4), "volume.fspf", slot * BLOCK, reader.u(record, 12, 4))]
    if v.header.keyed:
        result.append(("key slot", (5,), "volume.fspf", BLOCK, 256))
    runs = {"node": [], "data": [], "table": []}
    for state in [v] + v.kept:
        for region in state.regions:
            runs["node"] += region.tree.blocks
            runs["data"] += region.data_blocks
    if v.salts:
        runs["table"].append((v.record.table, 1))
    for what, some in runs.items():
        for address, count in some:
            segment, block = divmod(address, v.header.segment_blocks)
            result.append((what, (3,), "segments/%08x" % segment, block * BLOCK, count * BLOCK))
    for kept, entry in zip(v.kept, v.record.snapshots):
        segment, block = divmod(kept.address, v.header.segment_blocks)
        result.append(("copy of a record", (3,), "segments/%08x" % segment, block * BLOCK, entry.length))
    return result


def flips(volume, key_file, tag, trials, seed):
    rng = random.Random(seed)
    v = opened(volume, key_file, tag)
    key = reader.read_key(key_file) if key_file != "-" else None
    tag = bytes.fromhex(tag)
    by_kind = {}
    for place in places(v):
        by_kind.setdefault(place[0], []).append(place)
    for trial in range(trials):
        kind = sorted(by_kind)[trial % len(by_kind)]
        _, wanted, name, first, count = rng.choice(by_kind[kind])
        at, bit = first + rng.randrange(count), 1 << rng.randrange(8)
        with open(os.path.join(volume, name), "r+b") as f:
            f.seek(at)
            old = f.read(1)
            f.seek(at)
            f.write(bytes([(old or b"\0")[0] ^ bit]))
            f.flush()
            got, _ = status(volume, key, tag)
            f.seek(at)
            f.write(old or b"\0")
        if got not in wanted:
            sys.exit("status %d with bit %d of byte %d of %s changed (%s)" % (got, bit, at, name, kind))
    if status(volume, key, tag)[0]:
        sys.exit("not whole again after everything was changed back")
    print("# noticed: %d of %d" % (trials, trials))


# ---- facts


def opened(volume, key_file, tag):
    key = reader.read_key(key_file) if key_file != "-" else None
    result, v = status(volume, key, bytes.fromhex(tag))
    if result:
        sys.exit("status %d" % result)
    return v


def facts(volume, key_file, tag):
    v = opened(volume, key_file, tag)
    extents = [e for r in v.regions for o in r.objects.values() for e in o.extents]
    values = [value for _, value in reader.space_items(v)]
    print("map=%s regions=%d sessions=%d orphans=%d levels=%d unwritten=%d inlined=%d runs=%d bitmaps=%d snapshots=%d" % (
        "no" if v.record.space.null else "yes", len(v.regions), len(v.salts), sum(len(r.orphans) for r in v.regions),
        max(r.entry.root.level + 1 for r in v.regions), sum(not e.address for e in extents),
        sum(bool(o.inode and o.inode.inlined) for r in v.regions for o in r.objects.values()),
        sum(value[0] == 1 for value in values), sum(value[0] == 2 for value in values), len(v.kept)))


# ---- vectors: draft-irtf-cfrg-xchacha-03 section 2.2.1, and the SipHash paper's appendix A


def vectors():
    key = bytes(range(32))
    nonce = bytes.fromhex("000000090000004a0000000031415927")
    want = "82413b4227b27bfed30e42508a877d73a0f9e4d58a74a853c12ec41326d3ecdc"
    assert reader.hchacha20(key, nonce).hex() == want
    assert reader.siphash(bytes(range(16)), bytes(range(15))) == 0xA129CA6149BE45E5


def main(args):
    if args[:1] == ["host"]:
        host(*args[1:])
    elif args[:1] == ["flips"]:
        flips(*args[1:4], int(args[4]), int(args[5]))
    elif args[:1] == ["facts"]:
        facts(*args[1:])
    elif args[:1] == ["vectors"]:
        vectors()
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main(sys.argv[1:])
