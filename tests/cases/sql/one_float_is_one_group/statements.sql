select f, t, count(*) as n from (
  select '-0'::float as f, 'x' as t union all select 0, 'x' union all select 1, 'x')
group by f, t order by f;
