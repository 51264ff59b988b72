//! Who may use which route: one table, for the middleware and for its test.
//!
//! A route that is not in the table is refused, and so is a method that the table has not: nothing
//! is open because somebody forgot it.

use std::collections::HashMap;

use http::Method;
use oprc_models::role::{Kind, Verb};

/// What a caller needs for a method of a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Need {
    /// Nothing: not even to say who they are.
    Nothing,
    /// To say who they are, unless the metrics are open.
    Metrics,
    /// To say who they are.
    Identity,
    /// A role that permits this somewhere. In which package is for the handler, which alone knows.
    Role(Verb, Kind),
    /// A role that permits this for one of two kinds: which it is, the body says.
    Either(Verb, [Kind; 2]),
}

/// The methods of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Does {
    Get,
    Post,
    Put,
    Delete,
}

impl Does {
    pub(crate) fn method(self) -> Method {
        match self {
            Self::Get => Method::GET,
            Self::Post => Method::POST,
            Self::Put => Method::PUT,
            Self::Delete => Method::DELETE,
        }
    }

    fn of(method: &Method) -> Option<Self> {
        match *method {
            Method::GET | Method::HEAD => Some(Self::Get),
            Method::POST => Some(Self::Post),
            Method::PUT => Some(Self::Put),
            Method::DELETE => Some(Self::Delete),
            _ => None,
        }
    }
}

use Does::{Delete as DELETE, Get as GET, Post as POST, Put as PUT};
use Kind::{Class, Cluster, Deployment, Event, Function, Package, Record, RoleBinding};
use Need::{Either, Identity, Metrics, Nothing, Role};
use Verb::{Create, Delete, Get, List, Update, Watch};

/// Every route, as the router has it, and what each method of it needs.
pub(crate) const ROUTES: &[(&str, &[(Does, Need)])] = &[
    ("/healthz", &[(GET, Nothing)]),
    ("/livez", &[(GET, Nothing)]),
    ("/readyz", &[(GET, Nothing)]),
    ("/metrics", &[(GET, Metrics)]),
    // What the interface is, is no secret: it is in the source.
    ("/", &[(GET, Nothing)]),
    ("/openapi.json", &[(GET, Nothing)]),
    ("/docs", &[(GET, Nothing)]),
    ("/schemas/{file}", &[(GET, Nothing)]),
    ("/api/v1/whoami", &[(GET, Identity)]),
    ("/api/v1/can-i", &[(GET, Identity)]),
    (
        "/api/v1/packages",
        // A list of deployments may come in the place of a package.
        &[(GET, Role(List, Package)), (POST, Either(Create, [Package, Deployment]))],
    ),
    (
        "/api/v1/packages/{name}",
        &[
            (GET, Role(Get, Package)),
            (PUT, Either(Update, [Package, Deployment])),
            (POST, Either(Update, [Package, Deployment])),
            (DELETE, Role(Delete, Package)),
        ],
    ),
    ("/api/v1/deployments", &[(GET, Role(List, Deployment)), (POST, Role(Create, Deployment))]),
    (
        "/api/v1/deployments/{key}",
        &[
            (GET, Role(Get, Deployment)),
            (PUT, Role(Update, Deployment)),
            (DELETE, Role(Delete, Deployment)),
        ],
    ),
    ("/api/v1/packages/{name}/versions", &[(GET, Role(Get, Package))]),
    ("/api/v1/packages/{name}/revisions", &[(GET, Role(Get, Package))]),
    ("/api/v1/packages/{name}/revisions/{generation}", &[(GET, Role(Get, Package))]),
    ("/api/v1/packages/{name}/revisions/{from}/diff/{to}", &[(GET, Role(Get, Package))]),
    ("/api/v1/packages/{name}/rollback", &[(POST, Role(Update, Package))]),
    ("/api/v1/deployments/{key}/revisions", &[(GET, Role(Get, Deployment))]),
    ("/api/v1/deployments/{key}/revisions/{generation}", &[(GET, Role(Get, Deployment))]),
    ("/api/v1/deployments/{key}/revisions/{from}/diff/{to}", &[(GET, Role(Get, Deployment))]),
    ("/api/v1/deployments/{key}/pause", &[(POST, Role(Update, Deployment))]),
    ("/api/v1/deployments/{key}/resume", &[(POST, Role(Update, Deployment))]),
    ("/api/v1/deployments/{key}/restart", &[(POST, Role(Update, Deployment))]),
    ("/api/v1/deployments/{key}/rollback", &[(POST, Role(Update, Deployment))]),
    ("/api/v1/classes", &[(GET, Role(List, Class))]),
    ("/api/v1/functions", &[(GET, Role(List, Function))]),
    // What each document needs, the handler asks; a bundle shows what of it may be seen.
    ("/api/v1/apply", &[(POST, Either(Update, [Package, Deployment]))]),
    ("/api/v1/bundles", &[(GET, Role(List, Package))]),
    ("/api/v1/bundles/{name}", &[(GET, Role(Get, Package))]),
    ("/api/v1/watch", &[(GET, Role(Watch, Package))]),
    // An event is seen by who sees what it is about.
    ("/api/v1/events", &[(GET, Role(List, Event))]),
    ("/api/v1/deployment-status/{id}", &[(GET, Role(Get, Deployment))]),
    ("/api/v1/deployment-records", &[(GET, Role(List, Record))]),
    ("/api/v1/deployment-records/{id}", &[(GET, Role(Get, Record))]),
    ("/api/v1/clusters", &[(GET, Role(List, Cluster))]),
    ("/api/v1/clusters/health", &[(GET, Role(List, Cluster))]),
    ("/api/v1/clusters/{name}", &[(GET, Role(Get, Cluster)), (DELETE, Role(Delete, Cluster))]),
    ("/api/v1/clusters/{name}/health", &[(GET, Role(Get, Cluster))]),
    ("/api/v1/role-bindings", &[(GET, Role(List, RoleBinding)), (POST, Role(Create, RoleBinding))]),
    (
        "/api/v1/role-bindings/{name}",
        &[
            (GET, Role(Get, RoleBinding)),
            (PUT, Role(Update, RoleBinding)),
            (DELETE, Role(Delete, RoleBinding)),
        ],
    ),
];

/// The table, to look things up in.
pub(crate) struct Routes(HashMap<&'static str, &'static [(Does, Need)]>);

/// What the table says of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    Need(Need),
    /// The route has other methods: these.
    OtherMethods(&'static [(Does, Need)]),
    /// The route is not in the table.
    NotListed,
}

impl Routes {
    pub(crate) fn new() -> Self {
        Self(ROUTES.iter().copied().collect())
    }

    pub(crate) fn find(&self, route: &str, method: &Method) -> Found {
        let Some(methods) = self.0.get(route) else { return Found::NotListed };
        let does = Does::of(method);
        let found = methods.iter().find(|(listed, _)| Some(*listed) == does);
        found.map_or(Found::OtherMethods(methods), |(_, need)| Found::Need(*need))
    }
}
