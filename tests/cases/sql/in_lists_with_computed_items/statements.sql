create table t (id int, day date, f boolean, b int);
insert into t values (1, '2024-01-01', true, 7), (2, '2024-01-02', false, null), (3, null, true, 1);
with computed as (select id, day, b, case when f then day when not f then day + 60 end as c from t)
-- of the second row the item is 60 days later; in the third both sides are NULL
select id,
  (day + 0) in (case when id < 3 then day when id = 3 then day end, date '2026-11-02') as a,
  (day + 0) in (case when id = 1 then day when id = 2 then day + 60 end, date '2026-11-02') as b,
  (day + 0) not in (case when id = 1 then day when id = 2 then day + 60 end, date '2026-11-02') as c,
  (day + 0) in (c, date '2024-01-02') as d,
  b + 0 in (case when id = 1 then 1 when id > 1 then b end, 7) as e
from computed
where (day + 0) in (c, date '2024-01-02') or day is null
order by id;
