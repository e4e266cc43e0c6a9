"""sqlite3: speed tests of our own, since Debian packages none, and many processes on one file."""

from __future__ import annotations

import re

from clients_lib.session import Session
from suites_lib import suite

_WRITERS = 4
_WRITER = """
for n in $(seq {rows}); do echo "INSERT INTO t(w, n) VALUES ({writer}, $n);"; done |
  sqlite3 -bail -cmd '.timeout 600000' -cmd 'PRAGMA synchronous = OFF' shared.db
"""


def sections(output: str) -> dict[str, str]:
    """What is printed behind each line `== name`."""
    return {name: body for name, body in re.findall(r"^== (.*)\n((?:(?!== ).*\n?)*)", output, re.MULTILINE)}


@suite.register
class Sqlite(suite.Suite):
    """Page cache, sorters, statements, full-text index: all on malloc, all with sizes of their own."""

    name = "sqlite3"
    summary = (
        "300,000 rows: indexes, updates, savepoints, windows, recursion, FTS5, R-tree, JSON, values of 24 MB, VACUUM, "
        "backup, integrity_check; then four writing processes on one file in WAL mode."
    )
    programs = {"sqlite3": "sqlite3"}
    package = "sqlite3"
    note = "SQLite's own speedtest1 is not packaged: the statements are ours"

    def run(self, session: Session) -> None:
        script = suite.WORKLOADS / "suite.sql"
        repeats = 1 if self.quick else 3
        for turn in range(repeats):
            database = session.work / f"suite-{turn}.db"
            heap = ["-cmd", f"PRAGMA cache_size = {(-2000, -64000, -512)[turn]}"]
            output = suite.step(session, f"statements {turn}", ["sqlite3", "-bail", *heap, database], stdin=script)
            found = sections(output.decode("utf-8", "replace"))
            for name, body in found.items():
                suite.check_same(session, f"{name}, cache {turn}", body.encode())
            suite.check(session, f"integrity_check, cache {turn}", found.get("integrity") == "ok\n")
            copy = suite.step(session, f"copy {turn}", ["sqlite3", session.work / "copy.db", "PRAGMA integrity_check"])
            suite.check(session, f"the backup's integrity_check, cache {turn}", copy == b"ok\n")
        self._share(session)

    def _share(self, session: Session) -> None:
        rows = 200 if self.quick else 2000
        make = "PRAGMA journal_mode = WAL; CREATE TABLE t(w, n, PRIMARY KEY(w, n));"
        suite.step(session, "shared: make", ["sqlite3", session.work / "shared.db", make])
        writers = " & ".join("(" + _WRITER.format(rows=rows, writer=one) + ")" for one in range(_WRITERS))
        suite.step(session, "shared: write", ["sh", "-ec", f"{writers} & wait"])
        check = "SELECT count(*), sum(n), count(DISTINCT w) FROM t; PRAGMA integrity_check;"
        seen = suite.step(session, "shared: read", ["sqlite3", session.work / "shared.db", check])
        expected = f"{rows * _WRITERS}|{_WRITERS * rows * (rows + 1) // 2}|{_WRITERS}\nok\n"
        suite.check(session, "every row of every writer is there", seen.decode() == expected)
