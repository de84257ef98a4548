create table t (a int, b varchar(5));
insert into t values (1, 'x');
alter table t add column c int default 5, d date;
alter table t rename column a to id;
alter table t alter column b set data type varchar(10);
alter table t drop column d;
alter table t modify id set not null;
insert into t (id, b) values (2, 'longer one');
select * from t order by id;
