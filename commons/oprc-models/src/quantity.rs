//! Kubernetes quantities: `250m`, `1.5`, `128Mi`, `1e3`.
//!
//! The grammar is Kubernetes' own (`k8s.io/apimachinery/pkg/api/resource`): a decimal number and a
//! suffix, which is a binary or decimal multiple or an exponent.

use std::str::FromStr;

/// What a quantity looks like, as a regular expression. That it must not be too large is not in it.
pub(crate) const PATTERN: &str =
    r"^\+?([0-9]+\.?[0-9]*|\.[0-9]+)([numkMGTPE]|[KMGTPE]i|[eE][+-]?[0-9]+)?$";

/// The longest quantity, in bytes. Nobody means more digits than this.
const MAX_BYTES: usize = 32;

/// An amount of processor or memory.
///
/// Invariant: at least 0. Smaller parts than a thousand-millionth are rounded up, as Kubernetes
/// does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Quantity {
    nanos: i128,
}

impl Quantity {
    /// In whole units (cores, bytes), rounded up.
    #[must_use]
    pub fn units(self) -> i128 {
        div_ceil(self.nanos, NANOS)
    }

    /// In thousandths, rounded up.
    #[must_use]
    pub fn millis(self) -> i128 {
        div_ceil(self.nanos, NANOS / 1000)
    }
}

/// A text that is not a [`Quantity`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("want a Kubernetes quantity, for example 250m, 1.5, 128Mi or 2G")]
pub struct InvalidQuantity;

const NANOS: i128 = 1_000_000_000;

impl FromStr for Quantity {
    type Err = InvalidQuantity;

    fn from_str(text: &str) -> Result<Self, InvalidQuantity> {
        parse(text).map(|nanos| Self { nanos }).ok_or(InvalidQuantity)
    }
}

fn parse(text: &str) -> Option<i128> {
    if text.len() > MAX_BYTES {
        return None;
    }
    let unsigned = text.strip_prefix('+').unwrap_or(text);
    let end = unsigned.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(unsigned.len());
    let (number, suffix) = unsigned.split_at_checked(end)?;
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let is_digits = |digits: &str| digits.bytes().all(|b| b.is_ascii_digit());
    if whole.len() + fraction.len() == 0 || !is_digits(whole) || !is_digits(fraction) {
        return None;
    }
    // The number is digits × 10^-places; at most 32 digits, so it fits.
    let digits: i128 = format!("{whole}{fraction}").parse().ok()?;
    let places = i32::try_from(fraction.len()).ok()?;
    let (binary_power, decimal_power) = multiple(suffix)?;
    let scaled = digits.checked_mul(1_i128.checked_shl(binary_power)?)?;
    let power = decimal_power.checked_add(9)?.checked_sub(places)?;
    let factor = 10_i128.checked_pow(power.unsigned_abs().min(38))?;
    if power >= 0 { scaled.checked_mul(factor) } else { Some(div_ceil(scaled, factor)) }
}

/// What a suffix multiplies by: a power of 2 and a power of 10.
fn multiple(suffix: &str) -> Option<(u32, i32)> {
    Some(match suffix {
        "n" => (0, -9),
        "u" => (0, -6),
        "m" => (0, -3),
        "" => (0, 0),
        "k" => (0, 3),
        "M" => (0, 6),
        "G" => (0, 9),
        "T" => (0, 12),
        "P" => (0, 15),
        "E" => (0, 18),
        "Ki" => (10, 0),
        "Mi" => (20, 0),
        "Gi" => (30, 0),
        "Ti" => (40, 0),
        "Pi" => (50, 0),
        "Ei" => (60, 0),
        _ => {
            let exponent = suffix.strip_prefix(['e', 'E'])?;
            (0, exponent.parse::<i32>().ok().filter(|power| power.abs() <= 18)?)
        }
    })
}

/// `dividend` ÷ `divisor`, rounded up; neither is negative.
fn div_ceil(dividend: i128, divisor: i128) -> i128 {
    dividend / divisor + i128::from(dividend % divisor != 0)
}

#[cfg(test)]
mod tests;
