#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A second reader of volumes, written from docs/format.md alone.

	fspf_reader.py VOLUME [--key-file FILE | --region-key-file FILE ...] [--tag HEX] [--snapshot NAME]
	               [--host PREFIX=DIR]... [--times] [--no-list]

Verifies everything that it can reach: header, key slots, root record, session table, every node and
every block, and what items say of each other; and the same of each snapshot.  Prints a line an entry of all regions that it can
read, of the volume or of the snapshot NAME: path, type, permissions, owner, names, size, time of last
change, contents, attributes.  Each damage is a line on standard error.

Without --key-file only authenticated regions are read, and those encrypted ones whose keys are given.  Without --tag the newest record is taken.
Exit status: 0 whole, 1 failed, 2 usage, 3 damaged, 4 not the expected tag, 5 wrong key.

Needs the package "cryptography".  Passphrases are not supported: they take Argon2id.
"""

import argparse
import collections
import hashlib
import hmac
import os
import stat
import struct
import sys

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305

BLOCK = 4096
NODE = 16384
HEAD_BLOCKS = 64
SLOT_BLOCKS = 16
ENCRYPTED, AUTHENTICATED = 1, 2
SPACE_REGION = 65535
INODE, INLINE, XATTR, DIRENT, EXTENT, ORPHAN, IN_PLACE, VERITY = range(1, 9)
OBJECT_MAX = 2**48 - 1
FILE_SIZE_MAX = 2**63 - 4096
VALUE_MAX = 3072
LAST_KEY = (2**64 - 1, 255, 2**64 - 1)
TYPES = {0o010000: "fifo", 0o020000: "char", 0o040000: "dir", 0o060000: "block", 0o100000: "file",
         0o120000: "link", 0o140000: "socket"}
D_TYPES = {1: "fifo", 2: "char", 4: "dir", 6: "block", 8: "file", 10: "link", 12: "socket"}


class Damage(Exception):
    pass


class WrongTag(Exception):
    pass


class WrongKey(Exception):
    pass


def must(condition, what):
    if not condition:
        raise Damage(what)


def is_zero(data):
    return not data.strip(b"\0")


def u(data, at, size):
    return int.from_bytes(data[at:at + size], "little")


# ---- Conventions, Key slots


def sha256(*pieces):
    digest = hashlib.sha256()
    for piece in pieces:
        digest.update(piece)
    return digest.digest()


def hkdf(key, salt, info):
    prk = hmac.new(salt or bytes(32), key, hashlib.sha256).digest()
    return hmac.new(prk, info + b"\x01", hashlib.sha256).digest()


def gcm_open(aead, counter, tag, aad, data):
    """The plaintext, or None."""
    if is_zero(tag):
        return None
    try:
        return aead.decrypt(bytes(4) + struct.pack("<Q", counter), data + tag, aad)
    except InvalidTag:
        return None


def fs_verity(leaves, size):
    """The digest of a file with these hashes of its blocks."""
    level = leaves or bytes(32)
    while len(level) > 32:
        blocks = (level[at:at + BLOCK].ljust(BLOCK, b"\0") for at in range(0, len(level), BLOCK))
        level = b"".join(sha256(block) for block in blocks)
    return sha256(struct.pack("<4BIQ32s", 1, 1, 12, 0, 0, size, level).ljust(256, b"\0"))


def rotate(x, n, bits):
    return (x << n | x >> bits - n) & (1 << bits) - 1


def hchacha20(key, nonce):
    x = list(struct.unpack("<16I", b"expand 32-byte k" + key + nonce))

    def quarter(a, b, c, d):
        for p, q, r, n in ((a, b, d, 16), (c, d, b, 12), (a, b, d, 8), (c, d, b, 7)):
            x[p] = (x[p] + x[q]) & 0xFFFFFFFF
            x[r] = rotate(x[r] ^ x[p], n, 32)

    for _ in range(10):
        for i in range(4):
            quarter(i, i + 4, i + 8, i + 12)
        for i in range(4):
            quarter(i, (i + 1) % 4 + 4, (i + 2) % 4 + 8, (i + 3) % 4 + 12)
    return struct.pack("<8I", *x[:4], *x[12:])


def xchacha_open(key, nonce, aad, data):
    try:
        return ChaCha20Poly1305(hchacha20(key, nonce[:16])).decrypt(bytes(4) + nonce[16:], data, aad)
    except InvalidTag:
        return None


def siphash(key, data):
    k0, k1 = struct.unpack("<2Q", key)
    v = [k0 ^ 0x736F6D6570736575, k1 ^ 0x646F72616E646F6D, k0 ^ 0x6C7967656E657261, k1 ^ 0x7465646279746573]

    def rounds(n):
        for _ in range(n):
            for a, b, r in ((0, 1, 13), (2, 3, 16)):
                v[a] = (v[a] + v[b]) & 2**64 - 1
                v[b] = rotate(v[b], r, 64) ^ v[a]
            v[0] = rotate(v[0], 32, 64)
            for a, b, r in ((2, 1, 17), (0, 3, 21)):
                v[a] = (v[a] + v[b]) & 2**64 - 1
                v[b] = rotate(v[b], r, 64) ^ v[a]
            v[2] = rotate(v[2], 32, 64)

    padded = data + bytes(7 - len(data) % 8) + bytes([len(data) & 255])
    for (word,) in struct.iter_unpack("<Q", padded):
        v[3] ^= word
        rounds(2)
        v[0] ^= word
    v[2] ^= 0xFF
    rounds(4)
    return v[0] ^ v[1] ^ v[2] ^ v[3]


# ---- The volume's directory


class Store:
    def __init__(self, path):
        self.path = path
        self.segment_blocks = 0
        self.files = collections.OrderedDict()

    def file(self, segment):
        if segment not in self.files:
            name = "segments/%08x" % segment if segment else "volume.fspf"
            try:
                self.files[segment] = open(os.path.join(self.path, name), "rb")
            except FileNotFoundError:
                return None
            if len(self.files) > 100:
                self.files.popitem(last=False)[1].close()
        return self.files[segment]

    def segment(self, segment, block, count):
        f = self.file(segment)
        data = os.pread(f.fileno(), count * BLOCK, block * BLOCK) if f else b""
        return data + bytes(count * BLOCK - len(data))

    def read(self, address, count):
        """Blocks of nodes, extents and the session table."""
        segment, block = divmod(address, self.segment_blocks)
        must(segment > 0 and block + count <= self.segment_blocks, "block %d cannot be one" % address)
        return self.segment(segment, block, count)


def open_beneath(top, path):
    """The host's regular file, through no symbolic link."""
    at = os.open(top, os.O_PATH | os.O_DIRECTORY)
    names = path.split(b"/")
    try:
        for name in names:
            flags = os.O_PATH | os.O_DIRECTORY if name is not names[-1] else os.O_RDONLY | os.O_NONBLOCK
            below = os.open(name, flags | os.O_NOFOLLOW, dir_fd=at)
            os.close(at)
            at = below
        must(stat.S_ISREG(os.fstat(at).st_mode), "the host's file is not a regular one")
    except OSError as e:
        os.close(at)
        raise Damage("the host's file: %s" % e) from e
    return at


