create table t (a timestamp with local time zone, b timestamp(3) without time zone, c timestamp with time zone,
  d timestamp(6) with local time zone);
insert into t
select x::timestamp with local time zone, x::timestamp without time zone, x::timestamp with time zone, x
from (select '2024-01-31 10:00:00' as x);
describe table t;
select "type" from table(result_scan(last_query_id()));
