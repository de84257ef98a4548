create table t (a int, b varchar);
create table s (a int, b varchar);
insert into t values (1, 'x'), (2, 'y'), (3, null);
insert into s values (1, 'x'), (2, null);
select a, (a, b) in (select a, b from s), (a, b) not in (select a, b from s), (a, b) = (1, 'x') from t order by a;
