//! Variances, correlations and regressions. A variance of NUMBERs is exact, as Snowflake's: it is
//! (n Σx² − (Σx)²) / (n (n − 1)) divided as NUMBERs are, and a standard deviation is its square root.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, Decimal128Array, Float64Array, Int64Array};
use datafusion::arrow::datatypes::{DataType, i256};
use datafusion::common::{Result, exec_err};

use super::frame::{Group, Setup, aggregate};
use super::numbers::{decimals, expect_number, floats, scale_of};
use crate::dialect::functions::Function;

pub(super) fn functions() -> Vec<Function> {
    vec![
        aggregate::<Variance>(&["variance", "var_samp", "variance_samp"], 1..=1, variance_rule),
        aggregate::<Variance>(&["var_pop", "variance_pop"], 1..=1, variance_rule),
        aggregate::<Variance>(&["stddev", "stddev_samp"], 1..=1, float_rule),
        aggregate::<Variance>(&["stddev_pop"], 1..=1, float_rule),
        aggregate::<Pairs>(&["corr"], 2..=2, pair_rule),
        aggregate::<Pairs>(&["covar_pop"], 2..=2, pair_rule),
        aggregate::<Pairs>(&["covar_samp"], 2..=2, pair_rule),
        aggregate::<Pairs>(&["regr_avgx"], 2..=2, pair_rule),
        aggregate::<Pairs>(&["regr_avgy"], 2..=2, pair_rule),
        aggregate::<Pairs>(&["regr_count"], 2..=2, count_rule),
        aggregate::<Pairs>(&["regr_intercept"], 2..=2, pair_rule),
        aggregate::<Pairs>(&["regr_r2"], 2..=2, pair_rule),
        aggregate::<Pairs>(&["regr_slope"], 2..=2, pair_rule),
        aggregate::<Pairs>(&["regr_sxx"], 2..=2, pair_rule),
        aggregate::<Pairs>(&["regr_sxy"], 2..=2, pair_rule),
        aggregate::<Pairs>(&["regr_syy"], 2..=2, pair_rule),
    ]
}

fn float_rule(name: &str, types: &[DataType]) -> Result<DataType> {
    expect_number(name, types, 0)?;
    Ok(DataType::Float64)
}

fn pair_rule(name: &str, types: &[DataType]) -> Result<DataType> {
    expect_number(name, types, 0)?;
    expect_number(name, types, 1)?;
    Ok(DataType::Float64)
}

fn count_rule(name: &str, types: &[DataType]) -> Result<DataType> {
    pair_rule(name, types).map(|_| DataType::Int64)
}

/// The digits after the point of a quotient of a NUMBER of scale `scale` by a whole number.
fn quotient_scale(scale: u8) -> u8 {
    scale.max((scale + 6).min(12)).min(37)
}

fn variance_rule(name: &str, types: &[DataType]) -> Result<DataType> {
    expect_number(name, types, 0)?;
    Ok(match scale_of(&types[0]) {
        Some(scale) => DataType::Decimal128(38, quotient_scale(scale.saturating_mul(2)) as i8),
        None => DataType::Float64,
    })
}

/// The count, and sums of NUMBERs or the mean and squared deviations of floats.
#[derive(Clone, Debug, Default)]
struct Variance {
    count: u64,
    sum: i256,
    squares: i256,
    mean: f64,
    deviations: f64,
}

impl Variance {
    fn add(&mut self, value: f64) {
        self.count += 1;
        let delta = value - self.mean;
        self.mean += delta / self.count as f64;
        self.deviations += delta * (value - self.mean);
    }

    /// The variance of NUMBERs as a multiple of 10^-`target`, rounded half away from zero.
    fn exact(&self, population: bool, scale: u8, target: u8) -> Option<i256> {
        let count = i256::from_i128(i128::from(self.count));
        let divisor = if population { count } else { count.checked_sub(i256::ONE)? };
        let numerator = count.checked_mul(self.squares)?.checked_sub(self.sum.checked_mul(self.sum)?)?;
        let divisor = count.checked_mul(divisor)?;
        let shift = i256::from_i128(10_i128.pow(u32::from(target.checked_sub(2 * scale)?)));
        let half = divisor.checked_div(i256::from_i128(2))?;
        numerator.checked_mul(shift)?.checked_add(half)?.checked_div(divisor)
    }
}

