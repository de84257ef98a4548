create table t as select 1 as a;
drop table if exists nothing;
truncate table if exists nothing;
truncate table t;
select count(*) from t;
