-- Sections between `== name` lines; every output is determined by the statements alone.
PRAGMA page_size = 4096;
PRAGMA journal_mode = WAL;
PRAGMA synchronous = OFF;
.print == rows
CREATE TABLE rows(id INTEGER PRIMARY KEY, number INTEGER, word TEXT, body BLOB);
WITH RECURSIVE made(id, number) AS (
  SELECT 1, 12345 UNION ALL SELECT id + 1, (number * 1103515245 + 12345) & 2147483647 FROM made WHERE id < 300000
)
INSERT INTO rows SELECT id, number, printf('%x-%d', number * 7919, number % 1000), zeroblob(number % 200) FROM made;
SELECT count(*), sum(number), sum(length(body)), min(word), max(word) FROM rows;
.print == index
CREATE INDEX by_word ON rows(word, number);
CREATE INDEX by_part ON rows(number % 97) WHERE number % 2;
SELECT number % 97 AS part, count(*), max(word) FROM rows GROUP BY part ORDER BY part;
SELECT count(*) FROM rows a JOIN rows b ON b.word = a.word WHERE a.id < 50000;
.print == update
UPDATE rows SET word = word || '-' || id, body = randomblob(0) WHERE id % 3 = 0;
UPDATE rows SET body = zeroblob(3000) WHERE id % 100 = 0;
SELECT sum(length(word)), sum(length(body)) FROM rows;
.print == rollback
SAVEPOINT s;
DELETE FROM rows WHERE id % 2;
SELECT count(*) FROM rows;
ROLLBACK TO s;
RELEASE s;
SELECT count(*) FROM rows;
.print == window
SELECT id, place, total FROM (
  SELECT id, row_number() OVER (ORDER BY word DESC, id) AS place, sum(number) OVER (ORDER BY id ROWS 1000 PRECEDING) AS total FROM rows
) WHERE place % 30000 = 1 ORDER BY place;
.print == recursion
WITH RECURSIVE chain(n, depth) AS (SELECT 1, 0 UNION ALL SELECT (n * 7919 + 1) % 300007, depth + 1 FROM chain WHERE depth < 200000)
SELECT count(DISTINCT n), max(depth) FROM chain;
.print == full text
CREATE VIRTUAL TABLE texts USING fts5(body, prefix = '2 3');
INSERT INTO texts SELECT group_concat(word, ' ') FROM rows GROUP BY id / 20;
INSERT INTO texts(texts) VALUES ('optimize');
SELECT count(*) FROM texts WHERE texts MATCH '1* NOT 2*';
SELECT length(highlight(texts, 0, '[', ']')) FROM texts WHERE texts MATCH 'ff*' ORDER BY rank, rowid LIMIT 5;
INSERT INTO texts(texts) VALUES ('integrity-check');
.print == r-tree
CREATE VIRTUAL TABLE boxes USING rtree(id, x0, x1, y0, y1);
INSERT INTO boxes SELECT id, number % 1000, number % 1000 + id % 10, id % 1000, id % 1000 + number % 10 FROM rows WHERE id <= 60000;
SELECT count(*) FROM boxes WHERE x0 > 100 AND x1 < 300 AND y0 > 500;
DELETE FROM boxes WHERE id % 2;
SELECT rtreecheck('boxes');
.print == json
CREATE TABLE documents(text TEXT);
INSERT INTO documents SELECT json_group_array(json_object('id', id, 'word', word, 'list', json_array(id, number))) FROM rows GROUP BY id / 500;
SELECT sum(json_extract(value, '$.list[1]')), count(*) FROM documents, json_each(documents.text);
SELECT sum(length(json_set(text, '$[0].word', 'x'))) FROM documents;
.print == large values
CREATE TABLE large(body BLOB);
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 12) INSERT INTO large SELECT zeroblob(i * 1000003) FROM n;
UPDATE large SET body = CAST(hex(body) AS BLOB);
SELECT count(*), sum(length(body)) FROM large;
SELECT length(group_concat(hex(body))) FROM large WHERE length(body) < 9000000;
DROP TABLE large;
.print == vacuum
DELETE FROM rows WHERE number % 3 = 0;
VACUUM;
ANALYZE;
SELECT count(*) FROM rows;
.print == backup
.backup copy.db
.print == integrity
PRAGMA integrity_check;
PRAGMA foreign_key_check;
