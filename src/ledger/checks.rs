//! Checks and profiles in the ledger: what tables looked like, and what the job's figures were computed by when a check
//! last agreed with them.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::record::{CheckRecord, ProfileRecord};
use super::{Ledger, LedgerError};
use crate::plan::StepId;

/// Profiles of a table that are kept.
const KEPT_PROFILES: i64 = 200;
/// Records of a check that are kept.
const KEPT_CHECKS: i64 = 200;

impl Ledger {
    /// Writes down profiles and checks, in one go.
    pub fn checked(&mut self, profiles: &[ProfileRecord], checks: &[CheckRecord]) -> Result<(), LedgerError> {
        let path = self.path.clone();
        let written = self.connection.transaction().and_then(|transaction| {
            for profile in profiles {
                write_profile(&transaction, profile)?;
            }
            for check in checks {
                write_check(&transaction, check)?;
            }
            transaction.commit()
        });
        written.map_err(|error| super::explain(&path, &error))
    }

    /// The profiles of a table, the newest first.
    pub fn profiles(&self, table: &str) -> Result<Vec<ProfileRecord>, LedgerError> {
        let sql = "select table_name, at, clock, version, measures from profiles where table_name = ? order by at desc";
        self.list(sql, params![table], |row| {
            Ok(ProfileRecord {
                table: row.get(0)?,
                at: instant(row, 1)?,
                clock: instant(row, 2)?,
                version: row.get(3)?,
                measures: json(row, 4)?,
            })
        })
    }

    /// The last time that a check agreed with the job.
    pub fn last_agreement(&self, job: &str, name: &str) -> Result<Option<CheckRecord>, LedgerError> {
        let sql = "select job, name, at, clock, verdict, agreed, texts from checks
                   where job = ? and name = ? and agreed = 1 order by at desc limit 1";
        let found = self.list(sql, params![job, name], |row| {
            Ok(CheckRecord {
                job: row.get(0)?,
                name: row.get(1)?,
                at: instant(row, 2)?,
                clock: instant(row, 3)?,
                verdict: row.get(4)?,
                agreed: row.get(5)?,
                texts: json(row, 6)?,
            })
        })?;
        Ok(found.into_iter().next())
    }

    /// The latest other SQL that a step ran with, and its run.
    pub fn other_sql(&self, id: &StepId, sql: &str) -> Result<Option<(String, String)>, LedgerError> {
        let query = "select statements.text, run from steps join statements on hash = steps.sql
                     where job = ? and step = ? and status = 'success' and statements.text <> ? order by run desc limit 1";
        let mut statement = self.connection.prepare_cached(query).map_err(|error| self.explain(&error))?;
        let found =
            statement.query_row(params![id.job.lower(), id.step.lower(), sql], |row| Ok((row.get(0)?, row.get(1)?)));
        found.optional().map_err(|error| self.explain(&error))
    }
}

fn write_profile(connection: &Connection, profile: &ProfileRecord) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "insert or replace into profiles (table_name, at, clock, version, measures) values (?, ?, ?, ?, ?)",
        )?
        .execute(params![
            profile.table,
            profile.at.timestamp_micros(),
            profile.clock.timestamp_micros(),
            profile.version,
            serde_json::to_string(&profile.measures).unwrap_or_default(),
        ])?;
    connection
        .prepare_cached(
            "delete from profiles where table_name = ?1 and at not in
                 (select at from profiles where table_name = ?1 order by at desc limit ?2)",
        )?
        .execute(params![profile.table, KEPT_PROFILES])?;
    Ok(())
}

fn write_check(connection: &Connection, check: &CheckRecord) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "insert or replace into checks (job, name, at, clock, verdict, agreed, texts) values (?, ?, ?, ?, ?, ?, ?)",
        )?
        .execute(params![
            check.job,
            check.name,
            check.at.timestamp_micros(),
            check.clock.timestamp_micros(),
            check.verdict,
            check.agreed,
            serde_json::to_string(&check.texts).unwrap_or_default(),
        ])?;
    connection
        .prepare_cached(
            "delete from checks where job = ?1 and name = ?2 and at not in
                 (select at from checks where job = ?1 and name = ?2 order by agreed = 1 desc, at desc limit ?3)",
        )?
        .execute(params![check.job, check.name, KEPT_CHECKS])?;
    Ok(())
}

fn instant(row: &Row<'_>, at: usize) -> rusqlite::Result<DateTime<Utc>> {
    let micros: i64 = row.get(at)?;
    DateTime::from_timestamp_micros(micros).ok_or(rusqlite::Error::IntegralValueOutOfRange(at, micros))
}

/// A mapping kept as JSON; what cannot be read counts as nothing known.
fn json<T: serde::de::DeserializeOwned>(row: &Row<'_>, at: usize) -> rusqlite::Result<BTreeMap<String, T>> {
    Ok(serde_json::from_str(row.get_ref(at)?.as_str()?).unwrap_or_default())
}
