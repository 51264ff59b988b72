//! Who gets a seat, and whose.

use tokio::time::{Duration, timeout};

use super::*;

async fn takes(seats: &Arc<Seats>) -> Option<Seat> {
    timeout(Duration::from_secs(1), seats.take()).await.ok()
}

#[tokio::test(start_paused = true)]
async fn the_longest_idle_gives_up_its_seat() {
    let seats = Seats::new(2);
    let [first, second] = [seats.take().await, seats.take().await];
    // A request makes the first the one that waited for less.
    drop(first.begin().unwrap());
    let sent_away = second.sent_away();
    let third = tokio::spawn(async move { takes(&seats).await });
    sent_away.cancelled().await;
    assert!(second.begin().is_none(), "the seat is somebody else's");
    drop(second);
    assert!(third.await.unwrap().is_some());
    assert!(!first.sent_away().is_cancelled());
}

#[tokio::test(start_paused = true)]
async fn who_is_busy_is_not_sent_away() {
    let seats = Seats::new(1);
    let seat = seats.take().await;
    let busy = seat.begin().unwrap();
    assert!(takes(&seats).await.is_none(), "there was no seat to be had");
    assert!(!seat.sent_away().is_cancelled());
    drop(busy);
    let sent_away = seat.sent_away();
    tokio::spawn(async move {
        sent_away.cancelled().await;
        drop(seat);
    });
    assert!(takes(&seats).await.is_some(), "it is idle again");
}

/// An answer's body may be dropped after its connection.
#[tokio::test(start_paused = true)]
async fn who_has_left_waits_for_nothing() {
    let seats = Seats::new(1);
    let seat = seats.take().await;
    let busy = seat.begin().unwrap();
    drop(seat);
    drop(busy);
    assert!(seats.idle.lock().waiting.is_empty());
    assert!(takes(&seats).await.is_some());
}
