//! What each user has, one user after the other, in a file: how many items, their codes, and as many numbers for each as
//! the file was made for.

use std::io::{BufRead, BufReader, Read};

use crate::transform::{ScratchFile, TransformError};

/// The items of one user.
#[derive(Default)]
pub(super) struct Basket {
    /// Codes.
    pub(super) items: Vec<u32>,
    /// What each is worth to its item's pairs; empty where all are worth 1.
    pub(super) values: Vec<f64>,
    /// What the user's other items are multiplied by, where it is not the same.
    pub(super) own: Vec<f64>,
}

impl Basket {
    /// What the pairs of an item are multiplied by.
    pub(super) fn own(&self, at: usize) -> f64 {
        self.own.get(at).or(self.values.get(at)).copied().unwrap_or(1.0)
    }
}

/// How many bytes are read at once.
const BUFFER: usize = 1 << 18;

/// Writes users, and reads them again as often as wanted.
pub(super) struct Writer {
    file: Box<dyn ScratchFile>,
    numbers: usize,
    bytes: Vec<u8>,
}

impl Writer {
    /// Into an empty file, with so many numbers for each item: `values`, and `own`.
    pub(super) fn new(file: Box<dyn ScratchFile>, numbers: usize) -> Self {
        Self { file, numbers, bytes: Vec::new() }
    }

    /// Whether items have numbers.
    pub(super) fn is_weighted(&self) -> bool {
        self.numbers > 0
    }

    /// Adds a user.
    pub(super) fn write(&mut self, basket: &Basket) -> Result<(), TransformError> {
        self.bytes.clear();
        let count = u32::try_from(basket.items.len()).unwrap_or(u32::MAX);
        self.bytes.extend(count.to_le_bytes());
        basket.items.iter().for_each(|item| self.bytes.extend(item.to_le_bytes()));
        let numbers = basket.values.iter().chain(&basket.own);
        numbers.for_each(|number| self.bytes.extend(number.to_le_bytes()));
        Ok(self.file.append(&self.bytes)?)
    }

    /// Reads from the first user on.
    pub(super) fn reader(&self) -> Result<Reader, TransformError> {
        let from = BufReader::with_capacity(BUFFER, self.file.reader()?);
        Ok(Reader { from, numbers: self.numbers, bytes: Vec::new() })
    }
}

/// Reads one user after the other.
pub(super) struct Reader {
    from: BufReader<Box<dyn Read + Send>>,
    numbers: usize,
    bytes: Vec<u8>,
}

impl Reader {
    /// Reads the next user; false at the end.
    pub(super) fn read(&mut self, basket: &mut Basket) -> Result<bool, TransformError> {
        if self.from.fill_buf()?.is_empty() {
            return Ok(false);
        }
        let mut count = [0; 4];
        self.from.read_exact(&mut count)?;
        let count = u32::from_le_bytes(count) as usize;
        self.bytes.resize(count * (4 + 8 * self.numbers), 0);
        self.from.read_exact(&mut self.bytes)?;
        let (items, numbers) = self.bytes.split_at(count * 4);
        basket.items.clear();
        basket.items.extend(items.as_chunks().0.iter().map(|bytes| u32::from_le_bytes(*bytes)));
        let mut numbers = numbers.as_chunks().0.iter().map(|bytes| f64::from_le_bytes(*bytes));
        for (column, part) in [&mut basket.values, &mut basket.own].into_iter().enumerate() {
            part.clear();
            part.extend(numbers.by_ref().take(if column < self.numbers { count } else { 0 }));
        }
        Ok(true)
    }
}
