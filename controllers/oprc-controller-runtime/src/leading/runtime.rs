//! A thread of its own for the lease.
//!
//! The controllers' runtime may be busy, or blocked by a mistake, for longer than a lease lives; the
//! lease must not end for it. What such a leader does not do is noticed by the queues' watchdog.

use std::{io, thread};

use tokio::{
    runtime::{Builder, Handle},
    sync::oneshot,
};

/// A runtime of one thread, for the lease and the connection it is renewed over.
///
/// Dropped, it ends what still runs on it and waits for its thread.
#[derive(Debug)]
pub struct LeaseRuntime {
    handle: Handle,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl LeaseRuntime {
    /// Starts the thread.
    ///
    /// # Errors
    ///
    /// When the system has no thread, or no timer, for us.
    pub fn start() -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        let (stop, stopped) = oneshot::channel();
        let thread = thread::Builder::new().name("lease".to_owned()).spawn(move || {
            // An error says that the sender was dropped, which stops it as well.
            let _stopped = runtime.block_on(stopped);
        })?;
        Ok(Self { handle, stop: Some(stop), thread: Some(thread) })
    }

    /// Where to spawn, for [`Election::lead`](super::Election::lead) and for connecting its store:
    /// a connection lives on the runtime that made it.
    #[must_use]
    pub fn handle(&self) -> &Handle {
        &self.handle
    }
}

impl Drop for LeaseRuntime {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the lease's thread panicked");
        }
    }
}
