//! What functions run in: quantities, ports, scales.

use super::{MAX_SCALE, report::Report};
use crate::{package::ProvisionConfig, pointer::key, quantity::Quantity, text::Quoted};

pub(super) fn check(report: &mut Report, at: &str, config: &ProvisionConfig) {
    for (field, text) in
        [("container_image", &config.container_image), ("wasm_module_url", &config.wasm_module_url)]
    {
        if let Some(text) = text {
            reference(report, &key(at, field), text);
        }
    }
    if config.port == Some(0) {
        report.add(key(at, "port"), "want a port from 1 to 65535, not 0");
    }
    limited(
        report,
        at,
        ("cpu_request", config.cpu_request.as_deref()),
        ("cpu_limit", config.cpu_limit.as_deref()),
    );
    limited(
        report,
        at,
        ("memory_request", config.memory_request.as_deref()),
        ("memory_limit", config.memory_limit.as_deref()),
    );
    report.range(at, "min_scale", config.min_scale, 0, MAX_SCALE);
    report.range(at, "max_scale", config.max_scale, 0, MAX_SCALE);
    if let (Some(min), Some(max)) = (config.min_scale, config.max_scale)
        && min > max
    {
        let message = format_args!("min_scale {min} is greater than max_scale {max}");
        report.add(key(at, "min_scale"), message);
    }
}

/// An image or a URL: one word without white space.
fn reference(report: &mut Report, at: &str, text: &str) {
    const MAX_BYTES: usize = 2048;
    if text.is_empty() || text.len() > MAX_BYTES || text.contains(char::is_whitespace) {
        let message = format_args!(
            "want a reference of 1 to {MAX_BYTES} bytes without white space, not {}",
            Quoted(text)
        );
        report.add(at, message);
    }
}

/// Two quantities, of which the first must not be greater than the second.
fn limited(
    report: &mut Report,
    at: &str,
    (request_field, request): (&str, Option<&str>),
    (limit_field, limit): (&str, Option<&str>),
) {
    let mut parse = |field: &str, text: Option<&str>| {
        let text = text?;
        let parsed = text.parse::<Quantity>();
        if let Err(error) = parsed {
            report.add(key(at, field), format_args!("{error}, not {}", Quoted(text)));
        }
        parsed.ok()
    };
    let (request_value, limit_value) = (parse(request_field, request), parse(limit_field, limit));
    if let (Some(request_value), Some(limit_value)) = (request_value, limit_value)
        && request_value > limit_value
    {
        let (request, limit) = (request.unwrap_or_default(), limit.unwrap_or_default());
        let message =
            format_args!("{request_field} {request} is greater than {limit_field} {limit}");
        report.add(key(at, request_field), message);
    }
}
