//! `/events`.

use oprc_cp_storage::keys::Key;
use oprc_models::event::About;
use serde_json::{Value, json};

use super::world::{World, name};

#[tokio::test(start_paused = true)]
async fn events_are_listed_by_what_they_are_about() {
    let world = World::new().await;
    let event = |reason: &str| {
        json!({
            "reason": reason, "severity": "WARNING", "message": "no room", "count": 3,
            "first": "2026-01-01T00:00:00Z", "last": "2026-01-01T00:10:00Z",
        })
    };
    let cart = About::Deployment(name("cart"));
    let stored = json!({ "events": [event("Sent"), event("Refused")] });
    world.store(&Key::Events(cart), &stored).await;
    let stored = json!({ "events": [event("BreakerOpened")] });
    world.store(&Key::Events(About::Cluster(name("cart"))), &stored).await;
    let reasons = |list: &Value| -> Vec<String> {
        let items = list["items"].as_array().unwrap().iter();
        items.map(|item| format!("{} {}", item["about"], item["reason"])).collect()
    };
    let of_cart = world.get("/api/v1/events?about=deployment/cart").await.is(200).json();
    assert_eq!(of_cart["items"][0]["count"], 3);
    assert_eq!(
        reasons(&of_cart),
        ["\"deployment/cart\" \"Refused\"", "\"deployment/cart\" \"Sent\""]
    );
    let mut all = Vec::new();
    let mut path = "/api/v1/events?limit=1".to_owned();
    loop {
        let page = world.get(&path).await.is(200).json();
        all.extend(reasons(&page));
        let Some(next) = page["continue"].as_str() else { break };
        path = format!("/api/v1/events?limit=1&continue={next}");
    }
    assert_eq!(all.len(), 3);
    for wrong in ["cart", "unit/cart", "deployment/", "deployment/a/b"] {
        let path = format!("/api/v1/events?about={wrong}");
        world.get(&path).await.refused(400, "invalid_parameter");
    }
}
