"""stress-ng: its malloc stressor, checking itself."""

from __future__ import annotations

from clients_lib.client import Client, register
from clients_lib.session import Session


@register
class StressNg(Client):
    """Random malloc, calloc, realloc, memalign and free, on threads, with the contents verified."""

    name = "stress-ng"
    summary = "`stress-ng --malloc 2 --verify` for a fixed number of operations, alone and with threads."
    programs = {"stress-ng": "stress-ng"}
    normalised = "all output (rates, times, process ids); compared is the exit status, not 0 when a check fails"

    def run(self, session: Session) -> None:
        fixed = ["--seed", "1", "--malloc", "2", "--malloc-max", "2000", "--malloc-bytes", "64K"]
        fixed += ["--verify", "--timeout", "120"]
        for label, more in (("plain", []), ("threads", ["--malloc-pthreads", "2"]), ("touch", ["--malloc-touch"])):
            session.step(
                label,
                ["stress-ng", *fixed, "--malloc-ops", "500000", *more],
                normalise_stdout=lambda _: b"",
                normalise_stderr=lambda _: b"",
            )
