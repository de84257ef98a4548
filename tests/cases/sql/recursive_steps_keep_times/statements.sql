with recursive r as (select '2024-01-01'::date as d, 1 as n union all select dateadd(hour, 30, d), n + 1 from r where n < 3)
select * from r;
