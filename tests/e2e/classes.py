#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What programs do in a directory that is passed through, and what the host does meanwhile.

	classes.py between MOUNTPOINT PLACE...		rename and link from each place to each other: EXDEV
	classes.py stays PATH				it is not moved, removed or replaced: EBUSY
	classes.py posix DIRECTORY			a program's work, in a directory below the mount
	classes.py visible HOST MOUNTED			the host's changes are seen within two seconds
	classes.py swap HOST MOUNTED SECONDS SEED	readers, while the host swaps directories for symlinks
"""

import errno
import fcntl
import mmap
import os
import random
import stat
import sys
import threading
import time


def expect(error, do, *arguments):
    try:
        do(*arguments)
    except OSError as e:
        assert e.errno == error, f"{do.__name__}{arguments}: {e}"
    else:
        raise AssertionError(f"{do.__name__}{arguments}: not refused")


def write(path, data):
    with open(path, "wb") as f:
        f.write(data)


def read(path):
    with open(path, "rb") as f:
        return f.read()


def between(mountpoint, *places):
    tops = [os.path.join(mountpoint, p) for p in places]
    for source in tops:
        file, directory = os.path.join(source, "between"), os.path.join(source, "between.d")
        write(file, source.encode())
        os.mkdir(directory)
        for target in tops:
            if target != source:
                new = os.path.join(target, "came over")
                expect(errno.EXDEV, os.rename, file, new)
                expect(errno.EXDEV, os.rename, directory, new)
                expect(errno.EXDEV, os.link, file, new)
                assert not os.path.lexists(new)
    for source in tops:
        assert read(os.path.join(source, "between")) == source.encode()
        os.unlink(os.path.join(source, "between"))
        os.rmdir(os.path.join(source, "between.d"))


def stays(path):
    before, beside = os.stat(path), path + ".beside"
    directory = stat.S_ISDIR(before.st_mode)
    expect(errno.EBUSY, os.rename, path, beside)
    expect(errno.EBUSY, os.rmdir if directory else os.unlink, path)
    os.mkdir(beside) if directory else write(beside, b"")
    try:
        os.rename(beside, path)
    except OSError as e:
        assert e.errno in (errno.EBUSY, errno.ENOTEMPTY), e
    else:
        raise AssertionError("replaced")
    os.rmdir(beside) if directory else os.unlink(beside)
    assert os.path.samestat(os.stat(path), before)


def names(top):
    a, b = os.path.join(top, "a"), os.path.join(top, "b")
    os.mkdir(a)
    os.mkdir(b)
    file = os.path.join(a, "file")
    write(file, b"contents")
    os.rename(file, os.path.join(b, "file"))
    expect(errno.ENOENT, os.stat, file)
    os.rename(os.path.join(b, "file"), file)
    expect(errno.ENOTEMPTY, os.rmdir, a)
    expect(errno.ENOTEMPTY, os.rename, b, a)
    os.link(file, os.path.join(b, "hard"))
    assert os.stat(file).st_nlink == 2 and os.path.samefile(file, os.path.join(b, "hard"))
    write(os.path.join(b, "hard"), b"by the other")
    assert read(file) == b"by the other"
    os.symlink("../a/file", os.path.join(b, "soft"))
    assert os.readlink(os.path.join(b, "soft")) == "../a/file"
    assert read(os.path.join(b, "soft")) == b"by the other"
    write(os.path.join(a, "new"), b"new")
    os.rename(os.path.join(a, "new"), file)
    assert read(file) == b"new" and read(os.path.join(b, "hard")) == b"by the other"
    long = os.path.join(top, "n" * 255)
    write(long, b"long")
    assert read(long) == b"long" and "n" * 255 in os.listdir(top)
    expect(errno.ENAMETOOLONG, os.mkdir, long + "n")
    for name in (b"\xff\xfe", "ünï".encode(), b"a b\nc", b"-", b"\\"):
        path = os.path.join(os.fsencode(top), name)
        write(path, name)
        assert name in os.listdir(os.fsencode(top)) and read(path) == name
    os.mkfifo(os.path.join(top, "fifo"))
    assert stat.S_ISFIFO(os.lstat(os.path.join(top, "fifo")).st_mode)
    expect(errno.EEXIST, os.mkdir, a)
    os.rmdir(os.mkdir(os.path.join(top, "c")) or os.path.join(top, "c"))


def attributes(top):
    file = os.path.join(top, "attributes")
    write(file, b"x" * 10)
    os.chmod(file, 0o4751)
    os.chown(file, 1234, 5678)
    os.chmod(file, 0o751)
    os.utime(file, ns=(1_000_000_001, 2_000_000_003))
    st = os.stat(file)
    assert (stat.S_IMODE(st.st_mode), st.st_uid, st.st_gid) == (0o751, 1234, 5678), st
    assert (st.st_atime_ns, st.st_mtime_ns) == (1_000_000_001, 2_000_000_003), st
    os.setxattr(file, "user.one", b"1" * 1000)
    os.setxattr(file, "user.two", b"")
    assert os.getxattr(file, "user.one") == b"1" * 1000
    assert {"user.one", "user.two"} <= set(os.listxattr(file))
    expect(errno.EEXIST, os.setxattr, file, "user.one", b"", os.XATTR_CREATE)
    os.removexattr(file, "user.one")
    expect(errno.ENODATA, os.getxattr, file, "user.one")


def contents(top):
    file = os.path.join(top, "contents")
    fd = os.open(file, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o644)
    os.pwrite(fd, b"far", 10 << 20)
    os.fsync(fd)
    assert os.fstat(fd).st_size == (10 << 20) + 3 and os.fstat(fd).st_blocks * 512 < 1 << 20
    assert os.pread(fd, 3, 5 << 20) == b"\0\0\0"
    assert os.lseek(fd, 0, os.SEEK_DATA) > 0 and os.lseek(fd, 0, os.SEEK_HOLE) == 0
    os.posix_fallocate(fd, 0, 1 << 20)
    assert os.fstat(fd).st_blocks * 512 >= 1 << 20
    with mmap.mmap(fd, 1 << 20) as m:
        m[4090:4100] = b"0123456789"
        m.flush()
    assert os.pread(fd, 12, 4089) == b"\x000123456789\0"
    os.ftruncate(fd, 4095)
    assert os.pread(fd, 10, 4090) == b"01234"
    os.ftruncate(fd, 5000)
    assert os.pread(fd, 10, 4090) == b"01234\0\0\0\0\0"
    other = os.open(os.path.join(top, "copy"), os.O_RDWR | os.O_CREAT, 0o644)
    assert os.copy_file_range(fd, other, 5000, 0, 0) == 5000
    assert os.pread(other, 6000, 0) == os.pread(fd, 6000, 0)
    fcntl.flock(fd, fcntl.LOCK_EX)
    second = os.open(file, os.O_RDWR)
    expect(errno.EWOULDBLOCK, fcntl.flock, second, fcntl.LOCK_EX | fcntl.LOCK_NB)
    fcntl.flock(fd, fcntl.LOCK_UN)
    fcntl.flock(second, fcntl.LOCK_EX | fcntl.LOCK_NB)
    os.unlink(file)
    expect(errno.ENOENT, os.stat, file)
    os.pwrite(fd, b"nameless", 0)
    os.fsync(fd)
    assert os.pread(second, 8, 0) == b"nameless" and os.fstat(fd).st_nlink == 0
    write(file, b"another")
    assert os.pread(fd, 8, 0) == b"nameless" and read(file) == b"another"
    for each in fd, second, other:
        os.close(each)
    with open(file, "ab") as f, open(file, "ab") as g:
        f.write(b" one")
        f.flush()
        g.write(b" two")
    assert read(file) == b"another one two"


def posix(top):
    names(top)
    attributes(top)
    contents(top)


def within(seconds, what, holds):
    end = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > end:
            sys.exit(f"not seen after {seconds} s: {what}")
        time.sleep(0.02)


def visible(host, mounted):
    def there(name):
        return os.path.join(host, name)

    def here(name):
        return os.path.join(mounted, name)

    def now(name):
        try:
            return read(here(name))
        except OSError as e:
            return e.errno

    assert now("new") == errno.ENOENT
    write(there("new"), b"new")
    within(2, "a new file", lambda: now("new") == b"new")
    within(2, "a new name", lambda: "new" in os.listdir(mounted))
    write(there("new"), b"grown longer")
    within(2, "a longer file", lambda: now("new") == b"grown longer")
    assert os.stat(here("new")).st_size == 12
    time.sleep(0.02)  # the tick of the host's clock
    write(there("new"), b"GROWN LONGER")
    within(2, "other contents", lambda: now("new") == b"GROWN LONGER")
    write(there("other"), b"replaced")
    os.rename(there("other"), there("new"))
    within(2, "a replaced file", lambda: now("new") == b"replaced")
    os.chmod(there("new"), 0o600)
    within(2, "another mode", lambda: stat.S_IMODE(os.stat(here("new")).st_mode) == 0o600)
    os.unlink(there("new"))
    within(2, "a removed file", lambda: now("new") == errno.ENOENT)
    within(2, "a removed name", lambda: "new" not in os.listdir(mounted))
    os.mkdir(there("directory"))
    write(there("directory/file"), b"below")
    within(2, "a new directory", lambda: now("directory/file") == b"below")
    os.rename(there("directory"), there("moved"))
    within(2, "a moved directory", lambda: now("directory/file") == errno.ENOENT and now("moved/file") == b"below")
    os.unlink(there("moved/file"))
    os.rmdir(there("moved"))
    write(there("kind"), b"file")
    within(2, "a file", lambda: now("kind") == b"file")
    os.unlink(there("kind"))
    os.mkdir(there("kind"))
    within(2, "a directory in a file's place", lambda: os.path.isdir(here("kind")))
    os.rmdir(there("kind"))
    write(here("ours"), b"ours")
    within(2, "what is written here", lambda: read(there("ours")) == b"ours")
    os.unlink(here("ours"))
    assert not os.path.exists(there("ours"))


def swap(host, mounted, seconds, seed):
    """Directories, below each another and a file, are symlinks to one outside every other moment.

    Many, because the kernel remembers for a moment what it has seen under a name."""
    outside = os.path.join(os.path.dirname(host), "outside")
    marker, sets = b"OUTSIDE", 100
    wrong, reads, stop = [], [0, 0], threading.Event()

    def swapper():
        rng = random.Random(seed)
        while not stop.is_set():
            n = rng.randrange(sets)
            for name, aim in ((f"d{n}", outside), (f"d{n}/e", outside + "/e"), (f"f{n}", outside + "/f")):
                path = os.path.join(host, name)
                os.rename(path, path + ".away")
                os.symlink(aim, path)
                if rng.random() < 0.5:
                    time.sleep(rng.random() / 500)
                os.unlink(path)
                os.rename(path + ".away", path)

    def look(do, *arguments):
        try:
            return do(*arguments)
        except OSError:
            return None

    def follow_nothing(path):
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
        try:
            return os.read(fd, 100)
        finally:
            os.close(fd)

    # By descriptors, so that our own kernel follows no symlink that it is shown.
    def reader(number):
        top = os.open(mounted, os.O_RDONLY | os.O_DIRECTORY)
        flags = os.O_RDONLY | os.O_NOFOLLOW
        rng = random.Random(seed + number)
        while not stop.is_set():
            n = rng.randrange(sets)
            d = look(lambda: os.open(f"d{n}", flags | os.O_DIRECTORY, dir_fd=top))
            got = [look(follow_nothing, os.path.join(mounted, f"f{n}"))]
            if d is not None:
                got.append(b" ".join(map(os.fsencode, look(os.listdir, d) or [])))
                fd = look(lambda: os.open("f", flags, dir_fd=d))
                if fd is not None:
                    got.append(look(os.read, fd, 100))
                    os.close(fd)
                e = look(lambda: os.open("e", flags | os.O_DIRECTORY, dir_fd=d))
                if e is not None:
                    got.append(b" ".join(map(os.fsencode, look(os.listdir, e) or [])))
                    fd = look(lambda: os.open("f", flags | os.O_CREAT | os.O_RDWR, 0o644, dir_fd=e))
                    if fd is not None:
                        got.append(look(os.read, fd, 100))
                        look(os.pwrite, fd, b"inside", 0)
                        look(os.close, fd)  # by then the file may be gone from its name
                    os.close(e)
                os.close(d)
            reads[number] += sum(1 for g in got if g)
            wrong.extend(g for g in got if g and marker in g)

    for n in range(sets):
        os.makedirs(os.path.join(host, f"d{n}/e"))
        for path in f"f{n}", f"d{n}/f", f"d{n}/e/f":
            write(os.path.join(host, path), b"inside")
    os.makedirs(os.path.join(outside, "e"))
    for path in "f", "e/f", "OUTSIDE", "e/OUTSIDE":
        write(os.path.join(outside, path), marker)
    threads = [threading.Thread(target=swapper)] + [threading.Thread(target=reader, args=(n,)) for n in (0, 1)]
    for t in threads:
        t.start()
    time.sleep(seconds)
    stop.set()
    for t in threads:
        t.join()
    if wrong:
        sys.exit(f"something outside was shown: {wrong[:3]}")
    found = sorted(os.listdir(outside)) + sorted(os.listdir(os.path.join(outside, "e")))
    assert found == ["OUTSIDE", "e", "f", "OUTSIDE", "f"], found
    for path in "f", "e/f", "OUTSIDE", "e/OUTSIDE":
        assert read(os.path.join(outside, path)) == marker, "a file outside was written"
    assert min(reads) > 50, reads
    print(f"{sum(reads)} reads")


def main():
    command, arguments = sys.argv[1], sys.argv[2:]
    if command == "swap":
        swap(*arguments[:2], float(arguments[2]), int(arguments[3]))
    else:
        {"between": between, "stays": stays, "posix": posix, "visible": visible}[command](*arguments)


main()
