//! A filtered page of a hundred thousand deployments, with an index and without.

use tokio::time::Instant;

use crate::{
    documents::deployment,
    load::{Connection, push_all},
    process::Program,
    stores::{Kind, Place},
    table::{self, millis},
};

const DEPLOYMENTS: usize = 100_000;
const CLIENTS: usize = 64;
const ROUNDS: usize = 50;

pub(crate) async fn run() {
    let place = Place::new(Kind::Embedded).await.unwrap();
    let (pm, _) = Program::pm(place.variables(&[])).await;
    pm.push_package().await;
    let last = format!("cart-{:06}", DEPLOYMENTS - 1);
    let documents = (0..DEPLOYMENTS).map(|n| {
        let key = format!("cart-{n:06}");
        let document = deployment(&key, "east");
        // The last one alone, so that a scan looks at everything.
        if key == last { document.replace("\"checkout\"", "\"rare\"") } else { document }
    });
    push_all(pm.addr, CLIENTS, documents.collect()).await;
    pm.until_idle().await;

    let mut connection = Connection::open(pm.addr).await;
    for (filter, what, n_found) in [
        ("label=team=rare", "of a rare label", 1),
        ("condition=RUNNING", "of a run state that none is in", 0),
        ("label=site=north,team=rare", "of two labels", 1),
        ("name=099999", "of a part of the name, by a scan", 1),
    ] {
        let path = format!("/api/v1/deployments?limit=1&consistency=cached&{filter}");
        let mut times = Vec::new();
        for _ in 0..ROUNDS {
            let asked = Instant::now();
            let (status, body) = connection.get(&path).await;
            times.push(millis(asked.elapsed()));
            let page: serde_json::Value = serde_json::from_slice(body).unwrap();
            assert_eq!((status, page["items"].as_array().unwrap().len()), (200, n_found));
        }
        let median = table::median(&mut times);
        let measure = format!("page {what}, 100,000 deployments: median");
        table::row(&measure, &format!("{median:.2} ms"), "");
    }
}
