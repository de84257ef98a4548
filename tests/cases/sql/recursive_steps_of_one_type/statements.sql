with recursive r as (
  select 100::number(10, 2) as c, 1::float as f, 1 as n
  union all
  select (c * 0.9)::number(10, 2), f / 2, n + 1 from r where n < 4
)
select c, f, n from r order by n;
