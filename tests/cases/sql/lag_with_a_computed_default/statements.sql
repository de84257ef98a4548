-- the default is the row's own column where there is no row before; a NULL that is there is one
select column1, lag(column1, 1, column2) over (order by column1) as before,
  nvl(lag(nullif(column2, 10), 1, column1) over (order by column1), -1) as other
from values (1, 10), (2, 20), (3, 30), (4, 40) order by column1;
