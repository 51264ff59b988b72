//! What happened, line by line: hashed as a whole, and the last lines kept to be shown.

use std::{collections::VecDeque, fmt, io::Write as _};

/// Lines that are kept to be shown when a run fails.
const TAIL: usize = 250;

/// The trace of one run. Two runs of one seed have the same hash.
#[derive(Debug)]
pub(crate) struct Trace {
    hash: u64,
    n_lines: u64,
    tail: VecDeque<String>,
    is_printed: bool,
}

impl Trace {
    pub(crate) fn new(is_printed: bool) -> Self {
        // FNV-1a's offset basis.
        Self { hash: 0xcbf2_9ce4_8422_2325, n_lines: 0, tail: VecDeque::new(), is_printed }
    }

    /// Takes down a line, at `now` in milliseconds.
    pub(crate) fn line(&mut self, now: u64, what: fmt::Arguments<'_>) {
        let line = format!("{:>10}.{:03} {what}", now / 1000, now % 1000);
        for byte in line.bytes().chain([b'\n']) {
            self.hash = (self.hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
        }
        self.n_lines += 1;
        if self.is_printed {
            // A closed terminal is no error.
            let _ = writeln!(std::io::stdout(), "{line}");
        }
        if self.tail.len() == TAIL {
            self.tail.pop_front();
        }
        self.tail.push_back(line);
    }

    pub(crate) fn hash(&self) -> u64 {
        self.hash
    }

    pub(crate) fn n_lines(&self) -> u64 {
        self.n_lines
    }

    pub(crate) fn tail(&self) -> Vec<String> {
        self.tail.iter().cloned().collect()
    }
}