impl Group for Variance {
    fn update(groups: &mut [Self], setup: &Setup, columns: &[ArrayRef], at: &[usize]) -> Result<()> {
        if scale_of(&setup.types[0]).is_none() {
            let values = floats(&columns[0])?;
            for (row, group) in at.iter().enumerate().filter(|(row, _)| values.is_valid(*row)) {
                groups[*group].add(values.value(row));
            }
            return Ok(());
        }
        let values = decimals(&columns[0])?;
        for (row, group) in at.iter().enumerate().filter(|(row, _)| values.is_valid(*row)) {
            let group = &mut groups[*group];
            let value = i256::from_i128(values.value(row));
            group.count += 1;
            group.sum = group.sum.wrapping_add(value);
            group.squares = group.squares.wrapping_add(value.wrapping_mul(value));
        }
        Ok(())
    }

    fn evaluate(groups: &[Self], setup: &Setup) -> Result<ArrayRef> {
        let population = setup.name.ends_with("_POP");
        let least = if population { 1 } else { 2 };
        let root = setup.name.starts_with("STDDEV");
        let Some(scale) = scale_of(&setup.types[0]) else {
            let value = |group: &Self| {
                let divisor = (group.count + 1).checked_sub(least).filter(|divisor| *divisor > 0)?;
                let variance = group.deviations / divisor as f64;
                Some(if root { variance.sqrt() } else { variance })
            };
            return Ok(Arc::new(groups.iter().map(value).collect::<Float64Array>()));
        };
        let target = quotient_scale(scale.saturating_mul(2)).max(scale.saturating_mul(2));
        let mut values = Vec::with_capacity(groups.len());
        for group in groups {
            values.push(match (group.count >= least, group.exact(population, scale, target)) {
                (false, _) => None,
                (true, Some(value)) => Some(value),
                (true, None) => return exec_err!("`{}`: number out of range", setup.name),
            });
        }
        if root {
            let unit = 10_f64.powi(i32::from(target));
            let value = |value: &Option<i256>| value.map(|value| (to_f64(value) / unit).sqrt());
            return Ok(Arc::new(values.iter().map(value).collect::<Float64Array>()));
        }
        let DataType::Decimal128(precision, shown) = setup.returns else {
            return exec_err!("`{}`: a variance of NUMBERs is a NUMBER", setup.name);
        };
        let cut = i256::from_i128(10_i128.pow(u32::from(target.saturating_sub(shown as u8))));
        let value = |value: &Option<i256>| match value {
            None => Ok(None),
            Some(value) => match value.checked_div(cut).and_then(i256::to_i128) {
                Some(value) if value < 10_i128.pow(38) => Ok(Some(value)),
                _ => exec_err!("`{}`: number out of range", setup.name),
            },
        };
        let values = values.iter().map(value).collect::<Result<Vec<_>>>()?;
        Ok(Arc::new(Decimal128Array::from(values).with_precision_and_scale(precision, shown)?))
    }

    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.count.to_le_bytes());
        out.extend_from_slice(&self.mean.to_le_bytes());
        out.extend_from_slice(&self.deviations.to_le_bytes());
        out.extend_from_slice(&self.sum.to_le_bytes());
        out.extend_from_slice(&self.squares.to_le_bytes());
    }

    fn absorb(&mut self, _: &Setup, bytes: &[u8]) -> Result<()> {
        let (Some(count), Some(mean), Some(deviations)) =
            (part::<8>(bytes, 0), part::<8>(bytes, 8), part::<8>(bytes, 16))
        else {
            return exec_err!("a partial variance is broken");
        };
        let (Some(sum), Some(squares)) = (part::<32>(bytes, 24), part::<32>(bytes, 56)) else {
            return exec_err!("a partial variance is broken");
        };
        let (count, mean) = (u64::from_le_bytes(count), f64::from_le_bytes(mean));
        let total = self.count + count;
        if total > 0 {
            let delta = mean - self.mean;
            let share = count as f64 / total as f64;
            self.deviations += f64::from_le_bytes(deviations) + delta * delta * self.count as f64 * share;
            self.mean += delta * share;
        }
        self.count = total;
        self.sum = self.sum.wrapping_add(i256::from_le_bytes(sum));
        self.squares = self.squares.wrapping_add(i256::from_le_bytes(squares));
        Ok(())
    }
}

