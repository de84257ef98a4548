select column1 collate 'en-ci' as c, count(*) from values ('a'), ('A') group by c;
