use serde_json::{Value, json};

use super::{Refusal, check};
use crate::auth::{
    Algorithm, Key,
    jwks::{InvalidSet, read},
    key::InvalidKey,
    tests::{NOW, SECRET, claims, ed25519, hmac_of, message, p256, rules, signed, token},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};

const RSA_PEM: &[u8] = include_bytes!("../testdata/rsa.pem");

fn hs256() -> Vec<Key> {
    vec![Key::from_secret(SECRET).unwrap()]
}

/// The one place that calls the check: who is believed, or why not.
fn verdict(token: &str, keys: &[Key]) -> Result<(String, Vec<String>), Refusal> {
    let believed = check(token, keys, &rules(), NOW)?;
    let groups = believed.identity.groups.iter().map(|group| group.to_string()).collect();
    Ok((believed.identity.subject.to_string(), groups))
}

/// A token of the shared secret, with these claims.
fn with_claims(claims: &Value) -> String {
    signed(&message(&json!({"alg": "HS256"}), claims), hmac_of(SECRET))
}

/// A token of the shared secret, with this header.
fn with_header(header: &Value) -> String {
    signed(&message(header, &claims("ada", &[])), hmac_of(SECRET))
}

#[test]
fn tokens_of_each_algorithm_are_believed() {
    assert_eq!(
        verdict(&token("ada", &["dev", "ops"]), &hs256()),
        Ok(("ada".to_owned(), vec!["dev".to_owned(), "ops".to_owned()]))
    );
    // Made by another program (OpenSSL), so that no mistake of ours cancels itself out.
    for (pem, token, algorithm) in [
        (RSA_PEM, include_str!("../testdata/rsa.jwt"), Algorithm::Rs256),
        (
            include_bytes!("../testdata/p256.pem"),
            include_str!("../testdata/p256.jwt"),
            Algorithm::Es256,
        ),
        (
            include_bytes!("../testdata/ed25519.pem"),
            include_str!("../testdata/ed25519.jwt"),
            Algorithm::EdDsa,
        ),
    ] {
        let key = Key::from_pem(pem).unwrap();
        assert_eq!(key.algorithm(), algorithm);
        let want = Ok(("ada".to_owned(), vec!["dev".to_owned()]));
        assert_eq!(verdict(token, &[key]), want, "{algorithm:?}");
        // One changed character anywhere is noticed.
        for at in (0..token.len()).step_by(7) {
            let mut forged = token.as_bytes().to_vec();
            forged[at] = if forged[at] == b'A' { b'B' } else { b'A' };
            let forged = String::from_utf8(forged).unwrap();
            let keys = [Key::from_pem(pem).unwrap()];
            assert!(verdict(&forged, &keys).is_err(), "{algorithm:?} at {at}");
        }
    }
}

