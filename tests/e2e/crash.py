#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A load that records outside the volume what fsync has acknowledged, and the check of it.

	crash.py load DIR ACKS SEED	works until it is killed or the file system goes away
	crash.py check DIR ACKS SEED	exit 1 and say what was acknowledged and is not there

ACKS is a directory outside the volume.  Each of the workers appends a line to its file there after
the system call that makes it true has returned, and before those that take something away.  What is
checked, by kind:

	once	a file written and fsynced once is there, whole
	replace	write, fsync, rename, fsync of the directory: this version or the next, whole
	append	the records fdatasynced are there; beyond them only the right bytes or zeroes
	block	each block of a file written in place names itself and its version: not an older one
	gone	a file removed before a fsync of its directory does not come back
	order	directories made one after the other, never fsynced: a prefix of them is there
"""

import hashlib
import os
import random
import sys

WORKERS = 4
BLOCK = 4096
BLOCKS = 64


def content(seed, worker, kind, number, size=None):
    rng = random.Random("%s/%s/%s/%s" % (seed, worker, kind, number))
    if size is None:
        size = rng.choice([0, 10, 300, 2000, 4096, 5000, rng.randrange(20000), rng.randrange(300000)])
    start = hashlib.sha256(b"%d %d %d" % (worker, number, size)).digest()
    return (start + rng.randbytes(size))[:size]


def block_content(seed, worker, block, version):
    head = b"%d %d %d\n" % (worker, block, version)
    return head + content(seed, worker, "block%d" % block, version, BLOCK - len(head))


def record(seed, worker, number):
    return b"%d:" % number + hashlib.sha256(b"%d %d %d" % (seed, worker, number)).hexdigest().encode() * 3 + b"\n"


class Worker:
    def __init__(self, top, acks, seed, worker):
        self.seed, self.worker = seed, worker
        self.dir = os.path.join(top, "worker_%d" % worker)
        self.ack_fd = os.open(os.path.join(acks, "worker_%d" % worker), os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        self.rng = random.Random("%s %s" % (seed, worker))
        os.makedirs(self.dir, exist_ok=True)
        os.makedirs(self.path("order"), exist_ok=True)
        self.append_fd = os.open(self.path("log"), os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        self.block_fd = os.open(self.path("blocks"), os.O_RDWR | os.O_CREAT)
        self.numbers = {"once": 0, "replace": 0, "append": 0, "order": 0}
        self.versions = [0] * BLOCKS
        self.have = []

    def path(self, name):
        return os.path.join(self.dir, name)

    def ack(self, line):
        os.write(self.ack_fd, line.encode() + b"\n")

    def number(self, kind):
        self.numbers[kind] += 1
        return self.numbers[kind]

    def sync_directory(self):
        fd = os.open(self.dir, os.O_RDONLY)
        os.fsync(fd)
        os.close(fd)

    def write_synced(self, path, data):
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        while data:
            data = data[os.write(fd, data):]
        os.fsync(fd)
        os.close(fd)

    def once(self):
        n = self.number("once")
        self.write_synced(self.path("once_%d" % n), content(self.seed, self.worker, "once", n))
        self.ack("once %d" % n)
        self.have.append(n)

    def replace(self):
        n = self.number("replace")
        self.write_synced(self.path("new"), content(self.seed, self.worker, "replace", n))
        os.rename(self.path("new"), self.path("current"))
        self.sync_directory()
        self.ack("replace %d" % n)

    def append(self):
        n = self.number("append")
        os.write(self.append_fd, record(self.seed, self.worker, n))
        os.fdatasync(self.append_fd)
        self.ack("append %d" % n)

    def block(self):
        block = self.rng.randrange(BLOCKS)
        version = self.versions[block] + 1
        os.pwrite(self.block_fd, block_content(self.seed, self.worker, block, version), block * BLOCK)
        os.fdatasync(self.block_fd)
        self.versions[block] = version
        self.ack("block %d %d" % (block, version))

    def gone(self):
        if len(self.have) < 3:
            return
        n = self.have.pop(self.rng.randrange(len(self.have)))
        self.ack("going %d" % n)
        os.unlink(self.path("once_%d" % n))
        self.sync_directory()
        self.ack("gone %d" % n)

    def order(self):
        for _ in range(20):
            os.mkdir(self.path("order/%06d" % self.number("order")))

    def run(self):
        kinds = [self.once, self.once, self.replace, self.append, self.append, self.block, self.block,
                 self.gone, self.order]
        while True:
            self.rng.choice(kinds)()


def load(top, acks, seed):
    os.makedirs(acks, exist_ok=True)
    children = []
    for worker in range(WORKERS):
        pid = os.fork()
        if pid == 0:
            try:
                Worker(top, acks, seed, worker).run()
            except OSError:
                pass  # the file system went away
            os._exit(0)
        children.append(pid)
    for pid in children:
        os.waitpid(pid, 0)


# ---- the check


class Check:
    def __init__(self, top, acks, seed, worker):
        self.seed, self.worker = seed, worker
        self.dir = os.path.join(top, "worker_%d" % worker)
        self.wrong = []
        self.acked = {"once": set(), "gone": set(), "going": set()}
        self.last = {"replace": 0, "append": 0}
        self.blocks = {}
        path = os.path.join(acks, "worker_%d" % worker)
        lines = open(path).read().splitlines() if os.path.exists(path) else []
        for line in lines:
            words = line.split()
            if words[0] in self.acked:
                self.acked[words[0]].add(int(words[1]))
            elif words[0] == "block":
                self.blocks[int(words[1])] = int(words[2])
            else:
                self.last[words[0]] = int(words[1])
        self.lines = len(lines)

    def say(self, *words):
        self.wrong.append("worker %d: %s" % (self.worker, " ".join(map(str, words))))

    def read(self, name):
        try:
            with open(os.path.join(self.dir, name), "rb") as f:
                return f.read()
        except FileNotFoundError:
            return None

    def once(self):
        for n in self.acked["once"]:
            data = self.read("once_%d" % n)
            want = content(self.seed, self.worker, "once", n)
            if n in self.acked["gone"]:
                if data is not None:
                    self.say("once", n, "was removed for good and came back")
            elif n in self.acked["going"] and data is None:
                pass
            elif data != want:
                self.say("once", n, "is", "missing" if data is None else "%d bytes, not whole" % len(data),
                         "of", len(want))

    def replace(self):
        n = self.last["replace"]
        data = self.read("current")
        allowed = [content(self.seed, self.worker, "replace", v) for v in (n, n + 1) if v]
        if n == 0:
            allowed.append(None)
        if data not in allowed:
            self.say("replace", n, "is", "missing" if data is None else "%d other bytes" % len(data))

    def append(self):
        data = self.read("log") or b""
        want = b"".join(record(self.seed, self.worker, n) for n in range(1, self.last["append"] + 2))
        sure = len(b"".join(record(self.seed, self.worker, n) for n in range(1, self.last["append"] + 1)))
        if data[:sure] != want[:sure]:
            self.say("append", self.last["append"], "records were synced;", len(data), "bytes are there")
        elif any(a not in (b, 0) for a, b in zip(data[sure:], want[sure:])) or len(data) > len(want):
            self.say("append: other bytes behind the last record")

    def block(self):
        data = self.read("blocks") or b""
        for block, version in self.blocks.items():
            have = data[block * BLOCK:(block + 1) * BLOCK]
            allowed = [block_content(self.seed, self.worker, block, v) for v in (version, version + 1)]
            if have not in allowed:
                self.say("block", block, "of version", version, "is", repr(have[:20]))

    def order(self):
        path = os.path.join(self.dir, "order")
        have = sorted(int(name) for name in os.listdir(path)) if os.path.isdir(path) else []
        if have != list(range(1, len(have) + 1)):
            self.say("order: no prefix of the directories:", have[-5:], "of", len(have))

    def run(self):
        for kind in (self.once, self.replace, self.append, self.block, self.order):
            kind()
        return self.wrong


def check(top, acks, seed):
    wrong, lines = [], 0
    for worker in range(WORKERS):
        c = Check(top, acks, seed, worker)
        wrong += c.run()
        lines += c.lines
    for line in wrong[:20]:
        print(line)
    print("# %d acknowledgements, %d broken" % (lines, len(wrong)))
    return 1 if wrong else 0


def main(args):
    if len(args) != 4:
        sys.exit(__doc__)
    if args[0] == "load":
        load(args[1], args[2], int(args[3]))
        return 0
    return check(args[1], args[2], int(args[3]))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
