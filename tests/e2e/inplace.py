#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Damage a host directory that is served in place, one file at a time, and read it through the mount.

	inplace.py flip HOST MOUNTED TRIALS SEED	one byte of TRIALS files; prints their paths
	inplace.py damage HOST MOUNTED PATH		whatever else can be done to a file
	inplace.py refused MOUNTED PATH			every kind of change is EROFS
	inplace.py changed MOUNTED PATH			every kind of change works

After each damage: the file fails with EIO or, where its bytes are the recorded ones, reads right; a
sample of the others is as it was; once mended, it reads right again.
"""

import errno
import mmap
import os
import random
import shutil
import stat
import sys


def content(path):
    """The file's bytes as they are read now, from below the page cache, or the error's number."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    except OSError as e:
        return e.errno
    try:
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
        data = b""
        while piece := os.read(fd, 1 << 20):
            data += piece
        return data
    except OSError as e:
        return e.errno
    finally:
        os.close(fd)


def host_content(path):
    with open(path, "rb") as f:
        return f.read()


def say(path, what, got):
    shown = got if isinstance(got, int) else f"{len(got)} bytes"
    sys.exit(f"{path}, {what}: {shown}")


def files_below(top):
    for directory, _, names in os.walk(top):
        for name in names:
            path = os.path.join(directory, name)
            if stat.S_ISREG(os.lstat(path).st_mode) and os.path.getsize(path):
                yield os.path.relpath(path, top)


def flip(host, mounted, trials, seed):
    rng = random.Random(seed)
    every = sorted(files_below(host))
    chosen = rng.sample([f for f in every if f.endswith(".py") or ".so" in os.path.basename(f)], trials)
    for path in chosen:
        there, here = os.path.join(host, path), os.path.join(mounted, path)
        good = host_content(there)
        at, bit = rng.randrange(len(good)), 1 << rng.randrange(8)
        with open(there, "r+b") as f:
            f.seek(at)
            f.write(bytes([good[at] ^ bit]))
        got = content(here)
        if got != errno.EIO:
            say(path, f"byte {at} changed", got)
        fd = os.open(here, os.O_RDONLY)
        block = at // 4096
        try:  # and nothing of it that is wrong by itself
            os.pread(fd, 1, block * 4096)
            say(path, f"byte {at} changed, its block", b"")
        except OSError as e:
            assert e.errno == errno.EIO, e
        os.close(fd)
        for other in rng.sample(every, 10):
            if other != path and content(os.path.join(mounted, other)) != host_content(os.path.join(host, other)):
                say(other, f"not damaged, but {path}", 0)
        with open(there, "r+b") as f:
            f.seek(at)
            f.write(good[at:at + 1])
        if content(here) != good:
            say(path, "mended", content(here))
        print(path)


def damage(host, mounted, path):
    there, here = os.path.join(host, path), os.path.join(mounted, path)
    good = host_content(there)
    kept = there + ".kept"
    shutil.copy2(there, kept)

    def write(data):
        with open(there, "wb") as f:
            f.write(data)

    def replace(data):
        with open(there + ".new", "wb") as f:
            f.write(data)
        os.rename(there + ".new", there)

    def instead(make):
        os.unlink(there)
        make()

    damages = {
        "one byte shorter": lambda: os.truncate(there, len(good) - 1),
        "empty": lambda: os.truncate(there, 0),
        "one byte longer": lambda: write(good + b"\0"),
        "a block longer": lambda: write(good + bytes(4096)),
        "all zeroes": lambda: write(bytes(len(good))),
        "a hole of the same size": lambda: (os.truncate(there, 0), os.truncate(there, len(good))),
        "replaced by other bytes": lambda: replace(bytes(reversed(good))),
        "removed": lambda: os.unlink(there),
        "a symlink to the right bytes": lambda: instead(lambda: os.symlink(kept, there)),
        "a FIFO": lambda: instead(lambda: os.mkfifo(there)),
        "a directory": lambda: instead(lambda: os.mkdir(there)),
        "a device": lambda: instead(lambda: os.mknod(there, stat.S_IFCHR | 0o666, os.makedev(1, 5))),
    }
    attributes = os.stat(here)
    for what, do in damages.items():
        do()
        got = content(here)
        if got != errno.EIO:
            say(path, what, got)
        if os.stat(here) != attributes:
            say(path, what + ", its attributes", 0)
        os.rmdir(there) if what == "a directory" else None
        if os.path.lexists(there):
            os.unlink(there)
        shutil.copy2(kept, there)
        if content(here) != good:
            say(path, what + ", mended", content(here))
    replace(good)
    if content(here) != good:
        say(path, "replaced by the same bytes", content(here))
    # The way to it.
    directory = os.path.dirname(there)
    os.rename(directory, directory + ".away")
    if content(here) != good and content(here) != errno.EIO:
        say(path, "its directory moved away", content(here))
    os.symlink(directory + ".away", directory)
    if content(here) != good and content(here) != errno.EIO:
        say(path, "its directory a symlink", content(here))
    os.unlink(directory)
    os.rename(directory + ".away", directory)
    os.unlink(kept)