# ---- The head


class Header:
    def __init__(self, block):
        must(block[:8] == b"FSPFVOL1", "the header does not begin as one")
        version = u(block, 8, 4)
        if version != 1:
            sys.exit("format version %d is not known" % version)
        must(sha256(block[:4064]) == block[4064:], "the header's sum is wrong")
        flags = u(block, 12, 4)
        self.keyed = flags & 1 == 1
        self.id = block[16:32]
        self.segment_blocks = u(block, 32, 4)
        limit = u(block, 48, 8)
        s = self.segment_blocks
        must(flags < 2 and u(block, 36, 4) == NODE and u(block, 40, 4) == BLOCK and is_zero(block[44:48])
             and is_zero(block[56:4064]) and 256 <= s <= 262144 and s & s - 1 == 0
             and limit % s == 0 and limit < 2**50, "the header is malformed")
        self.limit = limit
        self.digest = sha256(block)


def slot_is_sound(slot):
    return (slot[0] == 1 and slot[1] == 1 and is_zero(slot[2:16]) and is_zero(slot[104:]))


def open_slots(header, block, key):
    """The volume key."""
    for i in range(16):
        slot = block[i * 256:(i + 1) * 256]
        if slot_is_sound(slot):
            wrapping = hkdf(key, slot[16:32], b"fspf key slot v1")
            volume_key = xchacha_open(wrapping, slot[32:56], header.id + slot[:56], slot[56:104])
            if volume_key:
                return volume_key
    raise WrongKey("the key opens none of the slots")


# ---- Root record


class Pointer:
    def __init__(self, data):
        must(len(data) == 64, "a pointer has %d bytes" % len(data))
        self.null = is_zero(data)
        self.address, self.birth, self.session, self.counter = struct.unpack_from("<QQIQ", data)
        self.seal = data[28:60]
        self.level = data[60]
        if not self.null:
            must(self.address and self.birth and not is_zero(self.seal) and self.level < 12
                 and is_zero(data[61:]), "a pointer is malformed")


NOT_PROTECTED = 3
EPHEMERAL, KERNEL, COPY_UP, TOP_IS_FILE = 1, 2, 4, 8


class RegionEntry:
    def __init__(self, data, at):
        must(at + 160 <= len(data), "a region entry is cut off")
        (self.id, self.class_, prefix, host, self.flags, zero, self.next_object, self.files, self.blocks,
         self.unwritten) = struct.unpack_from("<HHHHIIQQQQ", data, at)
        self.root = Pointer(data[at + 48:at + 112])
        self.tag = data[at + 112:at + 144]
        self.hash_key = data[at + 144:at + 160]
        self.prefix = data[at + 160:at + 160 + prefix]
        self.host = data[at + 160 + prefix:at + 160 + prefix + host]
        self.end = at + 160 + prefix + host
        self.key = self.old_key = None
        self.old_sessions = 0
        must(self.id != SPACE_REGION and 1 <= prefix <= 1023 and host <= 1023 and zero == 0
             and self.end <= len(data) and self.prefix[:1] == b"/" and b"\0" not in self.prefix + self.host,
             "a region entry is malformed")
        self.check_class()
        must(not self.root.null or is_zero(self.tag), "an empty region has a tag")

    def check_class(self):
        kernel, ephemeral = bool(self.flags & KERNEL), bool(self.flags & EPHEMERAL)
        must(self.class_ in (ENCRYPTED, AUTHENTICATED, NOT_PROTECTED) and self.flags < 16
             and kernel == (self.host[:1] == b"/") and kernel == bool(self.host) and not (kernel and ephemeral),
             "a region's class is malformed")
        must(not self.flags & COPY_UP or (kernel and self.class_ == AUTHENTICATED), "a region's class is malformed")
        must(not self.flags & TOP_IS_FILE or (kernel and self.class_ == NOT_PROTECTED),
             "a region's class is malformed")
        if self.class_ == NOT_PROTECTED:
            must((kernel or ephemeral) and self.root.null, "a region's class is malformed")
        if self.class_ == ENCRYPTED:
            must(not kernel, "a region's class is malformed")