/// Every forgery, and what is said of it.
#[test]
fn forgeries_are_refused() {
    let good = token("ada", &[]);
    let (head, signature) = good.rsplit_once('.').unwrap();
    let unsigned = |alg: &str| message(&json!({"alg": alg}), &claims("root", &[]));
    let with = |field: &str, value: Value| {
        let mut claims = claims("ada", &[]);
        claims[field] = value;
        with_claims(&claims)
    };
    let without = |field: &str| {
        let mut claims = claims("ada", &[]);
        claims.as_object_mut().unwrap().remove(field);
        with_claims(&claims)
    };
    let wrong_key = signed(&unsigned("HS256"), hmac_of(b"another secret of thirty-two byte"));
    let table: Vec<(&str, String, Refusal)> = vec![
        ("alg none", format!("{}.", unsigned("none")), Refusal::UnknownKey),
        ("alg None", format!("{}.{signature}", unsigned("None")), Refusal::UnknownKey),
        ("alg none, signed", signed(&unsigned("none"), hmac_of(SECRET)), Refusal::UnknownKey),
        ("no signature", format!("{}.", unsigned("HS256")), Refusal::Signature),
        ("other claims", format!("{}.{signature}", unsigned("HS256")), Refusal::Signature),
        ("wrong key", wrong_key, Refusal::Signature),
        ("another HMAC", signed(&unsigned("HS512"), hmac_of(SECRET)), Refusal::UnknownKey),
        ("lower case", signed(&unsigned("hs256"), hmac_of(SECRET)), Refusal::UnknownKey),
        ("truncated", good[..good.len() - 4].to_owned(), Refusal::Signature),
        ("truncated to two parts", head.to_owned(), Refusal::Malformed),
        ("four parts", format!("{good}.e30"), Refusal::Malformed),
        ("padding", format!("{good}="), Refusal::Malformed),
        ("empty", String::new(), Refusal::Malformed),
        ("dots", "..".to_owned(), Refusal::Malformed),
        ("garbage", "\u{1F600}.a.b".to_owned(), Refusal::Malformed),
        ("not JSON", format!("{}.e30.AA", URL_SAFE_NO_PAD.encode("{")), Refusal::Malformed),
        (
            "deep JSON",
            format!("{}.e30.AA", URL_SAFE_NO_PAD.encode("[".repeat(9000))),
            Refusal::Malformed,
        ),
        ("huge", format!("{good}{}", "A".repeat(20_000)), Refusal::Malformed),
        ("crit", with_header(&json!({"alg": "HS256", "crit": ["exp"]})), Refusal::Critical),
        ("crit null", with_header(&json!({"alg": "HS256", "crit": null})), Refusal::Critical),
        ("b64 null", with_header(&json!({"alg": "HS256", "b64": null})), Refusal::Critical),
        ("enc null", with_header(&json!({"alg": "HS256", "enc": null})), Refusal::Critical),
        ("not encoded", with_header(&json!({"alg": "HS256", "b64": false})), Refusal::Critical),
        ("encrypted", with_header(&json!({"alg": "HS256", "enc": "A128GCM"})), Refusal::Critical),
        ("claims that are a list", with_claims(&json!([])), Refusal::Claims),
        ("expired", with("exp", json!(NOW - 31)), Refusal::Expired),
        ("expired just now", with("exp", json!(NOW - 30)), Refusal::Expired),
        ("never expires", without("exp"), Refusal::Expired),
        ("exp is text", with("exp", json!((NOW + 60).to_string())), Refusal::Claims),
        ("exp is null", with("exp", Value::Null), Refusal::Claims),
        ("exp with an exponent", with("exp", json!(1.9e30)), Refusal::Claims),
        ("not yet valid", with("nbf", json!(NOW + 31)), Refusal::TooEarly),
        ("nbf is text", with("nbf", json!("0")), Refusal::Claims),
        ("made in the future", with("iat", json!(NOW + 31)), Refusal::TooEarly),
        ("wrong issuer", with("iss", json!("https://evil.example.org")), Refusal::Issuer),
        ("a list of issuers", with("iss", json!(["https://id.example.org"])), Refusal::Issuer),
        ("no issuer", without("iss"), Refusal::Issuer),
        ("wrong audience", with("aud", json!("other")), Refusal::Audience),
        ("other audiences", with("aud", json!(["a", "b", 1])), Refusal::Audience),
        ("no audience", without("aud"), Refusal::Audience),
        ("no subject", without("sub"), Refusal::Subject),
        ("empty subject", with("sub", json!("")), Refusal::Subject),
        ("subject is a number", with("sub", json!(7)), Refusal::Subject),
        ("a line end in the subject", with("sub", json!("root\n")), Refusal::Subject),
        ("long subject", with("sub", json!("a".repeat(254))), Refusal::Subject),
        ("groups are a number", with("groups", json!(7)), Refusal::Claims),
        ("a group is a list", with("groups", json!([["wheel"]])), Refusal::Claims),
    ];
    for (what, token, want) in table {
        assert_eq!(verdict(&token, &hs256()), Err(want), "{what}");
    }
}

