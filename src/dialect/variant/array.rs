//! VARIANT, OBJECT and ARRAY values as Arrow arrays: the texts of an array, and arrays built from texts.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, StringArray, StringBuilder, StructArray};
use datafusion::arrow::datatypes::DataType;
use datafusion::common::{Result, exec_err};

/// The canonical texts of an array of VARIANT, OBJECT or ARRAY values, null where the value is an SQL NULL.
pub fn texts(array: &ArrayRef) -> Result<StringArray> {
    if let DataType::Null = array.data_type() {
        return Ok(StringArray::new_null(array.len()));
    }
    let inner = array.as_any().downcast_ref::<StructArray>().filter(|inner| inner.num_columns() == 1);
    let Some((inner, text)) =
        inner.and_then(|inner| Some((inner, inner.column(0).as_any().downcast_ref::<StringArray>()?)))
    else {
        return exec_err!("expected a VARIANT, not {}", array.data_type());
    };
    match inner.nulls() {
        None => Ok(text.clone()),
        Some(nulls) => {
            let nulls = datafusion::arrow::buffer::NullBuffer::union(Some(nulls), text.nulls());
            Ok(StringArray::try_new(text.offsets().clone(), text.values().clone(), nulls)?)
        }
    }
}

/// An array of VARIANT, OBJECT or ARRAY values from their canonical texts.
pub fn of_texts(texts: StringArray, data_type: &DataType) -> Result<ArrayRef> {
    let DataType::Struct(fields) = data_type else {
        return exec_err!("expected the type of a VARIANT, not {data_type}");
    };
    let nulls = texts.nulls().cloned();
    Ok(Arc::new(StructArray::try_new(fields.clone(), vec![Arc::new(texts)], nulls)?))
}

/// Builds an array of VARIANT, OBJECT or ARRAY values text by text.
#[derive(Debug, Default)]
pub struct VariantBuilder(StringBuilder);

impl VariantBuilder {
    /// Room for so many values of so many bytes in all.
    pub fn with_capacity(values: usize, bytes: usize) -> Self {
        Self(StringBuilder::with_capacity(values, bytes))
    }

    /// Appends a value.
    pub fn append(&mut self, text: &str) {
        self.0.append_value(text);
    }

    /// Appends an SQL NULL.
    pub fn append_null(&mut self) {
        self.0.append_null();
    }

    /// Appends a value or an SQL NULL.
    pub fn append_option(&mut self, text: Option<&str>) {
        self.0.append_option(text);
    }

    /// The array, of one of the three types.
    pub fn finish(mut self, data_type: &DataType) -> Result<ArrayRef> {
        of_texts(self.0.finish(), data_type)
    }
}
