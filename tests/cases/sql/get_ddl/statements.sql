create table t (a int, b varchar(10) default 'x' comment 'it''s', constraint pk primary key (a)) comment = 'a table';
create view v as select a, b as "b c" from t;
select get_ddl('table', 't'), get_ddl('view', 'v');
