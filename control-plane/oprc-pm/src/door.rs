//! The door's settings as the crates behind it take them.

use std::{
    future::{Ready, ready},
    io,
    sync::Arc,
};

use axum::{Router, extract::Request, middleware::map_request};
use http::HeaderValue;
use oprc_config::{
    pm::{Audit, AuditLog, Config, OnFailure, RateLimits},
    tls::ServerTls,
};
use oprc_http::{
    Connection,
    tls::{Clients, Files, Tls},
};
use oprc_observability::{Lines, LinesGuard, Loss, Target};
use oprc_pm_api::{Door, Peer, Rate, Rates};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Where the certificates are.
pub(crate) fn files(tls: ServerTls) -> Files {
    let clients = match tls.clients {
        None => Clients::Anonymous,
        Some(clients) if clients.is_required => Clients::Required(clients.ca_path),
        Some(clients) => Clients::Optional(clients.ca_path),
    };
    Files { cert_path: tls.cert_path, key_path: tls.key_path, clients }
}

/// Reads the certificates again and again until `stop`.
pub(crate) fn keep_certificates(
    tls: Tls,
    parts: &mut JoinSet<()>,
    stop: CancellationToken,
) -> Arc<Tls> {
    let tls = Arc::new(tls);
    parts.spawn(Arc::clone(&tls).keep_fresh(stop));
    tls
}

/// Opens the audit log, if there is to be one.
pub(crate) fn audit(audit: &Audit) -> io::Result<Option<(Lines, LinesGuard)>> {
    let target = match &audit.log {
        AuditLog::Off => return Ok(None),
        AuditLog::Stdout => Target::Stdout,
        AuditLog::File(path) => Target::File {
            path: path.clone(),
            max_bytes: audit.max_bytes.get(),
            max_files: audit.max_files.count(),
        },
    };
    let loss = match audit.on_failure {
        OnFailure::Allow => Loss::Counted,
        OnFailure::Refuse => Loss::Forbidden,
    };
    Lines::open(target, loss).map(Some)
}

/// What the API's door asks and tells.
pub(crate) fn door(config: &Config, audit: Option<Lines>) -> Door {
    let around = &config.around;
    let proxies = around.trusted_proxies.iter().flat_map(|list| &list.0);
    let hosts = around.allowed_hosts.iter().flat_map(|list| &list.0);
    let origins = around.cors_allowed_origins.iter().flat_map(|list| &list.0);
    Door {
        trusted_proxies: proxies.map(|network| network.0).collect(),
        rates: rates(&config.rate_limits),
        audit,
        allowed_origins: origins
            .filter_map(|origin| HeaderValue::from_str(origin.as_str()).ok())
            .collect(),
        allowed_hosts: hosts.map(|host| host.as_str().to_owned()).collect(),
        is_encrypted: config.tls.is_some(),
    }
}

fn rates(limits: &RateLimits) -> Rates {
    let burst_secs = limits.burst_secs.get();
    let rate = |per_sec: u64| {
        let n = |n: u64| u32::try_from(n).unwrap_or(u32::MAX);
        (per_sec > 0)
            .then(|| Rate { per_sec: n(per_sec), burst: n(per_sec.saturating_mul(burst_secs)) })
    };
    Rates {
        subject_reads: rate(limits.subject_reads_per_sec.get()),
        subject_writes: rate(limits.subject_writes_per_sec.get()),
        address_reads: rate(limits.address_reads_per_sec.get()),
        address_writes: rate(limits.address_writes_per_sec.get()),
    }
}

/// `router`, told who is at the other end of each request's connection.
pub(crate) fn introduced(router: Router) -> Router {
    router.layer(map_request(introduce))
}

/// The connection, in the words of the API.
fn introduce(mut request: Request) -> Ready<Request> {
    if let Some(connection) = request.extensions_mut().remove::<Connection>() {
        let Connection { address, certificate_subject } = connection;
        request.extensions_mut().insert(Peer { address, certificate_subject });
    }
    ready(request)
}
