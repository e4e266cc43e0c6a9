"""chromium, without a display, on a local page."""

from __future__ import annotations

from clients_lib.session import Session, Word
from suites_lib import suite

_TIMEOUT_S = 180.0


@suite.register
class Chromium(suite.Suite):
    """A browser with its own malloc, which its libraries use too."""

    name = "chromium"
    summary = "a local page with scripts, canvas, SVG and workers: its DOM, a screenshot and a PDF, five times."
    programs = {"chromium": "chromium"}
    package = "chromium"
    note = (
        "it exports a malloc of its own, which its libraries find first: what is shown is that a preloaded HAKMEM "
        "does no harm to it and its processes, not how HAKMEM serves it"
    )

    def run(self, session: Session) -> None:
        user = suite.unprivileged()
        home = suite.home_for(session, user)
        page = suite.WORKLOADS / "page.html"
        (home / "page.html").write_bytes(page.read_bytes())
        for turn in range(1 if self.quick else 5):
            # No sandbox: it needs privileges that a container does not give.
            argv: list[Word] = ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
            argv += [f"--user-data-dir={home}/profile-{turn}", "--virtual-time-budget=10000"]
            options = {"user": user, "cwd": home, "env": {"HOME": str(home), "TMPDIR": str(home)}, "timeout_s": _TIMEOUT_S}
            url = f"file://{home}/page.html"
            dom = suite.step(session, f"DOM {turn}", [*argv, "--dump-dom", url], **options)
            suite.check_same(session, f"DOM {turn}: text", dom)
            suite.check(session, f"DOM {turn}: scripts ran", b"all parts done" in dom)
            picture, paper = home / f"{turn}.png", home / f"{turn}.pdf"
            suite.step(session, f"screenshot {turn}", [*argv, f"--screenshot={picture}", url], **options)
            suite.check_same(session, f"screenshot {turn}: bytes", picture.read_bytes() if picture.exists() else b"")
            suite.step(session, f"PDF {turn}", [*argv, f"--print-to-pdf={paper}", url], **options)
            suite.check(session, f"PDF {turn}: made", paper.exists() and paper.read_bytes().startswith(b"%PDF"))
