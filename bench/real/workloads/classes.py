"""A script heavy in classes: an evaluator over trees of objects, properties, generators, exceptions. Prints sums."""

from __future__ import annotations

import dataclasses
import random


class Node:
    """Base of an expression."""

    def value(self, names: dict[str, int]) -> int:
        raise NotImplementedError

    def simpler(self) -> Node:
        return self


class Number(Node):
    def __init__(self, number: int) -> None:
        self.number = number

    def value(self, names: dict[str, int]) -> int:
        return self.number


class Name(Node):
    def __init__(self, name: str) -> None:
        self.name = name

    def value(self, names: dict[str, int]) -> int:
        return names[self.name]


class Pair(Node):
    """Two operands."""

    def __init__(self, left: Node, right: Node) -> None:
        self.left = left
        self.right = right

    def simpler(self) -> Node:
        left, right = self.left.simpler(), self.right.simpler()
        if isinstance(left, Number) and isinstance(right, Number):
            return Number(type(self)(left, right).value({}))
        return type(self)(left, right)


class Sum(Pair):
    def value(self, names: dict[str, int]) -> int:
        return (self.left.value(names) + self.right.value(names)) % 1_000_003


class Product(Pair):
    def value(self, names: dict[str, int]) -> int:
        return self.left.value(names) * self.right.value(names) % 1_000_003


@dataclasses.dataclass
class Account:
    """Something with state that refuses."""

    owner: str
    balance: int = 0
    history: list[tuple[str, int]] = dataclasses.field(default_factory=list)

    @property
    def is_rich(self) -> bool:
        return self.balance > 5000

    def move(self, other: Account, amount: int) -> None:
        if amount > self.balance:
            raise ValueError(f"{self.owner} has {self.balance}, not {amount}")
        self.balance -= amount
        other.balance += amount
        self.history.append((other.owner, -amount))
        other.history.append((self.owner, amount))


def grown(rng: random.Random, depth: int) -> Node:
    if depth == 0 or rng.random() < 0.05:
        return Name(rng.choice("abc")) if rng.random() < 0.3 else Number(rng.randrange(1000))
    kind = Sum if rng.random() < 0.5 else Product
    return kind(grown(rng, depth - 1), grown(rng, depth - 1))


def expressions(rng: random.Random) -> int:
    names = {"a": 3, "b": 5, "c": 7}
    total = 0
    for _ in range(25):
        tree = grown(rng, 12)
        simple = tree.simpler()
        assert tree.value(names) == simple.value(names)
        total += simple.value(names)
    return total


def bank(rng: random.Random) -> tuple[int, int]:
    accounts = [Account(f"owner {number}", 1000) for number in range(2000)]
    refused = 0
    for _ in range(300_000):
        try:
            rng.choice(accounts).move(rng.choice(accounts), rng.randrange(400))
        except ValueError:
            refused += 1
    return refused, sum(len(account.history) for account in accounts if account.is_rich)


generator = random.Random(9)
print("expressions", expressions(generator))
print("bank", *bank(generator))
