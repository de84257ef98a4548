select column1, row_number() over (order by column1) as place, rank() over (order by column1) as rank,
  sum(column2) over (order by column1) as running
from values ('10:00:00'::time, 1), ('10:00:00'::time, 2), ('11:00:00'::time, 4)
order by column2;
