create table t (a int);
insert into t values (1);
begin;
insert into t values (2);
commit;
select count(*) from t;
