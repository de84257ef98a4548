create table t1 (number_col_1 integer, number_col_2 integer, varchar_col varchar);
create table t2 (number_col_1 integer, varchar_col varchar);
insert into t1 values (10, 10, 'Fred'), (20, 20, 'Wilma');
insert into t2 values (10, 'Barney'), (30, 'Betty');
update t1 set number_col_2 = t1.number_col_1 + t2.number_col_1, varchar_col = 'new ' || t2.varchar_col
  from t2 where t1.number_col_1 = t2.number_col_1;
select * from t1 order by 1;
