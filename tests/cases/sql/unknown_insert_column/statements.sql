create table t (title varchar); insert into t (titel) values (1);
