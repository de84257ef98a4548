//! VECTOR out of ARRAY: as many numbers as the type has, each in 32 bits.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, FixedSizeListBuilder, Float32Builder, Int32Builder, PrimitiveBuilder};
use datafusion::arrow::datatypes::ArrowPrimitiveType;
use datafusion::common::Result;

use super::missed;
use crate::dialect::format::column::Misfit;
use crate::dialect::types::VectorElement;
use crate::dialect::variant::array::texts;
use crate::dialect::variant::number::{to_f64, to_fixed};
use crate::dialect::variant::text::elements;

/// A column of ARRAY as VECTOR.
pub(super) fn to_vector(array: &ArrayRef, element: VectorElement, length: u16, misfit: Misfit) -> Result<ArrayRef> {
    if matches!(array.data_type(), datafusion::arrow::datatypes::DataType::FixedSizeList(..)) {
        return Ok(Arc::clone(array));
    }
    match element {
        VectorElement::Float => {
            fill(array, length, Float32Builder::new(), misfit, |text| to_f64(text).map(|v| v as f32))
        }
        VectorElement::Int => fill(array, length, Int32Builder::new(), misfit, |text| {
            to_fixed(text, 0).and_then(|value| i32::try_from(value).ok())
        }),
    }
}

fn fill<T: ArrowPrimitiveType>(
    array: &ArrayRef,
    length: u16,
    values: PrimitiveBuilder<T>,
    misfit: Misfit,
    number: impl Fn(&str) -> Option<T::Native>,
) -> Result<ArrayRef> {
    let mut builder = FixedSizeListBuilder::with_capacity(values, i32::from(length), array.len());
    for text in &texts(array)? {
        let numbers = match text {
            None => None,
            Some(text) => match elements(text).map(&number).collect::<Option<Vec<_>>>() {
                Some(numbers) if numbers.len() == usize::from(length) => Some(numbers),
                _ => missed(misfit, || format!("array {text} is not a vector of {length} numbers"))?,
            },
        };
        match numbers {
            Some(numbers) => {
                builder.values().append_slice(&numbers);
                builder.append(true);
            }
            None => {
                builder.values().append_nulls(usize::from(length));
                builder.append(false);
            }
        }
    }
    Ok(Arc::new(builder.finish()))
}
