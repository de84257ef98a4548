select value from table(split_to_table(1.5, '.'));
