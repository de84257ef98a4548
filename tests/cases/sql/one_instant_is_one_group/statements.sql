-- the first two are one instant with two offsets: the first is kept
select column1 as at, count(*) as n, sum(column2) as total
from values ('2024-01-01 10:00:00 +0100'::timestamp_tz, 1), ('2024-01-01 09:00:00 +0000'::timestamp_tz, 2),
  ('2024-01-01 10:00:00 +0000'::timestamp_tz, 4), (null, 8)
group by 1 order by total;
