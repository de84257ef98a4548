//! ENCRYPT_RAW and DECRYPT_RAW with AES-GCM: the ciphertext, nonce and tag in the open, as Snowflake gives them. Functions
//! that derive a key from a passphrase in Snowflake's own way are refused.

use aes_gcm::aead::array::Array;
use aes_gcm::aead::consts::U12;
use aes_gcm::aead::{Aead, KeyInit, Payload};
use aes_gcm::aes::Aes192;
use aes_gcm::{Aes128Gcm, Aes256Gcm, AesGcm};
use datafusion::arrow::array::{ArrayRef, BinaryArray};
use datafusion::arrow::datatypes::DataType;
use datafusion::common::Result;
use datafusion::logical_expr::Volatility;

use super::super::Function;
use super::super::scalar::{
    Call, Column, Shape, binaries, exact, function, json_column, plain_arguments, refused, texts,
};
use crate::dialect::format::column::hex_upper;
use crate::dialect::types::{self, SqlType};

const FAMILY: &str = "encryption";
const PASSPHRASE: &str = "how Snowflake makes a key of a passphrase is not public; use ENCRYPT_RAW and DECRYPT_RAW";
const TAG: usize = 16;

/// The functions of this file.
pub(super) fn functions() -> Vec<Function> {
    vec![
        function(FAMILY, &["encrypt_raw"], 3..=5, gives_variant, encrypt, Volatility::Volatile),
        exact(FAMILY, &["decrypt_raw"], 4..=6, gives_bytes, |call| decrypt(call, false)),
        exact(FAMILY, &["try_decrypt_raw"], 4..=6, gives_bytes, |call| decrypt(call, true)),
        refused(FAMILY, &["encrypt"], PASSPHRASE),
        refused(FAMILY, &["decrypt"], PASSPHRASE),
        refused(FAMILY, &["try_decrypt"], PASSPHRASE),
    ]
}

fn gives_variant(shape: &Shape<'_>) -> Result<DataType> {
    plain_arguments(shape)?;
    for index in 0..3 {
        if !matches!(shape.sql_type(index), SqlType::Binary | SqlType::Null) {
            return shape.refuse(index);
        }
    }
    Ok(types::variant())
}

fn gives_bytes(shape: &Shape<'_>) -> Result<DataType> {
    gives_variant(shape)?;
    Ok(DataType::Binary)
}

/// The optional arguments behind the nonce: BINARY is authenticated data or the tag, text is the method.
struct Options {
    binaries: Vec<Column<BinaryArray>>,
}

impl Options {
    fn of(call: &Call<'_>) -> Result<Self> {
        let mut binaries = Vec::new();
        for index in 3..call.len() {
            if matches!(call.sql_type(index), SqlType::Binary | SqlType::Null) {
                binaries.push(call.bytes(index)?);
                continue;
            }
            let method = call.texts(index)?;
            for row in 0..if method.is_constant() { call.rows.min(1) } else { call.rows } {
                match method.get(row) {
                    Some(name) if !name.trim().eq_ignore_ascii_case("aes-gcm") => {
                        return call.fail(format!("the method '{name}' is not AES-GCM, the only one here"));
                    }
                    _ => {}
                }
            }
        }
        Ok(Self { binaries })
    }
}

enum Cipher {
    Short(Box<Aes128Gcm>),
    Middle(Box<AesGcm<Aes192, U12>>),
    Long(Box<Aes256Gcm>),
}

impl Cipher {
    fn new(key: &[u8]) -> Option<Self> {
        Some(match key.len() {
            16 => Self::Short(Box::new(Aes128Gcm::new_from_slice(key).ok()?)),
            24 => Self::Middle(Box::new(AesGcm::new_from_slice(key).ok()?)),
            32 => Self::Long(Box::new(Aes256Gcm::new_from_slice(key).ok()?)),
            _ => return None,
        })
    }

    fn encrypt(&self, nonce: &Array<u8, U12>, payload: Payload<'_, '_>) -> Option<Vec<u8>> {
        match self {
            Self::Short(cipher) => cipher.encrypt(nonce, payload).ok(),
            Self::Middle(cipher) => cipher.encrypt(nonce, payload).ok(),
            Self::Long(cipher) => cipher.encrypt(nonce, payload).ok(),
        }
    }

    fn decrypt(&self, nonce: &Array<u8, U12>, payload: Payload<'_, '_>) -> Option<Vec<u8>> {
        match self {
            Self::Short(cipher) => cipher.decrypt(nonce, payload).ok(),
            Self::Middle(cipher) => cipher.decrypt(nonce, payload).ok(),
            Self::Long(cipher) => cipher.decrypt(nonce, payload).ok(),
        }
    }
}

fn encrypt(call: &Call<'_>) -> Result<ArrayRef> {
    let (value, key, iv, options) = (call.bytes(0)?, call.bytes(1)?, call.bytes(2)?, Options::of(call)?);
    let json = texts(call.rows, |row, out| {
        let (Some(value), Some(key)) = (value.get(row), key.get(row)) else { return Ok(false) };
        let Some(cipher) = Cipher::new(key) else { return call.fail("the key is not of 128, 192 or 256 bits") };
        let nonce = match iv.get(row) {
            Some(iv) => match Array::try_from(iv) {
                Ok(nonce) => nonce,
                Err(_) => return call.fail("the initialization vector is not of 96 bits"),
            },
            None => random_nonce(call)?,
        };
        let aad = options.binaries.first().and_then(|aad| aad.get(row)).unwrap_or_default();
        let Some(sealed) = cipher.encrypt(&nonce, Payload { msg: value, aad }) else {
            return call.fail("the value is too long");
        };
        let (ciphertext, tag) = sealed.split_at(sealed.len() - TAG);
        let [ciphertext, iv, tag] = [ciphertext, nonce.as_slice(), tag].map(hex_upper);
        out.push_str(&format!("{{\"ciphertext\":B\"{ciphertext}\",\"iv\":B\"{iv}\",\"tag\":B\"{tag}\"}}"));
        Ok(true)
    })?;
    json_column(call.returns, &json)
}

fn random_nonce(call: &Call<'_>) -> Result<Array<u8, U12>> {
    let mut bytes = [0; 12];
    getrandom::fill(&mut bytes).or_else(|error| call.fail(error))?;
    Ok(Array::from(bytes))
}

fn decrypt(call: &Call<'_>, lenient: bool) -> Result<ArrayRef> {
    let (value, key, iv, options) = (call.bytes(0)?, call.bytes(1)?, call.bytes(2)?, Options::of(call)?);
    let (tag, aad) = match options.binaries.as_slice() {
        [tag] => (tag, None),
        [aad, tag] => (tag, Some(aad)),
        _ => return call.fail("takes the authenticated data, if any, the method and the tag"),
    };
    binaries(call.rows, |row, out| {
        let (Some(value), Some(key), Some(iv)) = (value.get(row), key.get(row), iv.get(row)) else { return Ok(false) };
        let Some(tag) = tag.get(row) else { return Ok(false) };
        let aad = aad.and_then(|aad| aad.get(row)).unwrap_or_default();
        let opened = Cipher::new(key).zip(Array::try_from(iv).ok()).and_then(|(cipher, nonce)| {
            let sealed = [value, tag].concat();
            cipher.decrypt(&nonce, Payload { msg: &sealed, aad })
        });
        match opened {
            Some(bytes) => out.extend(bytes),
            None if lenient => return Ok(false),
            None => return call.fail("decryption failed: check the key, the vector, the tag and the data"),
        }
        Ok(true)
    })
}