class Snapshot:
    def __init__(self, data, at):
        must(at + 76 <= len(data), "a snapshot is cut off")
        (length, self.length, self.generation, _, nanoseconds, self.tag, self.address,
         self.birth) = struct.unpack_from("<IIQqI32sQQ", data, at)
        self.name = data[at + 76:at + 76 + length]
        self.end = at + 76 + length
        must(1 <= length <= 255 and self.end <= len(data) and b"\0" not in self.name and nanoseconds < 10 ** 9
             and 232 <= self.length <= 65536 and self.generation and self.address and self.birth,
             "a snapshot is malformed")


class Record:
    """A root record.  The sealed part is None when there was no key for it."""

    def __init__(self, header, volume_key, slot, region_keys=()):
        length, public_length = u(slot, 12, 4), u(slot, 76, 4)
        must(slot[:8] == b"FSPFROOT" and u(slot, 8, 4) == 1, "a root record does not begin as one")
        must(232 <= public_length < length <= len(slot), "a root record's lengths are wrong")
        self.tag = sha256(slot[:length])
        public = slot[:public_length]
        self.generation = u(public, 64, 8)
        self.policy, count, self.encrypted = u(public, 168, 4), u(public, 172, 2), u(public, 174, 2)
        self.table, self.table_birth, self.sessions, zero = struct.unpack_from("<QQII", public, 176)
        self.table_digest = public[200:232]
        must(public[16:32] == header.id and public[32:64] == header.digest and self.generation
             and u(public, 72, 4) == int(header.keyed) and zero == 0 and self.policy < 4
             and self.sessions <= 1000000 and (header.keyed or not self.encrypted),
             "a root record is malformed")
        self.regions, at = [], 232
        for _ in range(count):
            self.regions.append(RegionEntry(public, at))
            at = self.regions[-1].end
        must(all(r.class_ != ENCRYPTED for r in self.regions), "an encrypted region lies in the public part")
        sealed = slot[public_length:length]
        self.opened = not header.keyed or volume_key is not None
        self.space, self.segments, self.snapshots = None, 0, []
        if header.keyed and volume_key:
            sealed = gcm_open(record_aead(header, volume_key, public[112:144]), u(public, 144, 8),
                              public[152:168], public[:152] + bytes(16) + public[168:], sealed)
            must(sealed is not None, "a root record's seal does not verify")
        keys = self.read_sealed(sealed) if self.opened else None
        at = self.read_capsules(header, public, at, keys, region_keys)
        must(at == len(public), "the regions do not fill the public part")
        must(len(self.regions) <= 64
             and len({r.id for r in self.regions}) == len({r.prefix for r in self.regions}) == len(self.regions),
             "two regions have the same id or prefix")
        must(not self.opened or any(r.id == 0 and r.prefix == b"/" for r in self.regions), "there is no region /")
        self.regions.sort(key=lambda r: r.id)

    def read_sealed(self, sealed):
        must(len(sealed) >= 128, "a sealed part is too short")
        self.space = Pointer(sealed[32:96])
        self.segments = u(sealed, 104, 8)
        must(u(sealed, 122, 2) == self.encrypted and u(sealed, 124, 4) <= 128, "a sealed part is malformed")
        keys, at = [], 128
        for _ in range(self.encrypted):
            must(at + 72 <= len(sealed), "a sealed part is cut off")
            keys.append(struct.unpack_from("<HHI32s32s", sealed, at))
            must(keys[-1][1] == 0 and (keys[-1][2] or is_zero(keys[-1][4])), "a region's keys are malformed")
            at += 72
        for _ in range(u(sealed, 124, 4)):
            self.snapshots.append(Snapshot(sealed, at))
            at = self.snapshots[-1].end
        must(at == len(sealed), "a sealed part is not filled")
        must(len({s.name for s in self.snapshots}) == len(self.snapshots)
             and all(s.generation < self.generation for s in self.snapshots)
             and self.snapshots == sorted(self.snapshots, key=lambda s: s.generation), "the snapshots are malformed")
        return keys

    def read_capsules(self, header, public, at, keys, region_keys):
        aad = header.id + struct.pack("<Q", self.generation)
        for i in range(self.encrypted):
            must(at + 24 <= len(public), "a capsule is cut off")
            length, zero = struct.unpack_from("<II", public, at)
            must(zero == 0 and at + 24 + length <= len(public), "a capsule is malformed")
            for key in [keys[i][3]] if keys else region_keys:
                aead = AESGCM(hkdf(key, public[112:144], b"fspf region entry v1" + header.id))
                data = gcm_open(aead, u(public, 144, 8), public[at + 8:at + 24], aad, public[at + 24:at + 24 + length])
                must(data is not None or not keys, "a capsule's seal does not verify")
                if data is None:
                    continue  # another region's
                region = RegionEntry(data, 0)
                must(region.end == len(data) and region.class_ == ENCRYPTED and (not keys or region.id == keys[i][0]),
                     "a capsule is malformed")
                region.key = key
                if keys:
                    region.old_sessions, region.old_key = keys[i][2], keys[i][4]
                self.regions.append(region)
                break
            at += 24 + length
        return at


def record_aead(header, volume_key, salt):
    return AESGCM(hkdf(volume_key, salt, b"fspf root record v1" + header.id))


