select sum(column1) over (order by column1 rows between current row and 1 preceding) from values (1), (2);
