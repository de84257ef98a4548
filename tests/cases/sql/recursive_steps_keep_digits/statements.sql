-- 72.9 would be cut to the whole numbers of the start
with recursive r as (select 100 as c, 1 as n union all select c * 0.9, n + 1 from r where n < 4)
select * from r;
