use axum::body::Body;
use http::Request;

use super::*;

/// The one place that asks where a request comes from.
#[track_caller]
fn check(peer: &str, forwarded: &[&str], want: &str) {
    let trusted = ["10.0.0.0/8".parse().unwrap(), "fd00::/8".parse().unwrap()];
    let mut request = Request::builder();
    for value in forwarded {
        request = request.header(FORWARDED_FOR, *value);
    }
    let mut request = request.body(Body::empty()).unwrap();
    let address = SocketAddr::new(peer.parse().unwrap(), 1);
    request.extensions_mut().insert(Peer { address, certificate_subject: None });
    let told = ClientAddress::of(&request, &trusted).unwrap();
    assert_eq!(told.0, want.parse::<IpAddr>().unwrap());
}

#[test]
fn headers_are_believed_of_trusted_proxies_alone() {
    check("192.0.2.1", &[], "192.0.2.1");
    check("192.0.2.1", &["203.0.113.9"], "192.0.2.1");
    check("10.0.0.1", &[], "10.0.0.1");
    check("10.0.0.1", &["203.0.113.9"], "203.0.113.9");
    check("::ffff:10.0.0.1", &["203.0.113.9"], "203.0.113.9");
    check("fd00::1", &["2001:db8::1"], "2001:db8::1");
    // What the caller has written itself stands on the left.
    check("10.0.0.1", &["1.2.3.4, 203.0.113.9"], "203.0.113.9");
    check("10.0.0.1", &["1.2.3.4", "203.0.113.9"], "203.0.113.9");
    check("10.0.0.1", &["1.2.3.4, 203.0.113.9, 10.0.0.2"], "203.0.113.9");
    check("10.0.0.1", &["10.0.0.3, 10.0.0.2"], "10.0.0.3");
    check("10.0.0.1", &["203.0.113.9:4711"], "203.0.113.9");
    check("10.0.0.1", &["[2001:db8::1]:4711"], "2001:db8::1");
    // What cannot be read.
    check("10.0.0.1", &["unknown"], "10.0.0.1");
    check("10.0.0.1", &["203.0.113.9, unknown, 10.0.0.2"], "10.0.0.2");
    check("10.0.0.1", &[""], "10.0.0.1");
}

#[test]
fn of_ipv6_a_network_is_one_caller() {
    let network = |text: &str| ClientAddress(text.parse().unwrap()).network();
    assert_eq!(network("2001:db8:0:1::1"), network("2001:db8:0:1:ffff::2"));
    assert_ne!(network("2001:db8:0:1::1"), network("2001:db8:0:2::1"));
    assert_ne!(network("192.0.2.1"), network("192.0.2.2"));
}

#[test]
fn without_a_server_there_is_no_address() {
    let request = Request::new(Body::empty());
    assert_eq!(ClientAddress::of(&request, &[]), None);
}
