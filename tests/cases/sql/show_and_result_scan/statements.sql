create table alpha (a int);
create table beta (a int);
show tables like 'B%';
select "name", "rows" from table(result_scan(last_query_id()));
