#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A SQLite load with a record, outside, of what was committed.

	sqlite.py load DATABASE JOURNAL ACKS	transactions until killed; JOURNAL: delete, wal, truncate..
	sqlite.py check DATABASE ACKS		integrity_check, and every acknowledged transaction is whole
"""

import hashlib
import os
import sqlite3
import sys


def value(number, part):
    return hashlib.sha256(b"%d %d" % (number, part)).hexdigest() * (1 + number % 30)


def load(path, journal, acks):
    db = sqlite3.connect(path, isolation_level=None)
    db.execute("pragma journal_mode=" + journal)
    # "full" does not sync the directory after the journal was removed, which is the commit: by SQLite's own
    # documentation a power cut may then take the last transaction back.  "extra" does.
    db.execute("pragma synchronous=extra")
    db.execute("create table if not exists t (n integer, part integer, v text, primary key (n, part))")
    db.execute("create index if not exists i on t (v)")
    (last,) = db.execute("select coalesce(max(n), 0) from t").fetchone()
    ack = os.open(acks, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    while True:
        last += 1
        db.execute("begin immediate")
        for part in range(3):
            db.execute("insert into t values (?, ?, ?)", (last, part, value(last, part)))
        if last % 7 == 0:
            db.execute("delete from t where n = ? and part = 2", (last - 5,))
        db.execute("commit")
        os.write(ack, b"%d\n" % last)


def check(path, acks):
    db = sqlite3.connect(path)
    (result,) = db.execute("pragma integrity_check").fetchone()
    if result != "ok":
        print("integrity_check:", result)
        return 1
    acked = [int(line) for line in open(acks)] if os.path.exists(acks) else []
    have = {}
    for number, part, text in db.execute("select n, part, v from t"):
        if text != value(number, part):
            print("transaction", number, "holds other bytes")
            return 1
        have.setdefault(number, set()).add(part)
    for number in acked:
        if not have.get(number, set()) >= {0, 1}:
            print("transaction", number, "was acknowledged and is not whole:", have.get(number))
            return 1
    print("# %d transactions acknowledged, %d there" % (len(acked), len(have)))
    return 0


if __name__ == "__main__":
    if sys.argv[1] == "load":
        load(*sys.argv[2:])
    sys.exit(check(*sys.argv[2:]))