fn part<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at + N)?.try_into().ok()
}

fn to_f64(value: i256) -> f64 {
    value.to_i128().map_or_else(|| value.to_string().parse().unwrap_or(f64::NAN), |value| value as f64)
}

/// Means, squared deviations and their product of pairs (y, x) without NULL.
#[derive(Clone, Copy, Debug, Default)]
struct Pairs {
    count: u64,
    y: f64,
    x: f64,
    yy: f64,
    xx: f64,
    xy: f64,
}

impl Pairs {
    fn add(&mut self, y: f64, x: f64) {
        self.count += 1;
        let count = self.count as f64;
        let (dy, dx) = (y - self.y, x - self.x);
        self.y += dy / count;
        self.x += dx / count;
        self.yy += dy * (y - self.y);
        self.xx += dx * (x - self.x);
        self.xy += dx * (y - self.y);
    }

    fn value(&self, name: &str) -> Option<f64> {
        let count = self.count as f64;
        let nonzero = |divisor: f64| (divisor != 0.0).then_some(divisor);
        if self.count == 0 {
            return None;
        }
        match name {
            "CORR" => Some(self.xy / nonzero((self.xx * self.yy).sqrt())?),
            "COVAR_POP" => Some(self.xy / count),
            "COVAR_SAMP" => Some(self.xy / nonzero(count - 1.0)?),
            "REGR_AVGX" => Some(self.x),
            "REGR_AVGY" => Some(self.y),
            "REGR_INTERCEPT" => Some(self.y - self.xy / nonzero(self.xx)? * self.x),
            "REGR_R2" if self.xx != 0.0 && self.yy == 0.0 => Some(1.0),
            "REGR_R2" => Some(self.xy * self.xy / nonzero(self.xx * self.yy)?),
            "REGR_SLOPE" => Some(self.xy / nonzero(self.xx)?),
            "REGR_SXX" => Some(self.xx),
            "REGR_SXY" => Some(self.xy),
            _ => Some(self.yy),
        }
    }

    fn fields(&self) -> [f64; 6] {
        [self.count as f64, self.y, self.x, self.yy, self.xx, self.xy]
    }
}

impl Group for Pairs {
    fn update(groups: &mut [Self], _: &Setup, columns: &[ArrayRef], at: &[usize]) -> Result<()> {
        let (y, x) = (floats(&columns[0])?, floats(&columns[1])?);
        for (row, group) in at.iter().enumerate() {
            if y.is_valid(row) && x.is_valid(row) {
                groups[*group].add(y.value(row), x.value(row));
            }
        }
        Ok(())
    }

    fn evaluate(groups: &[Self], setup: &Setup) -> Result<ArrayRef> {
        if setup.name == "REGR_COUNT" {
            return Ok(Arc::new(Int64Array::from_iter_values(groups.iter().map(|group| group.count as i64))));
        }
        Ok(Arc::new(groups.iter().map(|group| group.value(&setup.name)).collect::<Float64Array>()))
    }

    fn encode(&self, out: &mut Vec<u8>) {
        self.fields().iter().for_each(|field| out.extend_from_slice(&field.to_le_bytes()));
    }

    fn absorb(&mut self, _: &Setup, bytes: &[u8]) -> Result<()> {
        let mut fields = [0.0; 6];
        for (at, field) in fields.iter_mut().enumerate() {
            *field = f64::from_le_bytes(part::<8>(bytes, at * 8).unwrap_or_default());
        }
        let [count, y, x, yy, xx, xy] = fields;
        let (mine, total) = (self.count as f64, self.count as f64 + count);
        if total > 0.0 {
            let (dy, dx, both) = (y - self.y, x - self.x, mine * count / total);
            self.yy += yy + dy * dy * both;
            self.xx += xx + dx * dx * both;
            self.xy += xy + dx * dy * both;
            self.y += dy * count / total;
            self.x += dx * count / total;
            self.count += count as u64;
        }
        Ok(())
    }
}
