"""node: many starts, and loads on its garbage collector."""

from __future__ import annotations

from clients_lib.client import WORKLOADS as CLIENT_WORKLOADS
from clients_lib.session import Session
from suites_lib import suite

_FLAGS = {
    "plain": [],
    "small young generation": ["--max-semi-space-size=1"],
    "no compiler": ["--jitless", "--no-expose-wasm"],
    "always optimised": ["--always-turbofan", "--max-lazy"],
    "compacting": ["--compact-on-every-full-gc", "--gc-interval=20000"],
    "one thread": ["--single-threaded"],
}


@suite.register
class Node(suite.Suite):
    """V8's compilers, zones, array buffers and worker threads are on malloc."""

    name = "node"
    summary = (
        "100 starts, then churn of objects, array buffers, streams of zlib and 40 worker threads under six settings of V8."
    )
    programs = {"node": "nodejs"}
    package = "nodejs"

    def run(self, session: Session) -> None:
        for number in range(5 if self.quick else 100):
            output = suite.step(session, f"start {number}", ["node", "-p", f"JSON.stringify([{number}])"])
            suite.check(session, f"output of start {number}", output.decode() == f"[{number}]\n")
        for label, flags in list(_FLAGS.items())[: 1 if self.quick else None]:
            output = suite.step(session, f"churn, {label}", ["node", *flags, "--expose-gc", suite.WORKLOADS / "churn.js"])
            for line in output.decode("utf-8", "replace").splitlines():
                name, _, value = line.partition(" ")
                suite.check_same(session, f"churn, {label}: {name}", value.encode())
            output = suite.step(session, f"work, {label}", ["node", *flags, CLIENT_WORKLOADS / "work.js"])
            suite.check_same(session, f"work, {label}: output", output)
