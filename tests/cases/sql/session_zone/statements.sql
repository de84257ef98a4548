alter session set timezone = 'Europe/Berlin';
create table t (l timestamp_ltz);
insert into t values ('2024-07-01 12:00:00'), ('2024-01-01 12:00:00 +00:00');
alter session set timezone = 'UTC';
select l from t order by l;
