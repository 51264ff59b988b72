//! The checker sees what it must not miss: reads from a cache that is behind.

use reqwest::Method;
use tokio::time::Instant;

use super::{
    history::{self, Call, Operation, Reply},
    load::{self, call, marked, next_mark},
    ring::Ring,
    scenarios::usual,
};
use crate::support::Api;

/// Reads as `?consistency=cached` answers.
async fn cached(api: &Api, key: &str) -> Operation {
    let invoked = Instant::now();
    let path = format!("/api/v1/deployments/{key}?consistency=cached");
    let answer = Api::send(api.request(Method::GET, &path)).await;
    let reply = Reply::of(Call::Read, &answer).unwrap();
    Operation { key: key.to_owned(), call: Call::Read, reply, invoked, returned: Instant::now() }
}

/// A replica that is cut off from etcd answers cached reads from what it knew. Taken for
/// linearizable ones they are found out; as part of the same history, what the API calls
/// linearizable is not.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cached_reads_of_a_replica_that_is_cut_off_are_told_from_linearizable_ones() {
    let ring = Ring::start(&usual()).await;
    let (fresh, behind) = (&ring.replicas[0].api, &ring.replicas[1]);
    let key = load::keys().next().unwrap();
    let mut history = vec![
        call(fresh, &key, Call::Put(next_mark())).await,
        call(&behind.api, &key, Call::Read).await,
    ];
    assert!(matches!(history[1].reply, Reply::Found(..)), "{history:?}");
    behind.to_etcd.cut();
    history.push(call(fresh, &key, Call::Put(next_mark())).await);
    assert!(matches!(history[2].reply, Reply::Written(_)), "{history:?}");
    // It does not know, says so, and makes nothing up.
    let refused = call(&behind.api, &key, Call::Read).await;
    assert_eq!(refused.reply, Reply::NotDone);
    history.push(refused);
    history.push(call(fresh, &key, Call::Read).await);
    history::check(&history).unwrap();

    let stale = cached(&behind.api, &key).await;
    assert_eq!(stale.reply, history[1].reply, "it is behind");
    history.push(stale);
    let reason = history::check(&history).unwrap_err();
    assert!(reason.contains("not linearizable"), "{reason}");
    behind.to_etcd.mend();
    let path = format!("/api/v1/deployments/{key}");
    let last = fresh.put(&path, &marked(&key, next_mark())).await;
    assert!(last.status.is_success(), "{last:?}");
}
