//! One call: an operation, what it is about, and how its answer is read.

use std::{borrow::Cow, marker::PhantomData};

use bytes::Bytes;
use oprc_models::view::Page;
use serde::de::DeserializeOwned;

use crate::{client::Client, error::Error, operations::Operation};

/// Items asked for in one page of a list.
const PAGE: usize = 500;

/// The most items of a list that are taken into memory.
const MAX_ITEMS: usize = 100_000;

/// A call that was not made yet; its answer is read as a `T`.
#[must_use = "a call does nothing until it is sent"]
pub struct Call<'a, T> {
    client: &'a Client,
    pub(crate) operation: &'static Operation,
    pub(crate) names: Vec<&'a str>,
    pub(crate) query: Vec<(&'a str, Cow<'a, str>)>,
    pub(crate) body: Option<Bytes>,
    pub(crate) if_match: Option<&'a str>,
    pub(crate) if_none_match: Option<&'a str>,
    answer: PhantomData<fn() -> T>,
}

/// A good answer.
#[derive(Debug)]
pub struct Answer<T> {
    /// What was read or written, as it is now.
    pub body: T,
    /// Its entity tag.
    pub etag: Option<String>,
    /// Whether what was written is new.
    pub is_created: bool,
    /// Whether it may be behind the store; only of a read that did not ask for better.
    pub is_stale: bool,
}

impl<'a, T> Call<'a, T> {
    pub(crate) fn new(
        client: &'a Client,
        operation: &'static Operation,
        names: Vec<&'a str>,
        document: Option<&str>,
    ) -> Self {
        Self {
            client,
            operation,
            names,
            query: Vec::new(),
            body: document.map(|document| document.to_owned().into()),
            if_match: None,
            if_none_match: None,
            answer: PhantomData,
        }
    }

    /// With a query parameter. One that the operation does not know is refused by the server.
    pub fn query(mut self, name: &'a str, value: impl Into<Cow<'a, str>>) -> Self {
        self.query.push((name, value.into()));
        self
    }

    /// A write of what still has the entity tag `etag`, and of nothing else.
    pub fn only_if(self, etag: &'a str) -> Self {
        Self { if_match: Some(etag), ..self }
    }

    /// The same call, with the answer read as a `U`: a [`serde_json::Value`] holds also what a newer
    /// server says and this version does not know.
    pub fn read_as<U>(self) -> Call<'a, U> {
        Call {
            client: self.client,
            operation: self.operation,
            names: self.names,
            query: self.query,
            body: self.body,
            if_match: self.if_match,
            if_none_match: self.if_none_match,
            answer: PhantomData,
        }
    }

    pub(crate) fn client(&self) -> &'a Client {
        self.client
    }

    /// What it is about, for people: `package/shop`, or `packages` of a list.
    #[must_use]
    pub fn subject(&self) -> String {
        self.operation.subject(&self.names)
    }
}

impl<T: DeserializeOwned> Call<'_, T> {
    /// Makes the call.
    ///
    /// A busy server is asked again, and so is one whose answer was lost: every operation may be
    /// repeated.
    ///
    /// # Errors
    ///
    /// See [`Error`].
    pub async fn send(self) -> Result<Answer<T>, Error> {
        let answer = self.client.send(&self).await?;
        answer.ok_or_else(|| self.client.odd("not changed, where nothing was known before"))
    }

    /// Makes a call that reads; none where what is there still has the entity tag `etag`.
    ///
    /// # Errors
    ///
    /// See [`Error`].
    pub async fn unless(self, etag: Option<&str>) -> Result<Option<Answer<T>>, Error> {
        let call = Call { if_none_match: etag, ..self };
        call.client.send(&call).await
    }
}

impl<T: DeserializeOwned> Call<'_, Page<T>> {
    /// The items of a list, in the server's order, over all pages; at most `limit`.
    ///
    /// # Errors
    ///
    /// See [`Error`].
    pub async fn all(self, limit: Option<usize>) -> Result<Vec<T>, Error> {
        let list = self.all_unless(limit, None).await?;
        Ok(list.map(|(items, _)| items).unwrap_or_default())
    }

    /// As [`Call::all`], with the entity tag of a list that is one page; none where it is still
    /// `etag`.
    ///
    /// # Errors
    ///
    /// See [`Error`].
    pub async fn all_unless(
        self,
        limit: Option<usize>,
        etag: Option<&str>,
    ) -> Result<Option<(Vec<T>, Option<String>)>, Error> {
        let client = self.client;
        let limit = limit.unwrap_or(MAX_ITEMS).min(MAX_ITEMS);
        let mut items = Vec::new();
        let mut next: Option<String> = None;
        loop {
            let page = PAGE.min(limit - items.len()).to_string();
            let mut call = Self::new(client, self.operation, self.names.clone(), None);
            call.query.clone_from(&self.query);
            call.query.push(("limit", page.into()));
            call.query.extend(next.clone().map(|next| ("continue", next.into())));

            let Some(answer) = call.unless(etag.filter(|_| next.is_none())).await? else {
                return Ok(None);
            };
            items.extend(answer.body.items);
            items.truncate(limit);
            let more = answer.body.next;
            if items.len() == limit || more.is_none() {
                // A page's tag speaks of that page: only a list of one page can be asked for by it.
                let etag = answer.etag.filter(|_| next.is_none());
                return Ok(Some((items, etag)));
            }
            if more == next {
                return Err(client.odd("a page that continues with itself"));
            }
            next = more;
        }
    }
}
