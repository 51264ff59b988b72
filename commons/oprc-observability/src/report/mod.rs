//! Errors on one line.

use std::{error::Error, fmt};

/// Shows an error and its causes, once each, on one line: `what failed: why: why that`.
///
/// The errors of this workspace keep their cause under `source` and out of their own text, so that
/// the chain can be shown without repetition.
///
/// ```
/// # use oprc_observability::Report;
/// # let err = std::io::Error::other("closed");
/// tracing::warn!(error = %Report(&err), "store is unavailable");
/// ```
pub struct Report<'a>(pub &'a (dyn Error + 'static));

impl fmt::Display for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_line(f, self.0)?;
        let mut cause = self.0.source();
        while let Some(err) = cause {
            f.write_str(": ")?;
            write_line(f, err)?;
            cause = err.source();
        }
        Ok(())
    }
}

/// Shows an error in one short line for users: what failed and its root cause, `what failed: why`.
///
/// What lies between the two is the story of our libraries. The log has it, see [`Report`].
///
/// ```
/// # use oprc_observability::Brief;
/// # let err = std::io::Error::from_raw_os_error(111);
/// assert_eq!(Brief(&err).to_string(), "Connection refused");
/// ```
pub struct Brief<'a>(pub &'a (dyn Error + 'static));

impl fmt::Display for Brief<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut root = self.0;
        while let Some(cause) = root.source() {
            root = cause;
        }
        let (what, why) = (Line(self.0).to_string(), Line(root).to_string());
        let plain = |text: &str| text.split(" (os error ").next().unwrap_or_default().to_owned();
        let (what, why) = (plain(&what), plain(&why));
        // Some errors repeat their cause in their own text.
        if what.contains(&why) { f.write_str(&what) } else { write!(f, "{what}: {why}") }
    }
}

/// Shows one error of a chain, without its causes.
struct Line<'a>(&'a (dyn Error + 'static));

impl fmt::Display for Line<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_line(f, self.0)
    }
}

/// Writes `err` with white space for line ends: a cause may come from another program's answer.
fn write_line(f: &mut fmt::Formatter<'_>, err: &dyn Error) -> fmt::Result {
    let text = err.to_string();
    for (i, line) in text.lines().map(str::trim).filter(|line| !line.is_empty()).enumerate() {
        if i > 0 {
            f.write_str(" ")?;
        }
        f.write_str(line)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
