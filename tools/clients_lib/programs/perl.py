"""perl: hashes, strings, regular expressions."""

from __future__ import annotations

from clients_lib.client import WORKLOADS, Client, register
from clients_lib.session import Session


@register
class Perl(Client):
    """Perl calls malloc for each scalar body and each string."""

    name = "perl"
    summary = "A word index, sorting, substitutions, deep structures, growing strings."
    programs = {"perl": "perl-base"}

    def run(self, session: Session) -> None:
        session.step("words", ["perl", WORKLOADS / "words.pl"], env={"PERL_HASH_SEED": "0"})
