use role analyst;
use warehouse small;
select current_role(), current_warehouse() from dual;
