//! RANDOM with a seed: the numbers of the 64-bit Mersenne Twister (MT19937-64, Matsumoto and Nishimura) that was started with
//! it, one for each row. Snowflake documents `RANDOM(4711)` with the first of them.

use std::hash::{Hash, Hasher};
use std::sync::{Arc, Mutex, PoisonError};

use datafusion::arrow::array::{AsArray, Int64Array};
use datafusion::arrow::datatypes::{DataType, Int64Type};
use datafusion::common::{Result, exec_err};
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::{
    ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

use crate::dialect::cast::exactly;

const WORDS: usize = 312;
const MIDDLE: usize = 156;
const UPPER: u64 = 0xffff_ffff_8000_0000;

/// The random number of each row, by the seed and the number of the row from 0.
pub(in crate::dialect) fn seeded(seed: i64, row: Expr) -> Expr {
    let signature = Signature::any(1, Volatility::Volatile);
    let function = Seeded { seed, signature, twister: Mutex::new(Twister::new(seed as u64)) };
    Expr::ScalarFunction(ScalarFunction::new_udf(Arc::new(ScalarUDF::new_from_impl(function)), vec![row]))
}

/// The generator as a function, which remembers where the last batch of rows ended.
#[derive(Debug)]
struct Seeded {
    seed: i64,
    signature: Signature,
    twister: Mutex<Twister>,
}

impl PartialEq for Seeded {
    fn eq(&self, other: &Self) -> bool {
        self.seed == other.seed
    }
}

impl Eq for Seeded {}

impl Hash for Seeded {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.seed.hash(state);
    }
}

impl ScalarUDFImpl for Seeded {
    fn name(&self) -> &'static str {
        "$random"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn schema_name(&self, _: &[Expr]) -> Result<String> {
        Ok(format!("RANDOM({})", self.seed))
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Int64)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let Some(rows) = args.args.first() else { return exec_err!("`RANDOM` needs the numbers of its rows") };
        let rows = exactly(&rows.to_array(args.number_rows)?, &DataType::Int64)?;
        let mut twister = self.twister.lock().unwrap_or_else(PoisonError::into_inner);
        let rows = rows.as_primitive::<Int64Type>().iter();
        let numbers: Int64Array = rows.map(|row| Some(twister.at(row? as u64))).collect();
        Ok(ColumnarValue::Array(Arc::new(numbers)))
    }
}

/// The state of the generator and how many numbers it has given.
#[derive(Debug)]
struct Twister {
    seed: u64,
    words: [u64; WORDS],
    given: u64,
    last: i64,
}

impl Twister {
    fn new(seed: u64) -> Self {
        let mut words = [seed; WORDS];
        for at in 1..WORDS {
            let before = words[at - 1];
            words[at] = (before ^ (before >> 62)).wrapping_mul(6_364_136_223_846_793_005).wrapping_add(at as u64);
        }
        Self { seed, words, given: 0, last: 0 }
    }

    /// The number of a row; rows come mostly in order.
    fn at(&mut self, row: u64) -> i64 {
        if row + 1 < self.given {
            *self = Self::new(self.seed);
        }
        while self.given <= row {
            self.last = self.next();
        }
        self.last
    }

    fn next(&mut self) -> i64 {
        let at = (self.given % WORDS as u64) as usize;
        if at == 0 {
            self.twist();
        }
        self.given += 1;
        let mut word = self.words[at];
        word ^= (word >> 29) & 0x5555_5555_5555_5555;
        word ^= (word << 17) & 0x71d6_7fff_eda6_0000;
        word ^= (word << 37) & 0xfff7_eee0_0000_0000;
        (word ^ (word >> 43)) as i64
    }

    fn twist(&mut self) {
        for at in 0..WORDS {
            let joined = (self.words[at] & UPPER) | (self.words[(at + 1) % WORDS] & !UPPER);
            let odd = if joined & 1 == 1 { 0xb502_6f5a_a966_19e9 } else { 0 };
            self.words[at] = self.words[(at + MIDDLE) % WORDS] ^ (joined >> 1) ^ odd;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Twister;

    /// The first is the generator's published default seed, the second Snowflake's documentation of RANDOM.
    #[test]
    fn the_numbers_are_those_of_the_documentation() {
        assert_eq!(Twister::new(5489).at(0) as u64, 14_514_284_786_278_117_030);
        let mut twister = Twister::new(4711);
        let numbers: Vec<i64> = [0, 1, 2, 1].into_iter().map(|row| twister.at(row)).collect();
        let (first, second) = (-3_581_185_414_942_383_166, 1_570_543_588_041_465_562);
        assert_eq!(numbers, [first, second, -6_684_111_782_596_764_647, second]);
        assert_eq!(twister.at(0), first);
    }
}
