-- A million rows from a congruential generator; every output is determined by the statements alone.
PRAGMA cache_size = -32000;
PRAGMA temp_store = MEMORY;
PRAGMA synchronous = OFF;

CREATE TABLE rows(id INTEGER PRIMARY KEY, number INTEGER, word TEXT);
BEGIN;
WITH RECURSIVE made(id, number) AS (
  SELECT 1, 12345
  UNION ALL
  SELECT id + 1, (number * 1103515245 + 12345) & 2147483647 FROM made WHERE id < 1000000
)
INSERT INTO rows SELECT id, number, printf('%x-%d', number * 7919, number % 1000) FROM made;
COMMIT;

SELECT count(*), sum(number), min(word), max(word) FROM rows;
SELECT id, word FROM (SELECT id, word, row_number() OVER (ORDER BY word DESC, id) AS place FROM rows) WHERE place % 100000 = 1;
CREATE INDEX by_word ON rows(word, number);
SELECT count(*) FROM rows a JOIN rows b ON b.word = a.word WHERE a.id < 50000;
SELECT number % 97 AS part, count(*), length(group_concat(word)) FROM rows GROUP BY part ORDER BY part;
DELETE FROM rows WHERE number % 3 = 0;
VACUUM;
PRAGMA integrity_check;
.dump
