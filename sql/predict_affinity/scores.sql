-- The scores with the version of the model that gave them.
select user_id, program_id, score, rank, fallback, (select max(model) from ml.affinity_model) as model
from predicted
