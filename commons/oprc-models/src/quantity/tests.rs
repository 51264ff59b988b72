//! Quantities as Kubernetes reads them.

use super::*;

/// `want` in billionths; none: not a quantity.
#[track_caller]
fn check(text: &str, want: Option<i128>) {
    assert_eq!(text.parse::<Quantity>().ok().map(|quantity| quantity.nanos), want, "{text:?}");
}

#[test]
fn parses_what_kubernetes_parses() {
    check("0", Some(0));
    check("1", Some(NANOS));
    check("+1", Some(NANOS));
    check("250m", Some(NANOS / 4));
    check("0.5", Some(NANOS / 2));
    check(".5", Some(NANOS / 2));
    check("1.", Some(NANOS));
    check("100n", Some(100));
    check("1u", Some(1000));
    check("2k", Some(2_000 * NANOS));
    check("2M", Some(2_000_000 * NANOS));
    check("1G", Some(1_000_000_000 * NANOS));
    check("1Ki", Some(1024 * NANOS));
    check("1.5Gi", Some((3 << 29) * NANOS));
    check("8Ei", Some((8 << 60) * NANOS));
    check("1e3", Some(1_000 * NANOS));
    check("1E3", Some(1_000 * NANOS));
    check("1E", Some(1_000_000_000_000_000_000 * NANOS));
    check("12e-3", Some(12_000_000));
    check("1e+2", Some(100 * NANOS));
    check("0.0000000001", Some(1)); // Rounded up.
    check("00.1n", Some(1));
}

#[test]
fn refuses_the_rest() {
    for text in [
        "",
        " ",
        ".",
        "+",
        "-",
        "-1",
        "1 ",
        " 1",
        "1 Gi",
        "1gi",
        "1mi",
        "1K",
        "1kb",
        "1MB",
        "1..5",
        "1.5.0",
        "0x10",
        "1e",
        "1e3.5",
        "1e99",
        "1e+-3",
        "1ee3",
        "Gi",
        "m",
        "inf",
        "nan",
        "１",
        "100000000000000000000Ei",
        "123456789012345678901234567890123",
    ] {
        check(text, None);
    }
}

#[test]
fn rounds_up() {
    let quantity: Quantity = "1001m".parse().unwrap();
    assert_eq!((quantity.units(), quantity.millis()), (2, 1001));
    assert!("0.9".parse::<Quantity>().unwrap() < "1".parse().unwrap());
    assert_eq!("1000m".parse::<Quantity>(), "1".parse());
}
