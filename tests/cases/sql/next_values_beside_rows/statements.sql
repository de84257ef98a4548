create sequence s start 5 increment 10;
create table t (name varchar, first int, second int);
insert into t
select v.column1, n.nextval, n.nextval from (values ('a'), ('b')) as v, table(getnextval(s)) as n;
select * from t order by first;
