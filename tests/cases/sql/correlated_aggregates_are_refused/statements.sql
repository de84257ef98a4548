create table t (a int, b int);
create table s (a int, b int);
-- for a row of t without rows in s the count is 0, which a join would not find
select a from t where b in (select count(*) from s where s.a = t.a);
