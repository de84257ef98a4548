-- the first two are one instant with two offsets
select column2, rank() over (order by column1) as place, sum(column2) over (order by column1) as running
from values ('2024-01-01 10:00:00 +0100'::timestamp_tz, 1), ('2024-01-01 09:00:00 +0000'::timestamp_tz, 2),
  ('2024-01-01 10:00:00 +0000'::timestamp_tz, 4)
order by column2;
