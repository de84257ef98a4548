select get_ddl('table', 'nothing');
