select random(4711) as r from table(generator(rowcount => 3));
