//! Sequences and the function through which generated SQL takes their numbers.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use datafusion::arrow::array::Int64Array;
use datafusion::arrow::datatypes::DataType;
use datafusion::common::{DataFusionError, ScalarValue};
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, TypeSignature, Volatility,
};

/// The function's name, which no analyst writes.
pub(super) const NEXTVAL: &str = "$nextval";

/// A sequence. Numbers that were taken do not come back when a transaction is rolled back.
#[derive(Debug)]
pub(super) struct Sequence {
    next: AtomicI64,
    pub(super) start: i64,
    increment: AtomicI64,
    pub(super) comment: Option<String>,
    pub(super) created: i64,
}

impl Sequence {
    pub(super) fn new(start: i64, increment: i64, comment: Option<String>, created: i64) -> Self {
        let (next, increment) = (AtomicI64::new(start), AtomicI64::new(increment));
        Self { next, start, increment, comment, created }
    }

    pub(super) fn increment(&self) -> i64 {
        self.increment.load(Ordering::SeqCst)
    }

    pub(super) fn set_increment(&self, increment: i64) {
        self.increment.store(increment, Ordering::SeqCst);
    }

    /// The number that will be taken next.
    pub(super) fn next(&self) -> i64 {
        self.next.load(Ordering::SeqCst)
    }

    /// The same definition, from the start or from where this one stands.
    pub(super) fn copied(&self, next: i64) -> Self {
        Self {
            next: AtomicI64::new(next),
            ..Self::new(self.start, self.increment(), self.comment.clone(), self.created)
        }
    }

    pub(super) fn with_comment(&self, comment: Option<String>) -> Self {
        Self { comment, ..self.copied(self.next()) }
    }

    pub(super) fn identity_text(&self) -> String {
        format!("IDENTITY START {} INCREMENT {} NOORDER", self.start, self.increment())
    }

    /// Takes this many numbers and gives the first.
    fn take(&self, count: usize) -> Result<(i64, i64), DataFusionError> {
        let increment = self.increment();
        let distance = i64::try_from(count).ok().and_then(|count| increment.checked_mul(count));
        let first = distance.and_then(|distance| {
            self.next.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |next| next.checked_add(distance)).ok()
        });
        let exhausted = || DataFusionError::Execution("the sequence has no more numbers".to_string());
        first.map(|first| (first, increment)).ok_or_else(exhausted)
    }
}

/// The sequences that bound statements refer to by number.
#[derive(Debug, Default)]
pub(super) struct Sequences {
    known: Mutex<Vec<Arc<Sequence>>>,
}

impl Sequences {
    /// A number under which the function finds the sequence.
    pub(super) fn number(&self, sequence: &Arc<Sequence>) -> usize {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let found = known.iter().position(|other| Arc::ptr_eq(other, sequence));
        found.unwrap_or_else(|| {
            known.push(sequence.clone());
            known.len() - 1
        })
    }

    fn get(&self, number: usize) -> Option<Arc<Sequence>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).get(number).cloned()
    }

    /// The function that takes the next number of a sequence for each row.
    pub(super) fn function(self: &Arc<Self>) -> Arc<ScalarUDF> {
        let signature = Signature::new(TypeSignature::Any(1), Volatility::Volatile);
        Arc::new(ScalarUDF::new_from_impl(NextVal { sequences: self.clone(), signature }))
    }
}

struct NextVal {
    sequences: Arc<Sequences>,
    signature: Signature,
}

impl fmt::Debug for NextVal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(NEXTVAL)
    }
}

impl PartialEq for NextVal {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.sequences, &other.sequences)
    }
}

impl Eq for NextVal {}

impl Hash for NextVal {
    fn hash<H: Hasher>(&self, state: &mut H) {
        NEXTVAL.hash(state);
    }
}

impl ScalarUDFImpl for NextVal {
    fn name(&self) -> &str {
        NEXTVAL
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType, DataFusionError> {
        Ok(DataType::Int64)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue, DataFusionError> {
        let number = match args.args.first() {
            Some(ColumnarValue::Scalar(value)) => number_in(value),
            Some(ColumnarValue::Array(array)) if !array.is_empty() => {
                number_in(&ScalarValue::try_from_array(array, 0)?)
            }
            _ => None,
        };
        let sequence = number.and_then(|number| self.sequences.get(number));
        let sequence = sequence.ok_or_else(|| DataFusionError::Execution("unknown sequence".to_string()))?;
        let (first, increment) = sequence.take(args.number_rows)?;
        let numbers = (0..args.number_rows as i64).map(|row| first + row * increment);
        Ok(ColumnarValue::Array(Arc::new(Int64Array::from_iter_values(numbers))))
    }
}

fn number_in(value: &ScalarValue) -> Option<usize> {
    value.to_string().parse().ok()
}
