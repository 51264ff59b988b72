//! The suite on the store in memory, on a paused clock.

use std::sync::Arc;

use futures::FutureExt;

use super::MemoryStore;
use crate::testing::conformance::{Backend, check_all};

#[tokio::test(start_paused = true)]
async fn conforms() {
    let store = MemoryStore::default();
    let compacted = store.clone();
    let compact = move |revision| {
        compacted.compact(revision);
        std::future::ready(()).boxed()
    };
    check_all(&Backend { store: Arc::new(store), compact: Box::new(compact) }).await;
}
