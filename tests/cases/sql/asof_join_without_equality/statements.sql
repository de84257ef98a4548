create table none_yet (t date, v int);
with l as (select column1 as id, column2::timestamp_tz as t from values (1, '2026-03-01 01:00 +0200'), (2, '2026-03-02 00:00 +0000')),
r as (select column1::timestamp_tz as t, column2 as v from values ('2026-02-28 23:30 +0000', 'before'), ('2026-03-01 00:30 +0200', 'first'), ('2026-03-01 01:30 +0000', 'second'))
-- 1 is at 23:00 of the day before in UTC: 22:30 is the last one before it
select l.id, r.v, n.v
from l
asof join r match_condition (l.t >= r.t)
asof join none_yet as n match_condition (l.t >= n.t)
order by l.id;
