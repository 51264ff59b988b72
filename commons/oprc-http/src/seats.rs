//! Seats for connections: so many and no more, and who gives up theirs when they run out.
//!
//! A connection between two requests holds a seat that somebody with a request may need. So while
//! all are taken, whoever has waited the longest without asking for anything is sent away: ten
//! thousand silent connections keep nobody out.
//!
//! Invariant: a connection with a request under way, the answer's body included, is never sent away.

use std::{
    collections::BTreeMap,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use axum::body::{Body, Bytes, HttpBody};
use hyper::body::{Frame, SizeHint};
use parking_lot::Mutex;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};
use tokio_util::sync::CancellationToken;

use crate::connection_cut;

/// How long to wait for a seat before looking again for one who waits for nothing.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// The seats.
pub(crate) struct Seats {
    free: Arc<Semaphore>,
    idle: Mutex<Idle>,
}

#[derive(Default)]
struct Idle {
    next: u64,
    /// Who waits for a request, the longest first.
    waiting: BTreeMap<u64, CancellationToken>,
}

impl Seats {
    pub(crate) fn new(n: usize) -> Arc<Self> {
        Arc::new(Self { free: Arc::new(Semaphore::new(n)), idle: Mutex::default() })
    }

    /// A seat, if need be that of the connection that has been idle for longest.
    pub(crate) async fn take(self: &Arc<Self>) -> Seat {
        loop {
            let free = Arc::clone(&self.free);
            if let Ok(permit) = Arc::clone(&self.free).try_acquire_owned() {
                return self.seat(permit);
            }
            let longest = self.idle.lock().waiting.pop_first();
            if let Some((_, sent_away)) = longest {
                connection_cut("idle");
                sent_away.cancel();
            }
            // Its owner leaves as soon as it runs; or all are busy, until one is not.
            if let Ok(Ok(permit)) = timeout(LOOK_AGAIN, free.acquire_owned()).await {
                return self.seat(permit);
            }
        }
    }

    fn seat(self: &Arc<Self>, permit: OwnedSemaphorePermit) -> Seat {
        let place = Place {
            seats: Arc::clone(self),
            turn: Mutex::new(Turn::Busy),
            sent_away: CancellationToken::new(),
        };
        place.wait();
        Seat { place: Arc::new(place), _permit: permit }
    }
}

/// One connection's seat; free again when dropped.
pub(crate) struct Seat {
    place: Arc<Place>,
    _permit: OwnedSemaphorePermit,
}

struct Place {
    seats: Arc<Seats>,
    turn: Mutex<Turn>,
    sent_away: CancellationToken,
}

/// What a connection does.
#[derive(Clone, Copy)]
enum Turn {
    /// It waits for a request, with this number.
    Waiting(u64),
    /// A request is under way.
    Busy,
    /// It has ended.
    Over,
}

impl Place {
    /// Joins those who wait, unless the connection has ended.
    fn wait(&self) {
        let mut turn = self.turn.lock();
        if matches!(*turn, Turn::Over) {
            return;
        }
        let mut idle = self.seats.idle.lock();
        *turn = Turn::Waiting(idle.next);
        let number = idle.next;
        idle.next += 1;
        idle.waiting.insert(number, self.sent_away.clone());
    }

    /// Leaves those who wait, for what is `next`; false when it was sent away.
    fn rise(&self, next: Turn) -> bool {
        match std::mem::replace(&mut *self.turn.lock(), next) {
            Turn::Waiting(number) => self.seats.idle.lock().waiting.remove(&number).is_some(),
            Turn::Busy | Turn::Over => true,
        }
    }
}

impl Seat {
    /// Is cancelled when somebody else gets the seat.
    pub(crate) fn sent_away(&self) -> CancellationToken {
        self.place.sent_away.clone()
    }

    /// Begins a request; none when the seat is somebody else's by now.
    pub(crate) fn begin(&self) -> Option<Busy> {
        self.place.rise(Turn::Busy).then(|| Busy(Arc::clone(&self.place)))
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.place.rise(Turn::Over);
    }
}

/// A request under way. Those of one connection come one after the other.
pub(crate) struct Busy(Arc<Place>);

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.wait();
    }
}

/// A body whose connection is busy until it was sent.
pub(crate) struct Held {
    body: Body,
    _busy: Busy,
}

impl Held {
    pub(crate) fn new(body: Body, busy: Busy) -> Self {
        Self { body, _busy: busy }
    }
}

impl HttpBody for Held {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests;
