"""lua5.4: tables and strings; every object is a realloc call of its own."""

from __future__ import annotations

from clients_lib.client import WORKLOADS, Client, register
from clients_lib.session import Session


@register
class Lua(Client):
    """Lua has no allocator of its own."""

    name = "lua5.4"
    summary = "Tables, closures, coroutines, string building, sorting, garbage collection in both modes."
    programs = {"lua5.4": "lua5.4"}
    normalised = "nothing; tables are sorted before they are printed, as Lua seeds its hashes with an address"

    def run(self, session: Session) -> None:
        session.step("tables", ["lua5.4", WORKLOADS / "tables.lua"])
