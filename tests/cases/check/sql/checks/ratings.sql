select program_id, sum(rating) / count(rating) as rating from tv.rating where service = 2 group by program_id order by rating desc
