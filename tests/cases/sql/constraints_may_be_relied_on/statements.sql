create table u (x int primary key);
create table t (a int not null, b int unique not enforced deferrable initially deferred novalidate, rely int,
  constraint pk primary key (a) not enforced rely,
  foreign key (b) references u (x) match full on delete no action disable novalidate norely);
alter table t add constraint other unique (rely) enable validate;
show primary keys in table t;
select "constraint_name", "column_name" from table(result_scan(last_query_id()));
