create table t1 (c int);
create table t2 (c int, n int);
insert into t1 values (1), (2), (3);
insert into t2 values (2, 20), (3, null), (4, 40);
-- the condition on n is part of the join, the one on t1 is not
select t1.c, t2.c, t2.n from t1, t2 where t1.c = t2.c(+) and t2.n(+) > 10 and t1.c < 3 order by 1;
