use rcgen::{CertificateParams, DnType, KeyPair, SanType};

/// The one place that makes a certificate and asks whom it names.
#[track_caller]
fn check(common_name: &str, uris: &[&str], hosts: &[&str], want: Option<&str>) {
    let hosts: Vec<String> = hosts.iter().map(|host| (*host).to_owned()).collect();
    let mut params = CertificateParams::new(hosts).unwrap();
    params.distinguished_name = rcgen::DistinguishedName::new();
    if !common_name.is_empty() {
        params.distinguished_name.push(DnType::CommonName, common_name);
    }
    for uri in uris {
        params.subject_alt_names.push(SanType::URI((*uri).try_into().unwrap()));
    }
    let certificate = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
    assert_eq!(super::of(certificate.der()).as_deref(), want);
}

#[test]
fn a_certificate_names_one_subject_or_none() {
    let spiffe = "spiffe://cluster.local/ns/shop/sa/deployer";
    check("alice", &[], &[], Some("alice"));
    check("system:serviceaccount:a:b", &[], &[], Some("system:serviceaccount:a:b"));
    check("alice", &[spiffe], &["host"], Some(spiffe));
    check("", &[spiffe], &[], Some(spiffe));
    check("alice", &[spiffe, "spiffe://other/b"], &[], None);
    check("alice", &[], &["host"], Some("alice"));
    check("", &[], &["host"], Some("host"));
    check("", &[], &["host", "other"], None);
    check("", &[], &[], None);
    // A common name cannot pass for an identity of SPIFFE.
    check(spiffe, &[], &[], None);
    check(spiffe, &[], &["host"], Some("host"));
    // What cannot be logged as it is.
    check("a\nb", &[], &[], None);
    check(" alice", &[], &[], None);
    check(&"a".repeat(256), &[], &[], None);
}

#[test]
fn what_is_no_certificate_names_nobody() {
    for der in [&b""[..], b"\x30", b"\x30\x82\xff\xff", b"alice"] {
        assert_eq!(super::of(der), None);
    }
}
