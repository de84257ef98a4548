//! Databases, schemas and what they hold, as values: a copy is cheap, and a transaction that is rolled back is an old copy.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::Utc;
use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::{Schema as ArrowSchema, SchemaRef};

use super::column::TableColumn;
use super::sequence::Sequence;
use crate::backend::datafusion::source::Source;
use crate::dialect::Statement;
use crate::name::{Name, TableName};
use crate::warehouse::StoredTable;

/// Name of the schema that describes the others.
pub(super) const INFORMATION_SCHEMA: &str = "INFORMATION_SCHEMA";

/// A name with all its parts.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) database: Name,
    pub(super) schema: Name,
    pub(super) name: Name,
}

impl Place {
    /// As messages show it.
    pub(super) fn lower(&self) -> String {
        format!("{}.{}.{}", self.database, self.schema, self.name).to_lowercase()
    }

    /// As the warehouse knows it.
    pub(super) fn stored(&self) -> TableName {
        TableName::in_schema(self.schema.clone(), self.name.clone())
    }
}

/// How long a table lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Life {
    /// Until it is dropped.
    Permanent,
    /// The same, without Snowflake's fail-safe.
    Transient,
    /// As long as the session.
    Temporary,
}

/// A constraint that is kept and not enforced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Key {
    /// `PRIMARY KEY`, `UNIQUE` or `FOREIGN KEY`.
    pub(super) kind: &'static str,
    pub(super) name: Option<Name>,
    pub(super) columns: Vec<Name>,
    /// The table and columns that a foreign key points to.
    pub(super) references: Option<(String, Vec<Name>)>,
}

/// A table and its rows.
#[derive(Clone, Debug)]
pub(super) struct Table {
    pub(super) columns: Vec<TableColumn>,
    pub(super) keys: Vec<Key>,
    pub(super) life: Life,
    pub(super) comment: Option<String>,
    pub(super) created: i64,
    /// Rows that rest in the warehouse, before those in memory.
    pub(super) base: Option<StoredTable>,
    /// Rows in memory, in the columns' Arrow types, TIMESTAMP_LTZ in UTC.
    pub(super) batches: Vec<RecordBatch>,
}

impl Table {
    pub(super) fn new(columns: Vec<TableColumn>) -> Self {
        let (keys, batches) = (Vec::new(), Vec::new());
        Self { columns, keys, life: Life::Permanent, comment: None, created: now(), base: None, batches }
    }

    /// The Arrow schema of its rows, TIMESTAMP_LTZ in this zone.
    pub(super) fn schema(&self, zone: &str) -> SchemaRef {
        Arc::new(ArrowSchema::new(self.columns.iter().map(|column| column.field(zone)).collect::<Vec<_>>()))
    }

    pub(super) fn rows(&self) -> u64 {
        let stored = self.base.as_ref().map_or(0, StoredTable::rows);
        stored + self.batches.iter().map(|batch| batch.num_rows() as u64).sum::<u64>()
    }

    pub(super) fn bytes(&self) -> u64 {
        self.batches.iter().map(|batch| batch.get_array_memory_size() as u64).sum()
    }

    pub(super) fn column(&self, name: &Name) -> Option<usize> {
        self.columns.iter().position(|column| column.name == *name)
    }
}

/// A view: its query is bound anew wherever it is read.
#[derive(Clone)]
pub(super) struct View {
    pub(super) query: Statement,
    /// The query as its author wrote it.
    pub(super) text: String,
    /// Names for its columns, with their comments.
    pub(super) columns: Vec<(Name, Option<String>)>,
    pub(super) comment: Option<String>,
    pub(super) created: i64,
    pub(super) temporary: bool,
    pub(super) secure: bool,
}

/// A table that the session reads and cannot change.
#[derive(Clone, Debug)]
pub(super) struct ReadOnly {
    pub(super) columns: Vec<TableColumn>,
    pub(super) name: TableName,
    pub(super) source: Source,
}

/// What shares the names of tables.
#[derive(Clone)]
pub(super) enum Relation {
    Table(Arc<Table>),
    View(Arc<View>),
    Source(Arc<ReadOnly>),
}

impl Relation {
    pub(super) fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Table(a), Self::Table(b)) => Arc::ptr_eq(a, b),
            (Self::View(a), Self::View(b)) => Arc::ptr_eq(a, b),
            (Self::Source(a), Self::Source(b)) => Arc::ptr_eq(a, b),
            _ => false,
        }
    }

    /// Whether it goes with the session.
    pub(super) fn is_temporary(&self) -> bool {
        match self {
            Self::Table(table) => table.life == Life::Temporary,
            Self::View(view) => view.temporary,
            Self::Source(_) => false,
        }
    }
}

/// A schema and what it holds. A temporary object hides a permanent one of the same name.
#[derive(Clone)]
pub(super) struct Schema {
    pub(super) relations: BTreeMap<Name, Relation>,
    pub(super) temporary: BTreeMap<Name, Relation>,
    pub(super) sequences: BTreeMap<Name, Arc<Sequence>>,
    pub(super) comment: Option<String>,
    pub(super) created: i64,
}

