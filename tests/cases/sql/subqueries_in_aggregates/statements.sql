create table t (k varchar, x int);
create table s (y int);
insert into t values ('a', 1), ('a', 2), ('b', 3);
insert into s values (1), (3);
select k, sum(case when x in (select y from s) then x else 0 end), count_if(exists (select 1 from s where s.y = t.x))
from t group by k order by k;
