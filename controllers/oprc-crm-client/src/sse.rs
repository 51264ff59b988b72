//! Server-sent events, as far as a watch needs them: `data`, comments and line ends of all kinds.
//!
//! Invariant: it holds no more than [`MAX_EVENT_BYTES`] of an event that is not complete.
//!
//! See <https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream>.
//! The crates for it reconnect by themselves or have no limit.

/// The most bytes of one event, and of one line.
pub(crate) const MAX_EVENT_BYTES: usize = 1024 * 1024;

/// An event that is too long.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct TooLong;

/// Takes a stream apart into the data of its events.
#[derive(Debug, Default)]
pub(crate) struct Parser {
    line: Vec<u8>,
    data: Vec<u8>,
    has_data: bool,
    /// The last byte was a carriage return: a line feed after it is part of the same line end.
    after_return: bool,
    has_begun: bool,
}

impl Parser {
    /// Takes the stream's next bytes; the data of each event that they complete goes to `events`.
    pub(crate) fn push(
        &mut self,
        bytes: &[u8],
        mut event: impl FnMut(Vec<u8>),
    ) -> Result<(), TooLong> {
        for &byte in bytes {
            let is_second_half = byte == b'\n' && self.after_return;
            self.after_return = byte == b'\r';
            match byte {
                _ if is_second_half => (),
                b'\n' | b'\r' => self.end_line(&mut event)?,
                _ if self.line.len() == MAX_EVENT_BYTES => return Err(TooLong),
                _ => self.line.push(byte),
            }
        }
        Ok(())
    }

    fn end_line(&mut self, event: &mut impl FnMut(Vec<u8>)) -> Result<(), TooLong> {
        let line = match self.line.as_slice() {
            [0xEF, 0xBB, 0xBF, rest @ ..] if !self.has_begun => rest,
            line => line,
        };
        self.has_begun = true;
        if line.is_empty() {
            let data = std::mem::take(&mut self.data);
            if std::mem::take(&mut self.has_data) {
                event(data);
            }
        } else if let Some(data) = value_of(line, b"data") {
            if self.data.len() + data.len() >= MAX_EVENT_BYTES {
                return Err(TooLong);
            }
            if std::mem::replace(&mut self.has_data, true) {
                self.data.push(b'\n');
            }
            self.data.extend_from_slice(data);
        }
        self.line.clear();
        Ok(())
    }
}

/// The value of `line` if it is the field `name`.
fn value_of<'a>(line: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    match line.strip_prefix(name)? {
        [] => Some(&[]),
        [b':', b' ', value @ ..] | [b':', value @ ..] => Some(value),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
