create table t (x int);
create table s (y int);
insert into t values (1), (2), (null);
insert into s values (1), (null);
-- 2 may be the NULL of s, so whether it is in s is unknown; nothing is in the empty result
select x, x in (select y from s), x not in (select y from s where y is not null), x in (select y from s where y > 5),
  exists (select 1 from s where s.y = t.x), case when not exists (select 1 from s where s.y = t.x) then 'no' end
from t order by x;
