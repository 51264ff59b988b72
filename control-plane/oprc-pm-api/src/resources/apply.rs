//! `/api/v1/apply`: many documents, all of them or none.

use axum::extract::State as Shared;
use http::StatusCode;
use oprc_cp_storage::keys::Key;
use oprc_models::{
    difference::Difference,
    document::{self, Format, Kind, Node, PackageDocument, Parsed, ReadAs},
    meta::Source,
    names::BundleName,
    problem::Violation,
    role::{self, Verb},
};

use crate::{
    answer,
    auth::{Grants, Missing},
    body,
    call::{Answer, App, Call, SharedApp, json},
    door::audit::Effects,
    error::ApiError,
    params::Params,
    reading::IsCancelled,
    splice::{Object, array},
    writes::{
        Applied, BundlePush, BundleWritten, Conditions, Document, DocumentSpec, Error, Outcome,
        Preview, Site, Touched,
    },
};

/// The most violations and warnings of one answer.
const MAX_TOLD: usize = 100;

/// Bytes that the documents of a push may take in memory, for each byte of its body.
const FOOTPRINT_PER_BYTE: usize = 10;

/// Bytes that the documents of any push may take in memory.
const FREE_FOOTPRINT: usize = 1 << 20;

/// The longest part of a `source`, in bytes.
const MAX_SOURCE_BYTES: usize = 1024;

/// What the query asks for.
struct Request {
    bundle: Option<BundleName>,
    prune: bool,
    allow_empty: bool,
    force: bool,
    is_dry_run: bool,
    is_strict: bool,
    if_unchanged: bool,
    source: Option<Source>,
}

impl Request {
    fn new(params: &mut Params) -> Result<Self, ApiError> {
        let request = Self {
            bundle: params.get("bundle")?,
            prune: params.flag("prune")?,
            allow_empty: params.flag("allow_empty")?,
            force: params.flag("force")?,
            is_dry_run: params.flag("dry_run")?,
            is_strict: params.flag("strict")?,
            if_unchanged: params.flag("if_unchanged")?,
            source: source(params)?,
        };
        if (request.prune || request.force) && request.bundle.is_none() {
            let detail = "prune and force: want a bundle, whose documents are meant";
            return Err(ApiError::bad_request("invalid_parameter", detail));
        }
        if request.allow_empty && !request.prune {
            let detail = "allow_empty: only a push with prune=true deletes documents";
            return Err(ApiError::bad_request("invalid_parameter", detail));
        }
        Ok(request)
    }
}

fn source(params: &mut Params) -> Result<Option<Source>, ApiError> {
    let mut part = |name| {
        let text = params.text(name)?.filter(|text| !text.is_empty());
        match text {
            Some(text) if text.len() > MAX_SOURCE_BYTES => {
                let detail = format!("{name}: want at most {MAX_SOURCE_BYTES} bytes");
                Err(ApiError::bad_request("invalid_parameter", detail))
            }
            text => Ok(text),
        }
    };
    let source = Source { repository: part("source_repository")?, commit: part("source_commit")? };
    Ok((source != Source::default()).then_some(source))
}

/// `POST /apply`.
pub(crate) async fn apply(Shared(app): SharedApp, mut call: Call) -> Answer {
    let mut params = call.params()?;
    let request = Request::new(&mut params)?;
    params.finish()?;
    let received = body::read(&app, &mut call, app.limits.max_apply_bytes).await?;
    let by = call.by;
    // Taken when all of the body is here: a caller that sends nothing holds nothing.
    let push = app.pushes.take(by.holders().to_vec());
    let _push = push.map_err(|full| full.into_error("too_many_requests"))?;
    let (is_strict, max_documents) = (request.is_strict, app.limits.max_apply_documents);
    let if_unchanged = request.if_unchanged;
    let documents = move |bytes: &[u8], format, is_cancelled: IsCancelled<'_>| {
        let mut read = read(bytes, format, max_documents, is_strict, is_cancelled)?;
        for document in &mut read.value {
            document.conditions.if_unchanged = if_unchanged;
        }
        Ok(read)
    };
    let read = app.readers.read(received, documents).await?;
    let Parsed { value: documents, warnings } = read.map_err(ApiError::invalid_document)?;

    for document in &documents {
        by.intends(&document.key());
    }
    let grants = by.grants().clone();
    let by = crate::writes::Provenance { source: request.source.as_ref(), ..by.provenance() };
    let push = BundlePush {
        documents: &documents,
        bundle: request.bundle.as_ref(),
        prune: request.prune,
        allow_empty: request.allow_empty,
        force: request.force,
        by,
        permit: &|touched: &[Touched]| permit(&grants, touched),
    };
    push_or_preview(&app, &push, request.is_dry_run, &warnings).await
}

