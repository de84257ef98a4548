-- The likes to learn from when the model is measured: all but those of the last days.
select * from likes where date_day < current_date - {{ held_out_days }}
