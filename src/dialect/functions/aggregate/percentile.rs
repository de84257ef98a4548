//! Values at a share of the sorted group: MEDIAN, PERCENTILE_CONT, PERCENTILE_DISC, APPROX_PERCENTILE; and the shape of the
//! distribution: SKEW, KURTOSIS. Between two NUMBERs of scale s a percentile has scale s + 3.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, Decimal128Array, Float64Array};
use datafusion::arrow::compute::SortOptions;
use datafusion::arrow::datatypes::DataType;
use datafusion::common::{Result, exec_err};

use super::frame::{Group, KeyAndValue, Setup, aggregate, approximate, converter, over_order, put, take};
use super::numbers::{decimals, expect_number, floats, scale_of, sort_rows};
use crate::dialect::functions::Function;

pub(super) fn functions() -> Vec<Function> {
    let exact_percentile = aggregate::<Numbers>(&["approx_percentile"], 2..=2, float_rule);
    vec![
        aggregate::<Numbers>(&["median"], 1..=1, percentile_rule),
        over_order::<Numbers>(&["percentile_cont"], 2..=2, percentile_rule),
        over_order::<Discrete>(&["percentile_disc"], 2..=2, |_, types| Ok(types[0].clone())),
        approximate(exact_percentile, "it is the exact percentile, where Snowflake estimates"),
        approximate(
            aggregate::<Numbers>(&["skew"], 1..=1, float_rule),
            "of NUMBERs, Snowflake's differs from the seventh digit on",
        ),
        aggregate::<Numbers>(&["kurtosis"], 1..=1, float_rule),
    ]
}

fn float_rule(name: &str, types: &[DataType]) -> Result<DataType> {
    expect_number(name, types, 0)?;
    Ok(DataType::Float64)
}

fn percentile_rule(name: &str, types: &[DataType]) -> Result<DataType> {
    expect_number(name, types, 0)?;
    Ok(match scale_of(&types[0]) {
        Some(scale) => DataType::Decimal128(38, (scale + 3).min(37) as i8),
        None => DataType::Float64,
    })
}

/// The share that is asked for, between 0 and 1.
fn share(setup: &Setup) -> Result<f64> {
    if setup.name == "MEDIAN" {
        return Ok(0.5);
    }
    let Some(share) = setup.constant_number(1).filter(|share| (0.0..=1.0).contains(share)) else {
        return exec_err!("the percentile of `{}` must be a constant from 0 to 1", setup.name);
    };
    let descending = setup.order.first().is_some_and(|order| order.descending);
    Ok(if descending && setup.name == "PERCENTILE_CONT" { 1.0 - share } else { share })
}

/// All numbers of a group: exact ones, or floats.
#[derive(Debug, Default)]
struct Numbers {
    exact: Vec<i128>,
    floats: Vec<f64>,
}

fn is_exact(setup: &Setup) -> bool {
    matches!(setup.returns, DataType::Decimal128(..))
}

/// Where a share falls among `count` sorted values: the position before it and how far it is from there to the next.
fn place(share: f64, count: usize) -> (usize, f64) {
    let position = share * (count - 1) as f64;
    let before = position.floor();
    (before as usize, position - before)
}

impl Numbers {
    fn exact_percentile(&self, share: f64) -> Option<i128> {
        let mut sorted = self.exact.clone();
        sorted.sort_unstable();
        let (before, part) = if sorted.is_empty() { return None } else { place(share, sorted.len()) };
        let (low, high) = (*sorted.get(before)?, sorted.get(before + 1).or(sorted.last()).copied()?);
        let between = high.checked_sub(low)?.checked_mul(1000)?;
        let thousand_millions = 1_000_000_000_i128;
        let parts = (part * thousand_millions as f64).round() as i128;
        let added = if between < 1 << 50 {
            (between as f64 * part).round() as i128
        } else {
            between / thousand_millions * parts + (between % thousand_millions * parts) / thousand_millions
        };
        low.checked_mul(1000)?.checked_add(added)
    }

    fn float_percentile(&self, share: f64) -> Option<f64> {
        let mut sorted = self.floats.clone();
        sorted.sort_unstable_by(f64::total_cmp);
        let (before, part) = if sorted.is_empty() { return None } else { place(share, sorted.len()) };
        let (low, high) = (*sorted.get(before)?, sorted.get(before + 1).or(sorted.last()).copied()?);
        Some(if part == 0.0 { low } else { low + part * (high - low) })
    }

    /// The sum of the powers of the deviations from the mean.
    fn powers(&self, power: i32) -> f64 {
        let mean = self.floats.iter().sum::<f64>() / self.floats.len() as f64;
        self.floats.iter().map(|value| (value - mean).powi(power)).sum()
    }

    fn skew(&self) -> Option<f64> {
        let count = self.floats.len() as f64;
        let variance = self.powers(2) / (count - 1.0);
        let shown = count / ((count - 1.0) * (count - 2.0)) * self.powers(3) / variance.powf(1.5);
        (count >= 3.0 && variance > 0.0).then_some(shown)
    }

