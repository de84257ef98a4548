//! Where things are on disk, how names become paths, and durable writes.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::{Error, disk};
use crate::name::{Name, TableName};

/// Schema of a table that was named without one.
const NO_SCHEMA: &str = "PUBLIC";

/// The paths of one warehouse.
#[derive(Clone, Debug)]
pub(super) struct Layout {
    /// The folder that holds the link.
    pub(super) home: PathBuf,
    /// The link to the current set.
    pub(super) link: PathBuf,
    /// All sets.
    pub(super) sets: PathBuf,
    /// The rows of all sets' tables.
    pub(super) tables: PathBuf,
    /// Tables being written.
    pub(super) staging: PathBuf,
    /// Finished tables of runs that did not publish them.
    pub(super) unpublished: PathBuf,
    /// Lock files.
    pub(super) locks: PathBuf,
}

impl Layout {
    pub(super) fn new(link: &Path) -> Result<Self, Error> {
        let link = std::path::absolute(link).map_err(|error| Error::read(link, error))?;
        let home = link.parent().unwrap_or(Path::new("/")).to_path_buf();
        let at = |name: &str| home.join(name);
        let (sets, tables, staging, locks) = (at("sets"), at("tables"), at("staging"), at("locks"));
        Ok(Self { sets, tables, staging, unpublished: at("unpublished"), locks, home, link })
    }

    /// The folder of a set.
    pub(super) fn set(&self, number: u64) -> PathBuf {
        self.sets.join(format!("{number:07}"))
    }

    /// The folder of all rows that came with a set.
    pub(super) fn rows_of(&self, number: u64) -> PathBuf {
        self.tables.join(format!("{number:07}"))
    }

    /// The folder of a table's rows that came with a set.
    pub(super) fn rows(&self, number: u64, table: &TableName) -> PathBuf {
        self.rows_of(number).join(file_name(table))
    }

    /// The current set; none before the first publish.
    pub(super) fn current(&self) -> Result<Option<(u64, PathBuf)>, Error> {
        let target = match fs::read_link(&self.link) {
            Ok(target) => target,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => {
                return Err(Error::corrupt(&self.link, "it is not the link that `pipe` makes; move it away"));
            }
            Err(error) => return Err(Error::read(&self.link, error)),
        };
        let number = number_of(&target).ok_or_else(|| {
            Error::corrupt(&self.link, format!("it points to `{}`, which is no set", target.display()))
        })?;
        Ok(Some((number, self.set(number))))
    }

    /// The sets on disk, oldest first.
    pub(super) fn sets(&self) -> Result<Vec<(u64, PathBuf)>, Error> {
        let mut sets: Vec<(u64, PathBuf)> =
            entries(&self.sets)?.into_iter().filter_map(|path| Some((number_of(&path)?, path))).collect();
        sets.sort();
        Ok(sets)
    }

    pub(super) fn make(&self) -> Result<(), Error> {
        for dir in [&self.home, &self.sets, &self.tables, &self.staging, &self.locks] {
            fs::create_dir_all(dir).map_err(|error| Error::write(dir, error))?;
        }
        Ok(())
    }
}

fn number_of(path: &Path) -> Option<u64> {
    let name = path.file_name()?.to_str()?;
    name.bytes().all(|byte| byte.is_ascii_digit()).then(|| name.parse().ok())?
}

/// What a folder holds, sorted; nothing where there is no folder.
pub(super) fn entries(dir: &Path) -> Result<Vec<PathBuf>, Error> {
    let listing = match fs::read_dir(dir) {
        Ok(listing) => listing,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(Error::read(dir, error)),
    };
    let mut paths = Vec::new();
    for entry in listing {
        paths.push(entry.map_err(|error| Error::read(dir, error))?.path());
    }
    paths.sort();
    Ok(paths)
}

/// The place of a table inside a set.
pub(super) fn table_path(name: &TableName) -> PathBuf {
    Path::new(&encode(schema_of(name))).join(encode(name.table.as_str()))
}

/// A table as one file name.
pub(super) fn file_name(name: &TableName) -> String {
    format!("{}.{}", encode(schema_of(name)), encode(name.table.as_str()))
}

/// The table that [`file_name`] wrote.
pub(super) fn table_of(file_name: &str) -> Option<TableName> {
    let (schema, table) = file_name.split_once('.')?;
    Some(TableName::in_schema(decode(schema)?, decode(table)?))
}

fn schema_of(name: &TableName) -> &str {
    name.schema.as_ref().map_or(NO_SCHEMA, Name::as_str)
}

/// The key under which a table is locked and compared: its schema and name alone, because a warehouse is one database.
pub(super) fn key(name: &TableName) -> TableName {
    let schema = name.schema.clone().unwrap_or_else(|| Name::quoted(NO_SCHEMA));
    TableName::in_schema(schema, name.table.clone())
}

/// A name as a file name: lower case for a name that needs no quotes, `~xx` for every byte that would be ambiguous or
/// unsafe, so that no two names share a file even where the file system ignores case.
pub(super) fn encode(name: &str) -> String {
    let mut out = String::new();
    for byte in name.bytes() {
        match byte {
            b'A'..=b'Z' => out.push(char::from(byte.to_ascii_lowercase())),
            b'0'..=b'9' | b'_' | b'$' | b'-' => out.push(char::from(byte)),
            _ => out.push_str(&format!("~{byte:02x}")),
        }
    }
    out
}

/// How many bytes the names of a schema and a table take in the name of one file.
pub fn file_name_bytes(table: &TableName) -> usize {
    let schema = table.schema.as_ref().map_or(0, |schema| encode(schema.as_str()).len());
    schema + 1 + encode(table.table.as_str()).len()
}

/// The name that [`encode`] wrote.
fn decode(file: &str) -> Option<Name> {
    let mut bytes = Vec::new();
    let mut rest = file.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'~' {
            let digits = [rest.next()?, rest.next()?];
            bytes.push(u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?);
        } else {
            bytes.push(byte.to_ascii_uppercase());
        }
    }
    String::from_utf8(bytes).ok().map(Name::quoted)
}

/// Files and folders beyond this number are made durable together with all else on their file system.
const MANY: usize = 64;

/// Waits until these files and folders are on disk.
pub(super) fn sync(paths: &[PathBuf]) -> Result<(), Error> {
    if let Some(first) = paths.first().filter(|_| paths.len() > MANY && cfg!(target_os = "linux")) {
        return disk::sync_all(first).map_err(|error| Error::write(first, error));
    }
    let sync = |path: &PathBuf| disk::sync(path).map_err(|error| Error::write(path, error));
    paths.iter().try_for_each(sync)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_distinct_files_and_come_back() {
        for (name, file) in
            [("TOP_30", "top_30"), ("Top", "t~6f~70"), ("a b/é", "~61~20~62~2f~c3~a9"), ("..", "~2e~2e")]
        {
            assert_eq!(encode(name), file);
            assert_eq!(decode(file).as_ref().map(Name::as_str), Some(name));
        }
        assert_eq!(decode("~zz"), None);
        let table = TableName::in_schema(Name::quoted("a.b"), Name::quoted("T"));
        assert_eq!(table_of(&file_name(&table)), Some(table));
    }
}
