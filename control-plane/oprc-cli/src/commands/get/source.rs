//! Where the things to show come from: one page, or a list with filters.

use oprc_client::{Client, Events};
use serde_json::Value;

use crate::{
    args::{Filters, Get},
    error::Error,
    kind::{Kind, Target},
};

/// What was asked for.
pub(super) struct Source {
    target: Target,
    query: Vec<(&'static str, String)>,
    limit: Option<usize>,
}

/// What was found.
pub(super) struct Found {
    /// The things, in the server's order. Of a single one that was asked for by name: it.
    pub(super) items: Vec<Value>,
    /// The entity tag of all of it.
    pub(super) etag: Option<String>,
    /// Whether nothing changed since the entity tag given; `items` is empty then.
    pub(super) is_unchanged: bool,
}

impl Found {
    /// What is there is as it was.
    fn unchanged() -> Self {
        Self { items: Vec::new(), etag: None, is_unchanged: true }
    }
}

impl Source {
    /// What the command line asks for.
    pub(super) fn new(target: Target, args: &Get) -> Result<Self, Error> {
        let limit = args.limit.map(|limit| usize::try_from(limit).unwrap_or(usize::MAX));
        let query = query(target.kind, &args.filters)?;
        if target.name.is_some() && target.kind.has_pages() && !query.is_empty() {
            return Err(Error::usage("a filter and a name: want one of them"));
        }
        Ok(Self { target, query, limit })
    }

    pub(super) fn kind(&self) -> Kind {
        self.target.kind
    }

    /// Whether one thing was asked for, by a name that there can be only one of.
    pub(super) fn is_single(&self) -> bool {
        self.target.name.is_some() && self.target.kind.has_pages()
    }

    /// Asks for it. A name that is not there is an error.
    pub(super) async fn fetch(&self, client: &Client, etag: Option<&str>) -> Result<Found, Error> {
        let kind = self.target.kind;
        match &self.target.name {
            Some(name) if kind.has_pages() => {
                Ok(match kind.get(client, name)?.unless(etag).await? {
                    None => Found::unchanged(),
                    Some(answer) => {
                        let items = vec![answer.body];
                        Found { items, etag: answer.etag, is_unchanged: false }
                    }
                })
            }
            Some(name) => {
                let mut found = self.list(client, etag).await?;
                found.items.retain(|item| kind.name_of(item) == name || kind.id_of(item) == *name);
                if found.items.is_empty() && !found.is_unchanged {
                    return Err(Error::usage(format!("no {kind} {name}")));
                }
                Ok(found)
            }
            None => self.list(client, etag).await,
        }
    }

    /// Fails with the server's words where one thing was asked for that is not there.
    pub(super) async fn missing(&self, client: &Client) -> Result<(), Error> {
        if self.target.name.is_some() { self.fetch(client, None).await.map(drop) } else { Ok(()) }
    }

    /// Watches it: the list, narrowed down as far as the server can, after the event `last_id`.
    /// `None`: it has to be asked for again and again.
    pub(super) async fn watch<'c>(
        &self,
        client: &'c Client,
        last_id: Option<&str>,
    ) -> Result<Option<Events<'c>>, Error> {
        if !self.target.kind.has_pages() || self.limit.is_some() {
            return Ok(None);
        }
        let mut call = self.target.kind.list(client);
        for (name, value) in &self.query {
            call = call.query(name, value.clone());
        }
        // A part of the name is all that it filters by; see `has`.
        let name = self.target.name.clone().filter(|_| self.target.kind != Kind::Record);
        if let Some(name) = name {
            call = call.query("name", name);
        }
        Ok(call.watch(last_id).await?)
    }

    /// Whether `item`, which its watch told of, was asked for.
    pub(super) fn has(&self, item: &Value) -> bool {
        let kind = self.target.kind;
        let name = self.target.name.as_ref();
        name.is_none_or(|name| kind.name_of(item) == name || kind.id_of(item) == *name)
    }

    async fn list(&self, client: &Client, etag: Option<&str>) -> Result<Found, Error> {
        let limit = self.limit.filter(|_| self.target.name.is_none());
        let mut call = self.target.kind.list(client);
        for (name, value) in &self.query {
            call = call.query(name, value);
        }
        Ok(match call.all_unless(limit, etag).await? {
            None => Found::unchanged(),
            Some((items, etag)) => Found { items, etag, is_unchanged: false },
        })
    }
}

/// The one thing of this name.
pub(in crate::commands) async fn one(
    client: &Client,
    kind: Kind,
    name: &str,
) -> Result<Value, Error> {
    let target = Target { kind, name: Some(name.to_owned()) };
    let source = Source { target, query: Vec::new(), limit: None };
    let mut items = source.fetch(client, None).await?.items;
    if items.len() > 1 {
        let names: Vec<String> = items.iter().map(|item| kind.id_of(item)).collect();
        let message = format!("{kind} {name} is one of several: {}", names.join(", "));
        return Err(Error::usage(message));
    }
    items.pop().ok_or_else(|| client.odd("nothing, where there is something").into())
}

/// The server's names for the filters. One that the kind does not have is a mistake: ignoring it
/// would show too much.
fn query(kind: Kind, filters: &Filters) -> Result<Vec<(&'static str, String)>, Error> {
    let is_document = matches!(kind, Kind::Package | Kind::Deployment);
    let is_deployment = kind == Kind::Deployment;
    let is_placed = matches!(kind, Kind::Deployment | Kind::Record);
    let is_part = matches!(kind, Kind::Class | Kind::Function);
    let cluster = if kind == Kind::Record { "cluster" } else { "target_env" };
    let label = filters.label.as_ref().map(ToString::to_string);
    let known = [
        ("--label", "label", &label, is_document),
        ("--package", "package_name", &filters.package, is_deployment || is_part),
        ("--class", "class_key", &filters.class, is_deployment),
        ("--cluster", cluster, &filters.cluster, is_placed),
        ("--condition", "condition", &filters.condition, is_deployment),
        ("--tag", "tag", &filters.tag, kind == Kind::Package),
        ("--bundle", "bundle", &filters.bundle, is_document),
    ];
    let mut query = Vec::new();
    for (flag, name, value, has_it) in known {
        match value {
            Some(_) if !has_it => {
                let message = format!("{} cannot be filtered by {flag}", kind.plural());
                return Err(Error::usage(message));
            }
            Some(value) => query.push((name, value.clone())),
            None => {}
        }
    }
    Ok(query)
}
