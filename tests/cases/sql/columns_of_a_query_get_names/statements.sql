create table t (a, b, c date) as select 1, 'x', '2024-01-31';
describe table t;
select "name", "type" from table(result_scan(last_query_id()));
