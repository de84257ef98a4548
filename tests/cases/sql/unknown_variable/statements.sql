set limit_days = 1; select $limit_day;