def read_records(store, header, volume_key, region_keys, report):
    records = []
    for first in (16, 32):
        slot = store.segment(0, first, SLOT_BLOCKS)
        if is_zero(slot[:BLOCK]):
            continue
        try:
            records.append(Record(header, volume_key, slot, region_keys))
        except Damage as e:
            report("root slot %d: %s" % ((first - 16) // 16, e))
    return records


def choose(records, tag, complaints):
    """One slot may be damaged, or torn by a crash: that is no matter while the other is the one."""
    must(records, "; ".join(complaints) or "there is no root record")
    if tag:
        records = [r for r in records if r.tag == tag]
        if not records:
            raise WrongTag("; ".join(["the volume's tag is not the expected one"] + complaints))
    return max(records, key=lambda r: r.generation)


def read_sessions(store, header, record):
    """The salts; session n is salts[n - 1]."""
    if not record.table:
        return []
    table = store.read(record.table, (record.sessions * 32 + BLOCK - 1) // BLOCK)
    head = b"fspf session table v1" + header.id + struct.pack("<I", record.sessions)
    must(sha256(head + table) == record.table_digest, "the session table does not verify")
    return [table[i * 32:i * 32 + 32] for i in range(record.sessions)]


# ---- Pointers, Nodes


class Sealer:
    """Opens the nodes and blocks of one region, or of the space map."""

    def __init__(self, class_, key, salts, identity, old_key=None, old_sessions=0):
        self.class_, self.key, self.salts, self.identity = class_, key, salts, identity
        self.old_key, self.old_sessions = old_key, old_sessions
        self.aeads = {}

    def aead(self, session):
        if session not in self.aeads:
            key = self.old_key if session <= self.old_sessions else self.key
            self.aeads[session] = AESGCM(
                hkdf(key, self.salts[session - 1], b"fspf region session v1" + self.identity))
        return self.aeads[session]

    def open(self, session, counter, seal, aad, data):
        """The plaintext, or None.  Seal: 32 bytes."""
        if self.class_ != ENCRYPTED:
            sound = session == 0 and counter == 0 and not is_zero(seal)
            return data if sound and sha256(aad, data) == seal else None
        if not 1 <= session <= len(self.salts) or not is_zero(seal[16:]):
            return None
        return gcm_open(self.aead(session), counter, seal[:16], aad, data)


def check_image(image, pointer, first, last):
    """The items of a node, whose keys must lie in first .. last: [(key, value)]."""
    count, total = u(image, 6, 2), u(image, 8, 2)
    table_end, values = 16 + 24 * count, NODE - total
    must(image[:4] == b"FSPN" and image[4] == 1 and image[5] == pointer.level and is_zero(image[10:16]),
         "a node's header is wrong")
    must(count >= 1 and table_end <= values and is_zero(image[table_end:values]), "a node's table is wrong")
    items, place, previous = [], NODE, None
    for i in range(count):
        object_, offset, at, length, type_ = struct.unpack_from("<QQHHB", image, 16 + 24 * i)
        key = (object_, type_, offset)
        place -= length
        must(is_zero(image[16 + 24 * i + 21:16 + 24 * i + 24]) and 1 <= length <= VALUE_MAX and at == place,
             "a node's item is not where it must be")
        must(previous < key if previous else first <= key, "a node's keys are not in order")
        previous = key
        items.append((key, image[at:at + length]))
    must(place == values and previous <= last, "a node's values or keys exceed their range")
    return items


class Tree:
    def __init__(self, store, sealer, report):
        self.store, self.sealer, self.report = store, sealer, report
        self.blocks = []  # of the nodes: (address, count)

    def read(self, pointer, first, last, region_tag):
        aad = self.sealer.identity + b"N" + struct.pack("<BQQ", pointer.level, pointer.address, pointer.birth)
        stored = self.store.read(pointer.address, NODE // BLOCK)
        image = self.sealer.open(pointer.session, pointer.counter, pointer.seal, aad, stored)
        must(image is not None, "node at block %d: the seal does not verify" % pointer.address)
        must(region_tag is None or sha256(stored) == region_tag, "the region tag is not that of the root node")
        items = check_image(image, pointer, first, last)
        self.blocks.append((pointer.address, NODE // BLOCK))
        return items

    def children(self, pointer, items, last):
        for i, (key, value) in enumerate(items):
            child = Pointer(value)
            must(not child.null and child.level + 1 == pointer.level and child.birth <= pointer.birth,
                 "a pointer to a child is wrong")
            if i + 1 < len(items):
                yield child, key, key_before(items[i + 1][0])
            else:
                yield child, key, last

    def walk(self, pointer, first=(0, 0, 0), last=LAST_KEY, region_tag=None):
        """All items below, in order."""
        if pointer.null:
            return
        try:
            items = self.read(pointer, first, last, region_tag)
            if pointer.level:
                items = list(self.children(pointer, items, last))
        except Damage as e:
            self.report(str(e))
            return
        for item in items:
            if pointer.level:
                yield from self.walk(*item)
            else:
                yield item


def key_before(key):
    number = (key[0] << 72 | key[1] << 64 | key[2]) - 1
    return number >> 72, number >> 64 & 255, number & 2**64 - 1


# ---- Items


class Inode:
    def __init__(self, value):
        must(len(value) == 128, "an inode has %d bytes" % len(value))
        (self.mode, self.nlink, self.uid, self.gid, self.rdev, self.size, self.blocks, self.unwritten,
         self.generation, self.parent, self.entries) = struct.unpack_from("<4I7Q", value)
        times = [struct.unpack_from("<qI", value, at) for at in (72, 84, 96, 108)]
        flags, reserved = struct.unpack_from("<2I", value, 120)
        self.type = TYPES.get(self.mode & 0o170000)
        self.inlined, self.in_place, self.covered = bool(flags & 1), bool(flags & 2), bool(flags & 4)
        must(self.type and self.mode < 0o200000 and flags < 8 and reserved == 0 and self.size <= FILE_SIZE_MAX
             and self.parent <= OBJECT_MAX and all(t[1] < 10**9 for t in times), "an inode is malformed")
        must(not self.covered or self.type == "dir", "an inode is falsely covered")
        must(not self.inlined or (self.type == "file" and self.size <= VALUE_MAX), "an inode is falsely inlined")
        must(not self.in_place or (self.type == "file" and not self.inlined), "an inode is falsely in place")
        self.times = [t[0] * 10**9 + t[1] for t in times]  # access, contents, attributes, birth


class Extent:
    def __init__(self, first, value, class_):
        must(len(value) >= 32, "an extent is too short")
        self.first = first
        self.address, self.birth, self.counter, self.session, self.count = struct.unpack_from("<QQQII", value)
        size, most = (16, 64) if class_ == ENCRYPTED else (32, 32)
        must(self.count >= 1 and first <= FILE_SIZE_MAX // BLOCK, "an extent is malformed")
        if self.address:
            must(self.count <= most and self.birth and len(value) == 32 + size * self.count, "an extent is malformed")
        else:
            must(self.count <= 2**30 and len(value) == 32, "an unwritten extent is malformed")
        self.tags = [value[i:i + size] for i in range(32, len(value), size)]
        if class_ == AUTHENTICATED and self.address:
            must(self.counter == 0 and self.session == 0, "an extent has a session")


class Object:
    """One file, as its items have it."""

    def __init__(self):
        self.inode = None
        self.inline = {}
        self.xattrs = {}  # offset: value
        self.entries = {}  # name: (object, type)
        self.extents = []
        self.in_place = None  # (digest, host path)
        self.leaves = {}  # first block: hashes
        self.names = 0  # entries that name it

    def check_in_place(self):
        must(self.in_place, "the host's file is not said")
        digest, path = self.in_place
        must(not is_zero(digest) and 1 <= len(path) <= 2900 and b"\0" not in path
             and all(name not in (b"", b".", b"..") for name in path.split(b"/")), "the host's file is said wrongly")
        blocks = -(-self.inode.size // BLOCK)
        must(sorted(self.leaves) == list(range(0, blocks, 64))
             and all(len(hashes) == min(64, blocks - first) * 32 for first, hashes in self.leaves.items()),
             "hashes of blocks are missing, or too many")
        leaves = b"".join(self.leaves[first] for first in sorted(self.leaves))
        must(all(not is_zero(leaves[at:at + 32]) for at in range(0, len(leaves), 32)), "a block's hash is zero")
        must(fs_verity(leaves, self.inode.size) == digest, "the digest is not that of the blocks' hashes")

    def contents_of_link(self):
        target = b"".join(self.inline[i] for i in sorted(self.inline))
        must(sorted(self.inline) in ([0], [0, 1]) and len(target) <= 4095 and b"\0" not in target
             and len(target) == self.inode.size and (1 not in self.inline or len(self.inline[0]) == 3072),
             "a symbolic link's target is malformed")
        return target

    def attributes(self, hash_key):
        """{name: value}."""
        result, offsets = {}, sorted(self.xattrs)
        while offsets:
            first = offsets.pop(0)
            piece = self.xattrs[first]
            length = piece[0]
            must(first & 255 == 0 and length >= 1 and len(piece) >= 5 + length, "an attribute is malformed")
            name, total, value = piece[1:1 + length], u(piece, 1 + length, 4), piece[5 + length:]
            must(siphash(hash_key, b"xattr\0" + name) & ~0xFFFF == first & ~0xFFFF, "an attribute is misplaced")
            must(b"\0" not in name and name not in result and total <= 65536, "an attribute is malformed")
            sizes = [min(2048, total - i) for i in range(0, total, 2048)] or [0]
            must(len(value) == sizes[0], "an attribute's piece is wrong")
            for i, size in enumerate(sizes[1:], 1):
                must(offsets and offsets[0] == first + i and len(self.xattrs[first + i]) == size,
                     "an attribute's piece is wrong")
                value += self.xattrs[offsets.pop(0)]
            result[name] = value
        return result


class Contents:
    """The digest of a file given piece by piece, in order; what is left out is zeroes."""

    def __init__(self, size):
        self.size, self.at, self.digest = size, 0, hashlib.sha256()

    def zeroes(self, end):
        while self.at < end:
            n = min(1 << 20, end - self.at)
            self.digest.update(bytes(n))
            self.at += n

    def put(self, offset, data):
        self.zeroes(min(self.size, offset))
        data = data[:self.size - self.at]
        self.digest.update(data)
        self.at += len(data)

    def end(self):
        self.zeroes(self.size)
        return self.digest.hexdigest()


class Region:
    def __init__(self, volume, entry, state=b""):
        self.volume, self.entry, self.state = volume, entry, state
        self.identity = volume.header.id + struct.pack("<I", entry.id)
        self.sealer = Sealer(entry.class_, entry.key, volume.salts, self.identity, entry.old_key, entry.old_sessions)
        self.tree = Tree(volume.store, self.sealer, self.report)
        self.objects = collections.defaultdict(Object)
        self.orphans = set()
        self.data_blocks = []  # (address, count)
        self.damaged = False
        self.digests = {}

    def report(self, what):
        self.damaged = True
        self.volume.report("%sregion %s: %s" % (self.state.decode(errors="replace"), escape(self.entry.prefix), what))

    def guarded(self, what, function, *args):
        try:
            return function(*args)
        except Damage as e:
            self.report("%s: %s" % (what, e))
            return None

    def read(self):
        tag = None if self.entry.root.null else self.entry.tag
        for key, value in self.tree.walk(self.entry.root, region_tag=tag):
            self.guarded("object %d" % key[0], self.item, key, value)
        if not self.damaged:
            self.check_names()
        for number, object_ in sorted(self.objects.items()):
            self.guarded("object %d" % number, self.check_object, number, object_)
        if not self.damaged:
            self.check_counts()

    def item(self, key, value):
        number, type_, offset = key
        if type_ == ORPHAN:
            must(number == 0 and 1 <= offset <= OBJECT_MAX and value == b"\x01", "an orphan item is malformed")
            self.orphans.add(offset)
            return
        must(1 <= number < self.entry.next_object and number <= OBJECT_MAX, "there cannot be such an object")
        object_ = self.objects[number]
        if type_ == INODE:
            must(offset == 0, "an inode has an offset")
            object_.inode = Inode(value)
        elif type_ == INLINE:
            object_.inline[offset] = value
        elif type_ == XATTR:
            object_.xattrs[offset] = value
        elif type_ == DIRENT:
            self.entry_item(object_, offset, value)
        elif type_ == EXTENT:
            object_.extents.append(Extent(offset, value, self.entry.class_))
        elif type_ == IN_PLACE:
            must(offset == 0, "an item of contents in place has an offset")
            object_.in_place = (value[:32], value[32:])
        elif type_ == VERITY:
            object_.leaves[offset] = value
        else:
            must(False, "an item has the unknown type %d" % type_)

    def entry_item(self, object_, offset, value):
        child, type_, name = u(value, 0, 8), D_TYPES.get(value[8] if len(value) > 9 else 0), value[9:]
        must(1 <= child <= OBJECT_MAX and type_ and 1 <= len(name) <= 255 and name not in (b".", b"..")
             and b"/" not in name and b"\0" not in name and name not in object_.entries, "an entry is malformed")
        place = max(siphash(self.entry.hash_key, name) >> 1 & ~255, 256)
        must(offset & ~255 == place, "an entry is misplaced")
        object_.entries[name] = (child, type_)
        self.objects[child].names += 1

    def check_names(self):
        """Only of a region whose nodes were all read."""
        for number, object_ in self.objects.items():
            what = "object %d" % number
            if not object_.inode:
                if number not in self.orphans:
                    self.report(what + " has no inode")
                continue
            inode, subdirectories = object_.inode, 0
            for name, (child, type_) in object_.entries.items():
                there = self.objects[child].inode if child in self.objects else None
                subdirectories += type_ == "dir"
                if not there or there.type != type_ or (type_ == "dir" and there.parent != number):
                    self.report("%s: entry %s names something else" % (what, escape(name)))
            if inode.type == "dir":
                links = 2 + subdirectories if object_.names or number == 1 else 0
                sound = object_.names <= 1 and inode.entries == len(object_.entries)
            else:
                links, sound = object_.names, not object_.entries and inode.entries == 0
            if not sound or inode.nlink != links or (links == 0) != (number in self.orphans):
                self.report("%s: %d links and %d entries are counted wrongly" % (what, inode.nlink, inode.entries))
        top = self.objects[1].inode if 1 in self.objects else None
        if not top or top.type != "dir":
            self.report("there is no top directory")

    def check_object(self, number, object_):
        inode = object_.inode
        object_.xattr_values = {}
        if not inode:
            return
        object_.xattr_values = object_.attributes(self.entry.hash_key)
        if inode.type == "link":
            object_.contents = object_.contents_of_link()
        elif inode.inlined:
            must(list(object_.inline) == [0] and len(object_.inline[0]) <= inode.size and not object_.extents,
                 "inline contents are malformed")
        else:
            must(not object_.inline, "there are inline contents that should not be")
        if inode.in_place and number not in self.orphans:
            object_.check_in_place()
        must(inode.in_place or number in self.orphans or not (object_.in_place or object_.leaves),
             "there are items of contents in place that should not be")
        must(inode.type == "file" or not object_.extents, "something that is no file has extents")
        must(inode.type in ("file", "link") or inode.size == 0, "something has a size that cannot have one")
        if inode.type == "file" and not (inode.in_place and number in self.orphans):
            self.digests[number] = self.contents(number, object_)
            must(inode.blocks == sum(e.count for e in object_.extents if e.address)
                 and inode.unwritten == sum(e.count for e in object_.extents if not e.address),
                 "the inode's blocks are counted wrongly")

    def blocks_of(self, number, extent):
        """The blocks of a written extent, verified."""
        self.data_blocks.append((extent.address, extent.count))
        stored = self.volume.store.read(extent.address, extent.count)
        for i, tag in enumerate(extent.tags):
            block = extent.first + i
            counter = extent.counter + i if self.entry.class_ == ENCRYPTED else 0
            aad = self.identity + b"data" + struct.pack("<QQ", number, block)
            data = self.sealer.open(extent.session, counter, tag + bytes(32 - len(tag)), aad,
                                    stored[i * BLOCK:(i + 1) * BLOCK])
            must(data is not None, "block %d does not verify" % block)
            yield block, data

    def contents(self, number, object_):
        """Verifies all of a file's blocks; SHA-256 of its contents."""
        contents, next_block = Contents(object_.inode.size), 0
        if object_.inode.inlined:
            contents.put(0, object_.inline[0])
        known = None
        if object_.inode.in_place:
            known = self.contents_in_place(object_)
        for extent in object_.extents:
            must(extent.first >= next_block, "extents overlap")
            next_block = extent.first + extent.count
            if extent.address:
                for block, data in self.blocks_of(number, extent):
                    if not known:
                        contents.put(block * BLOCK, data)
        return known or contents.end()

    def contents_in_place(self, object_):
        """SHA-256 of the host's file, whose blocks are verified; where it is not known: its fs-verity digest."""
        digest, path = object_.in_place
        if self.entry.prefix not in self.volume.host:
            return "verity:" + digest.hex()
        contents = hashlib.sha256()
        with os.fdopen(open_beneath(self.volume.host[self.entry.prefix], path), "rb") as f:
            must(os.fstat(f.fileno()).st_size == object_.inode.size, "the host's file has another size")
            for first in sorted(object_.leaves):
                for i in range(0, len(object_.leaves[first]), 32):
                    data = f.read(BLOCK)
                    must(sha256(data.ljust(BLOCK, b"\0")) == object_.leaves[first][i:i + 32],
                         "block %d of the host's file does not verify" % (first + i // 32))
                    contents.update(data)
        return contents.hexdigest()

    def check_counts(self):
        inodes = [o.inode for o in self.objects.values() if o.inode]
        for what, have, said in (("inodes", len(inodes), self.entry.files),
                                 ("data blocks", sum(i.blocks for i in inodes), self.entry.blocks),
                                 ("unwritten blocks", sum(i.unwritten for i in inodes), self.entry.unwritten)):
            if have != said:
                self.report("%d %s, and the record says %d" % (have, what, said))

    def line(self, path, number, first_names, times):
        object_ = self.objects[number]
        inode = object_.inode
        if not inode:
            return
        facts = {"type": inode.type, "mode": "%04o" % (inode.mode & 0o7777),
                 "owner": "%d:%d" % (inode.uid, inode.gid), "mtime": inode.times[1],
                 "xattrs": getattr(object_, "xattr_values", {})}
        if times:
            facts["times"] = ",".join(map(str, inode.times))
        if inode.type != "dir":
            facts["nlink"] = inode.nlink
            facts["same"] = escape(first_names.setdefault((self.entry.id, number), path))
        if inode.type == "file":
            facts["size"] = inode.size
            facts["sha256"] = self.digests.get(number, "damaged")
        elif inode.type == "link":
            facts["target"] = escape(getattr(object_, "contents", b"damaged"))
        elif inode.type in ("char", "block"):
            facts["device"] = inode.rdev
        print(line(path, facts))


# ---- Space map


def space_items(volume):
    header, identity = volume.header, volume.header.id + struct.pack("<I", SPACE_REGION)
    if header.keyed:
        key = hkdf(volume.key, b"", b"fspf space map v1" + header.id)
        sealer = Sealer(ENCRYPTED, key, volume.salts, identity)
    else:
        sealer = Sealer(AUTHENTICATED, None, [], identity)
    yield from Tree(volume.store, sealer, volume.report).walk(volume.record.space)


def read_space_map(volume):
    """The blocks in use: a set of addresses."""
    used, s = set(), volume.header.segment_blocks
    pieces = -(-s // 16384)
    for (object_, type_, offset), value in space_items(volume):
        segment, piece = divmod(offset, pieces)
        must(object_ == 1 and type_ == 1 and segment >= 1, "the space map has an item that it cannot have")
        for start, length in map_runs(value, min(16384, s - piece * 16384)):
            first = segment * s + piece * 16384 + start
            used.update(range(first, first + length))
    return used


def map_runs(value, blocks):
    must(len(value) >= 8 and value[1] == 0 and value[0] in (1, 2), "an item of the space map is malformed")
    if value[0] == 1:
        must(len(value) % 4 == 0, "runs of the space map are malformed")
        runs = list(struct.iter_unpack("<HH", value[8:]))
    else:
        must(len(value) == 8 + blocks // 8, "a bitmap of the space map is malformed")
        bits, runs, at = int.from_bytes(value[8:], "little"), [], 0
        while bits >> at:
            at += (bits >> at & -(bits >> at)).bit_length() - 1
            length = (~(bits >> at) & (bits >> at) + 1).bit_length() - 1
            runs.append((at, length))
            at += length
    end = -1
    for start, length in runs:
        must(length and start > end and start + length <= blocks, "runs of the space map are not in order")
        end = start + length
    must(runs and len(runs) == u(value, 2, 2) and sum(r[1] for r in runs) == u(value, 4, 4)
         and (value[0] == 1) == (4 * len(runs) <= blocks // 8), "counts of the space map are wrong")
    return runs


# ---- the volume


def runs_of(regions):
    """The blocks that regions reach, as (address, count): of nodes, and of data."""
    return [run for r in regions for run in r.tree.blocks], [run for r in regions for run in r.data_blocks]


def blocks_of_runs(runs):
    return {block for address, count in runs for block in range(address, address + count)}


class Kept:
    """A snapshot: the copy of a record in the place of the one that lists it, whose session table it
    shares."""

    def __init__(self, volume, entry):
        self.name = entry.name
        self.blocks = -(-entry.length // BLOCK)
        self.address = entry.address
        copy = volume.store.read(entry.address, self.blocks)[:entry.length]
        must(u(copy, 12, 4) == entry.length, "the copy of the record has another length")
        self.record = Record(volume.header, volume.key, copy)
        must(self.record.tag == entry.tag and self.record.generation == entry.generation,
             "the copy of the record has another tag")
        self.regions = [Region(volume, region, b"snapshot " + self.name + b": ") for region in self.record.regions]


class Volume:
    def __init__(self, path, key, tag, host=None, region_keys=()):
        self.damages = 0
        self.host = host or {}  # prefix of a region: directory of its contents in place
        self.store = Store(path)
        self.header = Header(self.store.segment(0, 0, 1))
        self.store.segment_blocks = self.header.segment_blocks
        self.key = None
        if key and self.header.keyed:
            self.key = open_slots(self.header, self.store.segment(0, 1, 1), key)
        complaints = []
        records = read_records(self.store, self.header, self.key, region_keys, complaints.append)
        self.record = choose(records, tag, complaints)
        self.salts = []
        self.salts = read_sessions(self.store, self.header, self.record)
        self.regions = [Region(self, entry) for entry in self.record.regions]
        self.kept = []
        for entry in self.record.snapshots:
            try:
                self.kept.append(Kept(self, entry))
            except Damage as e:
                self.report("snapshot %s: %s" % (escape(entry.name), e))

    def report(self, what):
        self.damages += 1
        print("damaged: %s" % what, file=sys.stderr)

    def verify(self):
        for state in [self] + self.kept:
            for region in state.regions:
                region.read()
        if self.record.opened and not self.damages:
            self.verify_space()
        if not self.damages:
            self.verify_marks()

    def object(self, region, number):
        return next(r for r in self.regions if r.entry.id == region).objects[number]

    def verify_marks(self):
        """Who knows all regions finds an encrypted one at each mark; each has one in any case."""
        covers = {place for place, region in self.covered(self.regions)[0].items() if region.entry.class_ == ENCRYPTED}
        marks = {(r.entry.id, n) for r in self.regions for n, o in r.objects.items() if o.inode and o.inode.covered}
        if covers - marks or (self.record.opened and marks - covers):
            self.report("directories are falsely marked as covered")

    def verify_space(self):
        """No block is used twice, but that states share what they have in common; and the map, if there
        is one, says what the trees say."""
        own = [(kept.address, kept.blocks) for kept in self.kept]
        if self.record.table:
            own.append((self.record.table, (self.record.sessions * 32 + BLOCK - 1) // BLOCK))
        reached = blocks_of_runs(own)
        twice = len(reached) != sum(count for _, count in own)
        all_nodes, all_data = set(), set()
        for state in [self] + self.kept:
            nodes, data = runs_of(state.regions)
            blocks = blocks_of_runs(nodes + data)
            twice |= len(blocks) != sum(count for _, count in nodes + data) or bool(blocks & blocks_of_runs(own))
            all_nodes.update(blocks_of_runs(nodes))
            all_data.update(blocks_of_runs(data))
        if twice or all_nodes & all_data:
            self.report("a block is used twice")
        reached |= all_nodes | all_data
        end = self.header.segment_blocks + self.header.limit
        if self.header.limit and reached and max(reached) >= end:
            self.report("a block lies beyond the volume's limit")
        if not self.record.space.null:
            try:
                used = read_space_map(self)
            except Damage as e:
                self.report(str(e))
                return
            if not self.damages and used != reached:
                self.report("the space map has %d blocks too many and %d too few"
                            % (len(used - reached), len(reached - used)))

    # -- the listing

    @staticmethod
    def covered(regions):
        """{(region, object): the region that is seen there}, and the regions that hang nowhere."""
        covers, loose = {}, []
        for region in regions:
            path = [] if region.entry.prefix == b"/" else region.entry.prefix[1:].split(b"/")
            outer = [r for r in regions if r is not region and below(path, r.entry.prefix)]
            number = None
            if outer:
                around = max(outer, key=lambda r: len(r.entry.prefix))
                depth = around.entry.prefix.count(b"/") if around.entry.prefix != b"/" else 0
                number = 1
                for name in path[depth:]:
                    number = around.objects[number].entries.get(name, (0,))[0] if number in around.objects else 0
            if number:
                covers[around.entry.id, number] = region
            else:
                loose.append(region)
        return covers, loose

    def entries(self, region, number, path, covers, seen):
        """(path, region, object) of a directory and all below it."""
        yield path or b"/", region, number
        if (region.entry.id, number) in seen or number not in region.objects:
            return  # only a damaged tree goes in circles
        if region.objects[number].entries:
            seen.add((region.entry.id, number))
        for name, (child, _) in region.objects[number].entries.items():
            inner = covers.get((region.entry.id, child))
            there = (inner, 1) if inner else (region, child)
            yield from self.entries(*there, path + b"/" + name, covers, seen)

    def list(self, times, snapshot=None):
        states = [kept for kept in self.kept if kept.name == snapshot] if snapshot else [self]
        must(states, "there is no such snapshot")
        covers, loose = self.covered(states[0].regions)
        found, seen, names = [], set(), {}
        for region in loose:
            prefix = b"" if region.entry.prefix == b"/" else region.entry.prefix
            found += self.entries(region, 1, prefix, covers, seen)
        for path, region, number in sorted(found, key=lambda e: e[0]):
            if number in region.objects:
                region.line(path, number, names, times)


def below(path, prefix):
    parts = [] if prefix == b"/" else prefix[1:].split(b"/")
    return len(parts) < len(path) and path[:len(parts)] == parts


# ---- lines


def escape(name):
    """Bytes as text without blanks: what is not plain is %XX."""
    return "".join(chr(c) if 33 <= c < 127 and c != 37 else "%%%02x" % c for c in name)


def line(path, facts):
    facts = dict(facts)
    xattrs = facts.pop("xattrs")
    words = ["%s=%s" % (k, v) for k, v in sorted(facts.items())]
    words += ["xattr:%s=%s" % (escape(k), v.hex()) for k, v in sorted(xattrs.items())]
    return " ".join([escape(path)] + words)


def read_key(path):
    with open(path, "rb") as f:
        data = f.read()
    if len(data) == 32:
        return data
    return bytes.fromhex(data.decode().strip())


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("volume")
    parser.add_argument("--key-file")
    parser.add_argument("--region-key-file", action="append", default=[])
    parser.add_argument("--tag")
    parser.add_argument("--host", metavar="PREFIX=DIR", action="append", default=[],
                        help="where the contents in place of a region are; else only what is said of them is checked")
    parser.add_argument("--snapshot", help="print this one's entries")
    parser.add_argument("--times", action="store_true", help="all four times")
    parser.add_argument("--no-list", action="store_true", help="verify alone")
    args = parser.parse_args()
    sys.setrecursionlimit(20000)
    try:
        volume = Volume(args.volume, read_key(args.key_file) if args.key_file else None,
                        bytes.fromhex(args.tag) if args.tag else None,
                        dict(os.fsencode(pair).split(b"=", 1) for pair in args.host),
                        [read_key(f) for f in args.region_key_file])
        volume.verify()
        if not args.no_list:
            volume.list(args.times, os.fsencode(args.snapshot) if args.snapshot else None)
    except (Damage, WrongTag, WrongKey) as e:
        print("%s: %s" % ("damaged" if isinstance(e, Damage) else "refused", e), file=sys.stderr)
        return {Damage: 3, WrongTag: 4, WrongKey: 5}[type(e)]
    return 3 if volume.damages else 0


if __name__ == "__main__":
    sys.exit(main())
