create or alter table t (a int not null, b varchar(10) not null, c int);
insert into t values (1, 'x', 2);
create or alter table t (a int, b varchar(20) not null, d int default 7);
insert into t (a, b) select a + d, b from t;
select * from t order by a;
