select id, title from tv.program
