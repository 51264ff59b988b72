//! Bounds on reading one text: memory in proportion to its size, and work until the caller cancels.
//!
//! Both readers charge every value that they keep, so no shape of a text takes memory out of
//! proportion, and both ask now and then whether the caller still wants the result.

use super::Node;

/// Bytes of values that a text may become, for each of its own bytes. A mapping entry of eleven
/// bytes (`"name":"x",`) is charged 96, and documents are seldom denser.
const BYTES_PER_BYTE: usize = 10;

/// Room that a growing list takes for each of its elements: up to one more.
const GROWTH: usize = 2;

/// Bytes of values that any text may become, however short it is.
const FREE_BYTES: usize = 1 << 20;

/// The least that an allocation takes.
const MIN_ALLOCATION: usize = 8;

/// Values between two questions whether the caller still wants the result.
const STEPS_BETWEEN_CHECKS: u32 = 1024;

/// The message of a reading that its caller cancelled.
pub(super) const CANCELLED: &str = "reading was cancelled";

/// The bounds of one reading.
pub(super) struct Budget<'a> {
    n_text_bytes: usize,
    left: usize,
    is_cancelled: &'a dyn Fn() -> bool,
    n_steps: u32,
}

impl<'a> Budget<'a> {
    /// The budget of a text of `n_text_bytes`.
    pub(super) fn new(n_text_bytes: usize, is_cancelled: &'a dyn Fn() -> bool) -> Self {
        let left = n_text_bytes.saturating_mul(BYTES_PER_BYTE).saturating_add(FREE_BYTES);
        Self { n_text_bytes, left, is_cancelled, n_steps: 0 }
    }

    /// Charges a value with a text of `n_bytes`.
    pub(super) fn value(&mut self, n_bytes: usize) -> Result<(), String> {
        self.step()?;
        self.charge(GROWTH * size_of::<Node>() + allocated(n_bytes))
    }

    /// Charges the key of a mapping's entry.
    pub(super) fn key(&mut self, n_bytes: usize) -> Result<(), String> {
        self.charge(GROWTH * size_of::<Box<str>>() + allocated(n_bytes))
    }

    fn charge(&mut self, n_bytes: usize) -> Result<(), String> {
        let Some(left) = self.left.checked_sub(n_bytes) else {
            return Err(format!(
                "too many small values: {} bytes may hold no more than {BYTES_PER_BYTE} times as \
                 much in memory",
                self.n_text_bytes
            ));
        };
        self.left = left;
        Ok(())
    }

    /// Fails when the caller has cancelled the reading, which is asked every so many calls.
    pub(super) fn step(&mut self) -> Result<(), String> {
        self.n_steps = (self.n_steps + 1) % STEPS_BETWEEN_CHECKS;
        if self.n_steps == 0 && (self.is_cancelled)() {
            return Err(CANCELLED.to_owned());
        }
        Ok(())
    }
}

fn allocated(n_bytes: usize) -> usize {
    if n_bytes == 0 { 0 } else { n_bytes.max(MIN_ALLOCATION) }
}
