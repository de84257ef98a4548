create table t (a int default 1);
insert into t values (10);
create table cloned clone t;
create table liked like t;
insert into cloned values (20);
insert into liked (a) values (default);
alter table t swap with cloned;
alter table cloned rename to old;
select 't', a from t union all select 'old', a from old union all select 'liked', a from liked order by 1, 2;
