create table t (a int, b int);
select a, (select max(b) from t as s where s.a < t.a) from t;
