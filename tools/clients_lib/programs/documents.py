"""ghostscript and poppler: pages rendered to pixels."""

from __future__ import annotations

import pathlib
import subprocess

from clients_lib import launch
from clients_lib.client import WORKLOADS, Client, register
from clients_lib.session import Session

_RENDER = ["gs", "-q", "-dSAFER", "-dBATCH", "-dNOPAUSE"]


@register
class Ghostscript(Client):
    """An interpreter with its own chunks on malloc, and rasters of megabytes."""

    name = "ghostscript"
    summary = "A generated PostScript document rendered to PNG at 150 dpi; page images compared."
    programs = {"gs": "ghostscript"}

    def run(self, session: Session) -> None:
        target = session.work / "page-%d.png"
        session.step("render", [*_RENDER, "-sDEVICE=png16m", "-r150", f"-sOutputFile={target}", WORKLOADS / "pages.ps"])
        for path in sorted(session.work.glob("page-*.png")):
            session.observe_file(path.name, path)


@register
class Poppler(Client):
    """C++, many small objects, freetype and cairo's relatives."""

    name = "pdftoppm"
    summary = "The same document as PDF, rendered by poppler to PNG at 100 dpi, and its text extracted."
    programs = {"pdftoppm": "poppler-utils", "pdftotext": "poppler-utils", "gs": "ghostscript"}

    def prepare(self, inputs: pathlib.Path) -> None:
        subprocess.run(
            [*_RENDER, "-sDEVICE=pdfwrite", f"-sOutputFile={inputs}/pages.pdf", str(WORKLOADS / "pages.ps")],
            env=launch.base_environment(inputs),
            check=True,
            capture_output=True,
        )

    def run(self, session: Session) -> None:
        session.step("render", ["pdftoppm", "-png", "-r", "100", session.inputs / "pages.pdf", session.work / "page"])
        for path in sorted(session.work.glob("page-*.png")):
            session.observe_file(path.name, path)
        session.step("text", ["pdftotext", "-layout", session.inputs / "pages.pdf", "-"])
