use oprc_models::problem::Problem;

use super::*;
use crate::term::Terminal;

/// What a problem looks like, and what it exits with.
fn check(err: &Error, code: u8, want: &str) {
    let mut told = Vec::new();
    err.tell(&mut Out::new(&mut told, Terminal::default()));
    assert_eq!((String::from_utf8(told).unwrap().as_str(), err.exit_code()), (want, code));
}

fn refused(problem: Problem) -> Error {
    Failure::Refused { subject: "package/shop".to_owned(), problem: Box::new(problem) }.into()
}

#[test]
fn tells_each_failure_with_its_exit_code() {
    let conflict = Problem {
        status: 409,
        title: "Conflict".to_owned(),
        code: "in_use".to_owned(),
        ..Problem::default()
    };
    check(&Error::usage("want a name"), USAGE, "error: want a name\n");
    check(&refused(conflict), FAILED, "error: package/shop: Conflict (409, in_use)\n");
    check(&refused(Problem::default()), FAILED, "error: package/shop: refused (0)\n");
    check(
        &Error::Documents(vec!["a.yaml: /name: missing".to_owned()]),
        FAILED,
        "a.yaml: /name: missing\nerror: 1 mistake in the documents; nothing was sent\n",
    );
    check(
        &Error::NotConverged { waited: "5m".to_owned(), pending: vec!["a DOWN".to_owned()] },
        NOT_CONVERGED,
        "error: not converged in 5m\n  a DOWN\n",
    );
    check(&Error::Some(1, 3), FAILED, "error: 1 of 3 failed\n");
    check(&Error::Different, FAILED, "");
    let source = io::Error::other("the disk is full");
    let local = Error::Local { what: "cannot write x".to_owned(), source };
    check(&local, FAILED, "error: cannot write x: the disk is full\n");
}
