create sequence s start 100 increment 10;
create table t (id int autoincrement (5, 2), a varchar default 'd' || 'x', b int default s.nextval, c date default '2024-02-29');
insert into t (a) values ('one'), (default);
insert into t (id, b) select 1, 2;
insert into t values (default, 'last', default, null);
select * from t order by id;
