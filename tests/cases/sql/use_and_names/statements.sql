create schema one;
create table t as select 1 as a;
use schema public;
create table t as select 2 as a;
use schema one;
select a, current_schema() from t;
