create table t (n number(5,2), f float, s varchar, d date, b boolean, ts timestamp_ntz, v variant);
insert into t select '12.345', '1.5', 42, '2024-01-31', 'true', '2024-01-31', 7;
select * from t;
