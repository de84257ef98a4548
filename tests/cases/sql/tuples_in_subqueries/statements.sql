create table t (a int, b varchar);
create table s (a int, b varchar);
insert into t values (1, 'x'), (2, 'y'), (3, null);
insert into s values (1, 'x'), (2, null);
-- (2, 'y') may be the row with the NULL, so it is neither in s nor not in it
select 'in', a from t where (a, b) in (select a, b from s)
union all select 'not in', a from t where (a, b) not in (select a, b from s)
union all select 'equal', a from t where (a, b) = (1, 'x')
order by 1, 2;
