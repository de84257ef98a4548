-- A model that knows nothing, so that all lists are the popular one.
select program_id, similar_program_id, score from model_before where false