async fn push_or_preview(
    app: &App,
    push: &BundlePush<'_>,
    is_dry_run: bool,
    warnings: &[Violation],
) -> Answer {
    if is_dry_run {
        let site = Site { owner: &app.owner, default_cluster: app.default_cluster.as_ref() };
        let preview = app.writes.preview(push, site).await?;
        return written(&preview.written, warnings, Some(&preview));
    }
    let done = app.writes.apply(push).await?;
    let mut response = written(&done, warnings, None)?;
    response.extensions_mut().insert(Effects::of_push(&done));
    Ok(response)
}

/// Whether the caller may write all that a push touches: what it removes too, which no document of
/// it speaks of. What may not be seen is not named.
fn permit(grants: &Grants, touched: &[Touched]) -> Result<(), Error> {
    for Touched { key, package, outcome } in touched {
        let kind = match key {
            Key::Package(_) => role::Kind::Package,
            _ => role::Kind::Deployment,
        };
        let verb = match outcome {
            Outcome::Deleting | Outcome::Underway | Outcome::Removed => Verb::Delete,
            Outcome::Created => Verb::Create,
            Outcome::Replaced | Outcome::Published | Outcome::Unchanged => Verb::Update,
        };
        grants.require(verb, kind, package).map_err(|missing| {
            let package = missing.package.filter(|package| grants.sees(package));
            Error::Forbidden(Missing { package, ..missing })
        })?;
    }
    Ok(())
}

/// The documents in `bytes`, or every violation of each of them.
fn read(
    bytes: &[u8],
    format: Format,
    max_documents: usize,
    is_strict: bool,
    is_cancelled: IsCancelled<'_>,
) -> Result<Parsed<Vec<Document>>, Vec<Violation>> {
    let nodes = document::pushed(bytes, format, max_documents, is_cancelled)?;
    let (mut value, mut warnings, mut violations) = (Vec::new(), Vec::new(), Vec::new());
    let mut left = FREE_FOOTPRINT + FOOTPRINT_PER_BYTE * bytes.len();
    for (index, node) in nodes.into_iter().enumerate() {
        let at = format!("/{index}");
        if is_cancelled() {
            return Err(vec![Violation::new(at, "reading was cancelled")]);
        }
        match one(&at, node) {
            Ok(parsed) => {
                let footprint = parsed.value.iter().map(footprint).sum();
                left = left.checked_sub(footprint).ok_or_else(|| {
                    let message = "too many small functions, classes and deployments for the \
                                   size of the push";
                    vec![Violation::new(&at, message)]
                })?;
                value.extend(parsed.value);
                let told = if is_strict { &mut violations } else { &mut warnings };
                told.extend(placed(&at, parsed.warnings));
            }
            Err(found) => violations.extend(placed(&at, found)),
        }
        if violations.len() > MAX_TOLD {
            violations.truncate(MAX_TOLD);
            violations.push(Violation::new("", "and more"));
            break;
        }
    }
    warnings.truncate(MAX_TOLD);
    if violations.is_empty() { Ok(Parsed { value, warnings }) } else { Err(violations) }
}

/// Bytes that the lists of `document` take, their texts aside: those are a part of the push.
fn footprint(document: &Document) -> usize {
    let of_deployment = size_of::<Document>();
    match &document.spec {
        DocumentSpec::Deployment(_) => of_deployment,
        DocumentSpec::Package(package) => {
            of_deployment
                + size_of_val(package.functions.as_slice())
                + size_of_val(package.classes.as_slice())
                + size_of_val(package.deployments.as_slice())
        }
    }
}

fn placed(at: &str, violations: Vec<Violation>) -> impl Iterator<Item = Violation> {
    violations.into_iter().map(move |violation| Violation {
        pointer: format!("{at}{}", violation.pointer),
        message: violation.message,
    })
}

