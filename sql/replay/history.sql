-- The same lists, a row per place, under their date.
select current_date - 1 as update_date, user_id, position, episode_id, program_id, reco_origin, rating::number(12, 2) as rating
from ranked
