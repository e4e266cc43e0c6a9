"""node: V8, its worker threads, zlib and crypto."""

from __future__ import annotations

from clients_lib.client import WORKLOADS, Client, register
from clients_lib.session import Session


@register
class Node(Client):
    """V8 keeps its own heap; malloc serves its compiler, buffers, zlib and the threads."""

    name = "node"
    summary = "JSON, maps, regular expressions, buffers, zlib, sha256, four worker threads."
    programs = {"node": "nodejs"}

    def run(self, session: Session) -> None:
        session.step("work", ["node", WORKLOADS / "work.js"])
