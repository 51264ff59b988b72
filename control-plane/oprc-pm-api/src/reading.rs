//! Reading of documents apart from the threads that answer requests.
//!
//! A document of a few kilobytes is read at once. A larger one is read on a thread for blocking
//! work, few at a time, so that a text that takes long delays neither probes nor other requests.
//! The work observes the request: when its handler is dropped, at its deadline or because the
//! caller has gone, reading stops. What the request holds is given back when the work has ended,
//! and not before.

use std::{
    collections::HashMap,
    sync::{Arc, Weak},
};

use http::StatusCode;
use oprc_models::document::{Format, never};
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

use crate::{body::Received, error::ApiError, share::Holder};

/// The largest text that is read on the thread of its request, in bytes.
const MAX_INLINE_BYTES: usize = 4 << 10;

/// Texts that are read at once.
const READERS: usize = 4;

/// Texts of one caller that are read at once; the others wait.
const READERS_OF_ONE: usize = 2;

/// Asked by a reader whether it is to stop.
pub(crate) type IsCancelled<'a> = &'a dyn Fn() -> bool;

/// Readers of documents.
#[derive(Debug)]
pub(crate) struct Readers {
    all: Arc<Semaphore>,
    /// Of callers that read or wait at this moment.
    each: Mutex<HashMap<Holder, Weak<Semaphore>>>,
}

impl Default for Readers {
    fn default() -> Self {
        Self { all: Arc::new(Semaphore::new(READERS)), each: Mutex::default() }
    }
}

impl Readers {
    /// What `read` makes of what was received.
    pub(crate) async fn read<T: Send + 'static>(
        &self,
        received: Received,
        read: impl FnOnce(&[u8], Format, IsCancelled<'_>) -> T + Send + 'static,
    ) -> Result<T, ApiError> {
        if received.bytes.len() <= MAX_INLINE_BYTES {
            return Ok(read(&received.bytes, received.format, &never));
        }
        let permits = self.wait(received.holders.first()).await;
        let cancelled = CancellationToken::new();
        let _at_the_end = cancelled.clone().drop_guard();
        let work = tokio::task::spawn_blocking(move || {
            let made = read(&received.bytes, received.format, &|| cancelled.is_cancelled());
            drop((received, permits));
            made
        });
        work.await.map_err(|_| {
            ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "the body cannot be read")
        })
    }

    /// Waits for a reader: in the row of `holder`, then in that of all.
    async fn wait(&self, holder: Option<&Holder>) -> Vec<OwnedSemaphorePermit> {
        let own = holder.map(|holder| self.of(holder));
        let mut permits = Vec::new();
        for semaphore in own.into_iter().chain([Arc::clone(&self.all)]) {
            // No semaphore is ever closed.
            permits.extend(semaphore.acquire_owned().await.ok());
        }
        permits
    }

    fn of(&self, holder: &Holder) -> Arc<Semaphore> {
        let mut each = self.each.lock();
        if let Some(known) = each.get(holder).and_then(Weak::upgrade) {
            return known;
        }
        // Each that is left belongs to a request under way, of which there are boundedly many.
        each.retain(|_, semaphore| semaphore.strong_count() > 0);
        let new = Arc::new(Semaphore::new(READERS_OF_ONE));
        each.insert(holder.clone(), Arc::downgrade(&new));
        new
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::mpsc, time::Duration};

    use tokio::sync::oneshot;

    use super::*;
    use crate::share::{Admission, Resource};

    const LARGE: usize = MAX_INLINE_BYTES + 1;

    fn address(last: u8) -> Vec<Holder> {
        vec![Holder::Address([192, 0, 2, last].into())]
    }

    #[tokio::test]
    async fn reading_ends_with_its_request_and_holds_its_permit_until_then() {
        let (readers, writes) = (Arc::new(Readers::default()), Resource::new("writes", 1));
        let admission = Admission::default();
        admission.add(writes.take(Vec::new()).unwrap());
        let received = Received::spaces(LARGE, address(1), admission);
        let (begin, begun) = oneshot::channel();
        let (finish, finished) = mpsc::channel::<()>();
        let reading = Arc::clone(&readers);
        let request = tokio::spawn(async move {
            let work = move |_: &[u8], _, is_cancelled: IsCancelled<'_>| {
                begin.send(()).unwrap();
                while !is_cancelled() {
                    std::thread::yield_now();
                }
                finished.recv().unwrap();
            };
            reading.read(received, work).await
        });
        begun.await.unwrap();
        request.abort();
        assert!(request.await.unwrap_err().is_cancelled());
        assert!(writes.take(Vec::new()).is_err(), "the work goes on, and holds its permit");
        assert_eq!(readers.all.available_permits(), READERS - 1);
        finish.send(()).unwrap();
        let ended = async {
            while writes.take(Vec::new()).is_err() || readers.all.available_permits() < READERS {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(60), ended).await.unwrap();
    }

    #[tokio::test]
    async fn one_address_leaves_readers_to_others() {
        let readers = Arc::new(Readers::default());
        let (finish, finished) = mpsc::channel::<()>();
        let finished = Arc::new(Mutex::new(finished));
        let mut of_one = Vec::new();
        for _ in 0..10 {
            let (reading, finished) = (Arc::clone(&readers), Arc::clone(&finished));
            let received = Received::spaces(LARGE, address(1), Admission::default());
            of_one.push(tokio::spawn(async move {
                reading
                    .read(received, move |_, _, _| {
                        let _ = finished.lock().recv();
                    })
                    .await
            }));
        }
        let received = Received::spaces(LARGE, address(2), Admission::default());
        let read = readers.read(received, |bytes, _, _| bytes.len());
        let read = tokio::time::timeout(Duration::from_secs(60), read).await;
        assert_eq!(read.expect("the other address waits for nobody").unwrap(), LARGE);
        drop(finish);
        for request in of_one {
            request.await.unwrap().unwrap();
        }
        let other = Received::spaces(LARGE, address(3), Admission::default());
        readers.read(other, |_, _, _| ()).await.unwrap();
        assert_eq!(readers.each.lock().len(), 1, "callers that read nothing are forgotten");
    }
}
