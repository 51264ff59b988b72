//! What a CRM answers.

use std::{cell::RefCell, sync::Arc, time::Duration};

use futures::StreamExt;
use oprc_crm_client::{Caller, Crm, CrmOptions, HttpCrm, TokenSource};
use oprc_models::unit::DeploymentUnit;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    runtime::{Builder, Runtime},
};

use super::choose;

/// How long a call may take; the answer is there at once.
const TIMEOUT: Duration = Duration::from_millis(300);

/// How long until a call counts as never ending. Far more than it may take, for the fuzzer shares its
/// machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// Events of a watch that are taken.
const MAX_EVENTS: usize = 100;

/// Answers a call with the bytes: as they are, or as the body of a well-formed answer. The first byte
/// chooses the call and the form. The call ends in time, with an answer or an error.
pub fn crm_answer(input: &[u8]) {
    let (choice, bytes) = choose(input, 20);
    let (call, form) = (choice % 5, choice / 5);
    let body = bytes.len();
    let head = match form {
        0 => String::new(),
        1 => format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {body}\r\n\r\n"
        ),
        2 => "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n".to_owned(),
        _ => format!(
            "HTTP/1.1 409 Conflict\r\ncontent-type: application/problem+json\r\ncontent-length: {body}\r\n\r\n"
        ),
    };
    let answer = [head.as_bytes(), bytes].concat();
    thread_local! {
        static RUNTIME: RefCell<Option<Runtime>> = const { RefCell::new(None) };
    }
    RUNTIME.with_borrow_mut(|slot| {
        let runtime = slot.get_or_insert_with(|| {
            Builder::new_current_thread().enable_all().build().expect("threads can be had")
        });
        runtime.block_on(exchange(call, answer));
    });
}

async fn exchange(call: u8, answer: Vec<u8>) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port can be had");
    let addr = listener.local_addr().expect("a bound socket has an address");
    let serving = tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut asked = [0; 1024];
            // Whoever asks may have gone away by now.
            let _ = stream.read(&mut asked).await;
            let _ = stream.write_all(&answer).await;
        }
    });
    let options = CrmOptions {
        cluster: "east".parse().expect("a label"),
        endpoints: vec![format!("http://{addr}")],
        token: TokenSource::None,
        ca_cert_path: None,
        client_cert_path: None,
        client_key_path: None,
        timeout: TIMEOUT,
        connect_timeout: TIMEOUT,
        max_in_flight: 1,
    };
    let crm = HttpCrm::new(options).expect("options here are well-formed");
    let called = tokio::time::timeout(PATIENCE, ask(&crm, call)).await;
    assert!(called.is_ok(), "the call does not end");
    serving.abort();
}

async fn ask(crm: &HttpCrm, call: u8) {
    let caller = Caller { term: Some(1), owner: Arc::from("pm"), correlation_id: None };
    let id = "cart-1".parse().expect("a label");
    // Any answer and any error will do: that there is one is the point.
    match call {
        0 => drop(crm.health(&caller).await),
        1 => drop(crm.list(&caller, None, 10).await),
        2 => drop(crm.apply(&caller, &unit()).await),
        3 => drop(crm.delete(&caller, &id, 1).await),
        _ => {
            if let Ok(events) = crm.watch(&caller, 1).await {
                let events = events.take(MAX_EVENTS).for_each(|_| std::future::ready(()));
                // A stream may go on for as long as it likes.
                let _ = tokio::time::timeout(TIMEOUT, events).await;
            }
        }
    }
}

fn unit() -> DeploymentUnit {
    let unit = serde_json::json!({
        "id": "cart-1", "deployment_key": "cart", "package_name": "shop", "class_key": "Cart",
        "target_env": "east", "generation": 1, "spec_hash": "", "owner": "pm",
        "created_at": "1970-01-01T00:00:00Z",
    });
    serde_json::from_value(unit).expect("a unit in its shortest form")
}
