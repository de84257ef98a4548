//! Digests: MD5, SHA-1 and SHA-2 as hexadecimal text, bytes or numbers. Snowflake's own HASH is not public and is refused.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, Decimal128Builder};
use datafusion::arrow::datatypes::DataType;
use datafusion::common::Result;
use md5::{Digest, Md5};
use sha1::Sha1;
use sha2::{Sha224, Sha256, Sha384, Sha512};

use super::Function;
use super::scalar::{Call, Shape, binaries, exact, gives_binary, gives_text, plain_arguments, refused, texts};

const FAMILY: &str = "hash";
const PROPRIETARY: &str = "its algorithm is Snowflake's own and not public";

/// The functions of this family.
pub(super) fn functions() -> Vec<Function> {
    vec![
        exact(FAMILY, &["md5", "md5_hex"], 1..=1, gives_text, |call| {
            hexadecimal(call, |bytes| Md5::digest(bytes).to_vec())
        }),
        exact(FAMILY, &["md5_binary"], 1..=1, gives_binary, |call| raw(call, |bytes| Md5::digest(bytes).to_vec())),
        exact(FAMILY, &["md5_number_lower64"], 1..=1, gives_number, |call| number(call, 8)),
        exact(FAMILY, &["md5_number_upper64"], 1..=1, gives_number, |call| number(call, 0)),
        exact(FAMILY, &["sha1", "sha1_hex"], 1..=1, gives_text, |call| hexadecimal(call, sha1_of)),
        exact(FAMILY, &["sha1_binary"], 1..=1, gives_binary, |call| raw(call, sha1_of)),
        exact(FAMILY, &["sha2", "sha2_hex"], 1..=2, gives_text, |call| {
            let digest = sha2_of(call)?;
            let bytes = call.bytes(0)?;
            texts(call.rows, |row, out| {
                let Some(digest) = digest(row)? else { return Ok(false) };
                Ok(bytes.get(row).map(|bytes| out.push_str(&hex::encode(digest(bytes)))).is_some())
            })
        }),
        exact(FAMILY, &["sha2_binary"], 1..=2, gives_binary, |call| {
            let digest = sha2_of(call)?;
            let bytes = call.bytes(0)?;
            binaries(call.rows, |row, out| {
                let Some(digest) = digest(row)? else { return Ok(false) };
                Ok(bytes.get(row).map(|bytes| out.extend(digest(bytes))).is_some())
            })
        }),
        refused(FAMILY, &["md5_number"], "obsolete: use MD5_NUMBER_LOWER64 or MD5_NUMBER_UPPER64"),
        refused(FAMILY, &["hash"], PROPRIETARY),
        refused(FAMILY, &["hash_agg"], PROPRIETARY),
    ]
}

fn gives_number(shape: &Shape<'_>) -> Result<DataType> {
    plain_arguments(shape)?;
    Ok(DataType::Decimal128(38, 0))
}

/// The 20 bytes of SHA-1.
pub(super) fn sha1_of(bytes: &[u8]) -> Vec<u8> {
    Sha1::digest(bytes).to_vec()
}

fn hexadecimal(call: &Call<'_>, digest: fn(&[u8]) -> Vec<u8>) -> Result<ArrayRef> {
    let bytes = call.bytes(0)?;
    texts(call.rows, |row, out| Ok(bytes.get(row).map(|bytes| out.push_str(&hex::encode(digest(bytes)))).is_some()))
}

fn raw(call: &Call<'_>, digest: fn(&[u8]) -> Vec<u8>) -> Result<ArrayRef> {
    let bytes = call.bytes(0)?;
    binaries(call.rows, |row, out| Ok(bytes.get(row).map(|bytes| out.extend(digest(bytes))).is_some()))
}

fn number(call: &Call<'_>, from: usize) -> Result<ArrayRef> {
    let bytes = call.bytes(0)?;
    let mut builder = Decimal128Builder::with_capacity(call.rows).with_precision_and_scale(38, 0)?;
    for row in 0..call.rows {
        builder.append_option(bytes.get(row).map(|bytes| {
            let digest = Md5::digest(bytes);
            digest[from..from + 8].iter().fold(0_i128, |number, byte| number << 8 | i128::from(*byte))
        }));
    }
    Ok(Arc::new(builder.finish()))
}

type Sha2 = fn(&[u8]) -> Vec<u8>;

fn sha2_of(call: &Call<'_>) -> Result<impl Fn(usize) -> Result<Option<Sha2>>> {
    let sizes = if call.len() > 1 { Some(call.integers(1)?) } else { None };
    let name = call.name.to_owned();
    Ok(move |row| {
        let size = sizes.as_ref().map_or(Some(256), |sizes| sizes.get(row));
        Ok(Some(match size {
            Some(224) => |bytes: &[u8]| Sha224::digest(bytes).to_vec(),
            Some(256) => |bytes: &[u8]| Sha256::digest(bytes).to_vec(),
            Some(384) => |bytes: &[u8]| Sha384::digest(bytes).to_vec(),
            Some(512) => |bytes: &[u8]| Sha512::digest(bytes).to_vec(),
            Some(other) => return datafusion::common::exec_err!("`{name}`: {other} is not 224, 256, 384 or 512"),
            None => return Ok(None),
        }))
    })
}
