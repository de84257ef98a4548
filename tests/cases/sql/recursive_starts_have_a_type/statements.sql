with recursive r as (select null as c, 1 as n union all select 1.5, n + 1 from r where n < 3)
select * from r;
