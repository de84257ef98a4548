select upper('a', 'b');
