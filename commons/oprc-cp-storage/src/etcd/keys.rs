//! Our keys within etcd's.

/// What all our keys start with in etcd.
#[derive(Clone, Debug)]
pub(super) struct Keys {
    prefix: String,
}

impl Keys {
    /// Keys under `key_prefix` and a `/`.
    pub(super) fn new(key_prefix: &str) -> Self {
        Self { prefix: format!("{}/", key_prefix.trim_end_matches('/')) }
    }

    /// The key in etcd.
    pub(super) fn full(&self, key: &str) -> String {
        format!("{}{key}", self.prefix)
    }

    /// The first key after all that start with `prefix`.
    pub(super) fn end_of(&self, prefix: &str) -> Vec<u8> {
        let mut end = self.full(prefix).into_bytes();
        // A prefix is text, so no byte of it is 0xff, and its last one can be raised.
        if let Some(last) = end.last_mut() {
            *last = last.saturating_add(1);
        }
        end
    }

    /// Our key, of etcd's; `None` when it is not one of ours.
    pub(super) fn relative(&self, key: &[u8]) -> Option<String> {
        let relative = key.strip_prefix(self.prefix.as_bytes())?;
        String::from_utf8(relative.to_vec()).ok()
    }
}
