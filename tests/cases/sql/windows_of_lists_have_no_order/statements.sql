select listagg(column1) over (order by column1) from values ('a'), ('b');
