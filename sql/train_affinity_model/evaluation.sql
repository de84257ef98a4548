-- How the model did on the days held out, beside the list of what is popular.
select m.metric, m.k, round(m.value, 6) as model, round(p.value, 6) as popular
from of_model as m
join of_popular as p on p.metric = m.metric and p.k = m.k
