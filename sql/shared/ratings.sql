-- What spectators think on AlloCiné, 0 to 5.
select program_id, avg(rating) as rating
from backend.program_rating
where program_rating_services_id = 2
  and program_rating_type_id = 2
group by program_id
