select column1 from values ('b'), ('a') order by column1 collate 'es';
