create table t (v variant);
insert into t select parse_json('{"list": [{"Name": "x", "in": {"Deep": 7}}], "At": 0}');
select v:list[0].Name::string, v['list'][0].in.Deep::int, f.this[0].Name::string, v:list[0].name, v:list[v:At::int].Name::string
from t, lateral flatten(input => v, path => 'list') as f
where v:list[0].Name = 'x';
