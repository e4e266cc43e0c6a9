"""bash: arrays, strings, command substitution."""

from __future__ import annotations

from clients_lib.client import WORKLOADS, Client, register
from clients_lib.session import Session


@register
class Bash(Client):
    """Bash forks for each substitution, with a heap full of small strings."""

    name = "bash"
    summary = "Indexed and associative arrays, string editing, here-documents, a thousand forks."
    programs = {"bash": "bash"}
    note = "Debian's bash is built without its own malloc, so the preloaded one is the one that runs."

    def run(self, session: Session) -> None:
        session.step("arrays", ["bash", WORKLOADS / "arrays.sh"])
