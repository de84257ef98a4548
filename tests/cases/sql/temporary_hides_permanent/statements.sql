create table t (a int);
insert into t values (1);
create temporary table t (a int);
insert into t values (2), (3);
drop table t;
select a from t;
