//! Tests of a stream that stalls.

use std::time::Duration;

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, duplex},
    time::{sleep, timeout},
};

use super::Stall;

#[tokio::test(start_paused = true)]
async fn a_stream_breaks_when_nothing_is_taken_and_not_before() {
    let (ours, mut theirs) = duplex(64);
    let mut stall = Stall::new(ours);
    let writing = tokio::spawn(async move { stall.write_all(&[0; 1_000]).await });
    for _ in 0..5 {
        sleep(Duration::from_secs(20)).await;
        theirs.read_exact(&mut [0; 64]).await.unwrap();
    }
    sleep(Duration::from_secs(29)).await;
    assert!(!writing.is_finished(), "headway was made 29 seconds ago");
    let outcome = timeout(Duration::from_secs(5), writing).await.unwrap().unwrap();
    assert_eq!(outcome.unwrap_err().kind(), std::io::ErrorKind::TimedOut);
}
