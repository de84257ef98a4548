alter session set week_start = 7;
select dayofweek(d) from (select column1::date as d from values ('2024-01-07'), ('2024-01-08')) order by d;
