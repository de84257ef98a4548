create table t (a varchar);
insert into t values ('Abc'), ('abc'), ('ABD'), (null);
select a from t where collate(a, 'en-ci') = 'ABC' order by a;
