create table t (k varchar, x int);
insert into t values ('a', 1), ('a', 2), ('b', 3);
select k, sum(case when x in (select 1 union all select 3) then x else 0 end), count_if(exists (select 1 where t.x = 2))
from t group by k order by k;
