"""php, whose extensions ask for deep binding; see the note."""

from __future__ import annotations

from clients_lib.client import WORKLOADS, Client, register
from clients_lib.session import Session


@register
class Php(Client):
    """Debian's php loads its extensions with RTLD_DEEPBIND."""

    name = "php"
    summary = "Arrays, strings, sorting, JSON, regular expressions, serialisation, with USE_ZEND_ALLOC=0 and without."
    programs = {"php": "php-cli"}
    note = (
        "extensions are loaded with RTLD_DEEPBIND, so their libraries would find libc's malloc before a preloaded one; "
        "libhakmem.so takes the flag away, other allocators crash here"
    )

    def run(self, session: Session) -> None:
        session.step("zend heap", ["php", WORKLOADS / "arrays.php"])
        session.step("malloc", ["php", WORKLOADS / "arrays.php"], env={"USE_ZEND_ALLOC": "0"})
