//! Putting a new table in the place of another: made like it, filled, and given its name in the transaction that drops it.
//! Indexes, constraints, defaults, comments, grants, owner and foreign keys are those of the old one; what could not be
//! brought over is refused before anything is written.

use tokio_postgres::Client;

use super::fault::Server;
use super::table::{QualifiedName, Table, find, quoted};
use crate::backend::BackendError;

/// Letters of a table's name that the name of the one beside it keeps.
const KEPT: usize = 30;

/// A table that is to take the place of another.
pub(super) struct Swap {
    /// The one with the new rows.
    pub(super) new: Table,
    /// The one that goes.
    old: Table,
}

impl Swap {
    /// Makes an empty table like the old one, beside it.
    pub(super) async fn begin(client: &Client, server: &Server, old: Table, run: &str) -> Result<Self, BackendError> {
        refuse(client, server, &old).await?;
        let stem: String = old.name.name.chars().take(KEPT).collect();
        let name = QualifiedName { schema: old.name.schema.clone(), name: format!("{stem}__pipe_{run}") };
        server.execute(client, &format!("create table {} (like {} including all)", name.sql(), old.name.sql())).await?;
        let new = find(client, server, &name).await?;
        let new = new.ok_or_else(|| BackendError::author(format!("table {} was made and is not there", name.sql())))?;
        Ok(Self { new, old })
    }

    /// Gives the filled table what a copy of its form does not bring: foreign keys.
    pub(super) async fn finish_new(&self, client: &Client, server: &Server) -> Result<(), BackendError> {
        let keys = "select conname::text, pg_get_constraintdef(oid) from pg_constraint \
                    where conrelid = $1 and contype = 'f' order by conname";
        for row in self.rows(client, server, keys, self.old.oid).await? {
            let (name, definition): (String, String) = (row.get(0), row.get(1));
            let new = self.new.name.sql();
            server.execute(client, &format!("alter table {new} add constraint {} {definition}", quoted(&name))).await?;
        }
        server.execute(client, &format!("analyze {}", self.new.name.sql())).await
    }

    /// Drops the old table and gives its name to the new one.
    pub(super) async fn carry_out(&self, client: &Client, server: &Server) -> Result<(), BackendError> {
        let (old, new) = (self.old.name.sql(), self.new.name.sql());
        server.execute(client, &format!("lock table {old} in access exclusive mode")).await?;
        let indexes = self.indexes(client, server, &self.old).await?;
        for statement in self.inherited(client, server).await? {
            server.execute(client, &statement).await?;
        }
        server.execute(client, &format!("drop table {old}")).await?;
        server.execute(client, &format!("alter table {new} rename to {}", quoted(&self.old.name.name))).await?;
        let schema = self.old.name.schema.as_deref().unwrap_or("public");
        let mut made = self.indexes(client, server, &self.new).await?;
        for (name, form) in indexes {
            let Some(at) = made.iter().position(|(_, other)| *other == form) else { continue };
            let (given, _) = made.swap_remove(at);
            let given = format!("{}.{}", quoted(schema), quoted(&given));
            server.execute(client, &format!("alter index {given} rename to {}", quoted(&name))).await?;
        }
        Ok(())
    }

    async fn rows(
        &self,
        client: &Client,
        server: &Server,
        sql: &str,
        oid: u32,
    ) -> Result<Vec<tokio_postgres::Row>, BackendError> {
        client.query(sql, &[&oid]).await.map_err(|error| server.explained(&error))
    }

    /// The indexes of a table: their names, and their forms without any name.
    async fn indexes(
        &self,
        client: &Client,
        server: &Server,
        table: &Table,
    ) -> Result<Vec<(String, String)>, BackendError> {
        let sql = "select c.relname::text, i.indisunique::text || i.indisprimary::text || \
                   regexp_replace(pg_get_indexdef(i.indexrelid), '^.* USING ', '') \
                   from pg_index i join pg_class c on c.oid = i.indexrelid where i.indrelid = $1 order by c.relname";
        let rows = self.rows(client, server, sql, table.oid).await?;
        Ok(rows.iter().map(|row| (row.get(0), row.get(1))).collect())
    }

    /// The statements that hand owner, grants, comment and sequences on to the new table.
    async fn inherited(&self, client: &Client, server: &Server) -> Result<Vec<String>, BackendError> {
        let new = self.new.name.sql();
        let mut statements = Vec::new();
        let sequences = "select s.oid::regclass::text, a.attname::text from pg_depend d \
                         join pg_class s on s.oid = d.objid and s.relkind = 'S' \
                         join pg_attribute a on a.attrelid = d.refobjid and a.attnum = d.refobjsubid \
                         where d.refobjid = $1 and d.deptype = 'a'";
        for row in self.rows(client, server, sequences, self.old.oid).await? {
            let (sequence, column): (String, String) = (row.get(0), row.get(1));
            statements.push(format!("alter sequence {sequence} owned by {new}.{}", quoted(&column)));
        }
        let grants = "select g.privilege_type, coalesce(quote_ident(r.rolname), 'public'), g.is_grantable \
                      from pg_class c cross join lateral aclexplode(c.relacl) g left join pg_roles r on r.oid = g.grantee \
                      where c.oid = $1";
        for row in self.rows(client, server, grants, self.old.oid).await? {
            let (privilege, role, may_grant): (String, String, bool) = (row.get(0), row.get(1), row.get(2));
            let option = if may_grant { " with grant option" } else { "" };
            statements.push(format!("grant {privilege} on {new} to {role}{option}"));
        }
        let about = "select quote_literal(obj_description(oid, 'pg_class')), quote_ident(pg_get_userbyid(relowner)), \
                     pg_get_userbyid(relowner) <> current_user from pg_class where oid = $1";
        for row in self.rows(client, server, about, self.old.oid).await? {
            let (comment, owner, other): (Option<String>, String, bool) = (row.get(0), row.get(1), row.get(2));
            statements.extend(comment.map(|comment| format!("comment on table {new} is {comment}")));
            if other {
                statements.push(format!("alter table {new} owner to {owner}"));
            }
        }
        Ok(statements)
    }
}

/// A table that another one cannot take the place of, whole, is left alone.
async fn refuse(client: &Client, server: &Server, old: &Table) -> Result<(), BackendError> {
    let sql = "select c.relkind = 'p' or c.relispartition or c.relhassubclass, \
               exists (select from pg_trigger where tgrelid = c.oid and not tgisinternal), \
               exists (select from pg_policy where polrelid = c.oid), \
               exists (select from pg_constraint where confrelid = c.oid and conrelid <> c.oid), \
               exists (select from pg_depend d join pg_rewrite r on r.oid = d.objid \
                       where d.refobjid = c.oid and d.classid = 'pg_rewrite'::regclass and r.ev_class <> c.oid), \
               exists (select from pg_publication_rel where prrelid = c.oid) \
               from pg_class c where c.oid = $1";
    let row = client.query_one(sql, &[&old.oid]).await.map_err(|error| server.explained(&error))?;
    let whats =
        ["partitions", "triggers", "row policies", "foreign keys of other tables", "views on it", "publications"];
    let has: Vec<&str> =
        whats.into_iter().enumerate().filter(|(at, _)| row.get::<_, bool>(at)).map(|(_, w)| w).collect();
    if has.is_empty() {
        return Ok(());
    }
    let message = format!("table {} has {}, which a new table would not have", old.name.sql(), has.join(" and "));
    Err(BackendError::author(format!("{message}; use `mode: upsert` or `append`, or drop them first")))
}
