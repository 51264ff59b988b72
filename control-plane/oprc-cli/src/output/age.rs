//! How long ago something was, as short as kubectl says it.

use jiff::Timestamp;
use serde_json::Value;

/// The time since `then`, an RFC 3339 time: `45s`, `5m10s`, `3h`, `12d`; `-` where there is none.
pub(crate) fn since(then: Option<&Value>, now: Timestamp) -> String {
    let then = then.and_then(Value::as_str).and_then(|text| text.parse::<Timestamp>().ok());
    then.map_or_else(|| "-".to_owned(), |then| length(now.duration_since(then).as_secs()))
}

/// `seconds` in at most two units, the second one only where it still says something. A clock that
/// runs behind the server's makes things no younger than new.
pub(crate) fn length(seconds: i64) -> String {
    let seconds = seconds.max(0);
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    let two = |big: i64, unit: char, small: i64, small_unit: char| {
        if small == 0 { format!("{big}{unit}") } else { format!("{big}{unit}{small}{small_unit}") }
    };
    match () {
        () if seconds < 120 => format!("{seconds}s"),
        () if minutes < 10 => two(minutes, 'm', seconds % 60, 's'),
        () if hours < 3 => format!("{minutes}m"),
        () if hours < 8 => two(hours, 'h', minutes % 60, 'm'),
        () if hours < 48 => format!("{hours}h"),
        () if days < 8 => two(days, 'd', hours % 24, 'h'),
        () => format!("{days}d"),
    }
}

#[cfg(test)]
mod tests;
