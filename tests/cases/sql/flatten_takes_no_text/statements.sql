select * from table(flatten('[1]'));