    fn kurtosis(&self) -> Option<f64> {
        let count = self.floats.len() as f64;
        let variance = self.powers(2) / (count - 1.0);
        let scaled = count * (count + 1.0) / ((count - 1.0) * (count - 2.0) * (count - 3.0));
        let normal = 3.0 * (count - 1.0) * (count - 1.0) / ((count - 2.0) * (count - 3.0));
        let shown = scaled * self.powers(4) / (variance * variance) - normal;
        (count >= 4.0 && variance > 0.0).then_some(shown)
    }
}

impl Group for Numbers {
    fn update(groups: &mut [Self], setup: &Setup, columns: &[ArrayRef], at: &[usize]) -> Result<()> {
        if is_exact(setup) {
            let values = decimals(&columns[0])?;
            for (row, group) in at.iter().enumerate().filter(|(row, _)| values.is_valid(*row)) {
                groups[*group].exact.push(values.value(row));
            }
        } else {
            let values = floats(&columns[0])?;
            for (row, group) in at.iter().enumerate().filter(|(row, _)| values.is_valid(*row)) {
                groups[*group].floats.push(values.value(row));
            }
        }
        Ok(())
    }

    fn evaluate(groups: &[Self], setup: &Setup) -> Result<ArrayRef> {
        match setup.name.as_str() {
            "SKEW" => return Ok(Arc::new(groups.iter().map(Self::skew).collect::<Float64Array>())),
            "KURTOSIS" => return Ok(Arc::new(groups.iter().map(Self::kurtosis).collect::<Float64Array>())),
            _ => {}
        }
        let share = share(setup)?;
        match setup.returns {
            DataType::Decimal128(precision, scale) => {
                let values: Decimal128Array = groups.iter().map(|group| group.exact_percentile(share)).collect();
                Ok(Arc::new(values.with_precision_and_scale(precision, scale)?))
            }
            _ => Ok(Arc::new(groups.iter().map(|group| group.float_percentile(share)).collect::<Float64Array>())),
        }
    }

    fn encode(&self, out: &mut Vec<u8>) {
        self.exact.iter().for_each(|value| out.extend_from_slice(&value.to_le_bytes()));
        self.floats.iter().for_each(|value| out.extend_from_slice(&value.to_le_bytes()));
    }

    fn absorb(&mut self, setup: &Setup, bytes: &[u8]) -> Result<()> {
        if is_exact(setup) {
            self.exact.extend(bytes.as_chunks::<16>().0.iter().map(|value| i128::from_le_bytes(*value)));
        } else {
            self.floats.extend(bytes.as_chunks::<8>().0.iter().map(|value| f64::from_le_bytes(*value)));
        }
        Ok(())
    }

    fn size(&self) -> usize {
        self.exact.capacity() * 16 + self.floats.capacity() * 8
    }
}

/// PERCENTILE_DISC: the values as bytes that sort as WITHIN GROUP says, each with the bytes that give it back.
#[derive(Debug, Default)]
struct Discrete(Vec<KeyAndValue>);

impl Group for Discrete {
    fn update(groups: &mut [Self], setup: &Setup, columns: &[ArrayRef], at: &[usize]) -> Result<()> {
        let order = setup.order.first().copied().unwrap_or(SortOptions::default());
        let keys = sort_rows(&columns[..1], &[order])?;
        let values = converter([columns[0].data_type()])?.convert_columns(&columns[..1])?;
        let nulls = columns[0].logical_nulls();
        for (row, group) in at.iter().enumerate() {
            if nulls.as_ref().is_none_or(|nulls| nulls.is_valid(row)) {
                groups[*group].0.push((keys.row(row).data().into(), values.row(row).data().into()));
            }
        }
        Ok(())
    }

    fn evaluate(groups: &[Self], setup: &Setup) -> Result<ArrayRef> {
        let share = share(setup)?;
        let mut found = Vec::with_capacity(groups.len());
        for group in groups {
            let mut sorted: Vec<_> = group.0.iter().collect();
            sorted.sort_by(|a, b| a.0.cmp(&b.0));
            let place = ((share * sorted.len() as f64).ceil() as usize).saturating_sub(1);
            found.push(sorted.get(place).map(|(_, value)| value.as_ref()));
        }
        super::by::decode(found.into_iter(), &setup.types[0])
    }

    fn encode(&self, out: &mut Vec<u8>) {
        for (key, value) in &self.0 {
            put(out, key);
            put(out, value);
        }
    }

    fn absorb(&mut self, _: &Setup, mut bytes: &[u8]) -> Result<()> {
        while let (Some(key), Some(value)) = (take(&mut bytes), take(&mut bytes)) {
            self.0.push((key.into(), value.into()));
        }
        Ok(())
    }

    fn size(&self) -> usize {
        self.0.iter().map(|(key, value)| key.len() + value.len() + 32).sum()
    }
}
