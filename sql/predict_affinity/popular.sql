-- What is popular with anyone, for users whom the model does not know.
select program_id, max(score) as score
from ml.popular_recommendations
group by program_id
