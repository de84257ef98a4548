select column1, nth_value(column1, 2) from first over (order by column1) as second,
  nth_value(column1, 2) from last over (order by column1) as last_but_one,
  nth_value(column1, 1) from last ignore nulls over (order by column1) as last_known,
  nth_value(column1, 2) from last over (order by column1 rows between unbounded preceding and current row) as before
from values (1), (2), (3), (null) order by column1;
