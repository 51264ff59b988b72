//! What each answer is taken for.

use reqwest::header::HeaderValue;

use super::*;

fn answer(status: u16, headers: &[(&'static str, &str)], body: &str) -> Answer {
    let headers = headers.iter().map(|(name, value)| {
        (header::HeaderName::from_static(name), HeaderValue::from_str(value).unwrap())
    });
    Answer {
        status: StatusCode::from_u16(status).unwrap(),
        headers: headers.collect(),
        body: body.to_owned().into(),
    }
}

/// `want` is the error, with its causes, and whether it may have been done and counts against the
/// breaker.
#[track_caller]
fn check(status: u16, body: &str, want: &str, may_have_been_done: bool, counts: bool) {
    let err = answer(status, &[], body).refusal();
    let text = oprc_observability::Report(&err).to_string();
    assert_eq!(text, want, "{status}");
    assert_eq!(err.may_have_been_done(), may_have_been_done, "{status}");
    assert_eq!(err.counts_against_breaker(), counts, "{status}");
}

#[test]
fn every_row_of_the_contract() {
    let problem = r#"{"type": "about:blank", "title": "Bad", "status": 400, "detail": "not so",
        "code": "invalid_unit", "errors": [{"pointer": "/functions/0", "message": "no image"}]}"#;
    let refused = |status| format!("the CRM refused ({status}): not so; /functions/0: no image");
    for status in [400, 403, 404, 413, 422, 451] {
        check(status, problem, &refused(status), false, false);
    }
    let credentials = "the CRM refused the credentials: token expired";
    check(401, r#"{"detail": "token expired"}"#, credentials, false, true);
    let stale = r#"{"code": "stale_term", "detail": "term 9"}"#;
    check(409, stale, "the CRM has newer (stale_term): term 9", false, false);
    check(409, "", "the CRM has newer (conflict): Conflict", false, false);
    check(429, "", "the CRM is busy (429)", false, false);
    check(503, "", "the CRM is busy (503)", true, true);
    for (status, reason) in [
        (300, "Multiple Choices"),
        (302, "Found"),
        (408, "Request Timeout"),
        (500, "Internal Server Error"),
        (502, "Bad Gateway"),
        (504, "Gateway Timeout"),
        (599, "no reason given"),
        (799, "no reason given"),
    ] {
        let want =
            format!("the CRM gave no answer to go by: the answer has status {status}: {reason}");
        check(status, "<html>Oops</html>", &want, true, true);
    }
}

#[test]
fn bodies_that_are_no_problem_documents_explain_what_they_can() {
    let check = |body: &str, want: &str| {
        let CallError::Refused { code, message, .. } = answer(400, &[], body).refusal() else {
            panic!("{body}: not refused");
        };
        assert_eq!((code, message.as_str()), (None, want), "{body}");
    };
    check("", "Bad Request");
    check("<!doctype html><p>no", "Bad Request");
    check("plain\n text\u{1b}[31m", "plain  text [31m");
    check("[1]", "[1]");
    check(r#"{"error": "no"}"#, "no");
    check(r#"{"message": "no", "code": 7, "status": "x", "errors": 3}"#, "no");
    check(r#"{"detail": "", "title": "no"}"#, "no");
    check(r#"{"errors": [{"pointer": "/a"}, 7]}"#, "Bad Request; /a: ; :");
    check(&"é".repeat(5_000), &"é".repeat(MAX_MESSAGE_CHARS));
    let long = format!(r#"{{"detail": "{}"}}"#, "é".repeat(5_000));
    check(&long, &"é".repeat(MAX_MESSAGE_CHARS));
}

#[test]
fn stale_generation_says_which_is_newer() {
    let body = r#"{"code": "stale_generation", "detail": "no", "current_generation": 7}"#;
    let CallError::Stale { code, current_generation, .. } = answer(409, &[], body).refusal() else {
        panic!("not stale");
    };
    assert_eq!((code.as_str(), current_generation), ("stale_generation", Some(7)));
    let body = r#"{"code": "stale_term", "detail": "no", "current_term": 102}"#;
    let CallError::Stale { current_term, .. } = answer(409, &[], body).refusal() else {
        panic!("stale")
    };
    assert_eq!(current_term, Some(102));
}

#[test]
fn retry_after_is_obeyed_and_capped() {
    let check = |headers: &[(&'static str, &str)], want: Option<u64>| {
        let err = answer(503, headers, "").refusal();
        assert_eq!(err.retry_after(), want.map(Duration::from_secs), "{headers:?}");
        let says_when = want.is_some();
        assert_eq!(err.counts_against_breaker(), !says_when, "{headers:?}");
    };
    let date = ("date", "Wed, 21 Oct 2015 07:28:00 GMT");
    check(&[], None);
    check(&[("retry-after", "0")], Some(0));
    check(&[("retry-after", " 7 ")], Some(7));
    check(&[("retry-after", "86400")], Some(60));
    check(&[("retry-after", "99999999999999999999999")], Some(60));
    check(&[("retry-after", "-1")], None);
    check(&[("retry-after", "soon")], None);
    check(&[("retry-after", "")], None);
    check(&[date, ("retry-after", "Wed, 21 Oct 2015 07:28:05 GMT")], Some(5));
    check(&[date, ("retry-after", "Wed, 21 Oct 2015 07:27:05 GMT")], Some(0));
    check(&[date, ("retry-after", "Wed, 21 Oct 2065 07:28:05 GMT")], Some(60));
    check(&[("retry-after", "Wed, 21 Oct 2015 07:28:05 GMT")], Some(60));
}

#[test]
fn documents_are_what_the_contract_says_or_garbage() {
    let check = |body: &str, want: Result<u64, &str>| match (
        answer(200, &[], body).document::<u64>(),
        want,
    ) {
        (Ok(got), Ok(want)) => assert_eq!(got, want),
        (Err(err), Err(want)) => {
            let text = oprc_observability::Report(&err).to_string();
            assert!(text.contains(want), "{text}");
            assert!(text.len() < 4 * MAX_MESSAGE_CHARS + 200, "too long");
            assert!(err.may_have_been_done() && err.counts_against_breaker());
        }
        (got, want) => panic!("{body}: {got:?}, want {want:?}"),
    };
    check("7", Ok(7));
    check("", Err("EOF"));
    check("<html>", Err("expected value"));
    check("[7", Err("invalid type: sequence"));
    check(r#"{"a": 1}"#, Err("invalid type: map"));
    check(&format!("{:?}", "x".repeat(100_000)), Err("invalid type: string"));
    check(&"[".repeat(100_000), Err("invalid type"));
    check(&format!("[{}0]", "0,".repeat(MAX_VALUES + 1)), Err("values"));
}

#[test]
fn truncated_and_deep_documents_are_garbage() {
    for body in ["{\"id\": ".to_owned(), "[7".to_owned(), "[".repeat(100_000)] {
        assert!(parse::<Value>(body.as_bytes()).is_err());
    }
}