impl Schema {
    pub(super) fn new(comment: Option<String>) -> Self {
        let (relations, temporary, sequences) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        Self { relations, temporary, sequences, comment, created: now() }
    }

    /// What can be seen in it.
    pub(super) fn visible(&self) -> impl Iterator<Item = (&Name, &Relation)> {
        let permanent = self.relations.iter().filter(|(name, _)| !self.temporary.contains_key(*name));
        permanent.chain(&self.temporary)
    }

    fn get(&self, name: &Name) -> Option<&Relation> {
        self.temporary.get(name).or_else(|| self.relations.get(name))
    }
}

/// A database and its schemas.
#[derive(Clone)]
pub(super) struct Database {
    pub(super) schemas: BTreeMap<Name, Arc<Schema>>,
    pub(super) comment: Option<String>,
    pub(super) created: i64,
}

impl Database {
    pub(super) fn new(comment: Option<String>) -> Self {
        let public = (Name::quoted(super::SCHEMA), Arc::new(Schema::new(None)));
        Self { schemas: BTreeMap::from([public]), comment, created: now() }
    }
}

/// Everything that a session can name.
#[derive(Clone)]
pub(super) struct Catalog {
    pub(super) databases: BTreeMap<Name, Arc<Database>>,
    pub(super) database: Name,
    pub(super) schema: Name,
}

impl Catalog {
    pub(super) fn new(database: &str, schema: &str) -> Self {
        let (database, schema) = (Name::unquoted(database), Name::unquoted(schema));
        let databases = BTreeMap::from([(database.clone(), Arc::new(Database::new(None)))]);
        Self { databases, database, schema }
    }

    /// The name with the parts that the author left out.
    pub(super) fn place(&self, name: &TableName) -> Place {
        Place {
            database: name.database.clone().unwrap_or_else(|| self.database.clone()),
            schema: name.schema.clone().unwrap_or_else(|| self.schema.clone()),
            name: name.table.clone(),
        }
    }

    pub(super) fn schema_at(&self, place: &Place) -> Option<&Arc<Schema>> {
        self.databases.get(&place.database)?.schemas.get(&place.schema)
    }

    /// The schema to change; none where there is no such schema.
    pub(super) fn schema_mut(&mut self, database: &Name, schema: &Name) -> Option<&mut Schema> {
        let database = Arc::make_mut(self.databases.get_mut(database)?);
        database.schemas.get_mut(schema).map(Arc::make_mut)
    }

    pub(super) fn relation(&self, place: &Place) -> Option<&Relation> {
        self.schema_at(place)?.get(&place.name)
    }

    pub(super) fn sequence(&self, place: &Place) -> Option<&Arc<Sequence>> {
        self.schema_at(place)?.sequences.get(&place.name)
    }

    /// Puts an object into a schema that is there.
    pub(super) fn put(&mut self, place: &Place, relation: Relation) {
        if let Some(schema) = self.schema_mut(&place.database, &place.schema) {
            let map = if relation.is_temporary() { &mut schema.temporary } else { &mut schema.relations };
            map.insert(place.name.clone(), relation);
        }
    }

    pub(super) fn put_table(&mut self, place: &Place, table: Table) {
        self.put(place, Relation::Table(Arc::new(table)));
    }

    /// Takes an object out, a temporary one before the permanent one that it hides.
    pub(super) fn remove(&mut self, place: &Place) -> Option<Relation> {
        let schema = self.schema_mut(&place.database, &place.schema)?;
        schema.temporary.remove(&place.name).or_else(|| schema.relations.remove(&place.name))
    }

    /// What outlives the session at a place, whether a temporary object hides it or not.
    pub(super) fn lasting(&self, place: &Place) -> Option<&Relation> {
        self.schema_at(place)?.relations.get(&place.name)
    }

    /// Everything that outlives the session, with its place.
    pub(super) fn all_lasting(&self) -> impl Iterator<Item = (Place, &Relation)> {
        self.databases.iter().flat_map(|(database, held)| {
            held.schemas.iter().flat_map(move |(schema, held)| {
                held.relations.iter().map(move |(name, relation)| {
                    let (database, schema, name) = (database.clone(), schema.clone(), name.clone());
                    (Place { database, schema, name }, relation)
                })
            })
        })
    }

    /// Whether another state holds the same of what outlives the session.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        let same = |(a, b): ((Place, &Relation), (Place, &Relation))| a.0 == b.0 && a.1.is_same(b.1);
        self.all_lasting().count() == other.all_lasting().count()
            && self.all_lasting().zip(other.all_lasting()).all(same)
    }

    /// Every object that can be seen with its place, schema by schema.
    pub(super) fn all(&self) -> impl Iterator<Item = (Place, &Relation)> {
        self.databases.iter().flat_map(|(database, held)| {
            held.schemas.iter().flat_map(move |(schema, held)| {
                held.visible().map(move |(name, relation)| {
                    let (database, schema, name) = (database.clone(), schema.clone(), name.clone());
                    (Place { database, schema, name }, relation)
                })
            })
        })
    }
}

/// The present instant in nanoseconds.
pub(super) fn now() -> i64 {
    Utc::now().timestamp_nanos_opt().unwrap_or_default()
}
