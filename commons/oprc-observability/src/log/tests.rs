//! Lines, and a reader of them that misbehaves.

use std::{
    io::{self, Write},
    sync::{Arc, Condvar, Mutex},
};

use tracing_subscriber::{Layer as _, filter::Targets, layer::SubscriberExt as _};

use super::{Format, layer, queue};

/// What was written so far; `is_open` false: writing blocks; `is_closed`: it fails.
#[derive(Default)]
struct Pipe {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    written: Vec<u8>,
    is_stuck: bool,
    is_closed: bool,
}

struct Output(Arc<Pipe>);

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let state = self.0.state.lock().unwrap();
        let mut state = self.0.changed.wait_while(state, |state| state.is_stuck).unwrap();
        if state.is_closed {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        state.written.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Runs `log` with a pipe in the state `state`; what arrived, once all that can be written is.
fn logged(state: State, format: Format, log: impl FnOnce(&Pipe)) -> String {
    let pipe = Arc::new(Pipe { state: Mutex::new(state), changed: Condvar::new() });
    let (queue, guard) = queue::start(Output(Arc::clone(&pipe))).unwrap();
    let info: Targets = "info".parse().unwrap();
    let subscriber = tracing_subscriber::registry().with(layer(format, queue).with_filter(info));
    tracing::subscriber::with_default(subscriber, || log(&pipe));
    drop(guard);
    let state = pipe.state.lock().unwrap();
    String::from_utf8(state.written.clone()).unwrap()
}

#[test]
fn json_is_one_object_a_line_with_flat_fields() {
    let text = logged(State::default(), Format::Json, |_| {
        let request = tracing::info_span!("request", correlation_id = "c-1");
        let _entered = request.enter();
        tracing::info!(deployment = "shop.cart", generation = 7, "stored\nin two lines");
        tracing::debug!("below the filter");
    });
    let [line] = text.lines().collect::<Vec<_>>()[..] else { panic!("want one line: {text}") };
    let event: serde_json::Value = serde_json::from_str(line).unwrap();
    assert_eq!(event["message"], "stored\nin two lines");
    assert_eq!(event["deployment"], "shop.cart");
    assert_eq!(event["generation"].to_string(), "7");
    assert_eq!(event["level"], "INFO");
    assert_eq!(event["span"]["correlation_id"], "c-1");
}

#[test]
fn a_closed_pipe_is_survived() {
    let closed = State { is_closed: true, ..State::default() };
    let text = logged(closed, Format::Text, |_| {
        for _ in 0..1_000 {
            tracing::info!("nobody reads this");
        }
    });
    assert_eq!(text, "");
}

/// Logging goes on at once though nothing can be written, memory stays bounded, and what was queued
/// arrives when the reader comes back.
#[test]
fn a_stuck_pipe_costs_lines_and_no_time() {
    const N_EVENTS: usize = 20_000;
    let stuck = State { is_stuck: true, ..State::default() };
    let text = logged(stuck, Format::Text, |pipe| {
        let padding = "x".repeat(1_000);
        for i in 0..N_EVENTS {
            tracing::info!(i, padding, "stuck");
        }
        pipe.state.lock().unwrap().is_stuck = false;
        pipe.changed.notify_all();
    });
    let n_arrived = text.lines().count();
    assert!(n_arrived > 5_000, "{n_arrived}: the queue holds 8 MiB");
    assert!(n_arrived < 10_000, "{n_arrived}: more was kept than the bound allows");
    assert!(text.lines().next().is_some_and(|line| line.contains("i=0 ")), "the oldest are kept");
}
