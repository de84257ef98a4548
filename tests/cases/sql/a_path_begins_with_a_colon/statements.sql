select f.value.Id from table(flatten(parse_json('[{"Id": 1}]'))) as f;
