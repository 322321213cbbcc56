#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Trees for the end-to-end tests: make one, list everything about one, compare two.

	tree.py make DIR FILES SEED	FILES files of text in directories, as /usr/include has them
	tree.py specials DIR SEED	one of everything that a file system can hold
	tree.py manifest DIR		a line an entry: all that must survive
	tree.py compare A B [FACT..]	exit 1 and say where they differ; FACTs are left out

Not compared: access and change times, and the sizes and link counts of directories, which are
the file system's own affair.
"""

import errno
import hashlib
import os
import random
import shutil
import socket
import stat
import struct
import sys

BLOCK = 4096
WORDS = (
    "static const struct unsigned void define include typedef extern inline return volatile "
    "register context buffer handle index length offset flags vector matrix packet socket"
).split()


def text(rng, size):
    """Text that looks like a header and never repeats."""
    lines = []
    have = 0
    while have < size:
        line = "%s %s_%08x(%s *%s, int %s%d);\n" % (
            rng.choice(WORDS), rng.choice(WORDS), rng.getrandbits(32), rng.choice(WORDS),
            rng.choice(WORDS), rng.choice(WORDS), rng.randrange(1000))
        lines.append(line)
        have += len(line)
    return "".join(lines).encode()[:size]


def write(path, data):
    with open(path, "wb") as f:
        f.write(data)


def set_times(path, rng, seconds=None):
    if seconds is None:
        seconds = rng.randrange(10**9, 17 * 10**8)
    ns = seconds * 10**9 + rng.randrange(10**9)
    os.utime(path, ns=(ns, ns), follow_symlinks=False)


def count_files(top):
    return sum(len(files) for _, _, files in os.walk(top))


def make(top, want, seed):
    """The system's headers, as far as they go, and made ones up to the number wanted."""
    rng = random.Random(seed)
    os.makedirs(top, exist_ok=True)
    have = 0
    if os.path.isdir("/usr/include") and count_files("/usr/include") <= want:
        real = os.path.join(top, "include")
        shutil.copytree("/usr/include", real, symlinks=True)
        have = count_files(real)
    directory = top
    while have < want:
        if have % 25 == 0:
            directory = os.path.join(
                top, "made%02d" % (have // 700), "part_%s_%d" % (rng.choice(WORDS), have))
            os.makedirs(directory)
        path = os.path.join(directory, "%s_%s_%d.h" % (rng.choice(WORDS), rng.choice(WORDS), have))
        size = min(int(rng.lognormvariate(8.2, 1.4)), 2 << 20)
        write(path, text(rng, size))
        os.chmod(path, rng.choice([0o644, 0o600, 0o755, 0o444]))
        set_times(path, rng)
        have += 1


# ---- one of everything


def special_sizes(top, rng):
    sizes = set()
    for edge in (0, 1, 2, 3, 4, 16):
        for off in (-17, -16, -2, -1, 0, 1, 2, 16, 17):
            sizes.add(max(0, edge * BLOCK + off))
    sizes |= {15, 64, 100, 511, 512, 513, 1000, 2000, 2047, 2048, 2049, 3000, 3500, 3900, 4000,
              (1 << 20) - 1, 1 << 20, (1 << 20) + 1, 3 * (1 << 20) + 12345}
    for size in sorted(sizes):
        write(os.path.join(top, "size_%d_bytes" % size), rng.randbytes(size))


def special_names(top, rng):
    names = [b"n" * 255, ("\N{SNOWMAN}" * 85).encode(), b"with space", b" leading and trailing ",
             b"-rf", b"--", b"*", b"?", b"[a]", b"new\nline", b"tab\there", b"quote'\"`$(x)",
             b"back\\slash", b"\x01\x02\x7f", bytes(range(0x80, 0xff)), b"...", b"..a", b"%s%n",
             b"a", b"A", b"lost+found", b"con", b"~", b"#x#", b".hidden", "\u00e9".encode(),
             "e\u0301".encode()]
    for name in names:
        write(os.path.join(os.fsencode(top), name), rng.randbytes(40) + name)
    deep = os.path.join(top, "deep")
    for level in range(60):
        deep = os.path.join(deep, "level_%02d" % level)
    os.makedirs(deep)
    write(os.path.join(deep, "bottom"), b"the bottom of a deep tree\n")
    many = os.path.join(top, "many")
    os.mkdir(many)
    for i in range(3000):
        write(os.path.join(many, "entry_%05d" % i), b"")


def special_links(top, rng):
    os.makedirs(os.path.join(top, "other"))
    write(os.path.join(top, "first"), rng.randbytes(9000))
    os.link(os.path.join(top, "first"), os.path.join(top, "second"))
    os.link(os.path.join(top, "first"), os.path.join(top, "other/third"))
    write(os.path.join(top, "small"), b"a small file with two names")
    os.link(os.path.join(top, "small"), os.path.join(top, "other/small_too"))
    targets = {"to_file": "first", "to_dir": "other", "dangling": "no/such/file", "itself": "itself",
               "up": "../..", "absolute": "/etc/hostname", "short": "x", "long": "y/" * 2000 + "end_of_it",
               "longest": "z" * 4095, "bytes": b"\xff\xfe \n"}
    for name, target in targets.items():
        path = os.path.join(top, name)
        os.symlink(os.fsencode(target), os.fsencode(path))
        os.lchown(path, 1234, 4321)
    os.link(os.path.join(top, "dangling"), os.path.join(top, "dangling_too"), follow_symlinks=False)


def special_kinds(top, _rng):
    os.mkfifo(os.path.join(top, "fifo"), 0o640)
    os.link(os.path.join(top, "fifo"), os.path.join(top, "fifo_too"))
    cwd = os.getcwd()
    os.chdir(top)  # a socket's path is short
    with socket.socket(socket.AF_UNIX) as s:
        s.bind("socket")
    os.chdir(cwd)
    for name, kind, major, minor in (("null", stat.S_IFCHR, 1, 3), ("loop", stat.S_IFBLK, 7, 99),
                                     ("wide", stat.S_IFBLK, 259, 1048575), ("zero", stat.S_IFCHR, 0, 0)):
        os.mknod(os.path.join(top, name), kind | 0o600, os.makedev(major, minor))


def special_modes(top, rng):
    for mode in (0, 0o1, 0o10, 0o100, 0o400, 0o644, 0o777, 0o1644, 0o2755, 0o4755, 0o6755, 0o7777):
        path = os.path.join(top, "mode_%04o" % mode)
        write(path, rng.randbytes(100))
        os.chmod(path, mode)
        path = os.path.join(top, "dirmode_%04o" % mode)
        os.mkdir(path)
        os.chmod(path, mode)
    for owner, group in ((0, 0), (1, 2), (1000, 1000), (65534, 65534), (65536, 70000),
                         (4294967294, 4294967294)):
        path = os.path.join(top, "owner_%d_%d" % (owner, group))
        write(path, rng.randbytes(50))
        os.chown(path, owner, group)
        os.chmod(path, 0o4755)  # after chown, which drops it
        path = os.path.join(top, "dirowner_%d_%d" % (owner, group))
        os.mkdir(path)
        os.chown(path, owner, group)


def special_times(top, rng):
    """From 1901 to 2446: what ext4 with its usual inodes can hold."""
    for seconds in (-2147483648, -1, 0, 1, 2147483647, 2147483648, 4102444800, 4294967295, 4294967296,
                    9000000000, 15032385535):
        path = os.path.join(top, "time_%d" % seconds)
        write(path, b"when\n")
        set_times(path, rng, seconds)
        path = os.path.join(top, "dirtime_%d" % seconds)
        os.mkdir(path)
        set_times(path, rng, seconds)
        path = os.path.join(top, "linktime_%d" % seconds)
        os.symlink("when", path)
        set_times(path, rng, seconds)


def acl(*entries):
    """The kernel's form of a POSIX ACL: (tag, permissions, id) each."""
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)


NO_ID = 0xFFFFFFFF
ACCESS_ACL = acl((1, 7, NO_ID), (2, 5, 1000), (4, 5, NO_ID), (8, 6, 2000), (16, 7, NO_ID), (32, 4, NO_ID))
DEFAULT_ACL = acl((1, 7, NO_ID), (2, 6, 1001), (4, 0, NO_ID), (16, 6, NO_ID), (32, 0, NO_ID))
CAPABILITY = struct.pack("<IIIII", 0x02000001, 1 << 10, 0, 0, 0)  # cap_net_bind_service=ep


def try_xattr(path, name, value):
    """What the host's file system cannot hold is not asked of the volume either."""
    try:
        os.setxattr(path, name, value, follow_symlinks=False)
    except OSError as e:
        if e.errno not in (errno.EOPNOTSUPP, errno.ENOSPC, errno.E2BIG, errno.ERANGE):
            raise


def special_xattrs(top, rng):
    path = os.path.join(top, "file")
    write(path, rng.randbytes(300))
    for name, value in (("user.empty", b""), ("user.text", b"the value of an attribute"),
                        ("user." + "n" * 250, b"long name"), ("user.binary", bytes(range(256))),
                        ("trusted.overlay.opaque", b"y"), ("trusted.big", rng.randbytes(1500)),
                        ("security.capability", CAPABILITY), ("security.test", b"label\0"),
                        ("system.posix_acl_access", ACCESS_ACL)):
        try_xattr(path, name, value)
    path = os.path.join(top, "directory")
    os.mkdir(path)
    try_xattr(path, "user.of_a_directory", rng.randbytes(64))
    try_xattr(path, "system.posix_acl_access", ACCESS_ACL)
    try_xattr(path, "system.posix_acl_default", DEFAULT_ACL)
    write(os.path.join(path, "inherits"), b"")
    os.mkdir(os.path.join(path, "inherits_too"))
    path = os.path.join(top, "link")
    os.symlink("file", path)
    try_xattr(path, "trusted.of_a_symlink", b"attributes of the link itself")
    path = os.path.join(top, "fifo")
    os.mkfifo(path)
    try_xattr(path, "trusted.of_a_fifo", b"attributes of a fifo")
    many = os.path.join(top, "many")
    write(many, b"")
    for i in range(30):
        try_xattr(many, "user.attribute_%02d" % i, b"value %d" % i)


def special_sparse(top, rng):
    def holes(name, size, *data):
        path = os.path.join(top, name)
        with open(path, "wb") as f:
            for offset, length in data:
                f.seek(offset)
                f.write(rng.randbytes(length))
            f.truncate(size)

    holes("all_hole", 10 << 20)
    holes("hole_first", 8 << 20, ((8 << 20) - 5000, 5000))
    holes("hole_last", 8 << 20, (0, 5000))
    holes("islands", 64 << 20, *[(i << 20, 3000) for i in range(0, 60, 7)])
    holes("odd_islands", 4 << 20, *[(i * 70000 + 1234, 9000) for i in range(30)])
    holes("huge", 1 << 40, (0, 10), ((1 << 40) - 10, 10))
    holes("one_byte", (3 << 20) + 1, (3 << 20, 1))


SPECIALS = {"sizes": special_sizes, "names": special_names, "links": special_links,
            "kinds": special_kinds, "modes": special_modes, "times": special_times,
            "xattrs": special_xattrs, "sparse": special_sparse}


def specials(top, seed):
    rng = random.Random(seed)
    for name, build in SPECIALS.items():
        directory = os.path.join(top, name)
        os.makedirs(directory)
        build(directory, rng)
    os.makedirs(os.path.join(top, "empty_directory"))


# ---- list and compare


def content(path, st):
    """The digest, reading data alone: a terabyte of hole is read as its length."""
    digest = hashlib.sha256()
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    try:
        if st.st_size < 1 << 30:
            while chunk := os.read(fd, 1 << 20):
                digest.update(chunk)
            return digest.hexdigest()
        for offset in (0, st.st_size // 2, st.st_size - BLOCK):
            digest.update(os.pread(fd, BLOCK, offset))
        return "sampled:" + digest.hexdigest()
    finally:
        os.close(fd)


def facts(path, st, first_names, relative):
    f = {"type": stat.S_IFMT(st.st_mode), "mode": stat.S_IMODE(st.st_mode), "uid": st.st_uid,
         "gid": st.st_gid, "mtime": st.st_mtime_ns}
    xattrs = {}
    for name in sorted(os.listxattr(path, follow_symlinks=False)):
        if name != "security.selinux":
            xattrs[name] = os.getxattr(path, name, follow_symlinks=False).hex()
    f["xattrs"] = xattrs
    if stat.S_ISDIR(st.st_mode):
        return f
    f["nlink"] = st.st_nlink
    f["same_as"] = first_names.setdefault((st.st_dev, st.st_ino), relative)
    if stat.S_ISREG(st.st_mode):
        f["size"] = st.st_size
        f["content"] = content(path, st)
        # Small holes may be filled or found by either file system; large ones must stay.
        f["sparse"] = st.st_blocks * 512 < st.st_size // 2 and st.st_size > 1 << 20
    elif stat.S_ISLNK(st.st_mode):
        f["target"] = os.readlink(path)
    elif stat.S_ISCHR(st.st_mode) or stat.S_ISBLK(st.st_mode):
        f["rdev"] = st.st_rdev
    return f


def listing(top):
    top = os.fsencode(top)
    names = {}
    result = {b".": facts(top, os.lstat(top), names, b".")}
    for directory, dirs, files in os.walk(top):
        dirs.sort()
        for name in sorted(dirs + files):
            path = os.path.join(directory, name)
            relative = os.path.relpath(path, top)
            result[relative] = facts(path, os.lstat(path), names, relative)
    return result


def manifest(top):
    for path, f in sorted(listing(top).items()):
        print(repr(path), " ".join("%s=%r" % item for item in sorted(f.items())))


def compare(a, b, ignored):
    left, right = listing(a), listing(b)
    wrong = []
    for path in sorted(set(left) | set(right)):
        if path not in right:
            wrong.append("%r: missing" % path)
        elif path not in left:
            wrong.append("%r: should not be there" % path)
        else:
            for fact in sorted(set(left[path]) | set(right[path])):
                x, y = left[path].get(fact), right[path].get(fact)
                if fact == "sparse" and not x:
                    continue # the source's file system filled what the copy's need not (tmpfs with huge pages)
                if x != y and fact not in ignored:
                    wrong.append("%r: %s is %.200r, was %.200r" % (path, fact, y, x))
    for line in wrong[:20]:
        print(line)
    if len(wrong) > 20:
        print("... and %d more" % (len(wrong) - 20))
    if not wrong:
        print("# identical: %d entries" % len(left))
    return 1 if wrong else 0


def main(args):
    command = args[0] if args else ""
    if command == "make":
        make(args[1], int(args[2]), int(args[3]))
    elif command == "specials":
        specials(args[1], int(args[2]))
    elif command == "manifest":
        manifest(args[1])
    elif command == "compare":
        return compare(args[1], args[2], args[3:])
    else:
        sys.exit(__doc__)
    return 0


if __name__ == "__main__":
    os.umask(0o022)
    sys.exit(main(sys.argv[1:]))
