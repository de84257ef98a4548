create table t (id number(10, 2) not null, name varchar(7) default 'x');
select column_name, ordinal_position, column_default, is_nullable, data_type, character_maximum_length, numeric_scale
  from information_schema.columns where table_name = 'T' order by ordinal_position;
