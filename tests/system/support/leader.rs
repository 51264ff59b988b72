//! Who leads, as the store has it.

use etcd_client::Client;
use serde_json::Value;

use super::Api;

/// The election key of Package Managers with the usual prefix.
pub(crate) const LEADER_KEY: &str = "/oaas/pm/leader/pm";

/// Which of `apis` is the leader's, and its term; `None`: nobody leads. An error when etcd does not
/// answer.
pub(crate) async fn leader<'a>(
    etcd: &mut Client,
    apis: impl IntoIterator<Item = &'a Api>,
) -> Result<Option<(usize, i64)>, etcd_client::Error> {
    let found = etcd.get(LEADER_KEY, None).await?;
    let Some(holder) = found.kvs().first() else { return Ok(None) };
    let value: Value = serde_json::from_slice(holder.value()).unwrap();
    let id = value["id"].as_str().unwrap();
    let is_of = |api: &Api| id.starts_with(&format!("{}/", api.url.trim_start_matches("http://")));
    let index = apis.into_iter().position(is_of);
    Ok(Some((index.unwrap(), holder.create_revision())))
}
