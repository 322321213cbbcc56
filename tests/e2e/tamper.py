#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Damage a closed volume in many ways, one at a time, and see what its tools and its daemon do.

	tamper.py FSPF VOLUME OLD TREE MOUNTPOINT TRIALS SEED -- AUTH..

OLD is a copy of the volume from before its last changes, TREE what it must contain at /tree.  After
each damage: no program dies of a signal; every file reads as it must or fails; what fails is named by
`fspf verify`, which then gives 3; when verify finds nothing, everything reads right; what an error
does not name stays readable; and the daemon ends in order.
"""

import errno
import os
import random
import re
import shutil
import subprocess
import sys

BLOCK = 4096


def listing(top):
    """What is in the tree, and what of it cannot be read: {path: content}, {path}."""
    have, failed = {}, set()

    def cannot(e):
        assert e.errno == errno.EIO, e
        failed.add(os.path.relpath(e.filename, top))

    for directory, dirs, files in os.walk(top, onerror=cannot):
        for name in dirs + files:
            path = os.path.join(directory, name)
            relative = os.path.relpath(path, top)
            try:
                if os.path.islink(path):
                    have[relative] = ("link", os.readlink(path))
                elif name in files:
                    with open(path, "rb") as f:
                        have[relative] = ("file", f.read())
                else:
                    os.lstat(path)
                    have[relative] = ("dir", None)
            except OSError as e:
                assert e.errno == errno.EIO, "%s: %s" % (path, e)
                failed.add(relative)
    return have, failed


class Trial:
    def __init__(self, args, auth):
        self.fspf, self.volume, self.old, self.tree, self.mountpoint = args[:5]
        self.auth = auth
        self.pristine = self.volume + ".pristine"
        self.rng = random.Random(int(args[6]))
        self.want, failed = listing(self.tree)
        assert not failed
        self.detected = self.refused = self.harmless = 0

    def command(self, *args):
        """Status and messages; no program may die of a signal, and none may take for ever."""
        done = subprocess.run([self.fspf, *args], capture_output=True, text=True, errors="replace", timeout=120)
        assert 0 <= done.returncode < 126, "status %d of fspf %s" % (done.returncode, args[0])
        return done.returncode, done.stdout + done.stderr

    # ---- damage

    def files(self):
        result = []
        for directory, _, names in os.walk(self.volume):
            result += [os.path.join(directory, n) for n in sorted(names)]
        return result

    def data_blocks(self, path):
        """Offsets of blocks of a file that hold something else than zeroes."""
        result = []
        with open(path, "rb") as f:
            offset = 0
            while block := f.read(BLOCK):
                if block.strip(b"\0"):
                    result.append(offset)
                offset += len(block)
        return result

    def pick(self):
        """A block: in the header now and then, else in a segment."""
        paths = self.files()
        header = [p for p in paths if p.endswith("volume.fspf")]
        segments = [p for p in paths if p not in header]
        path = self.rng.choice(header if self.rng.random() < 0.15 else segments)
        blocks = self.data_blocks(path)
        return (path, self.rng.choice(blocks)) if blocks else self.pick()

    def overwrite(self, path, offset, data):
        with open(path, "r+b") as f:
            f.seek(offset)
            f.write(data)

    def read_block(self, path, offset):
        with open(path, "rb") as f:
            f.seek(offset)
            return f.read(BLOCK)

    def damage_flip(self):
        path, offset = self.pick()
        block = bytearray(self.read_block(path, offset))
        at = self.rng.randrange(len(block))
        block[at] ^= 1 << self.rng.randrange(8)
        self.overwrite(path, offset, block)
        return "a bit of byte %d flipped in %s" % (offset + at, path)

    def damage_zero(self):
        path, offset = self.pick()
        self.overwrite(path, offset, bytes(len(self.read_block(path, offset))))
        return "block at %d zeroed in %s" % (offset, path)

    def damage_random(self):
        path, offset = self.pick()
        self.overwrite(path, offset, self.rng.randbytes(len(self.read_block(path, offset))))
        return "block at %d replaced in %s" % (offset, path)

    def damage_swap(self):
        (a, x), (b, y) = self.pick(), self.pick()
        one, two = self.read_block(a, x), self.read_block(b, y)
        if len(one) != len(two):
            return self.damage_swap()
        self.overwrite(a, x, two)
        self.overwrite(b, y, one)
        return "blocks at %d of %s and %d of %s swapped" % (x, a, y, b)

    def damage_copy(self):
        (a, x), (b, y) = self.pick(), self.pick()
        self.overwrite(b, y, self.read_block(a, x)[:len(self.read_block(b, y))])
        return "block at %d of %s put at %d of %s" % (x, a, y, b)

    def damage_replay(self):
        """A block as it was before the last changes, in its old place."""
        changed = []
        for path in self.files():
            older = os.path.join(self.old, os.path.relpath(path, self.volume))
            if os.path.exists(older):
                changed += [(path, older, o) for o in self.data_blocks(older)
                            if self.read_block(older, o) != self.read_block(path, o)]
        if not changed:
            return self.damage_flip()
        path, older, offset = self.rng.choice(changed)
        self.overwrite(path, offset, self.read_block(older, offset))
        return "block at %d of %s put back to what it was" % (offset, path)

    def damage_truncate(self):
        path = self.rng.choice(self.files())
        size = self.rng.randrange(os.path.getsize(path))
        os.truncate(path, size)
        return "%s cut to %d bytes" % (path, size)

    def damage_remove(self):
        path = self.rng.choice(self.files())
        os.unlink(path)
        return "%s removed" % path

    def damage_segment(self):
        """A whole segment of the older volume."""
        path = self.rng.choice([p for p in self.files() if not p.endswith("volume.fspf")])
        older = os.path.join(self.old, os.path.relpath(path, self.volume))
        if os.path.exists(older):
            shutil.copyfile(older, path)
        return "%s replaced by its older version" % path

    # ---- judgement

    def read_all(self):
        """Through the daemon.  None when it refuses to mount."""
        status, said = self.command("mount", self.volume, self.mountpoint, *self.auth, "-o", "ro")
        if status:
            assert status in (1, 3, 4, 5), "mount: status %d: %s" % (status, said)
            assert said.startswith("fspf: error: "), said
            return None
        try:
            return listing(os.path.join(self.mountpoint, "tree"))
        finally:
            status, said = self.command("umount", self.mountpoint)
            assert status in (0, 1, 3), "umount: status %d: %s" % (status, said)

    def judge(self):
        verified, said = self.command("verify", self.volume, *self.auth)
        assert verified in (0, 1, 3, 4, 5), "verify: status %d: %s" % (verified, said)
        result = self.read_all()
        if result is None:
            assert verified != 0, "verify finds nothing, and it cannot be mounted"
            self.refused += 1
            return
        have, failed = result
        for path, content in have.items():
            assert path in self.want, "%s should not be there" % path
            assert content == self.want[path], "%s: other contents" % path
        missing = {p for p in self.want if p not in have and p not in failed
                   and not any(p.startswith(f + "/") or f == "." for f in failed)}
        assert not missing, "gone without an error: %s" % sorted(missing)[:3]
        if verified == 0:
            assert not failed, "verify finds nothing, and these fail: %s" % sorted(failed)[:3]
            self.harmless += 1
            return
        assert verified == 3, "mounted, and verify gives %d: %s" % (verified, said)
        named = set(re.findall(r"damaged: (/.*)", said))
        for path in failed:
            name = "/tree" if path == "." else "/tree/" + path
            # A damaged directory is named instead of what lies below it.
            assert named & parents(name), "%s fails and is not named by: %s" % (name, said[:500])
        assert re.search(r"damaged: \S", said), "verify does not say what is damaged: %s" % said[:500]
        self.detected += 1

    def restore(self):
        shutil.rmtree(self.volume)
        subprocess.run(["cp", "-a", "--sparse=always", self.pristine, self.volume], check=True)

    def run(self, trials):
        shutil.rmtree(self.pristine, ignore_errors=True)
        shutil.copytree(self.volume, self.pristine)
        kinds = [self.damage_flip, self.damage_zero, self.damage_random, self.damage_swap, self.damage_copy,
                 self.damage_replay, self.damage_replay, self.damage_truncate, self.damage_remove,
                 self.damage_segment]
        for number in range(trials):
            self.restore()
            what = kinds[number % len(kinds)]()
            try:
                self.judge()
            except (AssertionError, subprocess.TimeoutExpired) as e:
                print("trial %d: %s: %s" % (number, what, e))
                shutil.copytree(self.volume, self.volume + ".failed", dirs_exist_ok=True)
                return 1
        self.restore()
        print("# %d trials: %d found by verify, %d refused, %d harmless" % (
            trials, self.detected, self.refused, self.harmless))
        # The damage must have hit something, or this shows nothing.
        return 0 if self.detected + self.refused > trials // 3 else 1


def parents(path):
    """The path and the directories above it."""
    result = {path}
    while path != "/":
        path = os.path.dirname(path)
        result.add(path)
    return result


def main():
    split = sys.argv.index("--")
    args, auth = sys.argv[1:split], sys.argv[split + 1:]
    return Trial(args, auth).run(int(args[5]))


if __name__ == "__main__":
    sys.exit(main())
