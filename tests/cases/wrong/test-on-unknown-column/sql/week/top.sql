select id from tv.program