def changes(mounted, path):
    """Name and deed: what a program may do with a file and its directory."""
    file, top = os.path.join(mounted, path), mounted
    new, made = os.path.join(top, "new"), os.path.join(top, "made")

    def write(flags):
        fd = os.open(file, flags)
        try:
            os.pwrite(fd, b"changed", 3)
            os.fsync(fd)
        finally:
            os.close(fd)

    def through_memory():
        fd = os.open(file, os.O_RDWR)
        try:
            with mmap.mmap(fd, 0) as m:
                m[0:3] = b"abc"
                m.flush()
        finally:
            os.close(fd)

    return {
        "chmod": lambda: os.chmod(file, 0o640),
        "chown": lambda: os.chown(file, 7, 7),
        "utime": lambda: os.utime(file, (1, 1)),
        "setxattr": lambda: os.setxattr(file, "user.x", b"y"),
        "write": lambda: write(os.O_WRONLY),
        "append": lambda: write(os.O_WRONLY | os.O_APPEND),
        "read and write": lambda: write(os.O_RDWR),
        "mmap": through_memory,
        "truncate": lambda: os.truncate(file, 5),
        "create": lambda: os.close(os.open(new, os.O_CREAT | os.O_WRONLY)),
        "mkdir": lambda: os.mkdir(made),
        "mknod": lambda: os.mkfifo(os.path.join(made if os.path.isdir(made) else top, "fifo")),
        "symlink": lambda: os.symlink("x", os.path.join(top, "a symlink")),
        "link": lambda: os.link(file, os.path.join(top, "a link")),
        "rename": lambda: os.rename(file, os.path.join(top, "moved")),
        "unlink": lambda: os.unlink(os.path.join(top, "moved") if os.path.exists(os.path.join(top, "moved")) else file),
        "truncate by open": lambda: os.close(os.open(os.path.join(top, "a link") if os.path.exists(
            os.path.join(top, "a link")) else file, os.O_RDONLY | os.O_TRUNC)),
        "rename a directory": lambda: os.rename(os.path.join(top, "dir"), os.path.join(top, "dir2")),
        "rmdir": lambda: os.rmdir(os.path.join(top, "empty")),
    }


def refused(mounted, path):
    before = content(os.path.join(mounted, path)), os.stat(os.path.join(mounted, path))
    for what, do in changes(mounted, path).items():
        try:
            do()
        except OSError as e:
            if e.errno == errno.EROFS:
                continue
            sys.exit(f"{what}: {e}")
        sys.exit(f"{what}: not refused")
    if (content(os.path.join(mounted, path)), os.stat(os.path.join(mounted, path))) != before:
        sys.exit("changed all the same")


def changed(mounted, path):
    for what, do in changes(mounted, path).items():
        try:
            do()
        except OSError as e:
            sys.exit(f"{what}: {e}")


def main():
    command, arguments = sys.argv[1], sys.argv[2:]
    if command == "flip":
        flip(*arguments[:2], *map(int, arguments[2:]))
    else:
        {"damage": damage, "refused": refused, "changed": changed}[command](*arguments)


main()
