"""java: the virtual machine's own allocations."""

from __future__ import annotations

from clients_lib.client import WORKLOADS, Client, register
from clients_lib.session import Session


@register
class Java(Client):
    """HotSpot's arenas, compilers and zip code use malloc; the Java heap does not."""

    name = "java"
    summary = "`java -version`, then a program run from source: collections, threads, Deflater, big numbers."
    programs = {"java": "default-jdk-headless", "javac": "default-jdk-headless"}
    normalised = "nothing"

    def run(self, session: Session) -> None:
        session.step("version", ["java", "-version"])
        # A fixed heap, a bound on direct buffers (else they live until some collection) and one compiler:
        # what differs in peak RSS is then malloc's.
        fixed = ["-XX:+UseSerialGC", "-Xms96m", "-Xmx96m", "-XX:+AlwaysPreTouch", "-XX:MaxDirectMemorySize=8m"]
        fixed += ["-XX:TieredStopAtLevel=1", "-XX:CICompilerCount=1"]
        session.step("program", ["java", *fixed, WORKLOADS / "Main.java"])