/// Readers differ in which of two members of the same name they take.
#[test]
fn members_that_are_there_twice_are_refused() {
    let encode = |text: &str| URL_SAFE_NO_PAD.encode(text);
    let sign = |header: &str, claims: &str| {
        signed(&format!("{}.{}", encode(header), encode(claims)), hmac_of(SECRET))
    };
    let (header, good) = (r#"{"alg":"HS256"}"#, claims("ada", &[]).to_string());
    let open = good.strip_suffix('}').unwrap();
    assert!(verdict(&sign(header, &good), &hs256()).is_ok());
    for (header, claims, want) in [
        (header, format!(r#"{open},"sub":"root"}}"#), Refusal::Claims),
        (header, format!(r#"{open},"s\u0075b":"root"}}"#), Refusal::Claims),
        (header, format!(r#"{open},"exp":9999999999}}"#), Refusal::Claims),
        (header, format!(r#"{open},"other":[{{"a":1,"a":2}}]}}"#), Refusal::Claims),
        (r#"{"alg":"none","alg":"HS256"}"#, good.clone(), Refusal::Malformed),
        (r#"{"alg":"HS256","kid":"a","kid":"b"}"#, good.clone(), Refusal::Malformed),
        (r#"{"alg":"HS256","crit":["exp"],"crit":null}"#, good.clone(), Refusal::Malformed),
    ] {
        assert_eq!(verdict(&sign(header, &claims), &hs256()), Err(want), "{header} {claims}");
    }
}

/// The public key as a shared secret, and other takings of one kind of key for another.
#[test]
fn a_key_has_one_algorithm() {
    let (_, point) = p256();
    let (_, ed_point) = ed25519();
    let keys = vec![
        Key::from_pem(RSA_PEM).unwrap(),
        Key::p256(Some("p"), point.clone()).unwrap(),
        Key::ed25519(Some("e"), ed_point.clone()).unwrap(),
    ];
    let text = String::from_utf8(RSA_PEM.to_vec()).unwrap();
    for secret in [RSA_PEM, text.trim().as_bytes(), &point, &ed_point] {
        for header in [json!({"alg": "HS256"}), json!({"alg": "HS256", "kid": "p"})] {
            let forged = signed(&message(&header, &claims("root", &[])), hmac_of(secret));
            assert_eq!(verdict(&forged, &keys), Err(Refusal::UnknownKey), "{header}");
        }
        for alg in ["RS256", "ES256", "EdDSA"] {
            let header = json!({"alg": alg});
            let forged = signed(&message(&header, &claims("root", &[])), hmac_of(secret));
            assert_eq!(verdict(&forged, &keys), Err(Refusal::Signature), "{alg}");
        }
    }
    // A token of one algorithm, told as another.
    assert_eq!(verdict(include_str!("../testdata/ed25519.jwt"), &keys), Err(Refusal::Signature));
    assert!(verdict(include_str!("../testdata/rsa.jwt"), &keys[1..]).is_err());
}

#[test]
fn keys_are_found_by_their_names() {
    let ((pair, point), (_, other)) = (p256(), p256());
    let keys = [Key::p256(Some("a"), other).unwrap(), Key::p256(Some("b"), point).unwrap()];
    let sign = |header: Value| {
        let random = ring::rand::SystemRandom::new();
        signed(&message(&header, &claims("ada", &[])), |message| {
            pair.sign(&random, message).unwrap().as_ref().to_vec()
        })
    };
    assert!(verdict(&sign(json!({"alg": "ES256", "kid": "b"})), &keys).is_ok());
    assert!(verdict(&sign(json!({"alg": "ES256"})), &keys).is_ok());
    let of = |kid: &str| verdict(&sign(json!({"alg": "ES256", "kid": kid})), &keys);
    assert_eq!(of("a"), Err(Refusal::Signature));
    assert_eq!(of("c"), Err(Refusal::UnknownKey));
}

#[test]
fn keys_that_are_none_are_refused() {
    assert_eq!(Key::from_secret(&[7; 31]).err(), Some(InvalidKey::ShortSecret(31)));
    for (pem, want) in [
        (&b"not PEM"[..], InvalidKey::NotPem),
        (b"", InvalidKey::NotPem),
        (b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", InvalidKey::Unsupported),
        (include_bytes!("../testdata/rsa-1024.pem"), InvalidKey::Unsupported),
        (include_bytes!("../testdata/p384.pem"), InvalidKey::Unsupported),
    ] {
        assert_eq!(Key::from_pem(pem).err(), Some(want));
    }
    // A key cut anywhere is refused, and nothing panics.
    let text = std::str::from_utf8(RSA_PEM).unwrap();
    let der: String = text.lines().filter(|line| !line.starts_with("--")).collect();
    for length in (0..der.len()).step_by(4) {
        let cut = &der[..length];
        let pem = format!("-----BEGIN PUBLIC KEY-----\n{cut}\n-----END PUBLIC KEY-----\n");
        assert!(Key::from_pem(pem.as_bytes()).is_err(), "{length}");
    }
}

#[test]
fn sets_give_what_can_be_used() {
    let (_, point) = p256();
    let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    let (x, y) = (encode(&point[1..33]), encode(&point[33..]));
    let set = json!({"keys": [
        {"kty": "EC", "crv": "P-256", "kid": "good", "x": x, "y": y, "use": "sig", "alg": "ES256"},
        {"kty": "EC", "crv": "P-256", "kid": "for encryption", "x": x, "y": y, "use": "enc"},
        {"kty": "EC", "crv": "P-256", "kid": "other algorithm", "x": x, "y": y, "alg": "ES384"},
        {"kty": "EC", "crv": "P-256", "kid": "to sign", "x": x, "y": y, "key_ops": ["sign"]},
        {"kty": "EC", "crv": "P-384", "kid": "another curve", "x": x, "y": y},
        {"kty": "EC", "crv": "P-256", "kid": "half", "x": x},
        {"kty": "oct", "kid": "a secret", "k": encode(SECRET), "alg": "HS256"},
        {"kty": 7}, "garbage", null,
        {"kty": "OKP", "crv": "Ed25519", "x": encode(&[1; 32])},
    ]});
    let keys = read(set.to_string().as_bytes()).unwrap();
    let got: Vec<_> = keys.iter().map(|key| (key.id(), key.algorithm())).collect();
    assert_eq!(got, [(Some("good"), Algorithm::Es256), (None, Algorithm::EdDsa)]);
    for wrong in ["", "[]", "{}", "<html>", r#"{"keys": 1}"#] {
        assert!(matches!(read(wrong.as_bytes()), Err(InvalidSet::NotASet(_))), "{wrong}");
    }
    let secrets = json!({"keys": [{"kty": "oct", "k": encode(SECRET)}]}).to_string();
    assert!(matches!(read(secrets.as_bytes()), Err(InvalidSet::NoKey)));
    assert!(matches!(read(&vec![b' '; 300 << 10]), Err(InvalidSet::TooLarge(_))));
}

#[test]
fn groups_are_a_list_or_one() {
    let with = |groups: Value| {
        let mut claims = claims("ada", &[]);
        claims["groups"] = groups;
        verdict(&with_claims(&claims), &hs256()).unwrap().1
    };
    assert_eq!(with(json!("dev")), ["dev"]);
    assert_eq!(with(json!(["dev", "", "a\nb", "ops"])), ["dev", "ops"]);
    assert_eq!(with(Value::Null), Vec::<String>::new());
    let many: Vec<String> = (0..1000).map(|n| format!("g{n}")).collect();
    assert_eq!(with(json!(many)).len(), 256);
    // A fraction of a second is allowed.
    let mut claims = claims("ada", &[]);
    claims["exp"] = serde_json::from_str(&format!("{}.75", NOW + 60)).unwrap();
    assert!(verdict(&with_claims(&claims), &hs256()).is_ok());
}
