//! Exports when their job publishes: which rows go out, and what became of them.

use super::{Decision, Event, Schedule, now};
use crate::backend::BackendError;
use crate::ledger::{LedgerError, Published, Status};

/// A step and what became of its export: the mark by which it is known again.
pub(super) type Exported = (usize, Result<String, BackendError>);

impl Schedule<'_> {
    /// The steps of a job whose rows were to go out of the project.
    pub(super) fn exported(&self, job: usize) -> Vec<usize> {
        let goes_out = |at: &usize| {
            self.run.plan.steps[*at].export.is_some() && matches!(self.run.decisions[*at], Decision::Run { .. })
        };
        self.run.plan.steps_of(job).filter(goes_out).collect()
    }

    /// Those of them that have succeeded: the rows of others are not all there.
    pub(super) fn to_export(&self, job: usize) -> Vec<usize> {
        self.exported(job).into_iter().filter(|at| self.succeeded(*at)).collect()
    }

    /// Writes down an export that went out; one that did not fails its step.
    pub(super) fn export_done(
        &mut self,
        job: usize,
        at: usize,
        done: Result<String, BackendError>,
    ) -> Result<(), LedgerError> {
        let step = &self.run.plan.steps[at];
        let (Some(export), Decision::Run { fingerprint, .. }, Some(record)) =
            (&step.export, &self.run.decisions[at], &mut self.records[at])
        else {
            return Ok(());
        };
        let place = export.place();
        match done {
            Ok(version) => {
                record.table = Some(place.clone());
                let published = Published {
                    table: place.clone(),
                    step: record.step.clone(),
                    run: self.run.record.id.clone(),
                    at: now(),
                    fingerprint: fingerprint.clone(),
                    history: crate::plan::interval::History::default(),
                    version,
                    rows: record.rows,
                };
                self.run.ledger.published(&[published])?;
                self.published.push(place.clone());
                (self.run.tell)(&Event::JobPublished { job: self.run.plan.jobs[job].clone(), tables: vec![place] });
            }
            Err(error) => {
                record.status = Status::Failed;
                record.error = Some(format!("could not be exported: {error}"));
                (self.run.tell)(&Event::StepFinished(Box::new(record.clone())));
            }
        }
        self.run.ledger.step(&self.run.record.id, at, record)
    }
}
