use std::sync::Arc;

use oprc_cp_storage::{Op, Precondition, Txn, Write, memory::MemoryStore};
use oprc_models::crm::RecordPage;

use super::*;
use crate::crm::tests::{start, unit};

async fn pages(crm: &Crm, filter: &Filter, limit: usize) -> Vec<RecordPage> {
    let (mut pages, mut from) = (Vec::new(), None);
    loop {
        let page = page(crm, filter, limit, from).await.unwrap();
        let page: RecordPage = serde_json::from_slice(&page).unwrap();
        let next = page.r#continue.clone();
        pages.push(page);
        let Some(next) = next else { return pages };
        from = Some(next.parse().unwrap());
    }
}

#[tokio::test(start_paused = true)]
async fn pages_are_complete_and_of_one_revision() {
    let (crm, _guard) = start(Arc::new(MemoryStore::default())).await;
    assert_eq!(pages(&crm, &Filter::default(), 3).await[0].items.len(), 0);
    for number in 0..7 {
        crm.apply(None, &unit(&format!("u{number}"), 1)).await.unwrap();
    }
    for (limit, want) in [(3, vec![3, 3, 1]), (7, vec![7]), (1_000, vec![7]), (6, vec![6, 1])] {
        let pages = pages(&crm, &Filter::default(), limit).await;
        let lengths: Vec<_> = pages.iter().map(|page| page.items.len()).collect();
        assert_eq!(lengths, want);
        assert!(pages.iter().all(|page| page.revision == pages[0].revision));
    }

    let first = page(&crm, &Filter::default(), 3, None).await.unwrap();
    let first: RecordPage = serde_json::from_slice(&first).unwrap();
    crm.apply(None, &unit("u9", 1)).await.unwrap();
    let from = first.r#continue.unwrap().parse().unwrap();
    let rest = page(&crm, &Filter::default(), 100, Some(from)).await.unwrap();
    let rest: RecordPage = serde_json::from_slice(&rest).unwrap();
    assert_eq!(rest.items.len(), 4, "u9 came after the listing began");
}

#[tokio::test(start_paused = true)]
async fn each_filter_keeps_what_it_names() {
    let (crm, _guard) = start(Arc::new(MemoryStore::default())).await;
    crm.apply(None, &unit("a", 1)).await.unwrap();
    let mut other = unit("b", 1);
    other.package_name = "blog".parse().unwrap();
    other.class_key = "Post".parse().unwrap();
    other.owner = "other".to_owned();
    crm.apply(None, &other).await.unwrap();
    let text = |text: &str| Some(text.to_owned());
    let none = Filter::default;
    let cases = [
        (Filter { package: text("blog"), ..none() }, vec!["b"]),
        (Filter { class: text("Cart"), ..none() }, vec!["a"]),
        (Filter { owner: text("other"), ..none() }, vec!["b"]),
        (Filter { env: text("east"), ..none() }, vec!["a", "b"]),
        (Filter { env: text("west"), ..none() }, vec![]),
        (Filter { package: text("blog"), class: text("Cart"), ..none() }, vec![]),
        (Filter { status: Some(RunCondition::Down), ..none() }, vec![]),
    ];
    for (filter, want) in cases {
        let pages = pages(&crm, &filter, 10).await;
        let ids: Vec<_> = pages[0].items.iter().map(|record| record.id.as_str()).collect();
        assert_eq!(ids, want, "{filter:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_damaged_record_is_left_out_and_left_alone() {
    let (crm, _guard) = start(Arc::new(MemoryStore::default())).await;
    crm.apply(None, &unit("a", 1)).await.unwrap();
    let damaged = Write {
        key: "records/b".to_owned(),
        precondition: Precondition::Absent,
        op: Op::Put("{\"id\":".into()),
    };
    crm.store.txn(Txn { checks: Vec::new(), writes: vec![damaged] }).await.unwrap();
    assert_eq!(pages(&crm, &Filter::default(), 10).await[0].items.len(), 1);
    let outcome = crm.apply(None, &unit("b", 1)).await;
    assert!(matches!(outcome, Err(Error::Damaged { .. })), "{outcome:?}");
}

#[tokio::test(start_paused = true)]
async fn a_listing_that_took_too_long_is_told_to_begin_anew() {
    let store = Arc::new(MemoryStore::default());
    let (crm, _guard) = start(Arc::clone(&store) as oprc_cp_storage::SharedStore).await;
    for id in ["a", "b"] {
        crm.apply(None, &unit(id, 1)).await.unwrap();
    }
    store.compact(Revision(2));
    let from = Continue { revision: Revision(1), after: "a".to_owned() };
    let outcome = page(&crm, &Filter::default(), 1, Some(from)).await;
    assert!(matches!(outcome, Err(Error::Expired { .. })), "{outcome:?}");
    for token in ["", "a", "1", "x.a"] {
        assert!(token.parse::<Continue>().is_err(), "{token}");
    }
}
