#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A table of what POSIX and Linux promise of a file system.

	posix.py DIR [NAME..]	each case (or those named) in a directory of its own below DIR

A line a case: "ok NAME", "skipped NAME: why" or "FAILED NAME: why".  The same table is run on a
reference file system first: a case that fails there is the case's fault.  Run as root.
"""

import ctypes
import errno
import fcntl
import hashlib
import mmap
import os
import random
import select
import signal
import socket
import stat
import struct
import sys
import threading
import time
import traceback

CASES = []
libc = ctypes.CDLL(None, use_errno=True)


class Skip(Exception):
    pass


def case(function):
    CASES.append(function)
    return function


def fails(number, function, *args, **kwargs):
    """The call fails with this errno, or one of these."""
    numbers = number if isinstance(number, tuple) else (number,)
    try:
        function(*args, **kwargs)
    except OSError as e:
        assert e.errno in numbers, "%s, not %s" % (
            errno.errorcode.get(e.errno), "/".join(errno.errorcode[n] for n in numbers))
        return
    raise AssertionError("no %s" % "/".join(errno.errorcode[n] for n in numbers))


def libc_call(name, *args):
    function = getattr(libc, name)
    function.restype = ctypes.c_long if name.endswith("xattr") else ctypes.c_int
    result = function(*args)
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), name)
    return result


NOREPLACE, EXCHANGE, WHITEOUT = 1, 2, 4
AT_FDCWD = -100


def renameat2(a, b, flags):
    libc_call("renameat2", AT_FDCWD, os.fsencode(a), AT_FDCWD, os.fsencode(b), ctypes.c_uint(flags))


KEEP_SIZE, PUNCH_HOLE, COLLAPSE, ZERO_RANGE, INSERT = 1, 2, 8, 16, 32


def link_descriptor(fd, path):
    libc_call("linkat", AT_FDCWD, b"/proc/self/fd/%d" % fd, AT_FDCWD, os.fsencode(path), 0x400)


def fallocate(fd, mode, offset, length):
    libc_call("fallocate", fd, mode, ctypes.c_long(offset), ctypes.c_long(length))


def write(path, data=b"data", mode=0o644):
    with open(os.open(path, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, mode), "wb") as f:
        f.write(data)
    return path


def read(path):
    with open(path, "rb") as f:
        return f.read()


def mode_of(path):
    return stat.S_IMODE(os.lstat(path).st_mode)


def opened(path, flags=os.O_RDWR | os.O_CREAT):
    return os.open(path, flags, 0o644)


def as_user(uid, function, *args, groups=()):
    """In a child with another identity; what it raises is raised here."""
    r, w = os.pipe()
    pid = os.fork()
    if pid == 0:
        message = b""
        try:
            os.setgroups(list(groups))
            os.setresgid(uid, uid, uid)
            os.setresuid(uid, uid, uid)
            function(*args)
        except BaseException as e:  # noqa: everything goes to the parent
            message = repr(e).encode() or b"?"
        os.write(w, message)
        os._exit(0)
    os.close(w)
    message = b""
    while chunk := os.read(r, 4096):
        message += chunk
    os.close(r)
    os.waitpid(pid, 0)
    assert not message, "as user %d: %s" % (uid, message.decode())


USER, OTHER = 1717, 1718

# ---- names


@case
def create_exclusive(d):
    write(d + "/f")
    fails(errno.EEXIST, os.open, d + "/f", os.O_CREAT | os.O_EXCL | os.O_RDWR)
    os.symlink("nowhere", d + "/l")
    fails(errno.EEXIST, os.open, d + "/l", os.O_CREAT | os.O_EXCL | os.O_RDWR)


@case
def missing_names(d):
    for call in (os.unlink, os.rmdir, os.stat, os.readlink, os.listdir):
        fails(errno.ENOENT, call, d + "/none")
        fails(errno.ENOENT, call, d + "/none/below")
    fails(errno.ENOENT, os.rename, d + "/none", d + "/x")
    fails(errno.ENOENT, os.link, d + "/none", d + "/x")


@case
def name_length(d):
    name = "n" * 255
    write(d + "/" + name)
    assert os.listdir(d) == [name]
    for call in (os.mkdir, os.stat, os.unlink, lambda p: os.symlink("x", p), lambda p: write(p)):
        fails(errno.ENAMETOOLONG, call, d + "/" + name + "n")
    fails(errno.ENAMETOOLONG, os.rename, d + "/" + name, d + "/" + "m" * 256)
    fails(errno.ENAMETOOLONG, os.link, d + "/" + name, d + "/" + "m" * 256)


@case
def name_bytes(d):
    names = [bytes([b]) + b"x" for b in range(1, 256) if b != 0x2F]
    for name in names:
        write(os.fsencode(d) + b"/" + name, name)
    assert sorted(os.listdir(os.fsencode(d))) == sorted(names)
    for name in names:
        assert read(os.fsencode(d) + b"/" + name) == name


@case
def names_keep_their_case(d):
    write(d + "/a", b"1")
    write(d + "/A", b"2")
    write(d + "/\u00e9", b"3")
    write(d + "/e\u0301", b"4")
    assert [read(d + "/" + n) for n in ("a", "A", "\u00e9", "e\u0301")] == [b"1", b"2", b"3", b"4"]


@case
def not_a_directory(d):
    write(d + "/f")
    fails(errno.ENOTDIR, os.stat, d + "/f/x")
    fails(errno.ENOTDIR, os.stat, d + "/f/")
    fails(errno.ENOTDIR, os.rmdir, d + "/f")
    fails(errno.ENOTDIR, os.listdir, d + "/f")
    fails(errno.ENOTDIR, os.open, d + "/f", os.O_DIRECTORY)


@case
def is_a_directory(d):
    os.mkdir(d + "/d")
    fails((errno.EISDIR, errno.EPERM), os.unlink, d + "/d")
    fails(errno.EISDIR, os.open, d + "/d", os.O_WRONLY)
    fails(errno.EPERM, os.link, d + "/d", d + "/d2")
    fails(errno.EISDIR, os.truncate, d + "/d", 0)


@case
def directory_not_empty(d):
    os.makedirs(d + "/a/b")
    os.mkdir(d + "/c")
    fails((errno.ENOTEMPTY, errno.EEXIST), os.rmdir, d + "/a")
    fails((errno.ENOTEMPTY, errno.EEXIST), os.rename, d + "/c", d + "/a")
    os.rmdir(d + "/a/b")
    os.rmdir(d + "/a")


@case
def rmdir_dots(d):
    os.mkdir(d + "/d")
    fails(errno.EINVAL, os.rmdir, d + "/d/.")
    fails((errno.ENOTEMPTY, errno.EEXIST), os.rmdir, d + "/d/..")


@case
def removed_directory(d):
    os.mkdir(d + "/d")
    fd = os.open(d + "/d", os.O_DIRECTORY)
    os.rmdir(d + "/d")
    assert os.fstat(fd).st_nlink == 0
    assert os.listdir(fd) == []
    fails(errno.ENOENT, os.open, "x", os.O_CREAT | os.O_WRONLY, dir_fd=fd)
    fails(errno.ENOENT, os.mkdir, "x", dir_fd=fd)
    os.close(fd)


@case
def directory_links(d):
    os.mkdir(d + "/d")
    base = os.stat(d).st_nlink
    os.mkdir(d + "/e")
    assert os.stat(d).st_nlink in (base + 1, 1)
    assert os.stat(d + "/e").st_nlink in (2, 1)
    os.rename(d + "/e", d + "/d/e")
    assert os.stat(d).st_nlink in (base, 1)
    assert os.stat(d + "/d").st_nlink in (3, 1)
    assert os.stat(d + "/d/e/..").st_ino == os.stat(d + "/d").st_ino


@case
def long_path(d):
    cwd = os.getcwd()
    try:
        os.chdir(d)
        for _ in range(30):
            os.mkdir("x" * 200)
            os.chdir("x" * 200)
        write("bottom", b"deep")
        assert read("bottom") == b"deep"
        fails(errno.ENAMETOOLONG, os.stat, "/".join(["x" * 200] * 30))
    finally:
        os.chdir(cwd)


@case
def dot_dot_at_depth(d):
    os.makedirs(d + "/a/b/c")
    assert os.stat(d + "/a/b/c/../../..").st_ino == os.stat(d).st_ino


# ---- links


@case
def hard_links(d):
    write(d + "/a", b"one")
    os.link(d + "/a", d + "/b")
    assert os.stat(d + "/a").st_ino == os.stat(d + "/b").st_ino
    assert os.stat(d + "/a").st_nlink == 2
    with open(d + "/b", "ab") as f:
        f.write(b" two")
    assert read(d + "/a") == b"one two"
    os.unlink(d + "/a")
    assert os.stat(d + "/b").st_nlink == 1 and read(d + "/b") == b"one two"
    fails(errno.EEXIST, os.link, d + "/b", d + "/b")


@case
def link_changes_ctime(d):
    write(d + "/a")
    before = os.stat(d + "/a").st_ctime_ns
    time.sleep(0.02)
    os.link(d + "/a", d + "/b")
    middle = os.stat(d + "/a").st_ctime_ns
    time.sleep(0.02)
    os.unlink(d + "/b")
    assert before < middle < os.stat(d + "/a").st_ctime_ns


@case
def link_to_symlink(d):
    os.symlink("target", d + "/l")
    os.link(d + "/l", d + "/m", follow_symlinks=False)
    assert os.readlink(d + "/m") == "target" and os.lstat(d + "/l").st_nlink == 2


@case
def link_by_descriptor(d):
    fd = opened(write(d + "/a", b"by fd"), os.O_RDONLY)
    link_descriptor(fd, d + "/b")
    os.close(fd)
    assert read(d + "/b") == b"by fd"


@case
def symlinks(d):
    for n, target in enumerate(("x", "../up", "/absolute", "y" * 4095, "b\udcff\n")):
        os.symlink(target, d + "/%d" % n)
        assert os.readlink(d + "/%d" % n) == target
        assert os.lstat(d + "/%d" % n).st_size == len(os.fsencode(target))
    fails((errno.ENAMETOOLONG, errno.EINVAL), os.symlink, "y" * 4097, d + "/long")
    fails((errno.ENOENT, errno.EINVAL), os.symlink, "", d + "/empty")
    fails(errno.EINVAL, os.readlink, write(d + "/f"))


@case
def symlink_loop(d):
    os.symlink("b", d + "/a")
    os.symlink("a", d + "/b")
    fails(errno.ELOOP, os.stat, d + "/a")
    fails(errno.ELOOP, os.open, d + "/a", os.O_RDONLY | os.O_NOFOLLOW)


@case
def symlink_ownership_and_times(d):
    os.symlink("nowhere", d + "/l")
    os.lchown(d + "/l", USER, OTHER)
    os.utime(d + "/l", ns=(123456789, 987654321), follow_symlinks=False)
    st = os.lstat(d + "/l")
    assert (st.st_uid, st.st_gid, st.st_mtime_ns) == (USER, OTHER, 987654321)


# ---- rename


@case
def rename_replaces(d):
    write(d + "/a", b"new")
    write(d + "/b", b"old")
    fd = opened(d + "/b", os.O_RDONLY)
    os.rename(d + "/a", d + "/b")
    assert read(d + "/b") == b"new" and os.listdir(d) == ["b"]
    assert os.read(fd, 10) == b"old" and os.fstat(fd).st_nlink == 0
    os.close(fd)


@case
def rename_same_file(d):
    write(d + "/a")
    os.link(d + "/a", d + "/b")
    os.rename(d + "/a", d + "/b")
    assert sorted(os.listdir(d)) == ["a", "b"]
    os.rename(d + "/a", d + "/a")


@case
def rename_kinds(d):
    write(d + "/f")
    os.mkdir(d + "/d")
    os.mkdir(d + "/e")
    fails(errno.EISDIR, os.rename, d + "/f", d + "/d")
    fails(errno.ENOTDIR, os.rename, d + "/d", d + "/f")
    os.rename(d + "/d", d + "/e")
    assert sorted(os.listdir(d)) == ["e", "f"]


@case
def rename_into_itself(d):
    os.makedirs(d + "/a/b")
    fails(errno.EINVAL, os.rename, d + "/a", d + "/a/b/c")
    fails(errno.EINVAL, os.rename, d + "/a", d + "/a/x")
    fails((errno.EBUSY, errno.EINVAL), os.rename, d + "/a/.", d + "/x")


@case
def rename_directory_moves_dotdot(d):
    os.makedirs(d + "/a/sub/deep")
    os.mkdir(d + "/b")
    os.rename(d + "/a/sub", d + "/b/sub")
    assert os.stat(d + "/b/sub/..").st_ino == os.stat(d + "/b").st_ino
    assert os.listdir(d + "/b/sub") == ["deep"]


@case
def rename_times(d):
    write(d + "/f")
    os.mkdir(d + "/to")
    before = os.stat(d + "/f")
    parents = os.stat(d).st_mtime_ns, os.stat(d + "/to").st_mtime_ns
    time.sleep(0.02)
    os.rename(d + "/f", d + "/to/f")
    after = os.stat(d + "/to/f")
    assert after.st_mtime_ns == before.st_mtime_ns and after.st_ino == before.st_ino
    assert os.stat(d).st_mtime_ns > parents[0] and os.stat(d + "/to").st_mtime_ns > parents[1]


@case
def rename_noreplace(d):
    write(d + "/a", b"a")
    write(d + "/b", b"b")
    fails(errno.EEXIST, renameat2, d + "/a", d + "/b", NOREPLACE)
    renameat2(d + "/a", d + "/c", NOREPLACE)
    assert read(d + "/c") == b"a" and read(d + "/b") == b"b"


@case
def rename_exchange(d):
    write(d + "/a", b"file")
    os.makedirs(d + "/x/dir/sub")
    renameat2(d + "/a", d + "/x/dir", EXCHANGE)
    assert read(d + "/x/dir") == b"file" and os.listdir(d + "/a") == ["sub"]
    assert os.stat(d + "/a/..").st_ino == os.stat(d).st_ino
    fails(errno.ENOENT, renameat2, d + "/a", d + "/none", EXCHANGE)
    fails(errno.EINVAL, renameat2, d + "/a", d + "/x", EXCHANGE | NOREPLACE)


@case
def rename_whiteout(d):
    write(d + "/a", b"moved")
    renameat2(d + "/a", d + "/b", WHITEOUT)
    st = os.lstat(d + "/a")
    assert stat.S_ISCHR(st.st_mode) and st.st_rdev == 0
    assert read(d + "/b") == b"moved"


@case
def rename_exdev(d):
    write(d + "/f")
    fails(errno.EXDEV, os.rename, d + "/f", "/proc/x")
    fails(errno.EXDEV, os.rename, "/proc/version", d + "/x")


@case
def rename_race(d):
    """A name that is replaced all the time is there all the time."""
    write(d + "/target", b"0" * 100)
    stop = threading.Event()
    wrong = []

    def look():
        while not stop.is_set():
            try:
                data = read(d + "/target")
                if len(data) != 100 or len(set(data)) != 1:
                    wrong.append(data)
            except OSError as e:
                wrong.append(e)

    threads = [threading.Thread(target=look) for _ in range(3)]
    for t in threads:
        t.start()
    for i in range(400):
        write(d + "/new", b"%d" % (i % 10) * 100)
        os.rename(d + "/new", d + "/target")
    stop.set()
    for t in threads:
        t.join()
    assert not wrong, wrong[:3]


# ---- directories


@case
def readdir_complete(d):
    names = {"entry_%d" % i for i in range(5000)}
    for name in names:
        write(d + "/" + name, b"")
    have = os.listdir(d)
    assert len(have) == len(names) and set(have) == names
    kinds = {e.name: e.is_file() for e in os.scandir(d)}
    assert all(kinds.values())


@case
def readdir_while_deleting(d):
    for i in range(3000):
        write(d + "/f%d" % i, b"")
    seen = 0
    with os.scandir(d) as entries:
        for e in entries:
            os.unlink(e.path)
            seen += 1
    assert seen == 3000, seen
    assert os.listdir(d) == []


@case
def readdir_while_creating(d):
    """What is there from begin to end is seen exactly once."""
    for i in range(2000):
        write(d + "/old%d" % i, b"")
    seen = []
    with os.scandir(d) as entries:
        for n, e in enumerate(entries):
            seen.append(e.name)
            if n < 2000:
                write(d + "/new%d" % n, b"")
                if n % 3 == 0:
                    os.unlink(d + "/new%d" % n)
    old = [n for n in seen if n.startswith("old")]
    assert len(old) == 2000 and len(set(old)) == 2000, (len(old), len(set(old)))


@case
def readdir_types(d):
    os.mkdir(d + "/dir")
    write(d + "/file")
    os.symlink("x", d + "/link")
    os.mkfifo(d + "/fifo")
    kinds = {e.name: (e.is_dir(follow_symlinks=False), e.is_file(follow_symlinks=False), e.is_symlink())
             for e in os.scandir(d)}
    assert kinds == {"dir": (True, False, False), "file": (False, True, False),
                     "link": (False, False, True), "fifo": (False, False, False)}, kinds


@case
def readdir_inodes(d):
    for i in range(50):
        write(d + "/%d" % i)
    for e in os.scandir(d):
        assert e.inode() == os.lstat(e.path).st_ino


@case
def directory_of_100000(d):
    n = 10000 if os.environ.get("E2E_QUICK") == "1" else 100000
    for i in range(n):
        os.close(os.open("%s/%06d" % (d, i), os.O_CREAT | os.O_WRONLY))
    assert len(set(os.listdir(d))) == n
    for i in range(0, n, 997):
        assert os.stat("%s/%06d" % (d, i)).st_size == 0
    fails(errno.ENOENT, os.stat, d + "/100000")
    for i in range(n):
        os.unlink("%s/%06d" % (d, i))
    assert os.listdir(d) == []


@case
def directory_times(d):
    before = os.stat(d).st_mtime_ns
    for step in (lambda: write(d + "/f"), lambda: os.mkdir(d + "/d"), lambda: os.unlink(d + "/f"),
                 lambda: os.rmdir(d + "/d"), lambda: os.symlink("x", d + "/l")):
        time.sleep(0.012)
        step()
        now = os.stat(d).st_mtime_ns
        assert now > before
        before = now


@case
def many_directories(d):
    for i in range(1500):
        os.mkdir(d + "/%d" % i)
    assert os.stat(d).st_nlink in (1502, 1)


# ---- contents


@case
def read_and_write_edges(d):
    fd = opened(d + "/f")
    rng = random.Random(1)
    model = bytearray()
    for _ in range(600):
        at = rng.choice([0, 1, 4095, 4096, 4097, 8192, 65535, 65536, 131072, rng.randrange(300000)])
        data = rng.randbytes(rng.choice([1, 2, 100, 4095, 4096, 4097, 9000, 70000]))
        if rng.random() < 0.1:
            size = rng.randrange(300000)
            os.ftruncate(fd, size)
            model = model[:size] + bytes(max(0, size - len(model)))
        os.pwrite(fd, data, at)
        if len(model) < at:
            model += bytes(at - len(model))
        model[at:at + len(data)] = data
        at = rng.randrange(len(model))
        assert os.pread(fd, 5000, at) == model[at:at + 5000]
    assert os.fstat(fd).st_size == len(model)
    assert os.pread(fd, len(model) + 10, 0) == model
    os.close(fd)


@case
def append_mode(d):
    a = opened(d + "/f", os.O_CREAT | os.O_WRONLY | os.O_APPEND)
    b = opened(d + "/f", os.O_WRONLY | os.O_APPEND)
    for i in range(100):
        os.write(a, b"a%02d" % i)
        os.write(b, b"b%02d" % i)
    os.lseek(a, 0, os.SEEK_SET)
    os.write(a, b"end")
    data = read(d + "/f")
    assert len(data) == 603 and data.endswith(b"end") and data[:6] == b"a00b00"


@case
def append_by_many(d):
    """No append of several processes is lost or mixed."""
    write(d + "/f", b"")
    pids = []
    for p in range(4):
        pid = os.fork()
        if pid == 0:
            fd = os.open(d + "/f", os.O_WRONLY | os.O_APPEND)
            for i in range(200):
                os.write(fd, b"%d%04d" % (p, i) * 20 + b"\n")
            os._exit(0)
        pids.append(pid)
    for pid in pids:
        assert os.waitpid(pid, 0)[1] == 0
    lines = read(d + "/f").splitlines()
    assert len(lines) == 800 and len(set(lines)) == 800 and {len(x) for x in lines} == {100}


@case
def truncate_and_zeroes(d):
    write(d + "/f", b"x" * 10000)
    os.truncate(d + "/f", 5000)
    os.truncate(d + "/f", 20000)
    assert read(d + "/f") == b"x" * 5000 + bytes(15000)
    os.truncate(d + "/f", 0)
    assert read(d + "/f") == b"" and os.stat(d + "/f").st_blocks == 0


@case
def truncate_on_open(d):
    write(d + "/f", b"x" * 10000)
    before = os.stat(d + "/f")
    time.sleep(0.02)
    os.close(os.open(d + "/f", os.O_WRONLY | os.O_TRUNC))
    after = os.stat(d + "/f")
    assert after.st_size == 0 and after.st_mtime_ns > before.st_mtime_ns and after.st_ino == before.st_ino


@case
def truncate_errors(d):
    fails(errno.EINVAL, os.truncate, write(d + "/f"), -1)
    os.mkfifo(d + "/p")
    fails(errno.EINVAL, os.truncate, d + "/p", 0)
    fd = opened(d + "/f", os.O_RDONLY)
    fails((errno.EINVAL, errno.EBADF), os.ftruncate, fd, 0)
    os.close(fd)


@case
def sparse_file(d):
    fd = opened(d + "/f")
    os.pwrite(fd, b"end", 1 << 40)
    os.fsync(fd)
    st = os.fstat(fd)
    assert st.st_size == (1 << 40) + 3 and st.st_blocks < 1000
    assert os.pread(fd, 100, 1 << 30) == bytes(100)
    assert os.pread(fd, 10, 1 << 40) == b"end"
    os.close(fd)


@case
def seek_hole_and_data(d):
    fd = opened(d + "/f")
    os.pwrite(fd, b"a" * 65536, 1 << 20)
    os.ftruncate(fd, 4 << 20)
    os.fsync(fd)
    assert os.lseek(fd, 0, os.SEEK_DATA) == 1 << 20
    assert os.lseek(fd, 1 << 20, os.SEEK_HOLE) == (1 << 20) + 65536
    assert os.lseek(fd, 0, os.SEEK_HOLE) == 0
    fails(errno.ENXIO, os.lseek, fd, 2 << 20, os.SEEK_DATA)
    fails(errno.ENXIO, os.lseek, fd, 4 << 20, os.SEEK_HOLE)
    os.close(fd)


@case
def seek_in_unsynced_file(d):
    fd = opened(d + "/f")
    os.pwrite(fd, b"a" * 8192, 1 << 20)
    assert os.lseek(fd, 1 << 20, os.SEEK_DATA) == 1 << 20
    assert os.lseek(fd, 1 << 20, os.SEEK_HOLE) == (1 << 20) + 8192
    os.close(fd)


@case
def fallocate_modes(d):
    fd = opened(d + "/f")
    fallocate(fd, 0, 0, 100000)
    assert os.fstat(fd).st_size == 100000 and os.pread(fd, 100000, 0) == bytes(100000)
    fallocate(fd, KEEP_SIZE, 0, 200000)
    assert os.fstat(fd).st_size == 100000
    os.pwrite(fd, b"x" * 100000, 0)
    fallocate(fd, PUNCH_HOLE | KEEP_SIZE, 5000, 10000)
    want = b"x" * 5000 + bytes(10000) + b"x" * 85000
    assert os.pread(fd, 200000, 0) == want
    fallocate(fd, ZERO_RANGE, 50000, 60000)
    want = want[:50000] + bytes(60000)
    assert os.fstat(fd).st_size == 110000 and os.pread(fd, 200000, 0) == want
    fallocate(fd, ZERO_RANGE | KEEP_SIZE, 100, 1)
    want = want[:100] + b"\0" + want[101:]
    assert os.pread(fd, 200000, 0) == want
    fails((errno.EOPNOTSUPP, errno.EINVAL), fallocate, fd, PUNCH_HOLE, 0, 4096)
    fails(errno.EINVAL, fallocate, fd, 0, 0, 0)
    fails(errno.EINVAL, fallocate, fd, 0, -1, 10)
    os.close(fd)
    assert read(d + "/f") == want


@case
def punch_frees(d):
    fd = opened(d + "/f")
    os.pwrite(fd, os.urandom(4 << 20), 0)
    os.fsync(fd)
    os.close(fd)  # FUSE's writeback cache counts an open file's blocks late
    fd = opened(d + "/f")
    before = os.fstat(fd).st_blocks
    assert before >= 8192, before
    fallocate(fd, PUNCH_HOLE | KEEP_SIZE, 1 << 20, 2 << 20)
    os.fsync(fd)
    assert os.fstat(fd).st_blocks <= before - 4000, (before, os.fstat(fd).st_blocks)
    assert os.lseek(fd, 0, os.SEEK_HOLE) == 1 << 20
    os.close(fd)


@case
def posix_fallocate(d):
    fd = opened(d + "/f")
    os.posix_fallocate(fd, 10, 9000)
    assert os.fstat(fd).st_size == 9010
    os.close(fd)


@case
def copy_file_range(d):
    data = os.urandom(300000)
    src = opened(write(d + "/a", data), os.O_RDONLY)
    dst = opened(d + "/b")
    done = 0
    while done < len(data):
        n = os.copy_file_range(src, dst, len(data) - done)
        assert n > 0
        done += n
    assert read(d + "/b") == data
    n = os.copy_file_range(src, dst, 1000, 7, 299500)
    assert n == 1000 and read(d + "/b") == data[:299500] + data[7:1007]
    assert os.copy_file_range(src, dst, 1000, 300000, 0) == 0
    os.close(src)
    os.close(dst)


@case
def sendfile_and_splice(d):
    data = os.urandom(200000)
    src = opened(write(d + "/a", data), os.O_RDONLY)
    dst = opened(d + "/b")
    done = 0
    while done < len(data):
        done += os.sendfile(dst, src, done, len(data) - done)
    assert read(d + "/b") == data


@case
def vectors(d):
    fd = opened(d + "/f")
    os.pwritev(fd, [b"one", b"two", b"x" * 5000], 10)
    buffers = [bytearray(3), bytearray(3), bytearray(5000)]
    assert os.preadv(fd, buffers, 10) == 5006
    assert [bytes(b) for b in buffers] == [b"one", b"two", b"x" * 5000]
    os.close(fd)


@case
def direct_io(d):
    try:
        fd = os.open(d + "/f", os.O_RDWR | os.O_CREAT | os.O_DIRECT, 0o644)
    except OSError as e:
        raise Skip("O_DIRECT: %s" % e.strerror)
    buffer = mmap.mmap(-1, 1 << 20)
    data = os.urandom(1 << 20)
    buffer[:] = data
    assert os.pwrite(fd, buffer, 0) == 1 << 20
    buffer[:] = bytes(1 << 20)
    assert os.preadv(fd, [buffer], 0) == 1 << 20
    assert buffer[:] == data
    assert read(d + "/f") == data
    plain = opened(d + "/f", os.O_RDWR)
    os.pwrite(plain, b"buffered", 4096)
    os.fsync(plain)
    assert os.preadv(fd, [memoryview(buffer)[:4096]], 4096) == 4096
    assert buffer[:8] == b"buffered"
    os.close(fd)
    os.close(plain)


@case
def synchronous_flags(d):
    for flag in (os.O_SYNC, os.O_DSYNC):
        fd = os.open(d + "/f", os.O_RDWR | os.O_CREAT | flag, 0o644)
        os.write(fd, b"synced")
        os.fdatasync(fd)
        os.close(fd)
    fd = os.open(d, os.O_RDONLY | os.O_DIRECTORY)
    os.fsync(fd)
    os.close(fd)


@case
def large_offsets(d):
    fd = opened(d + "/f")
    for at in ((1 << 31) - 2, (1 << 32) - 2, 1 << 33, (1 << 40) - 1):
        os.pwrite(fd, b"12345", at)
        assert os.pread(fd, 5, at) == b"12345"
    fails((errno.EFBIG, errno.EINVAL), os.pwrite, fd, b"x", (1 << 63) - 1)
    os.close(fd)


@case
def unlinked_but_open(d):
    fd = opened(d + "/f")
    os.write(fd, b"x" * 100000)
    os.unlink(d + "/f")
    assert os.fstat(fd).st_nlink == 0
    os.pwrite(fd, b"y" * 10, 50000)
    os.ftruncate(fd, 80000)
    assert os.pread(fd, 10, 50000) == b"y" * 10 and os.fstat(fd).st_size == 80000
    os.fchmod(fd, 0o600)
    os.fsync(fd)
    write(d + "/f", b"another")
    assert os.pread(fd, 1, 0) == b"x" and read(d + "/f") == b"another"
    os.close(fd)


@case
def tmpfile(d):
    try:
        fd = os.open(d, os.O_TMPFILE | os.O_RDWR, 0o640)
    except OSError as e:
        if e.errno in (errno.EOPNOTSUPP, errno.EISDIR):
            raise Skip("O_TMPFILE: %s" % e.strerror)
        raise
    os.write(fd, b"nameless")
    assert os.listdir(d) == [] and os.fstat(fd).st_nlink == 0
    link_descriptor(fd, d + "/named")
    os.close(fd)
    assert read(d + "/named") == b"nameless" and mode_of(d + "/named") == 0o640


@case
def shared_mapping(d):
    fd = opened(d + "/f")
    os.ftruncate(fd, 1 << 20)
    m = mmap.mmap(fd, 1 << 20)
    m[5000:5005] = b"hello"
    assert os.pread(fd, 5, 5000) == b"hello"
    os.pwrite(fd, b"world", 700000)
    assert m[700000:700005] == b"world"
    m.flush()
    m.close()
    os.close(fd)
    assert read(d + "/f")[5000:5005] == b"hello"


@case
def mapping_outlives_name(d):
    fd = opened(d + "/f")
    os.write(fd, b"z" * 8192)
    m = mmap.mmap(fd, 8192)
    os.close(fd)
    os.unlink(d + "/f")
    m[0:3] = b"abc"
    m.flush()
    assert m[0:4] == b"abcz" and m[8191:] == b"z"
    m.close()


@case
def private_mapping(d):
    fd = opened(d + "/f")
    os.write(fd, b"q" * 4096)
    m = mmap.mmap(fd, 4096, flags=mmap.MAP_PRIVATE)
    m[0:2] = b"zz"
    m.close()
    assert os.pread(fd, 2, 0) == b"qq"
    os.close(fd)


@case
def mapping_beyond_end_is_zero(d):
    fd = opened(d + "/f")
    os.write(fd, b"q" * 100)
    m = mmap.mmap(fd, 100, prot=mmap.PROT_READ)
    assert m[:] == b"q" * 100
    m.close()
    os.ftruncate(fd, 50)
    os.ftruncate(fd, 200)
    assert os.pread(fd, 200, 0) == b"q" * 50 + bytes(150)
    os.close(fd)


@case
def execute(d):
    write(d + "/script", b"#!/bin/sh\necho ran $1\n", 0o755)
    assert os.popen(d + "/script well").read() == "ran well\n"
    os.chmod(d + "/script", 0o644)
    fails(errno.EACCES, os.execv, d + "/script", ["x"])


# ---- attributes


@case
def modes(d):
    write(d + "/f")
    for mode in (0, 0o777, 0o4755, 0o2755, 0o1777, 0o7777, 0o644):
        os.chmod(d + "/f", mode)
        assert mode_of(d + "/f") == mode
    fd = opened(d + "/f")
    os.fchmod(fd, 0o711)
    assert mode_of(d + "/f") == 0o711
    os.close(fd)


@case
def umask_is_applied(d):
    old = os.umask(0o027)
    try:
        os.close(os.open(d + "/f", os.O_CREAT | os.O_WRONLY, 0o666))
        os.mkdir(d + "/d", 0o777)
        os.mkfifo(d + "/p", 0o666)
    finally:
        os.umask(old)
    assert (mode_of(d + "/f"), mode_of(d + "/d"), mode_of(d + "/p")) == (0o640, 0o750, 0o640)


@case
def setgid_directory(d):
    os.mkdir(d + "/d")
    os.chown(d + "/d", 0, OTHER)
    os.chmod(d + "/d", 0o2777)
    write(d + "/d/f")
    os.mkdir(d + "/d/sub")
    os.symlink("x", d + "/d/l")
    assert os.stat(d + "/d/f").st_gid == OTHER and mode_of(d + "/d/f") & 0o2000 == 0
    assert os.stat(d + "/d/sub").st_gid == OTHER and mode_of(d + "/d/sub") & 0o2000
    assert os.lstat(d + "/d/l").st_gid == OTHER


@case
def chown_drops_set_ids(d):
    write(d + "/f")
    os.chmod(d + "/f", 0o6755)
    os.chown(d + "/f", USER, USER)
    assert mode_of(d + "/f") == 0o755
    os.mkdir(d + "/d")
    os.chmod(d + "/d", 0o6755)
    os.chown(d + "/d", USER, USER)
    assert mode_of(d + "/d") == 0o6755
    os.chmod(d + "/f", 0o2644)  # not executable by the group: stays
    os.chown(d + "/f", OTHER, -1)
    assert mode_of(d + "/f") in (0o2644, 0o644)


@case
def write_drops_set_ids(d):
    os.chmod(d, 0o777)
    write(d + "/f")
    os.chmod(d + "/f", 0o6777)
    as_user(USER, lambda: write_some(d + "/f"))
    assert mode_of(d + "/f") == 0o777, oct(mode_of(d + "/f"))
    os.chmod(d + "/f", 0o6777)
    as_user(USER, lambda: os.truncate(d + "/f", 0))
    assert mode_of(d + "/f") == 0o777, oct(mode_of(d + "/f"))


def write_some(path):
    fd = os.open(path, os.O_WRONLY)
    os.write(fd, b"some")
    os.close(fd)


@case
def write_drops_capabilities(d):
    write(d + "/f", b"x")
    capability = struct.pack("<IIIII", 0x02000001, 1 << 10, 0, 0, 0)
    os.setxattr(d + "/f", "security.capability", capability)
    assert os.getxattr(d + "/f", "security.capability") == capability
    write_some(d + "/f")
    fails(errno.ENODATA, os.getxattr, d + "/f", "security.capability")


@case
def permissions(d):
    os.chmod(d, 0o755)
    write(d + "/secret", b"s")
    os.chmod(d + "/secret", 0o600)
    os.mkdir(d + "/closed", 0o700)
    write(d + "/closed/f")

    def attempt():
        fails(errno.EACCES, os.open, d + "/secret", os.O_RDONLY)
        fails(errno.EACCES, os.stat, d + "/closed/f")
        fails(errno.EACCES, write, d + "/new")
        fails(errno.EACCES, os.unlink, d + "/secret")
        fails(errno.EPERM, os.chmod, d + "/secret", 0o777)
        fails(errno.EPERM, os.chown, d + "/secret", USER, USER)
        fails((errno.EACCES, errno.EPERM), os.utime, d + "/secret", (1, 1))
        assert not os.access(d + "/secret", os.R_OK)

    as_user(USER, attempt)


@case
def group_permissions(d):
    os.chmod(d, 0o755)
    write(d + "/f", b"s")
    os.chown(d + "/f", 0, 5555)
    os.chmod(d + "/f", 0o640)
    as_user(USER, lambda: read(d + "/f"), groups=(5555,))
    as_user(USER, lambda: fails(errno.EACCES, read, d + "/f"))


@case
def sticky_directory(d):
    os.chmod(d, 0o1777)
    write(d + "/f")
    os.chown(d + "/f", USER, USER)
    as_user(OTHER, lambda: fails((errno.EPERM, errno.EACCES), os.unlink, d + "/f"))
    as_user(OTHER, lambda: fails((errno.EPERM, errno.EACCES), os.rename, d + "/f", d + "/g"))
    as_user(USER, lambda: os.unlink(d + "/f"))


@case
def owner_rules(d):
    os.chmod(d, 0o777)

    def own():
        write(d + "/mine")
        os.chmod(d + "/mine", 0o600)
        fails(errno.EPERM, os.chown, d + "/mine", OTHER, -1)
        os.chmod(d + "/mine", 0o2755)  # the group is one's own: stays
        assert mode_of(d + "/mine") == 0o2755

    as_user(USER, own)
    st = os.stat(d + "/mine")
    assert (st.st_uid, st.st_gid) == (USER, USER)
    os.chown(d + "/mine", -1, OTHER)
    as_user(USER, lambda: os.chmod(d + "/mine", 0o2755))
    assert mode_of(d + "/mine") == 0o755  # not of that group: the bit is dropped


@case
def utimes(d):
    write(d + "/f")
    for ns in (0, 1, 999999999, 1234567890123456789, -1000000000 * 86400 + 5, 2147483648 * 10**9 + 7,
               4102444800 * 10**9 + 123456789):
        os.utime(d + "/f", ns=(ns, ns + 1))
        st = os.stat(d + "/f")
        assert (st.st_atime_ns, st.st_mtime_ns) == (ns, ns + 1), (ns, st.st_mtime_ns)
    before = os.stat(d + "/f").st_ctime_ns
    time.sleep(0.012)
    os.utime(d + "/f")
    st = os.stat(d + "/f")
    assert abs(st.st_mtime - time.time()) < 10 and st.st_ctime_ns > before


@case
def utime_omit(d):
    write(d + "/f")
    os.utime(d + "/f", ns=(1000, 2000))

    class Timespec(ctypes.Structure):
        _fields_ = [("sec", ctypes.c_long), ("nsec", ctypes.c_long)]

    omit = (1 << 30) - 2
    times = (Timespec * 2)(Timespec(0, omit), Timespec(5, 6))
    libc_call("utimensat", AT_FDCWD, os.fsencode(d + "/f"), times, 0)
    st = os.stat(d + "/f")
    assert (st.st_atime_ns, st.st_mtime_ns) == (1000, 5 * 10**9 + 6)


@case
def write_changes_times(d):
    write(d + "/f")
    before = os.stat(d + "/f")
    time.sleep(0.02)
    fd = opened(d + "/f")
    os.write(fd, b"x")
    os.fsync(fd)
    os.close(fd)
    after = os.stat(d + "/f")
    assert after.st_mtime_ns > before.st_mtime_ns and after.st_ctime_ns > before.st_ctime_ns
    time.sleep(0.02)
    os.chmod(d + "/f", 0o600)
    last = os.stat(d + "/f")
    assert last.st_mtime_ns == after.st_mtime_ns and last.st_ctime_ns > after.st_ctime_ns


@case
def utime_after_write_stays(d):
    """cp -p: times set while written pages are still in memory are not overwritten later."""
    fd = opened(d + "/f")
    os.write(fd, b"x" * 100000)
    os.utime(fd, ns=(10**18, 10**18 + 5))
    os.close(fd)
    os.sync()
    fd = opened(d + "/f", os.O_RDWR)
    os.fsync(fd)
    os.close(fd)
    assert os.stat(d + "/f").st_mtime_ns == 10**18 + 5


@case
def special_files(d):
    os.mkfifo(d + "/p", 0o600)
    for name, kind, device in (("c", stat.S_IFCHR, os.makedev(1, 3)), ("b", stat.S_IFBLK, os.makedev(259, 70000))):
        os.mknod(d + "/" + name, kind | 0o600, device)
        st = os.lstat(d + "/" + name)
        assert stat.S_IFMT(st.st_mode) == kind and st.st_rdev == device
    pid = os.fork()
    if pid == 0:
        with open(d + "/p", "wb") as f:
            f.write(b"through the pipe")
        os._exit(0)
    assert read(d + "/p") == b"through the pipe"
    os.waitpid(pid, 0)
    with socket.socket(socket.AF_UNIX) as server, socket.socket(socket.AF_UNIX) as client:
        cwd = os.getcwd()
        os.chdir(d)
        server.bind("s")
        server.listen()
        client.connect("s")
        os.chdir(cwd)
    assert stat.S_ISSOCK(os.lstat(d + "/s").st_mode)


@case
def device_opens(d):
    os.mknod(d + "/null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
    try:
        write_some(d + "/null")
    except PermissionError:
        raise Skip("mounted nodev")
    assert read(d + "/null") == b""


# ---- extended attributes and ACLs


@case
def xattrs(d):
    write(d + "/f")
    os.setxattr(d + "/f", "user.a", b"1")
    os.setxattr(d + "/f", "user.b", b"")
    os.setxattr(d + "/f", "trusted.c", b"\0\xff")
    assert sorted(os.listxattr(d + "/f")) == ["trusted.c", "user.a", "user.b"]
    assert [os.getxattr(d + "/f", n) for n in ("user.a", "user.b", "trusted.c")] == [b"1", b"", b"\0\xff"]
    fails(errno.EEXIST, os.setxattr, d + "/f", "user.a", b"2", os.XATTR_CREATE)
    fails(errno.ENODATA, os.setxattr, d + "/f", "user.x", b"2", os.XATTR_REPLACE)
    os.setxattr(d + "/f", "user.a", b"longer value", os.XATTR_REPLACE)
    assert os.getxattr(d + "/f", "user.a") == b"longer value"
    os.removexattr(d + "/f", "user.a")
    fails(errno.ENODATA, os.removexattr, d + "/f", "user.a")
    fails(errno.ENODATA, os.getxattr, d + "/f", "user.a")
    fails(errno.EOPNOTSUPP, os.setxattr, d + "/f", "nonsense.a", b"1")


@case
def xattr_sizes(d):
    write(d + "/f")
    os.setxattr(d + "/f", "user.x", b"v" * 2000)
    buffer = ctypes.create_string_buffer(10)
    fails(errno.ERANGE, libc_call, "getxattr", os.fsencode(d + "/f"), b"user.x", buffer, 10)
    assert libc_call("getxattr", os.fsencode(d + "/f"), b"user.x", None, 0) == 2000
    fails(errno.ERANGE, os.setxattr, d + "/f", "user." + "n" * 251, b"")
    fails((errno.E2BIG, errno.ENOSPC), os.setxattr, d + "/f", "user.big", b"v" * 65537)


@case
def xattrs_of_others(d):
    os.chmod(d, 0o777)
    write(d + "/f")
    os.setxattr(d + "/f", "trusted.t", b"1")
    os.setxattr(d + "/f", "user.u", b"1")
    os.chmod(d + "/f", 0o644)

    def attempt():
        assert os.getxattr(d + "/f", "user.u") == b"1"
        fails((errno.EACCES, errno.EPERM), os.setxattr, d + "/f", "user.u", b"2")
        fails((errno.ENODATA, errno.EPERM), os.getxattr, d + "/f", "trusted.t")
        fails(errno.EPERM, os.setxattr, d + "/f", "trusted.t", b"2")

    as_user(USER, attempt)
    os.symlink("f", d + "/l")
    fails(errno.EPERM, os.setxattr, d + "/l", "user.u", b"1", follow_symlinks=False)


NO_ID = 0xFFFFFFFF


def acl(*entries):
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *e) for e in entries)


@case
def acl_gives_access(d):
    os.chmod(d, 0o755)
    write(d + "/f", b"shared")
    os.chmod(d + "/f", 0o600)
    os.setxattr(d + "/f", "system.posix_acl_access",
                acl((1, 6, NO_ID), (2, 4, USER), (4, 0, NO_ID), (16, 4, NO_ID), (32, 0, NO_ID)))
    assert mode_of(d + "/f") == 0o640  # the group bits show the mask
    as_user(USER, lambda: read(d + "/f"))
    as_user(OTHER, lambda: fails(errno.EACCES, read, d + "/f"))
    as_user(USER, lambda: fails(errno.EACCES, write_some, d + "/f"))
    os.chmod(d + "/f", 0o600)
    as_user(USER, lambda: fails(errno.EACCES, read, d + "/f"))  # masked
    os.removexattr(d + "/f", "system.posix_acl_access")
    assert "system.posix_acl_access" not in os.listxattr(d + "/f")


@case
def acl_is_inherited(d):
    os.setxattr(d, "system.posix_acl_default",
                acl((1, 7, NO_ID), (2, 7, USER), (4, 5, NO_ID), (16, 7, NO_ID), (32, 0, NO_ID)))
    old = os.umask(0o077)
    try:
        write(d + "/f", b"", 0o666)
        os.mkdir(d + "/sub", 0o777)
    finally:
        os.umask(old)
    assert mode_of(d + "/f") == 0o660, oct(mode_of(d + "/f"))
    assert os.getxattr(d + "/f", "system.posix_acl_access") == acl(
        (1, 6, NO_ID), (2, 7, USER), (4, 5, NO_ID), (16, 6, NO_ID), (32, 0, NO_ID))
    assert os.getxattr(d + "/sub", "system.posix_acl_default") == os.getxattr(d, "system.posix_acl_default")
    assert mode_of(d + "/sub") == 0o770, oct(mode_of(d + "/sub"))


@case
def acl_errors(d):
    write(d + "/f")
    for bad in (b"nonsense", acl((1, 7, NO_ID)), acl((1, 9, NO_ID), (4, 5, NO_ID), (32, 0, NO_ID)),
                struct.pack("<I", 99)):
        fails((errno.EINVAL, errno.EOPNOTSUPP), os.setxattr, d + "/f", "system.posix_acl_access", bad)
    fails((errno.EACCES, errno.EINVAL), os.setxattr, d + "/f", "system.posix_acl_default",
          acl((1, 7, NO_ID), (4, 5, NO_ID), (32, 0, NO_ID)))
    minimal = acl((1, 6, NO_ID), (4, 4, NO_ID), (32, 4, NO_ID))
    os.setxattr(d + "/f", "system.posix_acl_access", minimal)  # no more than the mode says
    assert mode_of(d + "/f") == 0o644


# ---- locks and the rest


@case
def flocks(d):
    a, b = opened(d + "/f"), opened(d + "/f")
    fcntl.flock(a, fcntl.LOCK_EX)
    fails(errno.EAGAIN, fcntl.flock, b, fcntl.LOCK_SH | fcntl.LOCK_NB)
    fcntl.flock(a, fcntl.LOCK_SH)
    fcntl.flock(b, fcntl.LOCK_SH | fcntl.LOCK_NB)
    os.close(a)
    fcntl.flock(b, fcntl.LOCK_EX | fcntl.LOCK_NB)
    os.close(b)


@case
def posix_locks(d):
    fd = opened(d + "/f")
    fcntl.lockf(fd, fcntl.LOCK_EX, 100, 50)

    def other():
        mine = os.open(d + "/f", os.O_RDWR)
        fails((errno.EAGAIN, errno.EACCES), fcntl.lockf, mine, fcntl.LOCK_EX | fcntl.LOCK_NB, 10, 60)
        fcntl.lockf(mine, fcntl.LOCK_EX | fcntl.LOCK_NB, 50, 0)

    os.chmod(d, 0o777)
    os.chmod(d + "/f", 0o666)
    as_user(USER, other)
    os.close(fd)


@case
def ofd_locks(d):
    a, b = opened(d + "/f"), opened(d + "/f")
    lock = struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, 0, 100, 0)
    set_ofd = 37
    fcntl.fcntl(a, set_ofd, lock)
    fails((errno.EAGAIN, errno.EACCES), fcntl.fcntl, b, set_ofd, lock)
    os.close(a)
    fcntl.fcntl(b, set_ofd, lock)
    os.close(b)


@case
def lock_waits(d):
    fd = opened(d + "/f")
    fcntl.flock(fd, fcntl.LOCK_EX)
    r, w = os.pipe()
    pid = os.fork()
    if pid == 0:
        mine = os.open(d + "/f", os.O_RDWR)
        fcntl.flock(mine, fcntl.LOCK_EX)
        os.write(w, b"got it")
        os._exit(0)
    assert not select.select([r], [], [], 0.2)[0]
    fcntl.flock(fd, fcntl.LOCK_UN)
    assert select.select([r], [], [], 10)[0] and os.read(r, 10) == b"got it"
    os.waitpid(pid, 0)
    os.close(fd)


@case
def inotify(d):
    fd = libc_call("inotify_init1", os.O_NONBLOCK)
    libc_call("inotify_add_watch", fd, os.fsencode(d), 0x100 | 0x200)
    write(d + "/f")
    os.unlink(d + "/f")
    assert len(os.read(fd, 4096)) >= 32
    os.close(fd)


@case
def statvfs(d):
    st = os.statvfs(d)
    assert st.f_namemax == 255 and st.f_bsize >= 512 and st.f_frsize >= 512
    assert 0 < st.f_bavail <= st.f_bfree <= st.f_blocks
    assert st.f_favail <= st.f_ffree <= st.f_files or st.f_files == 0
    before = st.f_bavail * st.f_frsize
    fd = opened(d + "/f")
    os.write(fd, os.urandom(8 << 20))
    os.fsync(fd)
    after = os.statvfs(d)
    assert after.f_bavail * after.f_frsize <= before - (4 << 20)
    os.close(fd)


@case
def file_handles(d):
    write(d + "/f", b"by handle")
    handle = ctypes.create_string_buffer(8 + 128)
    struct.pack_into("I", handle, 0, 128)
    mount = ctypes.c_int()
    try:
        libc_call("name_to_handle_at", AT_FDCWD, os.fsencode(d + "/f"), handle, ctypes.byref(mount), 0)
    except OSError as e:
        if e.errno == errno.EOPNOTSUPP:
            raise Skip("no file handles")
        raise
    directory = os.open(d, os.O_RDONLY)
    fd = libc_call("open_by_handle_at", directory, handle, os.O_RDONLY)
    assert os.read(fd, 100) == b"by handle"
    os.close(fd)
    os.unlink(d + "/f")
    fails(errno.ESTALE, libc_call, "open_by_handle_at", directory, handle, os.O_RDONLY)


@case
def many_open_files(d):
    fds = [opened(d + "/%d" % i) for i in range(800)]
    for i, fd in enumerate(fds):
        os.write(fd, b"%d" % i)
    for i, fd in enumerate(fds):
        assert os.pread(fd, 10, 0) == b"%d" % i
        os.close(fd)


@case
def interrupted_write(d):
    """A signal in the middle of system calls breaks nothing."""
    data = os.urandom(8 << 20)
    hits = []
    old = signal.signal(signal.SIGALRM, lambda *_: hits.append(1))
    signal.setitimer(signal.ITIMER_REAL, 0.002, 0.002)
    try:
        for _ in range(3):
            write(d + "/f", data)
            assert hashlib.sha256(read(d + "/f")).digest() == hashlib.sha256(data).digest()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, old)
    assert hits


@case
def threads_in_one_directory(d):
    wrong = []

    def worker(n):
        try:
            for i in range(150):
                write("%s/%d_%d" % (d, n, i), b"%d" % n)
                os.rename("%s/%d_%d" % (d, n, i), "%s/moved_%d_%d" % (d, n, i))
                if i % 2:
                    os.unlink("%s/moved_%d_%d" % (d, n, i))
        except OSError as e:
            wrong.append(e)

    threads = [threading.Thread(target=worker, args=(n,)) for n in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not wrong, wrong[0]
    assert len(os.listdir(d)) == 8 * 75


def run(top, names):
    failed = 0
    os.umask(0o022)
    for function in CASES:
        name = function.__name__
        if names and name not in names:
            continue
        directory = os.path.join(top, name)
        os.mkdir(directory)
        sys.stdout.flush()
        try:
            function(directory)
            print("ok", name)
        except Skip as e:
            print("skipped %s: %s" % (name, e))
        except Exception as e:  # a case may fail in any way
            failed += 1
            where = traceback.extract_tb(e.__traceback__)
            line = [f for f in where if f.filename == __file__ and f.name == name]
            print("FAILED %s: line %s: %s: %s" % (
                name, line[-1].lineno if line else "?", type(e).__name__, str(e).replace("\n", " ")[:300]))
    return 1 if failed else 0


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    sys.exit(run(sys.argv[1], sys.argv[2:]))
