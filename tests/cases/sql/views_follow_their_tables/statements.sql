create table t (a int);
create view v (x) as select a * 2 from t;
insert into t values (1), (2);
create or replace view w as select sum(x) as total from v;
select total from w;
