"""JSON: a document of small objects, written, read, changed and written again. Prints a digest."""

import hashlib
import json
import random

rng = random.Random(5)
words = ["%x" % rng.getrandbits(40) for _ in range(3000)]
records = [
    {
        "id": number,
        "name": rng.choice(words),
        "tags": [rng.choice(words) for _ in range(rng.randrange(6))],
        "position": {"x": rng.random(), "y": rng.random()},
        "note": rng.choice(words) * rng.randrange(20),
    }
    for number in range(12_000)
]
checksum = hashlib.sha256()
for turn in range(4):
    text = json.dumps(records, indent=turn % 2)
    records = json.loads(text)
    rng.shuffle(records)
    for line in text.splitlines():
        checksum.update(line.encode())
print(len(records), checksum.hexdigest()[:16])
