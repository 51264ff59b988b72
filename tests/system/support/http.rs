//! Calling an API, and what it answers.

use std::{sync::Once, time::Duration};

use reqwest::{Client, ClientBuilder, Method, RequestBuilder, StatusCode, header::HeaderMap};
use serde_json::Value;

use super::PATIENCE;

/// What was answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Value,
}

/// What a client of HTTP is made of.
pub(crate) fn client() -> ClientBuilder {
    static PROVIDER: Once = Once::new();
    PROVIDER.call_once(|| {
        // Another user of the library may have been first, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
    });
    Client::builder()
}

/// A client of one API.
#[derive(Clone, Debug)]
pub(crate) struct Api {
    client: Client,
    pub(crate) url: String,
}

impl Api {
    pub(crate) fn new(url: String) -> Self {
        let client = client().timeout(PATIENCE).build().unwrap();
        Self { client, url }
    }

    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("{}{path}", self.url))
    }

    /// Sends `request`; an error when no answer came.
    pub(crate) async fn try_send(request: RequestBuilder) -> Result<Answer, reqwest::Error> {
        let response = request.send().await?;
        let (status, headers) = (response.status(), response.headers().clone());
        let text = response.text().await?;
        let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
        Ok(Answer { status, headers, body })
    }

    pub(crate) async fn send(request: RequestBuilder) -> Answer {
        Self::try_send(request).await.unwrap()
    }

    pub(crate) async fn try_get(&self, path: &str) -> Result<Answer, reqwest::Error> {
        Self::try_send(self.request(Method::GET, path)).await
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.try_get(path).await.unwrap()
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Answer {
        Self::send(self.request(Method::POST, path).json(body)).await
    }

    pub(crate) async fn put(&self, path: &str, body: &Value) -> Answer {
        Self::send(self.request(Method::PUT, path).json(body)).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Answer {
        Self::send(self.request(Method::DELETE, path)).await
    }

    /// Posts a document as text, the way `curl --data-binary` does.
    pub(crate) async fn post_text(&self, path: &str, media_type: &str, text: String) -> Answer {
        let request = self.request(Method::POST, path).header("content-type", media_type);
        Self::send(request.body(text)).await
    }

    /// Every item of the list at `path`, over all its pages.
    pub(crate) async fn list(&self, path: &str) -> Vec<Value> {
        let mut items = Vec::new();
        let mut after = String::new();
        loop {
            let answer = self.get(&format!("{path}?limit=100{after}")).await;
            assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
            items.extend(answer.body["items"].as_array().unwrap().iter().cloned());
            match answer.body["continue"].as_str() {
                Some(next) => after = format!("&continue={next}"),
                None => return items,
            }
        }
    }

    /// Whether `GET path` answers 200 within a second.
    pub(crate) async fn is_ok(&self, path: &str) -> Result<(), String> {
        let request = self.request(Method::GET, path).timeout(Duration::from_secs(1));
        match Self::try_send(request).await {
            Ok(answer) if answer.status == StatusCode::OK => Ok(()),
            Ok(answer) => Err(format!("{answer:?}")),
            Err(err) => Err(format!("{err:?}")),
        }
    }
}

/// Wants a problem document with this status.
#[track_caller]
pub(crate) fn check_problem(answer: &Answer, status: u16, code: &str) {
    assert_eq!(answer.status.as_u16(), status, "{answer:?}");
    let media_type = answer.headers.get("content-type").and_then(|value| value.to_str().ok());
    assert_eq!(media_type, Some("application/problem+json"), "{answer:?}");
    assert_eq!(answer.body["status"], status, "{answer:?}");
    assert_eq!(answer.body["code"], code, "{answer:?}");
    assert!(answer.body["correlation_id"].is_string(), "{answer:?}");
}
