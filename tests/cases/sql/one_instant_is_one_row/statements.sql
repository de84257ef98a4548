-- the first two are one instant with two offsets
create table t (at timestamp_tz, n int) as
select * from values ('2024-01-01 10:00:00 +0100'::timestamp_tz, 1), ('2024-01-01 09:00:00 +0000'::timestamp_tz, 2),
  ('2024-01-01 10:00:00 +0000'::timestamp_tz, 3);
select 'distinct' as how, count(*) as n from (select distinct at from t)
union all select 'union', count(*) from (select at from t where n = 1 union select at from t where n > 1)
union all select 'intersect', count(*) from (select at from t where n = 1 intersect select at from t where n = 2)
union all select 'except', count(*) from (select at from t except select at from t where n = 2)
union all select 'count', count(distinct at) from t
union all select 'count of two', count(distinct at, n > 5) from t
union all select 'array_agg', array_size(array_agg(distinct at)) from t
union all select 'approximate', approx_count_distinct(at) from t
union all select 'mode', count(*) from t where at = (select mode(at) from t)
union all select 'partition', max(n) from (select count(*) over (partition by at) as n from t)
union all select 'changes', max(n) + 1 from (select conditional_change_event(at) over (order by n) as n from t)
order by how;
