create table t (a int);
insert into t values (1), (2);
insert overwrite into t select 3;
select * from t;
