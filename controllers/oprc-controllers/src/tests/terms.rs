//! A term that has run out: nothing is done in it, whoever has noticed.

use std::time::Duration;

use tokio::time::sleep;

use super::{World, crm::SimulatedCrm};

/// As after a pause: the term has run out, and no task has been there to notice.
#[tokio::test(start_paused = true)]
async fn nothing_is_sent_once_the_term_has_run_out() {
    // Of a CRM that knows of no terms, and would take the call.
    let east = SimulatedCrm::new("east", &[]);
    let mut world = World::start(std::slice::from_ref(&east)).await;
    world.put_package(1, "shop:1").await;
    world.put_deployment("u1", 1, &["east"]).await;
    world.running("shop.cart", 1).await;
    let lasts = Duration::from_secs(5);
    world.begin_term_of(lasts).await;
    world.running("shop.cart", 1).await;
    sleep(lasts).await;
    world.put_package(2, "shop:2").await;
    sleep(lasts * 10).await;
    assert_eq!(east.inner.lock().effects, ["create shop.cart 1"]);
    world.begin_term().await;
    world.eventually(60, "updated", |_| east.inner.lock().effects.len() == 2).await;
}
