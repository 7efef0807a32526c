CREATE TABLE item (id INTEGER PRIMARY KEY, owner TEXT, name TEXT, size INTEGER);
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 120000)
INSERT INTO item
SELECT i, 'owner ' || (i * 7919 % 499), 'item ' || (i * 104729 % 1000003), i * 31 % 4099 FROM n;
CREATE INDEX item_owner ON item (owner, size);
CREATE INDEX item_name ON item (name);
SELECT owner, count(*), sum(size), min(name), max(name) FROM item GROUP BY owner ORDER BY 3, 1;
SELECT a.name, b.name FROM item a JOIN item b ON b.id = a.size WHERE a.size < 40 ORDER BY 1, 2;
SELECT owner, group_concat(name, '|') FROM (SELECT * FROM item ORDER BY name) WHERE size < 90
GROUP BY owner ORDER BY owner;
