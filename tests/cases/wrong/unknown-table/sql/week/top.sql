select id from tv.progam
