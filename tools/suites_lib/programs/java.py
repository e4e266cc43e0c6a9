"""java: many starts, and loads under each garbage collector."""

from __future__ import annotations

import pathlib
import subprocess

from clients_lib.session import Session
from suites_lib import suite

_FLAGS = {
    "serial": ["-XX:+UseSerialGC"],
    "parallel": ["-XX:+UseParallelGC"],
    "G1": ["-XX:+UseG1GC"],
    "Z": ["-XX:+UseZGC"],
    "Shenandoah": ["-XX:+UseShenandoahGC"],
    "interpreted": ["-Xint", "-XX:+UseSerialGC"],
    "first compiler only": ["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"],
    "native memory tracking": ["-XX:NativeMemoryTracking=detail", "-XX:+UseG1GC"],
    "checked JNI": ["-Xcheck:jni", "-XX:+UseSerialGC"],
}


@suite.register
class Java(suite.Suite):
    """HotSpot's collectors, compilers, class loaders and zip code allocate with malloc from many threads."""

    name = "java"
    summary = (
        "30 starts, then objects, threads, direct buffers, Deflater, class loading and deep stacks under five garbage "
        "collectors and four other settings."
    )
    programs = {"java": "default-jdk-headless", "javac": "default-jdk-headless"}
    package = "openjdk-17-jre-headless"

    def prepare(self, inputs: pathlib.Path) -> None:
        subprocess.run(["javac", "-d", str(inputs), str(suite.WORKLOADS / "Churn.java")], check=True)

    def run(self, session: Session) -> None:
        for number in range(2 if self.quick else 30):
            suite.step(session, f"start {number}", ["java", "-Xshare:auto", "-version"])
        for label, flags in list(_FLAGS.items())[: 1 if self.quick else None]:
            argv = ["java", "-Xmx256m", *flags, "-cp", session.inputs, "Churn"]
            output = suite.step(session, label, argv)
            for line in output.decode("utf-8", "replace").splitlines():
                name, _, value = line.partition(" ")
                suite.check_same(session, f"{label}: {name}", value.encode())
        suite.step(session, "javac", ["javac", "-d", session.work, suite.WORKLOADS / "Churn.java"])
