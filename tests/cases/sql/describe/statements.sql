create table t (a int primary key, b timestamp_ntz(3) comment 'when');
describe table t;
select "name", "type", "null?", "primary key", "comment" from table(result_scan(last_query_id())) order by 1;
