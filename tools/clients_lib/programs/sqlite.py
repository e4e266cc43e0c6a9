"""sqlite3: a million rows."""

from __future__ import annotations

from clients_lib.client import WORKLOADS, Client, register
from clients_lib.session import Session


@register
class Sqlite(Client):
    """SQLite keeps its page cache and its sorter in malloc."""

    name = "sqlite3"
    summary = "A million rows: insert, sort, index, group, join, delete, vacuum, .dump."
    programs = {"sqlite3": "sqlite3"}

    def run(self, session: Session) -> None:
        session.step(
            "million rows",
            ["sqlite3", "-bail", session.work / "rows.db"],
            stdin=WORKLOADS / "million.sql",
        )
