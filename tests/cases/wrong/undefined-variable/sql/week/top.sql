select {{ horizon_day }} as days
where {{ nothing_like_it }} > 0
