select 1 as a group by 1.50;
