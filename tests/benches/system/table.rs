//! The table that is printed, a row at a time, and the arithmetic of its figures.

use std::time::Duration;

/// Prints the table's head.
pub(crate) fn head() {
    println!("| measure | figure | wanted |");
    println!("|---|---|---|");
}

/// Prints a row; `wanted` is empty for figures that only explain others.
pub(crate) fn row(measure: &str, figure: &str, wanted: &str) {
    println!("| {measure} | {figure} | {wanted} |");
}

/// A figure of the same run of both sides, `verdict` included.
pub(crate) fn ratio(measure: &str, ours: f64, theirs: f64, at_least: f64) {
    let ratio = ours / theirs;
    let verdict = if ratio >= at_least { "holds" } else { "falls short" };
    let figure = format!("{ratio:.2} ({ours:.0}/s against {theirs:.0}/s)");
    row(measure, &figure, &format!("≥ {at_least}: {verdict}"));
}

/// A figure with a limit from above.
pub(crate) fn at_most(measure: &str, figure: f64, unit: &str, limit: f64) {
    let verdict = if figure <= limit { "holds" } else { "falls short" };
    row(measure, &format!("{figure:.2} {unit}"), &format!("≤ {limit} {unit}: {verdict}"));
}

/// The middle of `values`.
pub(crate) fn median(values: &mut [f64]) -> f64 {
    quantile(values, 0.5)
}

/// The value that a share of `values` is at or below.
pub(crate) fn quantile(values: &mut [f64], share: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let last = values.len().saturating_sub(1);
    let index = (last as f64 * share).round() as usize;
    values.get(index).copied().unwrap_or(f64::NAN)
}

/// Milliseconds, with what is below one.
pub(crate) fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}