/// The conditions of a document that was `read_as` this.
fn conditions(read_as: Option<ReadAs>) -> Conditions {
    Conditions { read_as, ..Conditions::default() }
}

/// The documents that stand in one place: more than one in a list of deployments.
fn one(at: &str, node: Node) -> Result<Parsed<Vec<Document>>, Vec<Violation>> {
    match document::recognize(&node) {
        Ok(Kind::Package | Kind::Deployments) => {
            let whole = document::read_as(&node);
            let listed = node.get("deployments").map(Node::elements).unwrap_or_default();
            let mut listed: Vec<_> = listed.iter().map(document::read_as).collect();
            let Parsed { value, warnings } = document::package_node(node)?;
            let value = match value {
                PackageDocument::Package(package) => {
                    let spec = DocumentSpec::Package(package);
                    vec![Document { at: at.to_owned(), spec, conditions: conditions(whole) }]
                }
                PackageDocument::Deployments(list) => {
                    let of = |(index, deployment)| Document {
                        at: format!("{at}/deployments/{index}"),
                        spec: DocumentSpec::Deployment(deployment),
                        conditions: conditions(listed.get_mut(index).and_then(Option::take)),
                    };
                    list.into_iter().enumerate().map(of).collect()
                }
            };
            Ok(Parsed { value, warnings })
        }
        Ok(Kind::Deployment) => {
            let conditions = conditions(document::read_as(&node));
            let Parsed { value, warnings } = document::deployment_node(node)?;
            let spec = DocumentSpec::Deployment(value);
            Ok(Parsed { value: vec![Document { at: at.to_owned(), spec, conditions }], warnings })
        }
        Ok(Kind::RoleBinding) => {
            let message = "a role binding: want a package or a deployment; bindings are pushed one \
                           by one, at /role-bindings";
            Err(vec![Violation::new("", message)])
        }
        Err(violation) => Err(vec![violation]),
    }
}

fn written(written: &BundleWritten, warnings: &[Violation], preview: Option<&Preview>) -> Answer {
    let mut buffer = Vec::with_capacity(128 * written.applied.len() + 512);
    let mut object = Object::new(&mut buffer);
    if preview.is_some() {
        object.field("dry_run", &true)?;
    }
    if let Some(bundle) = &written.bundle {
        object.field("bundle", bundle)?;
    }
    object.field_with("items", |buffer| {
        let write = |buffer: &mut Vec<u8>, applied: &Applied| {
            let difference = preview.and_then(|preview| preview.differences.get(&applied.key));
            item(buffer, applied, difference)
        };
        array(buffer, &written.applied, usize::MAX, write).map(drop)
    })?;
    if let Some(Preview { effects, .. }) = preview {
        object.field("clusters", &effects.clusters)?;
        if effects.is_cut {
            object.field("clusters_cut", &true)?;
        }
    }
    let theirs = written.applied.iter().flat_map(|applied| {
        let at = applied.at.as_deref().unwrap_or_default();
        placed(at, applied.warnings.clone())
    });
    let mut warnings: Vec<Violation> = warnings.iter().cloned().chain(theirs).collect();
    warnings.truncate(MAX_TOLD);
    if !warnings.is_empty() {
        object.field("warnings", &warnings)?;
    }
    object.end();
    Ok(json(StatusCode::OK, buffer))
}

/// One document: which, and what became of it.
fn item(
    buffer: &mut Vec<u8>,
    applied: &Applied,
    difference: Option<&Difference>,
) -> Result<(), serde_json::Error> {
    let (kind, name) = answer::kind_and_name(&applied.key);
    let mut object = Object::new(buffer);
    object.field("kind", &kind)?;
    object.field("name", &name)?;
    object.field("outcome", &outcome(applied.outcome))?;
    object.field("generation", &applied.generation)?;
    if let Some(at) = &applied.at {
        object.field("at", at)?;
    }
    if let Some(owner) = &applied.owner {
        object.field("owner", owner)?;
    }
    if let Some(difference) = difference {
        object.members(difference)?;
    }
    object.end();
    Ok(())
}

fn outcome(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Created => "created",
        Outcome::Replaced => "replaced",
        Outcome::Published => "published",
        Outcome::Unchanged => "unchanged",
        Outcome::Deleting | Outcome::Underway | Outcome::Removed => "deleted",
    }
}
