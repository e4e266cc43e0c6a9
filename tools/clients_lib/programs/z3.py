"""z3: a theorem prover; C++ that allocates without pause."""

from __future__ import annotations

import pathlib

from clients_lib.client import Client, register
from clients_lib.session import Session


def pigeons(holes: int) -> str:
    """holes + 1 pigeons do not fit into `holes` holes: small to say, hard to show."""
    names = [[f"p{i}_{j}" for j in range(holes)] for i in range(holes + 1)]
    lines = [f"(declare-const {name} Bool)" for row in names for name in row]
    lines += [f"(assert (or {' '.join(row)}))" for row in names]
    for j in range(holes):
        for a in range(holes + 1):
            lines += [f"(assert (or (not {names[a][j]}) (not {names[b][j]})))" for b in range(a)]
    return "\n".join(lines + ["(check-sat)", ""])


def factoring(bits: int, product: int) -> str:
    """Two bit vectors with a given product; multiplication is bit-blasted."""
    return f"""(set-logic QF_BV)
(declare-const a (_ BitVec {bits}))
(declare-const b (_ BitVec {bits}))
(assert (= (bvmul a b) (_ bv{product} {bits})))
(assert (bvult a (_ bv{1 << bits // 2} {bits})))
(assert (bvult b (_ bv{1 << bits // 2} {bits})))
(assert (bvugt a (_ bv1 {bits})))
(assert (bvuge a b))
(assert (bvugt b (_ bv1 {bits})))
(check-sat)
(get-model)
"""


def arithmetic(count: int) -> str:
    """A scheduling problem in integers, with an optimum."""
    lines = [f"(declare-const s{i} Int)" for i in range(count)]
    lines += [f"(assert (>= s{i} 0))" for i in range(count)]
    for i in range(count):
        for j in range(i):
            if (i * 7 + j * 3) % 4 == 0:
                lines.append(f"(assert (or (>= s{i} (+ s{j} {1 + j % 5})) (>= s{j} (+ s{i} {1 + i % 5}))))")
    lines += ["(declare-const end Int)"] + [f"(assert (<= s{i} end))" for i in range(count)]
    return "\n".join(lines + ["(assert (<= end 16))", "(check-sat)", "(get-model)", ""])


@register
class Z3(Client):
    """The heaviest user of small blocks on this list."""

    name = "z3"
    summary = "Three fixed SMT problems: pigeons, factoring by bit vectors, scheduling in integers; models compared."
    programs = {"z3": "z3"}

    def prepare(self, inputs: pathlib.Path) -> None:
        (inputs / "pigeons.smt2").write_text(pigeons(8))
        (inputs / "factoring.smt2").write_text(factoring(40, 1000003 * 999983))
        (inputs / "arithmetic.smt2").write_text(arithmetic(24))

    def run(self, session: Session) -> None:
        for problem in ("pigeons", "factoring", "arithmetic"):
            fixed = ["smt.random_seed=1", "sat.random_seed=1"]
            session.step(problem, ["z3", *fixed, session.inputs / f"{problem}.smt2"])
