select count(distinct column1) over (order by column1) from values (1), (2);
