create or alter table t (a int not null, b varchar(10) not null, c int);
create or alter table t (a int, b varchar(20) not null, d int default 7);
describe table t;
select "name", "type", "null?", "default" from table(result_scan(last_query_id()));
