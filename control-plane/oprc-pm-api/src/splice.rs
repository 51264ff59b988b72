//! Writing JSON objects member by member into one buffer.
//!
//! Answers set the system's fields beside the user's: `{…spec, "meta": …, "status": …}`. Each part
//! is serialized straight into the answer, once, and never into a tree in between.

use serde::Serialize;

type Result = std::result::Result<(), serde_json::Error>;

/// A JSON object under construction at the end of a buffer.
pub(crate) struct Object<'b> {
    buffer: &'b mut Vec<u8>,
    /// Where the next member's separator goes: an object has `{` before its first member.
    separator: u8,
}

impl<'b> Object<'b> {
    /// An object without members, so far.
    pub(crate) fn new(buffer: &'b mut Vec<u8>) -> Self {
        Self { buffer, separator: b'{' }
    }

    /// Adds the members of `value`, which must serialize as an object.
    pub(crate) fn members(&mut self, value: &impl Serialize) -> Result {
        let start = self.buffer.len();
        serde_json::to_writer(&mut *self.buffer, value)?;
        self.adopt(start);
        Ok(())
    }

    /// Adds the members of `object`, the text of a JSON object.
    pub(crate) fn members_of_text(&mut self, object: &[u8]) {
        let start = self.buffer.len();
        self.buffer.extend_from_slice(object);
        self.adopt(start);
    }

    /// Makes the object that was written at `start` a part of this one.
    fn adopt(&mut self, start: usize) {
        self.buffer.pop(); // Its `}`.
        if self.buffer.len() <= start + 1 {
            self.buffer.truncate(start); // It had no members.
        } else if let Some(brace) = self.buffer.get_mut(start) {
            *brace = std::mem::replace(&mut self.separator, b',');
        }
    }

    /// Adds one member.
    pub(crate) fn field(&mut self, name: &str, value: &impl Serialize) -> Result {
        self.name(name)?;
        serde_json::to_writer(&mut *self.buffer, value)
    }

    /// Adds one member whose value `write` appends to the buffer.
    pub(crate) fn field_with(
        &mut self,
        name: &str,
        write: impl FnOnce(&mut Vec<u8>) -> Result,
    ) -> Result {
        self.name(name)?;
        write(self.buffer)
    }

    fn name(&mut self, name: &str) -> Result {
        self.buffer.push(std::mem::replace(&mut self.separator, b','));
        serde_json::to_writer(&mut *self.buffer, name)?;
        self.buffer.push(b':');
        Ok(())
    }

    /// Ends the object.
    pub(crate) fn end(self) {
        if self.separator == b'{' {
            self.buffer.push(b'{');
        }
        self.buffer.push(b'}');
    }
}

/// Appends a JSON array of what `write` appends for each item, ending after the one that makes it
/// longer than `max_bytes`; answers how many items it has.
pub(crate) fn array<T>(
    buffer: &mut Vec<u8>,
    items: impl IntoIterator<Item = T>,
    max_bytes: usize,
    mut write: impl FnMut(&mut Vec<u8>, T) -> Result,
) -> std::result::Result<usize, serde_json::Error> {
    let start = buffer.len();
    let mut n_items = 0;
    buffer.push(b'[');
    for item in items {
        if n_items > 0 && buffer.len() - start > max_bytes {
            break;
        }
        if n_items > 0 {
            buffer.push(b',');
        }
        write(buffer, item)?;
        n_items += 1;
    }
    buffer.push(b']');
    Ok(n_items)
}

#[cfg(test)]
mod tests;
