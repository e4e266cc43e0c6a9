-- After pgbench: balances agree, and some work for the sorter, the hash tables and the string functions.
SELECT count(*), sum(abalance), md5(string_agg(aid || ':' || abalance, ',' ORDER BY aid)) FROM pgbench_accounts;
SELECT count(*), sum(tbalance) FROM pgbench_tellers;
SELECT count(*), sum(bbalance) FROM pgbench_branches;
SELECT count(*), sum(delta) FROM pgbench_history;

CREATE TABLE made AS
  SELECT n AS id, (n::bigint * 1103515245 + 12345) % 2147483647 AS number, md5(n::text) AS word
  FROM generate_series(1, 300000) n;
ANALYZE made;
SELECT md5(string_agg(word, '' ORDER BY word DESC)) FROM made;
SELECT count(*), sum(a.number) FROM made a JOIN made b ON a.id = b.number % 300000;
SELECT left(word, 1) AS letter, count(*), count(DISTINCT number % 1000), max(word) FROM made GROUP BY letter ORDER BY letter;
SELECT md5(jsonb_agg(jsonb_build_object('id', id, 'word', word) ORDER BY id)::text) FROM made WHERE id < 50000;
SELECT sum(length(regexp_replace(word, '([0-9])([a-f])', '\2\1', 'g'))) FROM made;
WITH RECURSIVE chain(id, depth) AS (
  SELECT 1::bigint, 0 UNION ALL SELECT (id * 7919 + 1) % 300000, depth + 1 FROM chain WHERE depth < 50000
)
SELECT count(DISTINCT id) FROM chain;
CREATE INDEX ON made(word);
SELECT word FROM made WHERE word > 'ff' ORDER BY word LIMIT 5;
