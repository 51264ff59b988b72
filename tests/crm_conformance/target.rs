//! The CRM under test, and how to call it.

use std::{collections::BTreeMap, sync::Once, time::Duration};

use oprc_crm::server::Running;
use reqwest::{Client, Method, RequestBuilder, StatusCode, header::HeaderMap};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep, timeout};

/// The longest that anything may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// The CRM under test.
pub(crate) struct Target {
    client: Client,
    pub(crate) url: String,
    token: Option<String>,
    pub(crate) cluster: String,
    pub(crate) features: Vec<String>,
    /// Tells this test's units from all others.
    pub(crate) tag: String,
    /// The server, if it is one of ours.
    pub(crate) running: Option<Running>,
}

/// What was answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Value,
}

/// The variables of a CRM of ours, with `more`.
pub(crate) fn variables(more: &[(&str, &str)]) -> BTreeMap<String, String> {
    let all = [
        ("OPRC_CRM_CLUSTER_NAME", "east"),
        ("OPRC_CRM_PORT", "0"),
        ("OPRC_CRM_STORAGE_TYPE", "memory"),
        ("OPRC_CRM_BOOKMARK_SECS", "1"),
        ("OPRC_CRM_SIMULATED_START_MS", "50"),
        ("OPRC_CRM_SIMULATED_STOP_MS", "50"),
    ];
    let all = all.iter().chain(more);
    all.map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

/// The CRM of the environment, or one of ours.
pub(crate) async fn target() -> Target {
    let variable = |name| std::env::var_os(name).and_then(|value| value.into_string().ok());
    match variable("CRM_CONFORMANCE_URL") {
        Some(url) => Target::at(url, variable("CRM_CONFORMANCE_TOKEN"), None).await,
        None => ours(&[]).await,
    }
}

/// Whether the CRM is someone else's.
pub(crate) fn is_foreign() -> bool {
    std::env::var_os("CRM_CONFORMANCE_URL").is_some()
}

/// One of ours, with `more` variables.
pub(crate) async fn ours(more: &[(&str, &str)]) -> Target {
    let variables = variables(more);
    let token = variables.get("OPRC_CRM_TOKEN").cloned();
    let config = oprc_config::crm::Config::parse(variables).unwrap();
    let running = oprc_crm::server::start(config).await.unwrap();
    Target::at(running.url(), token, Some(running)).await
}

impl Target {
    async fn at(url: String, token: Option<String>, running: Option<Running>) -> Self {
        static PROVIDER: Once = Once::new();
        PROVIDER.call_once(|| {
            rustls::crypto::ring::default_provider().install_default().unwrap();
        });
        let client = Client::builder().timeout(PATIENCE).build().unwrap();
        let mut target = Self {
            client,
            url: url.trim_end_matches('/').to_owned(),
            token,
            cluster: String::new(),
            features: Vec::new(),
            tag: format!("c{:08x}", fastrand::u32(..)),
            running,
        };
        let health = target.get("/api/v1/health").await;
        assert_eq!(health.status, StatusCode::OK, "{health:?}");
        target.cluster = health.body["cluster_name"].as_str().unwrap().to_owned();
        let features = health.body["features"].as_array().cloned().unwrap_or_default();
        target.features = features.iter().map(|word| word.as_str().unwrap().to_owned()).collect();
        target
    }

    /// Whether the CRM offers `feature`; what needs it is not asked otherwise.
    pub(crate) fn offers(&self, feature: &str) -> bool {
        let offers = self.features.iter().any(|offered| offered == feature);
        if !offers {
            println!("not offered: {feature}");
        }
        offers
    }

    /// A request, with the token.
    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.client.request(method, format!("{}{path}", self.url));
        match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        send(self.request(Method::GET, path)).await
    }

    pub(crate) async fn post(&self, unit: &Value) -> Answer {
        send(self.request(Method::POST, "/api/v1/deployments").json(unit)).await
    }

    pub(crate) async fn delete(&self, id: &str, generation: u64) -> Answer {
        let path = format!("/api/v1/deployments/{id}?generation={generation}");
        send(self.request(Method::DELETE, &path)).await
    }

    /// The id of this test's unit `name`.
    pub(crate) fn id(&self, name: &str) -> String {
        format!("{}-{name}", self.tag)
    }

    /// This test's unit `name`. Each test has packages of its own, to filter by.
    pub(crate) fn unit(&self, name: &str, generation: u64) -> Value {
        json!({
            "id": self.id(name),
            "deployment_key": format!("{}.{name}", self.tag),
            "package_name": self.tag,
            "class_key": "Conformance",
            "target_env": self.cluster,
            "generation": generation,
            "spec_hash": format!("hash-{generation}"),
            "owner": format!("pm-{}", self.tag),
            "functions": [{
                "key": "echo",
                "function_type": "CUSTOM",
                "provision_config": {"container_image": "example.com/echo:1"},
                "replicas": {"min": 1, "max": 2, "target": 1},
            }],
            "created_at": "2026-01-01T00:00:00Z",
        })
    }

    /// Takes the unit `name` and wants `status`.
    #[track_caller]
    pub(crate) fn take(
        &self,
        name: &str,
        generation: u64,
        status: StatusCode,
    ) -> impl Future<Output = Answer> {
        let caller = std::panic::Location::caller();
        let unit = self.unit(name, generation);
        async move {
            let answer = self.post(&unit).await;
            assert_eq!(answer.status, status, "{caller}: {answer:?}");
            answer
        }
    }

    /// Waits until the record of `name` is as `is_so` wants; `None`: there is none.
    pub(crate) async fn wait_until(&self, name: &str, is_so: impl Fn(Option<&Value>) -> bool) {
        let path = format!("/api/v1/deployment-records/{}", self.id(name));
        let began = Instant::now();
        loop {
            let answer = self.get(&path).await;
            let record = (answer.status != StatusCode::NOT_FOUND).then_some(&answer.body);
            if is_so(record) {
                return;
            }
            assert!(began.elapsed() < PATIENCE, "{name} is still {answer:?}");
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// Deletes the unit `name` and waits until it is gone.
    pub(crate) async fn remove(&self, name: &str, generation: u64) {
        let answer = self.delete(&self.id(name), generation).await;
        assert_eq!(answer.status, StatusCode::ACCEPTED, "{answer:?}");
        self.wait_until(name, |record| record.is_none()).await;
    }
}

/// Sends `request` and reads the answer.
pub(crate) async fn send(request: RequestBuilder) -> Answer {
    let response = timeout(PATIENCE, request.send()).await.unwrap().unwrap();
    let (status, headers) = (response.status(), response.headers().clone());
    let text = response.text().await.unwrap();
    let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
    Answer { status, headers, body }
}

/// Wants a problem document with this status and this code.
#[track_caller]
pub(crate) fn check_problem(answer: &Answer, status: u16, code: &str) {
    assert_eq!(answer.status.as_u16(), status, "{answer:?}");
    let media_type = answer.headers.get("content-type").and_then(|value| value.to_str().ok());
    assert_eq!(media_type, Some("application/problem+json"), "{answer:?}");
    assert_eq!(answer.body["status"], status, "{answer:?}");
    assert_eq!(answer.body["code"], code, "{answer:?}");
    assert!(answer.body["title"].is_string() && answer.body["type"].is_string(), "{answer:?}");
}
